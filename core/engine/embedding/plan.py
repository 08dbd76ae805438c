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

    `catalogue` resolves named sources (None: the default one). Files named by path are read in a child process if they
    are `untrusted`. Raises EmbeddingError, GeoError, and TooManyTilesError, before windows take memory, if the plan
    would hold more than `most` (None: MOST_TILES).
    """
    most = MOST_TILES if most is None else min(most, MOST_TILES)
    for gsd in (*spec.gsd_m, spec.stated_gsd_m):
        require_gsd(gsd)
    stride_px = tile_px if spec.stride_px is None else spec.stride_px
    if not 1 <= stride_px <= 16 * tile_px:
        raise EmbeddingError(
            f"The stride must be between 1 and {16 * tile_px} px for tiles of {tile_px} px; {stride_px} is not."
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
                notes.append(f"{opened.product(key)} is given more than once and is embedded once.")
                continue
            seen |= {file} if file is not None else set()
            try:
                require_few(
                    laid + windows_needed(opened.source, key, stride_px, spec),
                    most,
                    f"{key} at this scale" if not laid else "All sources together",
                )
                scales, said, left_out = lay_scales(opened, key, tile_px, stride_px, spec, most - laid)
            except TooManyWindowsError as error:
                raise too_many(
                    laid + error.count, most, "All sources together" if laid else f"{key} at this scale"
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
            require_few(laid, most, "All sources together")
    grids = [grid for grid in grids if len(grid.boxes)]
    if not grids:
        why = f" {notes[0]}" if notes else " Everything in it is nodata." if empty else ""
        raise EmbeddingError(f"There is nothing to embed.{why} Choose another source.")
    return EmbeddingPlan(
        tuple(_cut_short(_identified(grids), spec.most)), empty, tuple(dict.fromkeys(notes)), tuple(sampled)
    )


def _identified(grids: list[Grid]) -> list[Grid]:
    """Set the identity of each picture: its key and content, plus its source if another picture has the same."""
    pictures: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for grid in grids:
        pictures.setdefault((grid.key, grid.content), set()).add((grid.label, grid.product))

    def identity(grid: Grid) -> str:
        alone = len(pictures[grid.key, grid.content]) == 1
        return f"{grid.key} {grid.content}" if alone else f"{grid.label} {grid.product} {grid.content}"

    return [replace(grid, identity=identity(grid)) for grid in grids]


def _cut_short(grids: list[Grid], most: int | None) -> list[Grid]:
    """Keep about `most` windows, spread evenly over the plan."""
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
    """Give what a resumed run compares before it continues: plain values without times, and file names without paths."""
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
