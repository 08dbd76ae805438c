"""Rasters of patch embeddings of many pictures in one folder, each with a unique name; existing rasters are kept.

Rasters are written atomically. A run that was stopped or killed resumes with the first picture without a raster, after
its last finished batch. Only one run at a time uses the folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....atlas.store.patch_rasters import ENDING
from ....geo.sources import Source
from ....geo.sources.listed import plain
from ....geo.tile import GeoError
from ..folder import EmbeddingFolder
from ..sources import open_named, pictures_in
from ..spec import EmbeddingError, EmbeddingSpec
from .patch_layout import SCRATCH, PatchRasterSpec, RasterOutline, plan_raster, scratch_of
from .patch_raster import PatchProgress, embed_patches
from .patch_writing import DiskFullError

STAMP_BYTES = 2**20
NOT_COMPARED = ("credit", "licence")


@dataclass(frozen=True)
class FolderProgress:
    """Progress of a run over several pictures: tiles `done` of `total`.

    `rate` is in tiles per second; it and `seconds_left` are None until measured. `key` is the current picture and
    `picture` its own progress. `rasters` lists those that exist, new or old, in the order of the pictures. `note` is a
    message for the user, or empty. `finished` is true in the last step only.
    """

    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None
    key: str = ""
    picture: PatchProgress | None = None
    rasters: tuple[Path, ...] = ()
    note: str = ""
    finished: bool = False


@dataclass(frozen=True, eq=False)
class Named:
    """A picture of a source, the `parts` of its path, and a `stamp` of its content (None unless it is a local file)."""

    source: Source
    key: str
    parts: tuple[str, ...]
    stamp: str | None


@dataclass(frozen=True, eq=False)
class _Todo:
    named: Named
    out: Path
    tiles: int


def embed_pictures(spec: EmbeddingSpec, wanted: PatchRasterSpec) -> Generator[FolderProgress]:
    """Write a raster of patch embeddings for each picture of a spec; yields the plan first, then after each batch.

    Pictures that cannot be opened or are too small are skipped with a note, if there are others. An existing raster is
    kept if its recipe is the same. Raises EmbeddingError if its recipe differs, if nothing can be embedded, while
    another run uses the folder, and for a full disk; raises GeoError for the only picture.
    """
    folder = Path(spec.out)
    held = EmbeddingFolder(folder)
    with held.locked():
        pictures = pictures_of(spec)
        todo, there, notes = _planned(pictures, folder, wanted)
        _tidy(folder, todo, wanted)
        total = sum(one.tiles for one in todo)
        at = FolderProgress(0, total, rasters=tuple(there), note="\n".join(notes))
        yield at
        began, known = time.perf_counter(), 0
        for one in todo:
            before, at = at.done, replace(at, note="")
            try:
                for number, step in enumerate(
                    embed_patches(one.named.source, one.named.key, wanted, one.out, stamp=one.named.stamp)
                ):
                    done = before + step.done
                    known += (
                        step.done if number == 0 else 0
                    )  # what an earlier run did must not count towards the rate of this one
                    rate = (done - known) / max(time.perf_counter() - began, 1e-9) if done > known else None
                    left = (total - done) / rate if rate else None
                    at = FolderProgress(done, total, rate, left, one.named.key, step, at.rasters)
                    yield at
                    if held.asked_to_stop and step.path is None:
                        yield replace(
                            at,
                            rate=None,
                            seconds_left=None,
                            note="Stopped; run the same command again to continue.",
                        )
                        return
            except (GeoError, EmbeddingError) as error:
                if len(pictures) == 1 or isinstance(error, DiskFullError):
                    raise
                at = replace(at, done=before + one.tiles, note=f"{one.named.key} was left out: {error}")
                yield at
                continue
            at = replace(at, rasters=(*at.rasters, one.out), note=_said(one.named.key, at.picture))
            yield at
        if not at.rasters:
            raise EmbeddingError(
                "There is nothing to embed: no picture gave a raster. Choose another source."
            )
        inside = set(at.rasters)
        order = tuple(path for path in _outs(pictures, folder) if path in inside)
        yield replace(at, rasters=order, note="", finished=True)


def pictures_of(spec: EmbeddingSpec) -> list[Named]:
    """List the pictures of a spec in order, each once."""
    found: dict[tuple[str, ...], Named] = {}
    for named in spec.sources:
        source = open_named(named, spec)
        local = Path(named).expanduser()
        root = local.resolve().parts if local.exists() else (plain(named),)
        for key in pictures_in(source):
            if spec.only and key not in spec.only:
                continue
            own = Path(key).parts
            parts = root if root[-1] == key else (*root, *own)
            found.setdefault(
                parts, Named(source, key, parts, _stamp(Path(*parts)) if local.exists() else None)
            )
    if not found:
        raise EmbeddingError("None of the sources has the picture given by --only: check its name.")
    return list(found.values())


def names_of(pictures: Sequence[Named]) -> list[str]:
    """Give each picture a file name without suffix: its key or, if keys collide, the shortest unique tail of its path.

    Raises EmbeddingError if there is none.
    """
    names: list[str | None] = [None] * len(pictures)
    for level in range(2 + 2 * max(len(one.parts) for one in pictures)):
        tried = [_tail(one, level) for one in pictures]
        taken = Counter(
            name.casefold() for name in (kept or new for kept, new in zip(names, tried, strict=True))
        )
        names = [
            kept or (new if taken[new.casefold()] == 1 else None)
            for kept, new in zip(names, tried, strict=True)
        ]
    missing = next((one.key for one, name in zip(pictures, names, strict=True) if name is None), None)
    if missing is not None:
        raise EmbeddingError(
            f"{missing} has the same name as another picture of this run: write its raster to a separate folder."
        )
    return [name or "" for name in names]


def _tail(one: Named, level: int) -> str:
    """Give candidate names: level 0 is the key without suffix, 1 with it, then longer tails of the path likewise."""
    if level < 2:
        parts = Path(one.key).parts
    else:
        parts = tuple(part for part in one.parts if part.strip("/\\"))[-(level // 2 + 1) :]
    last = parts[-1] if level % 2 else Path(parts[-1]).stem
    return "_".join((*parts[:-1], last)).replace("/", "_").replace("\\", "_")


def _outs(pictures: Sequence[Named], folder: Path) -> list[Path]:
    return [folder / f"{name}{ENDING}" for name in names_of(pictures)]


def _planned(
    pictures: Sequence[Named], folder: Path, wanted: PatchRasterSpec
) -> tuple[list[_Todo], list[Path], list[str]]:
    """Give pictures to embed, existing rasters, and notes; raises EmbeddingError for a raster with another recipe."""
    todo: list[_Todo] = []
    there: list[Path] = []
    notes: list[str] = []
    for named, out in zip(pictures, _outs(pictures, folder), strict=True):
        try:
            meant = plan_raster(named.source, named.key, wanted, named.stamp)
        except (GeoError, EmbeddingError) as error:
            if len(pictures) == 1:
                raise
            notes.append(f"{named.key} was left out: {error}")
            continue
        if out.exists():
            _require_same(out, meant)
            there.append(out)
        else:
            todo.append(_Todo(named, out, meant.tiles))
    if there:
        notes.append(f"{len(there):,} of {len(pictures):,} rasters exist already and are kept.")
    if not todo and not there:
        raise EmbeddingError(f"There is nothing to embed. {' '.join(notes[:3])} Choose another source.")
    return todo, there, notes


def _require_same(out: Path, meant: RasterOutline) -> None:
    """Raise EmbeddingError, with the difference, unless an existing raster has the recipe of the new one."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    choose = "choose another folder, or delete that raster."
    try:
        with (
            warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
            rasterio.open(out) as file,
        ):
            was: dict[str, Any] = json.loads(file.tags().get("RECIPE", "{}"))
            found = {**was, "data_type": file.dtypes[0], "rows": file.height, "cols": file.width}
    except (RasterioError, ValueError) as error:
        raise EmbeddingError(
            f"{out.name} exists already and is not a raster of patch embeddings: {choose}"
        ) from error
    now = {**meant.recipe, "data_type": meant.data_type, "rows": meant.rows, "cols": meant.cols}
    if "model" not in was:
        raise EmbeddingError(f"{out.name} exists already and is not a raster of patch embeddings: {choose}")
    for name, value in now.items():
        if name not in NOT_COMPARED and name in found and not _alike(found[name], value):
            what = (
                "the content of its picture is different"
                if name == "source_stamp"
                else f"its {name} is {found[name]!r} and would now be {value!r}"
            )
            raise EmbeddingError(f"{out.name} was made with other settings ({what}): {choose}")


def _alike(was: Any, now: Any) -> bool:
    numbers = isinstance(was, int | float) and isinstance(now, int | float)
    return math.isclose(was, now, rel_tol=1e-9) if numbers else was == now


def _said(key: str, step: PatchProgress | None) -> str:
    """Describe what a finished raster lacks; empty if it is complete."""
    if step is None or not (step.unreadable or step.bare):
        return ""
    lost = [f"{step.unreadable:,} could not be read"] if step.unreadable else []
    lost += [f"{step.empty:,} hold too little data"] if step.empty else []
    return f"{key}: of {step.total:,} tiles {' and '.join(lost)}; {step.bare:,} of {step.rows * step.cols:,} patches have no vector."


def _stamp(path: Path) -> str | None:
    """Hash the size and the first megabyte of a file; None if there is no such file."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.sha256(f"{path.stat().st_size} ".encode() + file.read(STAMP_BYTES)).hexdigest()[:16]


def _tidy(folder: Path, todo: Sequence[_Todo], wanted: PatchRasterSpec) -> None:
    """Delete leftovers of killed runs that this one does not resume. Call it while the folder is locked."""
    if left := set(folder.glob(f"{SCRATCH}*")):
        for old in left - {
            scratch_of(one.named.source, one.named.key, wanted, one.out, one.named.stamp) for one in todo
        }:
            shutil.rmtree(old, ignore_errors=True)
    for torn in folder.glob(f".*{ENDING}.tmp"):
        torn.unlink(missing_ok=True)
