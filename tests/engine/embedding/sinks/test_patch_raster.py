"""Patch embeddings as a raster: the right vector at the right place, seams blended, cloud-optimised."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import rasterio
from rasterio import warp
from rasterio.transform import from_origin

from core.atlas import TableError, open_table
from core.cli.entry import main
from core.engine.embedding.run import embed_patches
from core.engine.embedding.sinks import patch_raster, patch_writing
from core.engine.embedding.sinks.patch_sums import map_file
from core.engine.embedding.sinks.patch_writing import DiskFullError
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.engine.inputs import res_of
from core.engine.loaded import load
from core.engine.tokens import patch_vectors
from core.geo.tile import GeoError
from core.policy import Policy
from tests.thorough import a_few
from tests.waves import waves, write_raster

MODEL = "mae_tiny"
PATCH = load(MODEL).card.patch_px
SIDE = 4 * PATCH


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_raster(path, waves(9 * PATCH + 3, 11 * PATCH + 5, 9.0))


def spec_of(scene, out, **more):
    return EmbeddingSpec((str(scene),), str(out), **{"model": MODEL, "tile_px": SIDE, **more})


def run(scene, out, **more):
    """Embed the patches of a scene; returns the last two steps, and values, profile, tags and transform."""
    *_, last, final = embed_patches(spec_of(scene, out, **more))
    assert final.finished
    (path,) = final.rasters
    with rasterio.open(path) as file:
        return last, file.read(), file.profile, file.tags(), file.transform


def files_in(folder):
    return sorted(file.name for file in folder.iterdir() if not file.name.startswith("_"))


@pytest.fixture(scope="module")
def default(scene, tmp_path_factory):
    """The raster of the scene with default settings, and its values."""
    out = tmp_path_factory.mktemp("default")
    return out / "scene.patches.tif", run(scene, out)[1]


def test_one_tile_alone_gives_its_own_vectors(scene, tmp_path):
    step, found, profile, tags, transform = run(scene, tmp_path, stride_px=SIDE)
    assert step.shape == (9, 11, found.shape[0])
    with rasterio.open(scene) as file:
        tile = file.read()[:, :SIDE, :SIDE] / np.float32(255)
    card = load(MODEL).card
    res = res_of(card, Policy(card.default_policy), 10.0, SIDE, 10.0)
    alone = patch_vectors(load(MODEL), tile[None].astype(np.float32), np.array([res], np.float32))[0]
    np.testing.assert_allclose(found[:, :4, :4].transpose(1, 2, 0), alone, atol=1e-4)
    assert (transform.a, transform.e, transform.c, transform.f) == (10 * PATCH, -10 * PATCH, 5e5, 4e6)
    assert profile["compress"] == "zstd"
    assert json.loads(tags["RECIPE"])["model"] == MODEL
    assert files_in(tmp_path) == ["scene.patches.qml", "scene.patches.tif"], (
        "nothing else is left in the folder"
    )


def test_overlapping_tiles_are_blended_by_weight(scene, tmp_path):
    _, found, *_ = run(scene, tmp_path, stride_px=2 * PATCH)
    with rasterio.open(scene) as file:
        pixels = file.read() / np.float32(255)
    card = load(MODEL).card
    res = np.array([res_of(card, Policy(card.default_policy), 10.0, SIDE, 10.0)], np.float32)
    at = (3, 5)  # a patch that four tiles see
    ramp = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(4) + 0.5) / 4)
    total, weight = 0.0, 0.0
    for row in (0, 2):
        for col in (2, 4):
            tile = pixels[:, row * PATCH : row * PATCH + SIDE, col * PATCH : col * PATCH + SIDE]
            vectors = patch_vectors(load(MODEL), tile[None].astype(np.float32), res)[0]
            w = ramp[at[0] - row] * ramp[at[1] - col]
            total, weight = total + w * vectors[at[0] - row, at[1] - col], weight + w
    np.testing.assert_allclose(found[:, at[0], at[1]], total / weight, atol=1e-4)


def test_every_patch_has_a_vector_and_int8_keeps_its_direction(scene, default, tmp_path):
    _, exact = default
    _, small, profile, *_ = run(scene, tmp_path, data_type="int8")
    assert np.isfinite(exact).all()
    assert profile["dtype"] == "int8"
    cosine = (
        (exact * small).sum(0)
        / np.linalg.norm(exact, axis=0)
        / np.linalg.norm(small.astype(np.float32), axis=0)
    )
    assert cosine.min() > 0.99


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"stride_px": SIDE + PATCH}, "leaves gaps"),
        ({"tile_px": 100 * PATCH}, "smaller than one tile"),
        ({"gsd_m": (500.0,)}, "smaller"),
        ({"gsd_m": (0.0,)}, "A GSD of 0 m"),
        ({"gsd_m": (float("nan"),)}, "A GSD of nan m"),
        ({"stated_gsd_m": -3.0}, "A GSD of -3 m"),
        ({"gsd_m": (1e-4,)}, "more than 20,000,000"),
        ({"stride_px": 0}, "leaves gaps"),
        ({"tile_px": 0}, "A tile of 0 px"),
        ({"tile_px": 8192}, "up to 1,024 px"),
        ({"gsd_m": (10.0, 20.0)}, "takes one GSD"),
        ({"data_type": "float16"}, "data type float32 or int8"),
        ({"most": 3}, "neither .* nor --most"),
    ],
)
def test_invalid_settings_are_refused(scene, tmp_path, more, words):
    with pytest.raises((GeoError, EmbeddingError), match=words):
        next(embed_patches(spec_of(scene, tmp_path, **more)))
    assert not files_in(tmp_path)


def test_the_command(scene, tmp_path, capsys):
    words = [
        "embed",
        str(scene),
        "--patches",
        "--model",
        MODEL,
        "--tile-px",
        str(SIDE),
        "--data-type",
        "int8",
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert main(words) == 0
    output = json.loads(capsys.readouterr().out)
    assert files_in(tmp_path) == ["scene.patches.qml", "scene.patches.tif"]
    assert output["rasters"][0].endswith("scene.patches.tif")
    assert main([*words, "--losses"]) == 2
    assert "--patches takes one GSD" in capsys.readouterr().err


@pytest.mark.parametrize("kind", a_few(["float32", "int8"], 1))
def test_patches_are_searched_like_tiles(scene, tmp_path, capsys, kind):
    _, found, _, _, transform = run(scene, tmp_path, data_type=kind)
    table = open_table(tmp_path / "scene.patches.tif")
    assert len(table) == 9 * 11
    assert table.models[0].endswith("patch")
    vectors = found.reshape(len(found), -1).T.astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    lon, lat = warp.transform("EPSG:32610", "EPSG:4326", *([v] for v in transform @ (5.5, 3.5)))
    raster = str(tmp_path / "scene.patches.tif")
    assert main(["search", raster, f"--lonlat={lon[0]},{lat[0]}", "--k", "3", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["query"]["unique_id"] == "scene-r3-c5"
    here = 3 * 11 + 5
    best = [row for row in np.argsort(-(unit @ unit[here]), kind="stable") if row != here][:3]
    assert [neighbor["row"] for neighbor in output["neighbors"]] == best


@pytest.mark.thorough
def test_a_picture_is_compared_with_patches_by_the_mean_of_its_own(scene, tmp_path, capsys):
    _, found, *_ = run(scene, tmp_path, stride_px=SIDE)
    with rasterio.open(scene) as file:
        window = rasterio.windows.Window(0, 0, SIDE, SIDE)
        with rasterio.open(
            tmp_path / "tile.tif", "w", **file.profile | {"width": SIDE, "height": SIDE}
        ) as tile:
            tile.write(file.read(window=window))
    raster, image = str(tmp_path / "scene.patches.tif"), str(tmp_path / "tile.tif")
    assert main(["search", raster, "--image", image, "--k", "3", "--json"]) == 0
    output = capsys.readouterr()
    assert "mean of its patches" in output.err
    mean = found[:, :4, :4].reshape(len(found), -1).mean(axis=1)
    vectors = found.reshape(len(found), -1).T
    cosine = vectors @ mean / np.linalg.norm(vectors, axis=1) / np.linalg.norm(mean)
    best = json.loads(output.out)["neighbors"]
    assert [neighbor["row"] for neighbor in best] == np.argsort(-cosine, kind="stable")[:3].tolist()
    assert best[0]["similarity"] == pytest.approx(cosine.max(), abs=1e-4)


@pytest.mark.thorough
def test_a_folder_of_rasters_is_one_table(scene, tmp_path, monkeypatch):
    run(scene, tmp_path, stride_px=SIDE)
    (tmp_path / "scene.patches.tif").rename(tmp_path / "s.jpg.patches.tif")
    shutil.copy(tmp_path / "s.jpg.patches.tif", tmp_path / "s.tif.patches.tif")
    table = open_table(tmp_path)
    assert len(table) == 2 * 9 * 11
    assert len(set(table.columns["unique_id"].to_pylist())) == len(table)
    monkeypatch.setattr("core.atlas.store.grid_rows.MAX_VALUES", 9 * 11 * table.dim)
    thinned = open_table(tmp_path)
    assert len(thinned) == 2 * 5 * 6, "every second row and column of both"
    assert "every second pixel" in thinned.notes[0]


@pytest.mark.thorough
def test_patches_past_the_antimeridian_are_found_in_an_area(tmp_path):
    from core.atlas.search.neighbors import rows_within

    recipe = json.dumps({"model": MODEL})
    size = {"width": 8, "height": 2, "count": 2, "dtype": "float32", "nodata": np.nan}
    with rasterio.open(
        tmp_path / "a.patches.tif",
        "w",
        driver="GTiff",
        **size,
        crs="EPSG:4326",
        transform=from_origin(176, 1, 1, 1),
    ) as file:
        file.write(np.ones((2, 2, 8), np.float32))
        file.update_tags(RECIPE=recipe)
    table = open_table(tmp_path / "a.patches.tif")
    assert np.abs(table.lonlat[:, 0]).max() <= 180
    assert rows_within(table, [(-180, -2), (-178, -2), (-178, 2), (-180, 2)]).tolist() == [4, 5, 12, 13]


@pytest.mark.thorough
def test_damaged_and_empty_tiles_are_counted(scene, tmp_path, monkeypatch):
    from core.engine.embedding import read

    cut = read._cut_windows

    def fail(grid, picture, rows, tile_px):
        if (grid.boxes[rows, 0] == 0).any() and (grid.boxes[rows, 1] == 0).any():
            raise GeoError("a damaged block")
        return cut(grid, picture, rows, tile_px)

    monkeypatch.setattr(read, "_cut_windows", fail)
    step, found, *_ = run(scene, tmp_path, stride_px=SIDE)
    assert step.note.endswith("tiles 1 could not be read; 16 of 99 patches have no vector.")
    assert np.isnan(found[0]).sum() == 16


def test_a_picture_without_data_makes_no_raster(tmp_path):
    size = {"width": 6 * PATCH, "height": 6 * PATCH, "count": 3, "dtype": "uint8", "nodata": 0}
    with rasterio.open(
        tmp_path / "bare.tif",
        "w",
        driver="GTiff",
        **size,
        crs="EPSG:32610",
        transform=from_origin(5e5, 4e6, 10, 10),
    ) as file:
        file.write(np.zeros((3, 6 * PATCH, 6 * PATCH), np.uint8))
    with pytest.raises(EmbeddingError, match="cannot be embedded because"):
        run(tmp_path / "bare.tif", tmp_path / "out")
    assert not files_in(tmp_path / "out")


@pytest.mark.thorough
def test_the_batch_size_does_not_change_the_raster(scene, default, tmp_path):
    steps = list(embed_patches(spec_of(scene, tmp_path, batch=7)))
    assert steps[1].done == 0 and {step.done for step in steps} <= {0, 6, 7, 13, 14, 20}
    assert steps[-1].done == 20
    with rasterio.open(tmp_path / "scene.patches.tif") as file:
        np.testing.assert_allclose(file.read(), default[1], atol=1e-4)


@pytest.mark.parametrize("threads", a_few([1, 2], 1))
def test_the_number_of_threads_does_not_change_a_byte(scene, default, tmp_path, monkeypatch, threads):
    monkeypatch.setenv("EARTH_MAE_THREADS", str(threads))
    run(scene, tmp_path)
    assert (tmp_path / "scene.patches.tif").read_bytes() == default[0].read_bytes()


def test_a_full_disk_is_reported_and_keeps_finished_work(scene, tmp_path, monkeypatch):
    def fail(fd, offset, length):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", fail)
        with pytest.raises(DiskFullError, match=r"No space left on device.*free some space"):
            run(scene, tmp_path)
    with monkeypatch.context() as patch:  # blocks that were never written
        patch.setattr(patch_writing, "_stored", lambda vectors, kind: np.full_like(vectors, np.nan))
        with pytest.raises(DiskFullError, match="0 of 99 patches were written"):
            run(scene, tmp_path)
    left = sorted(file.name for file in tmp_path.glob(".patches-*/*"))
    assert left == ["batches", "state.json", "sum.bin", "weight.bin"], "finished work is kept"
    monkeypatch.setattr(patch_raster, "patch_vectors", None)
    run(scene, tmp_path)  # no tile is embedded again
    for ending in ("tif", "qml"):
        (tmp_path / f"scene.patches.{ending}").unlink()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    with pytest.raises(DiskFullError, match="needs about"):
        run(scene, tmp_path)
    assert not files_in(tmp_path)


def test_every_block_of_the_sums_is_on_the_disk_before_it_is_written_to(tmp_path):
    map_file(tmp_path / "sum.bin", (64, 64, 16))
    assert (tmp_path / "sum.bin").stat().st_blocks * 512 >= 64 * 64 * 16 * 4


@pytest.mark.thorough
def test_other_rasters_are_not_tables(scene, tmp_path):
    with pytest.raises(TableError, match="does not hold patch embeddings"):
        open_table(scene)
    (tmp_path / "bad.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(TableError, match="cannot be read as a raster of embeddings"):
        open_table(tmp_path / "bad.tif")


@pytest.mark.thorough
def test_a_patch_without_data_makes_no_row(default, tmp_path):
    shutil.copy(default[0], tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.write(np.full((file.count, 2, 2), np.nan, np.float32), window=((0, 2), (0, 2)))
    assert len(open_table(tmp_path / "a.tif")) == 9 * 11 - 4


def test_a_raster_that_was_closed_or_killed_resumes_to_the_same_bytes(scene, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(scene, whole, batch=2)
    spec = spec_of(scene, broken, batch=2)
    steps = embed_patches(spec)
    next(step for step in steps if step.done >= 4)
    steps.close()
    flush = np.memmap.flush

    def kill(array):
        flush(array)
        raise KeyboardInterrupt  # the batch is added, but the state on disk does not say so

    with monkeypatch.context() as patch:
        patch.setattr(np.memmap, "flush", kill)
        with pytest.raises(KeyboardInterrupt):
            list(embed_patches(spec))
    again = list(embed_patches(spec))
    assert again[1].done >= 4, "what was saved before is kept; saving may have run ahead of what was reported"
    assert (broken / "scene.patches.tif").read_bytes() == (whole / "scene.patches.tif").read_bytes()
    assert files_in(broken) == ["scene.patches.qml", "scene.patches.tif"]
