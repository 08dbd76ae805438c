"""Patch rasters of many pictures in one folder, each with a unique name; existing rasters are kept.

Rasters are written atomically. A run that was stopped or killed resumes with the first picture without a
raster, after its last finished batch. Only one run at a time uses the folder.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ....atlas.formats.patch_raster import ENDING
from ....geo.sources import Source
from ....geo.sources.listed import plain
from ....geo.tile import GeoError
from ....models.base import Encoder
from ...loaded import load
from ..folder import EmbeddingFolder
from ..pipeline import process, progress
from ..sources import open_all
from ..spec import EmbeddingError, EmbeddingSpec
from .patch_layout import SCRATCH, PatchLayout, lay_out, scratch_of
from .patch_raster import PatchRasterSink
from .patch_writing import DiskFullError, require_disk_space

NOT_COMPARED = ("credit", "licence")


@dataclass(frozen=True)
class PatchProgress:
    """Progress of a run over several pictures: tiles `done` of `total`.

    `rate` is in tiles per second; it and `seconds_left` are None until measured. `key` is the current picture
    and `shape` the rows, columns and bands of its raster. `rasters` lists those that exist, new or old, in
    the order of the pictures. `note` is a message for the user, or empty. `finished` is true in the last step
    only.
    """

    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None
    key: str = ""
    shape: tuple[int, int, int] | None = None
    rasters: tuple[Path, ...] = ()
    note: str = ""
    finished: bool = False


@dataclass(frozen=True, eq=False)
class NamedPicture:
    """A picture of a source, and the `parts` of its path."""

    source: Source
    key: str
    parts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Task:
    """A raster to write: its picture, its file, its number of tiles, and the folder for unfinished work."""

    picture: NamedPicture
    out: Path
    tiles: int
    scratch: Path


def embed_patches(spec: EmbeddingSpec) -> Generator[PatchProgress]:
    """Write a patch raster for each picture of a spec; yields the plan first, then after each batch.

    Call it again with the same spec to resume. Pictures that cannot be opened or are too small are left out
    with a note, if there are others. An existing raster is kept if its recipe is the same. Raises
    EmbeddingError for a spec that rasters do not support, if the recipe differs, if nothing can be embedded,
    while another run uses the folder, and for a full disk; raises GeoError for the only picture.
    """
    if len(spec.gsd_m) > 1 or spec.data_type == "float16" or spec.losses or spec.pooling or spec.most:
        raise EmbeddingError(
            "--patches takes one GSD and the data type float32 or int8, but neither --losses, --pooling "
            "nor --most."
        )
    folder, model = EmbeddingFolder(Path(spec.out)), load(spec.model)
    with folder.locked():
        pictures = pictures_of(spec)
        outs = [folder.path / f"{name}{ENDING}" for name in raster_names(pictures)]
        tasks, existing, notes = _plan(pictures, outs, spec, model)
        _clean_up(folder.path, tasks)
        total = sum(task.tiles for task in tasks)
        at = PatchProgress(0, total, rasters=tuple(existing), note="\n".join(notes))
        yield at
        for task in tasks:
            before = at.done
            try:
                layout = lay_out(task.picture.source, task.picture.key, spec, model)
                sink = PatchRasterSink(folder, layout, spec, model, task.out)
                with require_disk_space(layout, model.embed_dim, spec.data_type, sink.scratch):
                    sink.start()
                    for step in chain([progress([sink], None)], process([sink])):
                        if step.finished:
                            break
                        done = before + step.done
                        left = (total - done) / step.rate if step.rate else None
                        key = task.picture.key
                        at = PatchProgress(
                            done, total, step.rate, left, key, sink.shape, at.rasters, step.note
                        )
                        yield at
                if sink.left:
                    return
            except (GeoError, EmbeddingError) as error:
                if len(pictures) == 1 or isinstance(error, DiskFullError):
                    raise
                note = f"{task.picture.key} was left out: {error}"
                at = replace(at, done=before + task.tiles, note=note)
            else:
                present = {*at.rasters, task.out}
                at = replace(at, rasters=tuple(out for out in outs if out in present), note=sink.note())
            yield at
        if not at.rasters:
            raise EmbeddingError(
                "There is nothing to embed: no picture gave a raster. Choose another source."
            )
        yield replace(at, note="", finished=True)


def pictures_of(spec: EmbeddingSpec) -> list[NamedPicture]:
    """List the pictures of a spec in order, each once."""
    pictures: dict[tuple[str, ...], NamedPicture] = {}
    for opened in open_all(spec):
        root = opened.path.parts if opened.path else (plain(opened.named),)
        for key in opened.keys(spec.only):
            parts = root if root[-1] == key else (*root, *Path(key).parts)
            pictures.setdefault(parts, NamedPicture(opened.source, key, parts))
    if not pictures:
        raise EmbeddingError("There is nothing to embed: the sources hold no picture. Choose another source.")
    return list(pictures.values())


def raster_names(pictures: Sequence[NamedPicture]) -> list[str]:
    """Return a file name without suffix for each picture.

    It is the key or, if keys collide, the shortest unique tail of the path. Raises EmbeddingError if there is
    none.
    """
    names: list[str | None] = [None] * len(pictures)
    for level in range(2 + 2 * max(len(picture.parts) for picture in pictures)):
        candidates = [name or _tail(picture, level) for name, picture in zip(names, pictures, strict=True)]
        count = Counter(candidate.casefold() for candidate in candidates)
        names = [
            name or (candidate if count[candidate.casefold()] == 1 else None)
            for name, candidate in zip(names, candidates, strict=True)
        ]
    missing = next((picture.key for picture, name in zip(pictures, names, strict=True) if name is None), None)
    if missing is not None:
        raise EmbeddingError(
            f"{missing} has the same name as another picture of this run: "
            "write its raster to a separate folder."
        )
    return [name or "" for name in names]


def _tail(picture: NamedPicture, level: int) -> str:
    """Return a candidate name: level 0 is the key without suffix, 1 with it, then longer tails."""
    if level < 2:
        parts = Path(picture.key).parts
    else:
        parts = tuple(part for part in picture.parts if part.strip("/\\"))[-(level // 2 + 1) :]
    last = parts[-1] if level % 2 else Path(parts[-1]).stem
    return "_".join((*parts[:-1], last)).replace("/", "_").replace("\\", "_")


def _plan(
    pictures: Sequence[NamedPicture], outs: Sequence[Path], spec: EmbeddingSpec, model: Encoder
) -> tuple[list[_Task], list[Path], list[str]]:
    """Return rasters to write, existing rasters, and notes; raises EmbeddingError for another recipe."""
    tasks: list[_Task] = []
    existing: list[Path] = []
    notes: list[str] = []
    for picture, out in zip(pictures, outs, strict=True):
        try:
            layout = lay_out(picture.source, picture.key, spec, model)
        except (GeoError, EmbeddingError) as error:
            if len(pictures) == 1:
                raise
            notes.append(f"{picture.key} was left out: {error}")
            continue
        if out.exists():
            _require_same(out, layout, spec)
            existing.append(out)
        else:
            tasks.append(_Task(picture, out, len(layout.corners), scratch_of(layout, spec, out)))
    if existing:
        notes.append(f"{len(existing):,} of {len(pictures):,} rasters exist already and are kept.")
    if not tasks and not existing:
        raise EmbeddingError(f"There is nothing to embed. {' '.join(notes[:3])} Choose another source.")
    return tasks, existing, notes


def _require_same(out: Path, layout: PatchLayout, spec: EmbeddingSpec) -> None:
    """Raise EmbeddingError, with the difference, unless an existing raster has the recipe of the new one.

    Rasters of earlier versions do not state the content of their picture, which is then not compared.
    """
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    advice = "choose another folder, or delete that raster."
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.open(out) as file,
        ):
            recipe: dict[str, Any] = json.loads(file.tags().get("RECIPE", "{}"))
            was = {**recipe, "data_type": file.dtypes[0], "rows": file.height, "cols": file.width}
    except (RasterioError, ValueError) as error:
        raise EmbeddingError(
            f"{out.name} exists already and is not a raster of patch embeddings: {advice}"
        ) from error
    if "model" not in was:
        raise EmbeddingError(f"{out.name} exists already and is not a raster of patch embeddings: {advice}")
    now = {**layout.recipe, "data_type": spec.data_type, "rows": layout.rows, "cols": layout.cols}
    for name, value in now.items():
        if name not in NOT_COMPARED and name in was and not _are_equal(was[name], value):
            what = f"its {name} is {was[name]!r} and would now be {value!r}"
            if name == "content_sha256":
                what = "the content of its picture is different"
            raise EmbeddingError(f"{out.name} was made with other settings ({what}): {advice}")


def _are_equal(was: Any, now: Any) -> bool:
    are_numbers = isinstance(was, int | float) and isinstance(now, int | float)
    return math.isclose(was, now, rel_tol=1e-9) if are_numbers else was == now


def _clean_up(folder: Path, tasks: Sequence[_Task]) -> None:
    """Delete leftovers of killed runs that this one does not resume. Call it while the folder is locked."""
    for scratch in set(folder.glob(f"{SCRATCH}*")) - {task.scratch for task in tasks}:
        shutil.rmtree(scratch, ignore_errors=True)
    for partial in folder.glob(f".*{ENDING}.tmp"):
        partial.unlink(missing_ok=True)
