"""The plan of an embedding run: all windows of all pictures, and what a resumed run compares before it continues."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...geo.catalogue import Catalogue
from ...geo.tile import GeoError, require_gsd
from .count import MOST_TILES, distinct_gsds, require_few, too_many, windows_needed
from .grids import Grid, interleave, lay_scales
from .sources import named_twice, only_sampled, open_all, source_names
from .spec import EmbeddingError, EmbeddingSpec
from .windows import TooManyWindowsError


@dataclass(frozen=True, eq=False)
class EmbeddingPlan:
    """Hold all grids, how many windows were left out as empty, sentences worth knowing before the first tile, and local files that are told from
    others by pieces only."""

    grids: tuple[Grid, ...]
    empty: int
    notes: tuple[str, ...]
    sampled: tuple[Path, ...] = ()

    @property
    def count(self) -> int:
        """The number of windows."""
        return sum(len(grid.boxes) for grid in self.grids)

    def area_km2(self, tile_px: int) -> float:
        """The ground that the windows cover, overlaps counted twice; 0 for windows of unknown scale."""
        return sum(len(grid.boxes) * (tile_px * (grid.gsd_m or 0) / 1000) ** 2 for grid in self.grids)

    def digest(self) -> str:
        """A hash that changes when any window does."""
        digest = hashlib.sha256()
        for grid in self.grids:
            digest.update(f"{grid.key} {grid.gsd_m} {grid.native_gsd_m} {grid.level} {grid.rgb}".encode())
            digest.update(grid.boxes.tobytes())
            digest.update(b"" if grid.lonlat is None else grid.lonlat.tobytes())
        return digest.hexdigest()

    def contents(self) -> dict[str, str]:
        """The digest of what each picture holds, by what the table calls it."""
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
    """Lay windows over everything a spec names. Opens files, reads at most an overview of each; raises EmbeddingError and GeoError.

    `catalogue` knows the sources by name; None makes one. The windows of a picture are counted at all scales before any of them is laid, and
    TooManyTilesError is raised where the plan would hold more than `most` (None: MOST_TILES).
    `untrusted` files that are named by path are read in a child process.
    """
    most = MOST_TILES if most is None else min(most, MOST_TILES)
    for gsd in (*spec.gsd_m, spec.stated_gsd_m):
        require_gsd(gsd)
    stride_px = tile_px if spec.stride_px is None else spec.stride_px
    if not 1 <= stride_px <= 16 * tile_px:
        raise EmbeddingError(
            f"A stride of {stride_px} px cannot be: give 1 to {16 * tile_px} for tiles of {tile_px} px."
        )
    grids: list[Grid] = []
    notes = named_twice(spec)
    empty = laid = 0
    seen: set[Path] = set()
    sampled: list[Path] = []
    for opened in open_all(spec, catalogue, untrusted=untrusted):
        keys = opened.keys(spec.only)
        for key in keys:
            file = opened.file(key)
            if file is not None and file in seen:
                notes.append(f"{opened.product(key)} was named before and is embedded once.")
                continue
            seen |= {file} if file is not None else set()
            try:
                require_few(
                    laid + windows_needed(opened.source, key, stride_px, spec),
                    most,
                    f"{key} at this scale" if not laid else "The sources together",
                )
                scales, said, left_out = lay_scales(opened, key, tile_px, stride_px, spec, most - laid)
            except TooManyWindowsError as error:
                raise too_many(
                    laid + error.count, most, "The sources together" if laid else f"{key} at this scale"
                ) from error
            except GeoError as error:
                if len(keys) == 1:
                    raise
                notes.append(f"{key} was left out: {error}")
                continue
            grids += interleave(scales)
            sampled += [file] if file is not None and only_sampled(opened.source.opened(key)) else []
            notes += said
            empty += left_out
            laid += sum(len(grid.boxes) for grid in scales)
            require_few(laid, most, "The sources together")
    grids = [grid for grid in grids if len(grid.boxes)]
    if not grids:
        why = f" {notes[0]}" if notes else " Everything in it is nodata." if empty else ""
        raise EmbeddingError(f"There is nothing to embed.{why} Choose another source.")
    return EmbeddingPlan(
        tuple(_cut_short(_identified(grids), spec.most)), empty, tuple(dict.fromkeys(notes)), tuple(sampled)
    )


def _identified(grids: list[Grid]) -> list[Grid]:
    """Give every picture the text that its rows are named by: its key and content, and where two share both, also its source."""
    pictures: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for grid in grids:
        pictures.setdefault((grid.key, grid.content), set()).add((grid.label, grid.product))

    def identity(grid: Grid) -> str:
        alone = len(pictures[grid.key, grid.content]) == 1
        return f"{grid.key} {grid.content}" if alone else f"{grid.label} {grid.product} {grid.content}"

    return [replace(grid, identity=identity(grid)) for grid in grids]


def _cut_short(grids: list[Grid], most: int | None) -> list[Grid]:
    """Keep about `most` windows, spread evenly over all."""
    total = sum(len(grid.boxes) for grid in grids)
    if most is None or total <= most:
        return grids
    chosen = np.unique(np.linspace(0, total - 1, most).astype(int))
    kept: list[Grid] = []
    at = 0
    for grid in grids:
        rows = chosen[(chosen >= at) & (chosen < at + len(grid.boxes))] - at
        at += len(grid.boxes)
        if len(rows):
            lonlat = None if grid.lonlat is None else grid.lonlat[rows]
            kept.append(replace(grid, boxes=grid.boxes[rows], lonlat=lonlat))
    return kept


def plan_json(spec: EmbeddingSpec, plan: EmbeddingPlan, decided: dict[str, Any]) -> dict[str, Any]:
    """Everything that a resumed sweep compares before it goes on; plain values, no times, no paths beyond the names of files."""
    said = {
        **asdict(spec),
        **decided,
        "sources": list(source_names(spec)),
        "gsd_m": distinct_gsds(spec.gsd_m),
    }
    for name in ("out", "online", *(() if spec.only else ("only",))):
        del said[name]
    scales: dict[tuple[str, float | None, float | None], int] = {}
    for grid in plan.grids:
        known = (grid.product, grid.gsd_m, grid.native_gsd_m)
        scales[known] = scales.get(known, 0) + len(grid.boxes)
    grids = [
        {"key": key, "gsd_m": gsd, "native_gsd_m": native, "windows": count}
        for (key, gsd, native), count in scales.items()
    ]
    contents = plan.contents()
    found = {
        "spec": said,
        "windows": plan.count,
        "empty": plan.empty,
        "windows_sha256": plan.digest(),
        "contents": dict(list(contents.items())[:1000]),
        "contents_sha256": hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest(),
        "pictures": grids[:1000],
        "notes": list(plan.notes),
    }
    return json.loads(json.dumps(found))
