"""`da.mae`: results lie on the grid of the array, with dask or without; invalid input is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import core.xarray  # noqa: F401  registers da.mae
from core.engine.inputs import InputError
from core.engine.reconstruct import reconstruct
from core.engine.tokens import patch_vectors
from core.geo import GeoError
from core.masking import MaskSpec
from core.policy import Policy

ROOT = Path(__file__).parents[2]
SIDE, PATCH = 64, 16


def scene(height: int = 200, width: int = 170, *, step: float = 10.0, dtype: Any = np.uint8) -> xr.DataArray:
    """Return a smooth picture of three bands in UTM zone 33, with georeference as rioxarray writes it."""
    rows, cols = np.mgrid[:height, :width]
    waves = [np.sin(rows / 17 + phase) + np.cos(cols / 23 - phase) for phase in (0.0, 1.0, 2.0)]
    pixels = (np.stack(waves) * 55 + 128).astype(dtype)
    return xr.DataArray(
        pixels,
        {
            "band": [1, 2, 3],
            "y": 5_400_000 - step * (np.arange(height) + 0.5),
            "x": 500_000 + step * (np.arange(width) + 0.5),
            "spatial_ref": xr.Variable((), 0, {"crs_wkt": "EPSG:32633"}),
        },
        ("band", "y", "x"),
        "scene",
    )


def test_the_resolution_is_that_of_the_coordinates() -> None:
    assert scene(step=20.0).mae.gsd_m == pytest.approx((20.0, 20.0))


def test_patches_lie_where_their_pixels_lie(small_scale_mae: Any) -> None:
    array = scene()
    vectors = array.mae.embed(small_scale_mae, margin_px=0)
    assert vectors.sizes == {"feature": 32, "y": 200 // PATCH, "x": 170 // PATCH}
    np.testing.assert_allclose(vectors.x, array.x.coarsen(x=PATCH, boundary="trim").mean())
    np.testing.assert_allclose(vectors.y, array.y.coarsen(y=PATCH, boundary="trim").mean())
    assert vectors.spatial_ref.attrs["crs_wkt"] == "EPSG:32633"
    # the second tile of the first row, computed directly
    image = array.values[None, :, :SIDE, SIDE : 2 * SIDE].astype(np.float32) / 255
    res = np.array(
        [array.mae._prepare(small_scale_mae, None, None, None, None)[1].res(_fed(array))], np.float32
    )
    expected = patch_vectors(small_scale_mae, image, res)[0]
    np.testing.assert_allclose(vectors.values[:, :4, 4:8], np.moveaxis(expected, -1, 0), atol=1e-5)


def _fed(array: xr.DataArray) -> Any:
    from core.engine.inputs import feed

    return feed(array.mae.tile(window=(SIDE, 0, SIDE, SIDE)), SIDE)


@pytest.mark.parametrize("margin", [0, None])
def test_dask_and_numpy_give_the_same_vectors(small_scale_mae: Any, margin: int | None) -> None:
    pytest.importorskip("dask")
    array = scene()
    lazy = array.chunk(y=90, x=70).mae.embed(small_scale_mae, margin_px=margin)
    assert lazy.chunks is not None, "nothing may be computed before it is requested"
    np.testing.assert_allclose(
        lazy.values, array.mae.embed(small_scale_mae, margin_px=margin).values, atol=1e-5
    )


def test_a_margin_changes_only_patches_near_the_border_of_a_tile(small_scale_mae: Any) -> None:
    plain, with_margin = (scene().mae.embed(small_scale_mae, margin_px=margin).values for margin in (0, None))
    np.testing.assert_array_equal(plain[:, :3, :3], with_margin[:, :3, :3])
    assert not np.allclose(plain[:, 3, 3], with_margin[:, 3, 3])


def test_a_reconstruction_keeps_grid_and_units(small_scale_mae: Any) -> None:
    array = scene(SIDE, SIDE, dtype=np.float32) * 10
    mask, policy = MaskSpec("random", 0.5, 3), Policy(small_scale_mae.card.default_policy)
    result = array.mae.reconstruct(small_scale_mae, mask, value_range=(0.0, 2550.0), paste=False)
    assert result.dims == array.dims
    xr.testing.assert_equal(result.x, array.x)
    xr.testing.assert_equal(result.y, array.y)
    whole = array.mae.tile(value_range=(0.0, 2550.0))
    direct = reconstruct(small_scale_mae, whole, mask, policy, size_px=SIDE)
    np.testing.assert_allclose(result.values / 2550, direct.at_input, atol=1e-4)


def test_only_the_pixels_of_a_mask_are_replaced(small_scale_mae: Any) -> None:
    array = scene()
    clouds = xr.zeros_like(array[0], dtype=bool)
    clouds[50:75, 60:90] = True
    filled = array.mae.reconstruct(small_scale_mae, clouds)
    changed = (filled != array.values).any("band")
    assert not bool((changed & ~clouds).any())
    assert bool((changed & clouds).sum() > 0.9 * clouds.sum())
    lazy = array.chunk(y=90, x=70).mae.reconstruct(small_scale_mae, clouds) if _has_dask() else filled
    np.testing.assert_allclose(lazy.values, filled.values, atol=1e-2)


def _has_dask() -> bool:
    try:
        import dask  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_mask_of_another_size_is_refused(small_scale_mae: Any) -> None:
    with pytest.raises(GeoError, match="both need the same grid"):
        scene().mae.reconstruct(small_scale_mae, np.zeros((3, 3), bool))


def test_south_up_arrays_give_the_same_as_north_up_ones(small_scale_mae: Any) -> None:
    array = scene(192, 160)
    np.testing.assert_allclose(
        array[:, ::-1].mae.embed(small_scale_mae)[:, ::-1], array.mae.embed(small_scale_mae), atol=1e-5
    )
    np.testing.assert_allclose(
        array[:, ::-1].mae.reconstruct(small_scale_mae)[:, ::-1],
        array.mae.reconstruct(small_scale_mae),
        atol=1e-3,
    )


def test_missing_borders_stay_missing(small_scale_mae: Any) -> None:
    array = scene(dtype=np.float32)
    array[:, :, :40] = np.nan  # two patches and a half
    vectors = array.mae.embed(small_scale_mae)
    assert bool(vectors[:, :, :2].isnull().all())
    assert bool(vectors[:, :, 3:].notnull().all())
    result = array.mae.reconstruct(small_scale_mae)
    np.testing.assert_array_equal(result.isnull(), array.isnull())
    stored = array.fillna(-9999.0).assign_attrs(_FillValue=-9999.0)
    np.testing.assert_array_equal(stored.mae.embed(small_scale_mae), vectors)


def test_one_band_is_fed_three_times(small_scale_mae: Any) -> None:
    grey = scene()[0].drop_vars("band")
    assert grey.mae.embed(small_scale_mae).dims == ("feature", "y", "x")
    assert grey.mae.reconstruct(small_scale_mae).dims == ("y", "x")


def test_bands_are_found_by_name(small_scale_mae: Any) -> None:
    array = scene().assign_coords(band=["blue", "green", "red"])
    assert array.mae.embed(small_scale_mae).attrs["bands"] == ["red", "green", "blue"]
    chosen = array.mae.embed(small_scale_mae, rgb=("blue", "blue", "red"))
    assert chosen.attrs["bands"] == ["blue", "blue", "red"]
    with pytest.raises(GeoError, match="no band 'nir'"):
        array.mae.embed(small_scale_mae, rgb=("nir", "red", "green"))


def test_an_array_smaller_than_a_tile_is_one_smaller_tile(small_scale_mae: Any) -> None:
    assert scene(40, 50).mae.embed(small_scale_mae).sizes == {"feature": 32, "y": 2, "x": 3}


def test_results_can_be_stored_as_netcdf_attributes(small_scale_mae: Any) -> None:
    for result in (scene().mae.embed(small_scale_mae), scene().mae.reconstruct(small_scale_mae)):
        plain = (str, int, float)
        assert all(
            isinstance(value, plain) or all(isinstance(one, plain) for one in value)
            for value in result.attrs.values()
        )


def test_a_transform_without_coordinates_is_enough(small_scale_mae: Any) -> None:
    array = scene()
    bare = array.drop_vars(["x", "y"])
    bare.spatial_ref.attrs["GeoTransform"] = "500000 10 0 5400000 0 -10"
    xr.testing.assert_allclose(bare.mae.embed(small_scale_mae), array.mae.embed(small_scale_mae))


def with_transform(text: str) -> xr.DataArray:
    array = scene().drop_vars(["x", "y"])
    array.spatial_ref.attrs["GeoTransform"] = text
    return array


def with_gap() -> xr.DataArray:
    array = scene()
    return array.isel(x=[*range(100), *range(120, 170)])


BAD = {
    "no CRS": (lambda: scene().drop_vars("spatial_ref"), "has no CRS"),
    "unknown CRS": (
        lambda: scene().assign_coords(spatial_ref=xr.Variable((), 0, {"crs_wkt": "EPSG:1"})),
        "is not a map projection",
    ),
    "no resolution": (lambda: scene().drop_vars(["x", "y"]), "has no resolution"),
    "rotated": (lambda: with_transform("500000 9 2 5400000 2 -9"), "are rotated"),
    "transposed": (lambda: scene().transpose("band", "x", "y"), 'da.transpose(..., "y", "x")'),
    "bands last": (lambda: scene().transpose("y", "x", "band"), 'da.transpose(..., "y", "x")'),
    "x decreases": (lambda: scene()[..., ::-1], "sort it"),
    "uneven": (with_gap, "not evenly spaced"),
    "time": (lambda: scene().expand_dims(time=2), "da.isel(time=0)"),
    "three dates, no bands": (lambda: scene().rename(band="time"), "da.isel(time=0)"),
    "three dates under another name": (
        lambda: scene().assign_coords(band=np.arange(3).astype("datetime64[D]")),
        "da.isel(band=0)",
    ),
    "complex": (lambda: scene(dtype=np.complex64), "holds complex64 values"),
    "objects": (lambda: scene(dtype=object), 'da.astype("float32")'),
    "dates as values": (lambda: scene().astype("datetime64[ns]"), "holds datetime64[ns] values"),
    "no rows": (lambda: scene()[:, :0], "is empty ((3, 0, 170) values)"),
    "no bands": (lambda: scene()[:0], "is empty"),
    "words as coordinates": (lambda: scene().assign_coords(x=list(map(str, range(170)))), "as numbers"),
    "words as transform": (lambda: with_transform("one two three"), "is not six numbers"),
    "words as nodata": (lambda: scene().assign_attrs(nodata="none"), "'none' in nodata is not a number"),
    "other names": (lambda: scene().rename(x="easting"), "rename its spatial ones"),
    "swapped coordinates": (
        lambda: scene().assign_coords(
            y=140 - 0.001 * np.arange(200),
            x=40 + 0.001 * np.arange(170),
            spatial_ref=xr.Variable((), 0, {"crs_wkt": "EPSG:4326"}),
        ),
        "swapped",
    ),
    "too small": (lambda: scene(8, 100), "smaller than one patch"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_input_is_reported(small_scale_mae: Any, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(GeoError) as caught:
        make().mae.embed(small_scale_mae)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tile_that_is_not_whole_patches_is_refused(small_scale_mae: Any) -> None:
    with pytest.raises(InputError, match="cannot be cut into patches"):
        scene().mae.embed(small_scale_mae, tile_px=50)


def test_stretched_pixels_are_reported(small_scale_mae: Any) -> None:
    degrees = scene().assign_coords(
        y=60 - 0.001 * np.arange(200),
        x=10 + 0.001 * np.arange(170),
        spatial_ref=xr.Variable((), 0, {"crs_wkt": "EPSG:4326"}),
    )
    with pytest.warns(UserWarning, match="stretched picture"):
        degrees.mae.embed(small_scale_mae)


def test_rioxarray_reads_the_result(small_scale_mae: Any, tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray")
    vectors = scene().mae.embed(small_scale_mae)
    vectors.rio.to_raster(tmp_path / "vectors.tif")
    with rioxarray.open_rasterio(tmp_path / "vectors.tif") as stored:
        assert stored.rio.crs.to_epsg() == 32633
        assert stored.rio.resolution() == (160.0, -160.0)
        np.testing.assert_allclose(stored.values, vectors.values)


LARGE = """
import resource, sys
import numpy as np, xarray as xr, dask.array
import core.xarray
from core.models import create

network = create("scale_mae", img_size=64, patch_size=16, embed_dim=32, depth=1, num_heads=2,
    decoder_embed_dim=32, decoder_depth=1, decoder_num_heads=2, fcn_dim=16, fcn_layers=1, band_config=(4, 8))
side = 10_000
waves = dask.array.random.default_rng(0).random((3, side, side), chunks=(3, 1000, 1000), dtype=np.float32)
array = xr.DataArray(waves, {"y": 6e6 - 10 * np.arange(side), "x": 5e5 + 10 * np.arange(side),
    "spatial_ref": xr.Variable((), 0, {"crs_wkt": "EPSG:32633"})}, ("band", "y", "x"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = array.mae.embed(network, value_range=(0.0, 1.0), margin_px=0).sum("feature").compute(num_workers=2)
assert total.shape == (625, 625) and bool(total.notnull().all())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, array.nbytes // 2**20)
"""


@pytest.mark.slow
def test_memory_stays_bounded_for_100_million_pixels() -> None:
    pytest.importorskip("dask")
    done = subprocess.run(
        [sys.executable, "-c", LARGE], cwd=ROOT, capture_output=True, text=True, timeout=600, check=True
    )
    grown_mb, array_mb = map(int, done.stdout.split())
    print(f"memory grew by {grown_mb} MB for an array of {array_mb} MB")
    assert grown_mb < array_mb / 2
