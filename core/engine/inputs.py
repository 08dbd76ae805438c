"""Prepare tiles as network input and ground truth: squares of one size, in 0..1, with holes filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ExplorerError
from ..geo.resample import resample
from ..geo.stretch import to_unit
from ..geo.tile import Tile, TileSpec
from ..policy import Policy, res_for
from ..units import metres

if TYPE_CHECKING:
    from ..models.registry import ModelCard

SLACK = 1.01
"""Two GSDs count as equal if they differ by at most one percent."""

MAX_GRID = 64
"""Equal to that of core.models.base; repeated because pages import this module before torch."""


class InputError(ExplorerError):
    """A tile or an input size that a network cannot process."""


@dataclass(frozen=True, eq=False)
class Fed:
    """Network input: `unit` (3, s, s) in 0..1 with holes filled, `valid` (s, s), and the resampled tile."""

    unit: NDArray[np.float32]
    valid: NDArray[np.bool_]
    tile: Tile
    resampling: str

    @property
    def side(self) -> int:
        return int(self.unit.shape[-1])


def read_ground(read: Callable[[TileSpec], Tile], spec: TileSpec, side_px: int) -> Tile:
    """Read the ground of a spec at twice the network's side if the source is fine enough, else at the side.

    A reconstruction of twice the input's size can then be compared with real ground. `spec.gsd_m` is the GSD
    as fed: the square of side_px * gsd_m metres about the position; None takes the whole window (for a
    position by longitude and latitude, side_px pixels of the native GSD). Raises the errors of `read`.
    """
    fine = replace(spec, size_px=2 * side_px, gsd_m=spec.gsd_m / 2 if spec.gsd_m else None)
    if spec.gsd_m is None and spec.lonlat is not None:
        return read(replace(spec, size_px=side_px))
    coarse = replace(spec, size_px=side_px)
    if spec.gsd_m is None:
        tile = read(fine)
        return tile if tile.gsd * SLACK >= tile.native_gsd_m else read(coarse)
    tile = read(coarse)
    return read(fine) if tile.native_gsd_m * 2 <= spec.gsd_m * SLACK else tile


def feed(tile: Tile, side_px: int) -> Fed:
    """Resample the centred square of a tile to side_px x side_px: area average down, bicubic up.

    Raises InputError for a tile without a valid pixel.
    """
    if not tile.valid.any():
        raise InputError("This part of the image holds no data: choose another window or place.")
    square = tile.width == tile.height
    across_m = min(tile.width * tile.gsd_m[0], tile.height * tile.gsd_m[1])
    small = resample(tile, size_px=side_px) if square else resample(tile, across_m / side_px, side_px)
    if not small.valid.any():
        raise InputError("Too little of this part of the image holds data: choose another window or place.")
    return Fed(_filled(to_unit(small), small.valid), small.valid, small, _resampling(tile, small))


def target_of(tile: Tile, fed: Fed, side_px: int) -> tuple[Fed, str]:
    """Return the ground truth at side_px, and a description.

    It is real ground if the tile is fine enough, else the input enlarged.
    """
    if side_px == fed.side:
        return fed, "the input itself"
    gsd_m = fed.tile.gsd * fed.side / side_px
    if max(tile.gsd, tile.native_gsd_m) <= gsd_m * SLACK:
        return feed(tile, side_px), f"the ground at {metres(gsd_m)}, {side_px} px"
    finest_m = max(tile.gsd, tile.native_gsd_m)
    why = f"the input enlarged to {side_px} px, because the source is no finer than {metres(finest_m)}"
    return feed(fed.tile, side_px), why


def input_sizes(patch_px: int, default_px: int) -> tuple[int, ...]:
    """Return input sizes to choose from: grids of 14 to 28 patches, and the default."""
    return tuple(sorted({default_px, *(patch_px * grid for grid in (14, 16, 20, 24, 28))}))


def require_side(side_px: int, patch_px: int) -> int:
    """Return a side in px; raises InputError unless it is 1 to 64 whole patches."""
    if side_px % patch_px or not 1 <= side_px // patch_px <= MAX_GRID:
        raise InputError(
            f"An input of {side_px} px cannot be cut into patches of {patch_px} px: "
            f"choose a multiple of {patch_px} px, up to {MAX_GRID * patch_px} px."
        )
    return side_px


def res_of(card: ModelCard, policy: Policy, gsd_m: float, input_px: int, native_gsd_m: float | None) -> float:
    """Return the res that a model with this card receives under a policy."""
    return res_for(
        policy, gsd_m=gsd_m, input_px=input_px, native_gsd_m=native_gsd_m, res_range=card.res_range
    )


def normalised(images: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """Normalise images in 0..1 with the mean and standard deviation of a card."""
    mean, std = (np.asarray(v, np.float32)[None, :, None, None] for v in (card.mean, card.std))
    ready = images - mean
    ready /= std
    return ready


def band_warning(tile: Tile) -> str | None:
    """Describe how bands were mapped to red, green and blue; None for an RGB image."""
    shown = tuple(tile.bands[band] for band in tile.rgb)
    if len(set(tile.rgb)) == 1:
        return f"The picture has a single band ({shown[0]}); the network receives it as red, green and blue."
    if len(tile.bands) > 4:
        return (
            f"Of {len(tile.bands)} bands, {', '.join(shown)} are used as red, green and blue; "
            "the network does not see the others."
        )
    return None


def _filled(unit: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill holes with the mean of valid pixels; they are never scored."""
    if valid.all():
        return np.ascontiguousarray(unit)
    return np.where(valid, unit, unit[:, valid].mean(axis=1)[:, None, None]).astype(np.float32)


def _resampling(tile: Tile, small: Tile) -> str:
    """Describe how a tile was resampled."""
    factor = small.gsd / tile.native_gsd_m
    if factor > SLACK:
        return f"area average over {factor:.3g} source pixels a side"
    if factor < 1 / SLACK:
        return f"bicubic enlargement by {1 / factor:.3g}: the source is coarser than the input"
    return "source pixels as they are"
