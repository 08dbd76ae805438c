"""`da.mae`: tiles, reconstructions and patch embeddings of a DataArray, on its own grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..engine.inputs import require_side
from ..engine.loaded import load
from ..engine.reconstruct import require_reconstructor
from ..geo import ground
from ..geo.picture import Header, Known, Picture, Raw, cut_tile
from ..geo.tile import RGB, GeoError, Tile, TileRef, TileSpec, Window
from ..masking import Mask, MaskSpec, mask_to_text
from ..models.base import Encoder
from ..policy import Policy
from ..units import metres
from . import blocks
from .georeference import (
    Georeference,
    band_dim,
    band_names,
    coordinates,
    georeference,
    nodata_of,
    require_pixels,
    rgb_of,
)
from .tiles import EmbeddingWork, Feeding, ReconstructionWork, read_raw

Bands = RGB | tuple[str, str, str]
Range = tuple[float, float]
SQUARE = 1.05
"""Largest ratio of the sides of a pixel on the ground that is fed without a warning."""


class DataArrayPicture(Picture):
    """A DataArray (bands, y, x), north up, as a picture whose pixels are read by window."""

    def __init__(self, array: xr.DataArray, where: Georeference, rgb: RGB, value_range: Range | None) -> None:
        self._array, self._where, self._rgb, self._fixed = array, where, rgb, value_range
        self._nodata = nodata_of(array)

    def _describe(self) -> Header:
        height, width = self._array.shape[-2:]
        eight_bit = (0.0, 255.0) if self._array.dtype == np.uint8 else None
        return Header(
            width, height, band_names(self._array), self._rgb, self._where.crs, self._where.transform,
            ((width, height),), self._fixed or eight_bit,
        )  # fmt: skip

    def read(self, level: int, box: tuple[int, int, int, int], bands: Sequence[int] | None = None) -> Raw:
        """Read the pixels of a box; of an array with dask chunks, only those it touches."""
        assert level == 0, "an array has no overviews"
        col, row, width, height = box
        pixels = self._array[:, row : row + height, col : col + width]
        return read_raw(np.asarray((pixels if bands is None else pixels[list(bands)]).values), self._nodata)


@xr.register_dataarray_accessor("mae")
class MaeAccessor:
    """Masked autoencoders on a DataArray (band, y, x) or (y, x) with a CRS and a resolution.

    CRS and transform are read as rioxarray and odc-geo write them: a coordinate `spatial_ref` and the pixel
    centres `y` and `x` (or `latitude` and `longitude`). Pixels are fed at the resolution of the array, so
    reproject or coarsen it first for another scale. NaN and nodata count as missing. Raises GeoError for
    arrays without CRS or resolution, rotated or swapped axes, dimensions such as time, and values that are
    no real numbers.
    """

    def __init__(self, array: xr.DataArray) -> None:
        self._given = array

    @property
    def gsd_m(self) -> tuple[float, float]:
        """The size of a pixel on the ground at the centre, in metres (along a row, along a column)."""
        where, (height, width) = self._where, self._array.shape[-2:]
        return ground.ground_gsd(where.crs, where.transform, width / 2, height / 2)

    def tile(
        self,
        window: Window | None = None,
        *,
        lonlat: tuple[float, float] | None = None,
        gsd_m: float | None = None,
        size_px: int | None = None,
        rgb: Bands | None = None,
        value_range: Range | None = None,
    ) -> Tile:
        """Cut a tile as `TileSpec` describes it, for `reconstruct`, `judge` and the notebook widgets."""
        chosen = rgb_of(band_names(self._array), rgb)
        picture = DataArrayPicture(self._array, self._where, chosen, value_range)
        ref = TileRef("xarray", str(self._given.name or "array"))
        return cut_tile(picture, TileSpec(ref, window, lonlat, gsd_m, size_px), Known())

    def embed(
        self,
        model: str | Path | Encoder,
        *,
        policy: Policy | None = None,
        rgb: Bands | None = None,
        value_range: Range | None = None,
        tile_px: int | None = None,
        margin_px: int | None = None,
    ) -> xr.DataArray:
        """Embed every patch: (feature, y, x) float32, one pixel per patch of the network, in the same CRS.

        `rgb` names three bands or their 0-based numbers. `value_range` is (low, high), the values that become
        0 and 1; by default 0 and 255 for 8 bit, else the 1st and 99th percentile of each band. `tile_px` is
        the side of the network's input (None: the card's). The outer `margin_px` of a tile only serve as
        surroundings (None: a quarter of the tile; 0 is about four times faster and leaves seams). Patches
        with less than half of valid pixels are NaN, and pixels right of and below the last whole patch are
        left out. For an array with dask chunks the result is lazy, and computing or storing it needs memory
        for a few chunks only.
        """
        network = model if isinstance(model, Encoder) else load(model)
        bands, feeding = self._prepare(network, policy, rgb, value_range, tile_px)
        patch, tile = network.card.patch_px, feeding.tile_px
        if margin_px is None:
            margin_px = tile // 4 // patch * patch
        if margin_px % patch or not 0 <= 2 * margin_px < tile:
            raise GeoError(
                f"A margin of {margin_px} px does not fit tiles of {tile} px: "
                f"choose a multiple of {patch} px below {tile // 2} px."
            )
        height, width = (side // patch for side in bands.shape[-2:])
        grid = _blocks(bands, feeding.tile_px, (height * patch, width * patch), margin_px)
        work = EmbeddingWork(feeding, model)
        values = blocks.run(bands, grid, work, channels=network.embed_dim, cell_px=patch)
        where = self._where
        result = xr.DataArray(
            values,
            coordinates(where, height, width, patch),
            ("feature", where.y, where.x),
            "embedding",
            {**feeding.described(), "pooling": "patch", "patch_px": patch},
        )
        return self._as_given(result)

    def reconstruct(
        self,
        model: str | Path | Encoder,
        mask: MaskSpec | Mask | xr.DataArray | NDArray[np.bool_] | None = None,
        *,
        policy: Policy | None = None,
        rgb: Bands | None = None,
        value_range: Range | None = None,
        tile_px: int | None = None,
        paste: bool = True,
    ) -> xr.DataArray:
        """Hide patches and fill them in, tile by tile: (band, y, x) float32 on the same grid, in its units.

        `mask` is a spec or mask for every tile (None: 75 % random patches), or bool (y, x), True where pixels
        are to be replaced, such as clouds: every patch with such a pixel is hidden. `paste` keeps the other
        pixels; False returns the network's picture everywhere. Missing pixels that the mask does not name
        stay NaN, and so do tiles of which nothing is visible. The other arguments are those of `embed`, and
        dask chunks are streamed in the same way.
        """
        network = require_reconstructor(model if isinstance(model, Encoder) else load(model))
        bands, feeding = self._prepare(network, policy, rgb, value_range, tile_px)
        height, width = bands.shape[-2:]
        spec: MaskSpec | Mask | None = MaskSpec() if mask is None else None
        source = bands
        if isinstance(mask, MaskSpec | Mask):
            spec = mask
        elif mask is not None:
            source = _with_mask(bands, mask[::-1] if self._south_up else mask)
        grid = _blocks(bands, feeding.tile_px, (height, width), 0)
        work = ReconstructionWork(feeding, model, spec, paste)
        values = blocks.run(source, grid, work, channels=3, cell_px=1)
        where = self._where
        dim = band_dim(self._given)
        names = [feeding.bands[band] for band in (0, 1, 2)]
        about = {
            **feeding.described(),
            "mask": mask_to_text(spec) if isinstance(spec, MaskSpec) else "pixels",
        }
        result = xr.DataArray(
            values,
            {**coordinates(where, height, width), "band": names},
            ("band", where.y, where.x),
            "reconstruction",
            about,
        )
        if len(set(feeding.rgb)) == 1:  # a single band was fed three times
            result = result.mean("band", keep_attrs=True, dtype=np.float32)
            if dim is not None:
                result = result.expand_dims({str(dim): names[:1]})
        return self._as_given(result)

    def _prepare(
        self,
        network: Encoder,
        policy: Policy | None,
        rgb: Bands | None,
        value_range: Range | None,
        tile_px: int | None,
    ) -> tuple[xr.DataArray, Feeding]:
        """Return the three bands to feed (3, y, x), and how they are fed."""
        array, where, card = self._array, self._where, network.card
        names, smallest = band_names(array), min(array.shape[-2:])
        if smallest < card.patch_px:
            raise GeoError(
                f"This array is {array.shape[-1]} x {array.shape[-2]} px, smaller than one patch of "
                f"{card.patch_px} px: use a larger one."
            )
        side = require_side(card.input_px if tile_px is None else tile_px, card.patch_px)
        side = min(side, smallest // card.patch_px * card.patch_px)
        chosen = rgb_of(names, rgb)
        bands = array[list(chosen)]
        ranges = DataArrayPicture(bands, where, (0, 1, 2), value_range).value_range
        across, down = self.gsd_m
        if max(across / down, down / across) > SQUARE:
            warnings.warn(
                f"A pixel of this array is {metres(across)} by {metres(down)} on the ground, so the network "
                "sees a stretched picture: reproject it first, for example to UTM.",
                stacklevel=3,
            )
        red, green, blue = (names[band] for band in chosen)
        return bands, Feeding(
            where, (red, green, blue), chosen, ranges, nodata_of(array), side, card,
            policy or Policy(card.default_policy),
        )  # fmt: skip

    @cached_property
    def _array(self) -> xr.DataArray:
        """The array as (band, y, x), north up."""
        given = self._given
        require_pixels(given)
        array = given if band_dim(given) is not None else given.expand_dims("band")
        return array[:, ::-1] if self._south_up else array

    @cached_property
    def _stored(self) -> Georeference:
        return georeference(self._given)

    @property
    def _south_up(self) -> bool:
        return self._stored.transform[4] > 0

    @cached_property
    def _where(self) -> Georeference:
        """The georeference of `_array`."""
        stored = self._stored
        if not self._south_up:
            return stored
        a, b, c, d, e, f = stored.transform
        return replace(stored, transform=(a, b, c, d, -e, f + e * self._given.sizes[stored.y]))

    def _as_given(self, result: xr.DataArray) -> xr.DataArray:
        """Turn a result of a south-up array over again."""
        return result.isel({self._where.y: slice(None, None, -1)}) if self._south_up else result


def _blocks(
    bands: xr.DataArray, tile_px: int, size: tuple[int, int], margin_px: int
) -> list[list[blocks.Block]]:
    """Cover `size` (height, width) pixels of an array by blocks of tiles."""
    rows, cols = (blocks.spans(length, tile_px, margin_px) for length in size)
    return blocks.blocks(rows, cols, tile_px, blocks.block_sides(bands, *bands.dims[-2:]))


def _with_mask(bands: xr.DataArray, mask: xr.DataArray | NDArray[np.bool_]) -> xr.DataArray:
    """Add a mask (y, x) as a fourth band; raises GeoError if it has another size."""
    if mask.shape != bands.shape[-2:]:
        raise GeoError(
            f"The mask is {mask.shape} but the array {bands.shape[-2:]} (y, x): both need the same grid."
        )
    band, (y, x) = bands.dims[0], bands.dims[-2:]
    data = mask.data if isinstance(mask, xr.DataArray) else mask
    plain = xr.DataArray(bands.data, dims=bands.dims)
    extra = xr.DataArray(data, dims=(y, x)).astype(bands.dtype).expand_dims({band: 1})
    return xr.concat([plain, extra], dim=band)
