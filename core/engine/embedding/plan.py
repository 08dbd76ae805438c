"""The plan of an embedding run: all windows of all pictures, and what a resumed run compares."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...geo.catalogue import Catalogue
from ...geo.tile import GeoError, require_gsd
from .count import MOST_TILES, distinct_gsds, require_few, too_many, windows_needed
from .digests import is_sampled
from .environment import environment
from .grids import Grid, grids_of, interleave
from .sources import open_all, repeated_sources, source_names
from .spec import EmbeddingError, EmbeddingSpec
from .windows import TooManyWindowsError


@dataclass(frozen=True, eq=False)
class EmbeddingPlan:
    """All grids of a run, the number of `empty` windows that were left out, and notes for the user.

    `sampled` lists local files so large that only parts of them were hashed.
    """

    grids: tuple[Grid, ...]
    empty: int
    notes: tuple[str, ...]
    sampled: tuple[Path, ...] = ()

    @property
    def count(self) -> int:
        """The number of windows."""
        return sum(len(grid.boxes) for grid in self.grids)

    def area_km2(self, tile_px: int) -> float:
        """Area covered by the windows; overlaps count twice, windows of unknown scale as 0."""
        return sum(len(grid.boxes) * (tile_px * (grid.gsd_m or 0) / 1000) ** 2 for grid in self.grids)

    def digest(self) -> str:
        """Hash of all windows."""
        digest = hashlib.sha256()
        for grid in self.grids:
            digest.update(f"{grid.key} {grid.gsd_m} {grid.native_gsd_m} {grid.level} {grid.rgb}".encode())
            digest.update(grid.boxes.tobytes())
            digest.update(b"" if grid.lonlat is None else grid.lonlat.tobytes())
        return digest.hexdigest()

    def contents(self) -> dict[str, str]:
        """Digest of the content of each picture, by its name in the table."""
        return {
            grid.product if grid.product == grid.label else f"{grid.label}/{grid.product}": grid.content
            for grid in self.grids
        }


def make_plan(
    spec: EmbeddingSpec,
    tile_px: int,
    catalogue: Catalogue | None = None,
    most: int | None = None,
    *,
    untrusted: bool = False,
) -> EmbeddingPlan:
    """Lay out the windows of all sources of a spec. Opens files and reads at most one overview of each.

    `catalogue` resolves named sources (None: the default one). Files named by path are read in a child
    process if they are `untrusted`. Raises EmbeddingError, GeoError, and TooManyTilesError, before windows
    take memory, if the plan would hold more than `most` (None: MOST_TILES).
    """
    most = MOST_TILES if most is None else min(most, MOST_TILES)
    for gsd in (*spec.gsd_m, spec.stated_gsd_m):
        require_gsd(gsd)
    stride_px = tile_px if spec.stride_px is None else spec.stride_px
    if not 1 <= stride_px <= 16 * tile_px:
        raise EmbeddingError(
            f"The stride must be between 1 and {16 * tile_px} px for tiles of {tile_px} px; "
            f"{stride_px} is not."
        )
    grids: list[Grid] = []
    notes = repeated_sources(spec)
    empty = count = 0
    files: set[Path] = set()
    sampled: list[Path] = []
    for opened in open_all(spec, catalogue, untrusted=untrusted):
        keys = opened.keys(spec.only)
        for key in keys:
            file = opened.file(key)
            if file is not None and file in files:
                notes.append(f"{opened.product(key)} is given more than once and is embedded once.")
                continue
            files |= {file} if file is not None else set()
            what = "All sources together" if count else f"{key} at this scale"
            try:
                require_few(count + windows_needed(opened.source, key, stride_px, spec), most, what)
                laid = grids_of(opened, key, tile_px, stride_px, spec, most - count)
            except TooManyWindowsError as error:
                raise too_many(count + error.count, most, what) from error
            except GeoError as error:
                if len(keys) == 1:
                    raise
                notes.append(f"{key} was left out: {error}")
                continue
            grids += interleave(laid.grids)
            sampled += [file] if file is not None and is_sampled(opened.source.opened(key)) else []
            notes += laid.notes
            empty += laid.empty
            count += sum(len(grid.boxes) for grid in laid.grids)
            require_few(count, most, "All sources together")
    grids = [grid for grid in grids if len(grid.boxes)]
    if not grids:
        why = f" {notes[0]}" if notes else " Everything in it is nodata." if empty else ""
        raise EmbeddingError(f"There is nothing to embed.{why} Choose another source.")
    grids = _limited(_with_identities(grids), spec.most)
    return EmbeddingPlan(tuple(grids), empty, tuple(dict.fromkeys(notes)), tuple(sampled))


def _with_identities(grids: list[Grid]) -> list[Grid]:
    """Set the identity of each picture: its key and content, and its source if those are not unique."""
    pictures: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for grid in grids:
        pictures.setdefault((grid.key, grid.content), set()).add((grid.label, grid.product))

    def identity(grid: Grid) -> str:
        alone = len(pictures[grid.key, grid.content]) == 1
        return f"{grid.key} {grid.content}" if alone else f"{grid.label} {grid.product} {grid.content}"

    return [replace(grid, identity=identity(grid)) for grid in grids]


def _limited(grids: list[Grid], most: int | None) -> list[Grid]:
    """Keep about `most` windows, spread evenly over the plan."""
    total = sum(len(grid.boxes) for grid in grids)
    if most is None or total <= most:
        return grids
    chosen = np.unique(np.linspace(0, total - 1, most).astype(int))
    limited: list[Grid] = []
    start = 0
    for grid in grids:
        end = start + len(grid.boxes)
        rows = chosen[(chosen >= start) & (chosen < end)] - start
        start = end
        if len(rows):
            lonlat = None if grid.lonlat is None else grid.lonlat[rows]
            limited.append(replace(grid, boxes=grid.boxes[rows], lonlat=lonlat))
    return limited


def plan_json(spec: EmbeddingSpec, plan: EmbeddingPlan, resolved: dict[str, Any]) -> dict[str, Any]:
    """Return what a resumed run compares: plain values without times, and file names without paths.

    `resolved` replaces settings that the spec leaves to the model or the device.
    """
    settings = {
        **asdict(spec),
        **resolved,
        "sources": list(source_names(spec)),
        "gsd_m": distinct_gsds(spec.gsd_m),
    }
    for name in ("out", "online", *(() if spec.only else ("only",))):
        del settings[name]
    count: Counter[tuple[str, float | None, float | None]] = Counter()
    for grid in plan.grids:
        count[grid.product, grid.gsd_m, grid.native_gsd_m] += len(grid.boxes)
    pictures = [
        {"key": key, "gsd_m": gsd, "native_gsd_m": native, "windows": n}
        for (key, gsd, native), n in count.items()
    ]
    contents = plan.contents()
    plain = {
        "spec": settings,
        "windows": plan.count,
        "empty": plan.empty,
        "windows_sha256": plan.digest(),
        "contents": dict(list(contents.items())[:1000]),
        "contents_sha256": hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest(),
        "pictures": pictures[:1000],
        "environment": environment(),
        "notes": list(plan.notes),
    }
    return json.loads(json.dumps(plain))
