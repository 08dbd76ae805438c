"""Every product is recognised and opened with its vectors and places."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from core.atlas import TableError, open_table
from core.atlas.search.neighbors import nearest
from core.atlas.store.opening import is_product
from tests.atlas import products
from tests.atlas.products import RASTERS, TABLES, Product, alphaearth, random, tessera_npy, tessera_zarr


def require_equal(product: Product) -> Any:
    """Open a raster product and compare all its vectors and outlines with the fixture's."""
    table = open_table(product.path)
    assert product.transform is not None and product.pixels is not None
    assert not table.notes
    np.testing.assert_array_equal(table.vectors, product.vectors)
    identities = [
        identity.rpartition("-r")[2].split("-c") for identity in table.columns["unique_id"].to_pylist()
    ]
    np.testing.assert_array_equal(np.array(identities, int), product.pixels)
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", product.crs, always_xy=True)
    x, y = to_crs.transform(*table.lonlat.T)
    rows, cols = product.pixels.T
    expected = product.transform @ (cols + 0.5, rows + 0.5)
    pixel = abs(product.transform.a)
    np.testing.assert_allclose(np.hypot(x - expected[0], y - expected[1]), 0, atol=0.01 * pixel)
    outlines = shapely.from_wkb(table.columns["geometry"].to_numpy())
    corners = shapely.transform(outlines, lambda lon, lat: to_crs.transform(lon, lat), interleaved=False)
    for row, shape in zip(product.pixels[:20], corners[:20], strict=False):
        left, top = product.transform @ (row[1], row[0])
        right, bottom = product.transform @ (row[1] + 1, row[0] + 1)
        box = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
        np.testing.assert_allclose(shape.bounds, box, atol=0.02 * pixel)
    return table


@pytest.mark.parametrize("name", RASTERS)
def test_a_raster_product(name, tmp_path):
    product = RASTERS[name](tmp_path)
    assert is_product(product.path)
    table = require_equal(product)
    columns = table.columns
    assert set(columns["model"].to_pylist()) == {product.model}
    assert columns["source"][0].as_py() == product.source
    assert 8 < columns["gsd_m"][0].as_py() < 30_000
    found = nearest(table, table.unit_rows([0])[0], 3)
    assert found.rows[0] == 0


@pytest.mark.parametrize("name", TABLES)
def test_a_table_product(name, tmp_path):
    product = TABLES[name](tmp_path)
    table = open_table(product.path)
    np.testing.assert_array_equal(table.vectors, product.vectors)
    assert table.columns["source"][0].as_py() == product.source
    assert table.columns["model"][0].as_py() == product.model
    if name != "NPY":
        np.testing.assert_allclose(table.lonlat, [[lon + 0.01, 10.01] for lon in (0, 20, 40, 60)], atol=1e-9)
    if name == "Clay v1.5":
        assert table.row_of("c2") == 2
        assert table.columns["timestamp"][0].as_py().year == 2024
    if name == "Planet":
        assert "Pseudo-Mercator, but its coordinates are degrees" in table.notes[0]
        assert table.columns["image_size"][0].as_py() == 224
    if name == "NPZ":
        assert table.row_of("d") == 3


@pytest.mark.parametrize("south_up", [True, False])
def test_alphaearth_lies_the_right_way_up(south_up, tmp_path):
    """In a south-up raster the first row is the southernmost; a flip or half a pixel would show here."""
    table = require_equal(alphaearth(tmp_path, south_up=south_up))
    first, last = (
        table.row_of("x9-0000000000-0000008192-r0-c0"),
        table.row_of("x9-0000000000-0000008192-r4-c0"),
    )
    assert (table.lonlat[first, 1] < table.lonlat[last, 1]) == south_up
    assert table.columns["timestamp"][0].as_py().year == 2024
    assert table.columns["gsd_m"][0].as_py() == 10


def test_every_value_of_alphaearth():
    every = np.arange(-127, 128, dtype=np.int8)
    from core.atlas.formats.alphaearth import dequantised

    wide = every.astype(np.float64)
    np.testing.assert_allclose(dequantised(every), np.sign(wide) * (wide / 127.5) ** 2, rtol=1e-6)
    assert np.isnan(dequantised(np.array([-128], np.int8))).all()


def test_a_window_of_a_raster_has_every_pixel(tmp_path, monkeypatch):
    product = alphaearth(tmp_path, size=(40, 50))
    whole = open_table(product.path)
    monkeypatch.setattr("core.atlas.store.grid_rows.MAX_ROWS", 300)
    thinned = open_table(product.path)
    assert len(thinned) <= 300
    assert "Only every third pixel in each direction is shown" in thinned.notes[0]
    rows = [whole.row_of(name) for name in thinned.columns["unique_id"].to_pylist()]
    np.testing.assert_array_equal(thinned.vectors, whole.vectors_of(rows))
    west, south = whole.lonlat.min(axis=0)
    east, north = np.quantile(whole.lonlat, 0.3, axis=0)
    inside = ((whole.lonlat >= (west, south)) & (whole.lonlat <= (east, north))).all(axis=1)
    part = open_table(product.path, bounds=(west, south, east, north))
    assert sorted(part.columns["unique_id"].to_pylist()) == sorted(
        np.array(whole.columns["unique_id"].to_pylist())[inside]
    )
    assert not part.notes
    with pytest.raises(TableError, match="lies in that area"):
        open_table(product.path, bounds=(100, 0, 101, 1))
    with pytest.raises(TableError, match="is not an area"):
        open_table(product.path, bounds=(10, 5, 9, 1))


def test_bounds_choose_rows_of_a_table(tmp_path):
    table = open_table(products.clay_v1(tmp_path).path, bounds=(19, 0, 50, 20))
    assert table.columns["unique_id"].to_pylist() == ["c1", "c2"]


def test_a_folder_of_tiles_is_one_table(tmp_path):
    first = tessera_npy(tmp_path)
    assert len(open_table(first.path.parent)) == 4, "scales must not count as a tile"
    product = products.tessera_geotiff(tmp_path / "tiles")
    shutil.copy(product.path, product.path.with_name("grid_0.25_52.05_2024.tiff"))
    products.write_geotiff(
        tmp_path / "tiles" / "a picture.tif", np.zeros((3, 4, 4), np.uint8), None, product.transform
    )
    assert len(open_table(tmp_path / "tiles")) == 2 * len(product.vectors)


def test_a_tessera_tile_without_its_landmask_lies_on_its_grid(tmp_path):
    require_equal(tessera_npy(tmp_path, landmask=False))


def test_a_zarr_store_in_a_zip_file(tmp_path):
    require_equal(tessera_zarr(tmp_path, zipped=True))


def test_a_world_map_that_counts_longitudes_from_zero(tmp_path):
    vectors = random(2, 4, 768)
    path = tmp_path / "embed_map.tif"
    from rasterio.transform import Affine

    place = Affine(0.25, 0, 359.5, 0, -0.25, 90.125)
    products.write_geotiff(path, vectors.transpose(2, 0, 1), "EPSG:4326", place)
    table = open_table(path)
    np.testing.assert_allclose(table.lonlat[:4, 0], [-0.375, -0.125, 0.125, 0.375], atol=1e-9)
    outlines = shapely.from_wkb(table.columns["geometry"].to_numpy())
    assert shapely.total_bounds(outlines)[3] == 90
    assert np.abs(shapely.bounds(outlines)).max() <= 180


def refusal(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        open_table(path).stored  # noqa: B018
    text = str(caught.value)
    assert text.endswith((".", ")."))
    assert "\n" not in text
    return text


def test_another_version_of_a_product_is_refused(tmp_path):
    product = alphaearth(tmp_path)
    names = [f"A{band:02d}" for band in range(72)]
    products.write_geotiff(product.path, np.zeros((72, 4, 4), np.int8), None, product.transform, names=names)
    assert "has 72 bands of int8: this program reads version 1" in refusal(product.path)


def test_int8_tiles_without_scales_are_refused(tmp_path):
    product = tessera_npy(tmp_path)
    product.path.with_name("grid_0.15_52.05_scales.npy").unlink()
    assert "grid_0.15_52.05_scales.npy with their scales is not beside it" in refusal(product.path)


def test_a_raster_without_a_crs_has_rows_without_a_place(tmp_path):
    product = alphaearth(tmp_path)
    names = [f"A{band:02d}" for band in range(64)]
    products.write_geotiff(
        product.path, np.ones((64, 4, 4), np.int8), None, product.transform, names=names, nodata=-128
    )
    table = open_table(product.path)
    assert np.isnan(table.lonlat).all()
    assert "does not state its CRS" in table.notes[0]
    assert "no area of it can be chosen" in _refused(lambda: open_table(product.path, bounds=(0, 0, 1, 1)))


def _refused(action: Any) -> str:
    with pytest.raises(TableError) as caught:
        action()
    return str(caught.value)


def changed(path: Path, document: str, **changes: Any) -> None:
    file = path / document
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_codec_that_cannot_be_read_is_named(tmp_path):
    path = tessera_zarr(tmp_path).path
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "pcodec", "configuration": {}},
    ]
    changed(path, "utm31/embeddings/zarr.json", codecs=codecs)
    assert "compressed with 'pcodec', a codec that cannot be read here" in refusal(path)


def test_a_codec_that_runs_code_is_refused_before_zarr_sees_it(tmp_path):
    path = products.geoemb_v2(tmp_path).path
    changed(path, "embeddings/.zarray", dtype="|O", filters=[{"id": "pickle", "protocol": 5}])
    assert "'pickle', a codec that cannot be read here" in refusal(path)
    changed(path, "embeddings/.zarray", filters=None)
    assert "does not hold numbers" in refusal(path)


def test_a_store_with_another_convention_says_so(tmp_path):
    other = products.GEOEMB | {"schema_url": "https://example.org/refs/tags/v2/schema.json"}
    table = open_table(tessera_zarr(tmp_path, attributes={"zarr_conventions": [other]}).path)
    assert "follows another version of the geoemb: convention" in table.notes[0]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"geoemb:dimensions": 64}, "declares 64 dimensions, but its vectors have 128"),
        (
            {"geoemb:quantization": {"method": "product", "scale": {"array_name": "none"}}},
            "quantised by 'product', which this program cannot undo",
        ),
    ],
)
def test_a_store_that_contradicts_itself(tmp_path, attributes, message):
    assert message in refusal(tessera_zarr(tmp_path, attributes=attributes).path)


def test_a_store_without_the_convention(tmp_path):
    path = products.geoemb_v2(tmp_path).path
    (path / ".zattrs").write_text("{}")
    assert "without `geoemb:` attributes" in refusal(path)


@pytest.mark.parametrize("cut", [0.2, 0.6])
def test_damaged_stores_and_arrays(tmp_path, cut):
    path = tessera_zarr(tmp_path, zipped=True).path
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    refusal(path)
    store = tessera_zarr(tmp_path).path
    chunk = next(file for file in store.glob("utm31/embeddings/c/**/0") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    assert "is damaged" in refusal(store)
    changed(store, "utm31/embeddings/zarr.json", shape=[1, 128, 10**9, 10**9])
    refusal(store)
    array = products.npy(tmp_path).path
    array.write_bytes(array.read_bytes()[:100])
    assert "is not a whole NumPy file" in refusal(array)


def test_pickled_objects_in_numpy_files_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object))
    assert "is not a whole NumPy file of numbers" in refusal(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", embeddings=np.array([{"a": 1}], object))
    assert "is not a whole NumPy file of numbers" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", image=np.zeros((4, 4, 3)))
    assert "holds no array of n vectors" in refusal(tmp_path / "b.npz")


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:4269"])
def test_geoparquet_in_another_crs(tmp_path, crs):
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    boxes = [shapely.box(x, 50, x + 0.01, 50.01) for x in (14, 15, 16)]
    moved = shapely.transform(np.array(boxes), lambda x, y: to_crs.transform(x, y), interleaved=False)
    about = {"crs": json.loads(pyproj.CRS(crs).to_json())}
    columns = {"embedding": list(random(3, 8)), "geometry": shapely.to_wkb(moved).tolist()}
    products.write_parquet(tmp_path / "a.parquet", columns, geo={"columns": {"geometry": about}})
    table = open_table(tmp_path / "a.parquet")
    np.testing.assert_allclose(table.lonlat, [[x + 0.005, 50.005] for x in (14, 15, 16)], atol=1e-4)


def test_geoparquet_without_a_crs(tmp_path):
    columns = {"embedding": list(random(2, 8))}
    about: dict[str, Any] = {"columns": {"geometry": {"crs": None}}}
    for box, known in ((shapely.box(14, 50, 15, 51), True), (shapely.box(5e5, 5e6, 6e5, 6e6), False)):
        shapes = [shapely.to_wkb(box)] * 2
        products.write_parquet(tmp_path / "a.parquet", columns | {"geometry": shapes}, geo=about)
        table = open_table(tmp_path / "a.parquet")
        assert "the CRS of its geometry is not stated" in table.notes[0]
        assert np.isfinite(table.lonlat).all() == known


def test_a_picture_is_not_a_product(tmp_path):
    from rasterio.transform import Affine

    products.write_geotiff(tmp_path / "a.tif", np.zeros((3, 8, 8), np.uint8), None, Affine.identity())
    assert not is_product(tmp_path / "a.tif")
    assert "to make a table of a picture" in refusal(tmp_path / "a.tif")


def test_rows_of_a_store_can_be_written_as_our_own_table(tmp_path):
    from core.atlas import TableInfo
    from core.atlas.store.shards import write_shard

    product = tessera_zarr(tmp_path)
    table = open_table(product.path)
    rows = table.columns.append_column(
        "embedding", pa.array(list(table.vectors), pa.list_(pa.float32(), table.dim))
    )
    write_shard(tmp_path / "t.parquet", rows, TableInfo("tessera", None, "none", table.dim))
    again = open_table(tmp_path / "t.parquet")
    order = [table.row_of(name) for name in again.columns["unique_id"].to_pylist()]
    np.testing.assert_array_equal(again.vectors, table.vectors_of(order))
    assert pq.read_schema(tmp_path / "t.parquet").metadata[b"geo"]
