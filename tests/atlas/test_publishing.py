"""Published files are read back unchanged, here and by other programs."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as xml

import duckdb
import geopandas as gpd
import numpy as np
import pytest
import rasterio

from core.atlas import open_table
from core.cli.entry import main
from tests.atlas.products import RASTERS, alphaearth, clay_v1, patch_raster, tessera_zarr

KEPT = ("product_id", "model", "source", "timestamp", "pooling")


def converted(source: Path, out: Path, *more: str) -> list[Path]:
    assert main(["convert", str(source), "--out", str(out), "--stac", *more]) == 0
    assert not list(out.parent.glob(".*tmp*"))
    return sorted(out.parent.iterdir())


@pytest.mark.parametrize(
    "name", ["AlphaEarth", "TESSERA GeoTIFF", "TESSERA Zarr", "Copernicus-Embed", "ours"]
)
@pytest.mark.parametrize("end", ["tif", "zarr", "parquet"])
def test_round_trip(name, end, tmp_path):
    product = RASTERS[name](tmp_path)
    out = tmp_path / "out" / f"a.{end}"
    out.parent.mkdir()
    converted(product.path, out)
    before, after = open_table(product.path), open_table(out)
    assert len(after) == len(before)
    order = np.argsort([f"{lat:.6f} {lon:.6f}" for lon, lat in before.lonlat])
    again = np.argsort([f"{lat:.6f} {lon:.6f}" for lon, lat in after.lonlat])
    np.testing.assert_array_equal(after.vectors[again], before.vectors[order])
    np.testing.assert_allclose(after.lonlat[again], before.lonlat[order], atol=1e-9)
    for column in KEPT:
        assert after.columns[column][0].as_py() == before.columns[column][0].as_py(), column


def test_others_open_what_is_written(tmp_path, monkeypatch):
    product = alphaearth(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    for end in ("tif", "zarr", "parquet"):
        converted(product.path, folder / f"a.{end}")
    frame = gpd.read_parquet(folder / "a.parquet")
    assert len(frame) == len(product.vectors)
    assert frame.crs.to_epsg() in (4326, None) or "CRS84" in str(frame.crs)
    counted = duckdb.sql(f"select count(*), avg(len(embedding)) from '{folder / 'a.parquet'}'").fetchall()
    assert counted == [(len(product.vectors), 64.0)]
    with rasterio.open(folder / "a.tif") as file:
        assert file.profile["tiled"] and file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.crs.to_epsg() == 32633
    rioxarray = pytest.importorskip("rioxarray")
    raster = rioxarray.open_rasterio(folder / "a.tif")
    np.testing.assert_array_equal(raster.isel(y=0, x=0).values, product.vectors[0])
    import xarray

    store = xarray.open_zarr(folder / "a.zarr", consolidated=False)
    np.testing.assert_array_equal(store.embeddings.isel(y=0, x=0).values, product.vectors[0])
    np.testing.assert_allclose(store.x.values[:2], [500_005, 500_015])
    style = xml.fromstring((folder / "a.qml").read_text().partition("\n")[2])
    renderer = style.find("pipe/rasterrenderer")
    assert renderer is not None and 1 <= int(renderer.attrib["redBand"]) <= 64
    low, high = (
        float(renderer.findtext(f"redContrastEnhancement/{end}Value") or "nan") for end in ("min", "max")
    )
    assert low < high


@pytest.mark.parametrize("end", ["tif", "parquet"])
def test_stac_is_valid(end, tmp_path):
    pystac = pytest.importorskip("pystac")
    from pystac.validation.local_validator import LocalValidator

    product = alphaearth(tmp_path) if end == "tif" else clay_v1(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    converted(product.path, folder / f"a.{end}")
    item = json.loads((folder / "a.item.json").read_text())
    collection = json.loads((folder / "a.collection.json").read_text())
    # pystac ships the schemas of STAC 1.1 only; the embedding extension refers to 1.0.
    newer = {"stac_version": "1.1.0"}
    with pytest.warns(DeprecationWarning, match="LocalValidator"):
        validator = LocalValidator()
    assert not list(validator.item_validator().iter_errors(item | newer))
    assert not list(validator.collection_validator().iter_errors(collection | newer))
    assert list(validator.item_validator().iter_errors({**item, **newer, "bbox": None}))
    read = pystac.Item.from_dict(item)
    assert read.assets["embeddings"].href == f"./a.{end}"
    table = open_table(product.path)
    assert read.bbox[0] <= np.nanmin(table.lonlat[:, 0]) <= read.bbox[2]
    # What the schema of the embedding extension, v0.0.1, requires beyond STAC.
    assert collection["emb:type"] in ("pixel", "chip")
    assert collection["emb:dimensions"] == table.dim
    assert collection["data_type"] == "float32"
    assert {"emb:model", "emb:source-data"} <= {link["rel"] for link in collection["links"]}
    assert item["collection"] == collection["id"]
    extension = "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
    assert extension in item["stac_extensions"] and extension in collection["stac_extensions"]


def test_patch_rasters_are_chips(tmp_path):
    converted(patch_raster(tmp_path).path, tmp_path / "a.zarr")
    about = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())["attributes"]
    assert about["geoemb:type"] == "chip"
    assert about["geoemb:chip_layout"]["chip_size"] == [8, 8]
    assert json.loads((tmp_path / "a.collection.json").read_text())["emb:type"] == "chip"


def test_an_area_is_converted_and_invalid_requests_are_reported(tmp_path, capsys, monkeypatch):
    product = alphaearth(tmp_path, size=(20, 30))
    table = open_table(product.path)
    west, south = table.lonlat.min(axis=0)
    east, north = np.median(table.lonlat, axis=0)
    area = f"--bounds={west},{south},{east},{north}"
    converted(product.path, tmp_path / "a.tif", area)
    inside = ((table.lonlat >= (west, south)) & (table.lonlat <= (east, north))).all(axis=1)
    assert abs(len(open_table(tmp_path / "a.tif")) - inside.sum()) <= 0.1 * inside.sum()
    for words, message in (
        (["--out", "a.shp"], "end --out in .parquet, .tif, .zarr or .pmtiles"),
        (["--out", str(tmp_path / "b.tif"), "--bounds", "1,2"], "is not four numbers"),
        (["--out", str(tmp_path / "b.tif"), "--bounds", "100,0,101,1"], "lies in that area"),
    ):
        assert main(["convert", str(product.path), *words]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setattr("core.atlas.store.grid_rows.MAX_ROWS", 100)
    for end in ("tif", "parquet"):
        assert main(["convert", str(product.path), "--out", str(tmp_path / f"c.{end}")]) == 2
        assert "too large to be written as a whole" in capsys.readouterr().err
    clay = clay_v1(tmp_path)
    assert main(["convert", str(clay.path), "--out", str(tmp_path / "c.zarr")]) == 2
    assert "write a table as .parquet" in capsys.readouterr().err
    store = tessera_zarr(tmp_path)
    assert main(["convert", str(store.path), "--out", str(store.path)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_web_map_is_written_without_vectors(tmp_path, capsys):
    product = alphaearth(tmp_path)
    out = tmp_path / "a.pmtiles"
    assert main(["convert", str(product.path), "--out", str(out)]) == 0
    assert f"{len(product.vectors):,} vectors" in capsys.readouterr().out
    assert gpd.read_file(out, engine="pyogrio").unique_id.nunique() == len(product.vectors)
    assert main(["convert", str(product.path), "--out", str(out), "--stac"]) != 0
    assert "leave out --stac" in capsys.readouterr().err
