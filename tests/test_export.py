import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from core.engine.inputs import read_ground
from core.engine.loaded import load
from core.engine.reconstruct import reconstruct
from core.export import BANDS, ExportError, figure, geotiff, pictures_zip, recipe_json, write_all
from core.geo import TileRef, TileSpec, known_sources
from core.judge import judge
from core.masking import MaskSpec
from tests.engine.conftest import plain_tile


@pytest.fixture(scope="module")
def made(small_scale_mae):
    tile = replace(
        plain_tile(128, gsd_m=10.0),
        crs="EPSG:32612",
        transform=(10.0, 0.0, 400_000.0, 0.0, -10.0, 4_500_000.0),
    )
    return reconstruct(small_scale_mae, tile, MaskSpec("blob", 0.5, 1))


@pytest.fixture(scope="module")
def verdict(made):
    return judge(made)


def test_the_raster_lies_where_the_tile_lies(made):
    with rasterio.MemoryFile(geotiff(made)) as file, file.open() as raster:
        assert raster.descriptions == BANDS
        assert raster.crs.to_epsg() == 32612
        assert raster.bounds == (400_000, 4_500_000 - 1280, 400_000 + 1280, 4_500_000)
        assert raster.res == (10, 10)
        np.testing.assert_array_equal(raster.read([7, 8, 9]), made.combined)
        np.testing.assert_allclose(raster.read(10), made.error, atol=1e-6)
        assert json.loads(raster.tags()["RECIPE"])["mask"] == "blob-50-s1"


def test_a_tile_without_a_place_still_becomes_a_raster(small_scale_mae):
    out = reconstruct(small_scale_mae, plain_tile(64), MaskSpec())
    with rasterio.MemoryFile(geotiff(out)) as file, file.open() as raster:
        assert raster.crs is None and raster.count == 10


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_figures_carry_the_recipe(made, verdict, kind):
    content = figure(made, verdict, kind, dpi=60)
    if kind == "png":
        image = Image.open(io.BytesIO(content))
        assert json.loads(image.text["Description"])["model"] == made.recipe.model
        assert image.width == pytest.approx(7.2 * 60, abs=2)
    else:
        assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF"}[kind])
        assert b"blob-50-s1" in content


@pytest.mark.parametrize(("kind", "dpi"), [("gif", 300), ("png", 20_000)])
def test_an_unsupported_figure_is_refused(made, verdict, kind, dpi):
    with pytest.raises(ExportError, match="choose"):
        figure(made, verdict, kind, dpi=dpi)


def test_the_same_figure_twice_is_the_same_file(made, verdict):
    assert figure(made, verdict, "svg") == figure(made, verdict, "svg")


def test_pictures_and_recipe_in_one_zip(made, verdict):
    with zipfile.ZipFile(io.BytesIO(pictures_zip(made, verdict))) as archive:
        assert {
            "original.png",
            "masked.png",
            "low.png",
            "high.png",
            "combined.png",
            "pasted.png",
            "recipe.json",
        } == set(archive.namelist())
        assert Image.open(archive.open("combined.png")).size == (128, 128)
        assert json.loads(archive.read("recipe.json")) == json.loads(recipe_json(made, verdict))


def test_write_all_writes_a_folder_or_explains_why_not(made, verdict, tmp_path):
    written = write_all(made, verdict, tmp_path / "new")
    assert {path.name for path in written} >= {
        "reconstruction.tif",
        "recipe.json",
        "figure.png",
        "combined.png",
    }
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="another folder"):
        write_all(made, verdict, tmp_path / "file")


@pytest.mark.parametrize("name", ["scale_mae_tiny", "mae_tiny"])
def test_exported_files_have_the_same_bytes_with_one_thread_and_two(name: str) -> None:
    model = load(name)
    tile = read_ground(known_sources().read, TileSpec(TileRef("samples", "landsat")), model.card.input_px)
    before, files = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        made = reconstruct(model, tile, MaskSpec("random", 0.6, seed=4), repeatable=True)
        assert torch.get_num_threads() == threads
        files.append((made.combined.tobytes(), pictures_zip(made, judge(made)), geotiff(made)))
    torch.set_num_threads(before)
    assert files[0] == files[1]
