"""Patch rasters of many pictures: their names, existing rasters kept or refused, and one run at a time."""

import json
import time

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.cli.entry import main
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop
from core.engine.embedding.run import embed_patches
from core.engine.embedding.sinks import patch_raster
from core.engine.embedding.sinks.patch_folder import NamedPicture, raster_names
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.engine.loaded import load
from tests.thorough import a_few

MODEL = "mae_tiny"
PATCH = load(MODEL).card.patch_px
SIDE = 4 * PATCH


def scene_at(path, value=1.0):
    rows, cols = np.mgrid[: 5 * PATCH, : 6 * PATCH] / 9
    pixels = np.stack([np.sin(rows * value) * np.cos(cols * k) * 100 + 128 for k in (1, 1.3, 1.7)]).astype(
        "uint8"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".tif": "GTiff", ".png": "PNG"}[path.suffix]
    place = {"crs": "EPSG:32610", "transform": from_origin(5e5, 4e6, 10, 10)} if driver == "GTiff" else {}
    with rasterio.open(
        path, "w", driver=driver, width=6 * PATCH, height=5 * PATCH, count=3, dtype="uint8", **place
    ) as file:
        file.write(pixels)
    return path


def run(*sources, out, **more):
    settings = {"model": MODEL, "tile_px": SIDE, **more}
    return list(embed_patches(EmbeddingSpec(tuple(map(str, sources)), str(out), **settings)))


def notes(steps):
    return " ".join(step.note for step in steps if step.note)


@pytest.mark.thorough
def test_pictures_of_one_name_keep_a_raster_each(tmp_path):
    first, other = scene_at(tmp_path / "a" / "utm.tif"), scene_at(tmp_path / "b" / "utm.tif", 2)
    *_, last = run(first, other, tmp_path / "a", out=tmp_path / "out")
    assert [path.name for path in last.rasters] == ["a_utm.patches.tif", "b_utm.patches.tif"]
    found = []
    for path in last.rasters:
        with rasterio.open(path) as file:
            found.append(file.read())
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/s.tif", "/x/s.png"], ["s.tif", "s.png"]),
        (["/x/s.tif", "/x/t.tif"], ["s", "t"]),
        (["/x/y/s.tif", "/x/z/s.tif", "/x/z/t.tif"], ["y_s", "z_s", "t"]),
        (["/x/y/s.tif", "/w/y/s.tif"], ["x_y_s", "w_y_s"]),
        (["/x/S.tif", "/x/s.png"], ["S.tif", "s.png"]),
    ],
)
def test_names_that_collide_get_the_shortest_unique_tail(paths, names):
    pictures = [NamedPicture(None, path.rsplit("/", 1)[1], ("/", *path[1:].split("/"))) for path in paths]
    assert raster_names(pictures) == names


def test_existing_rasters_are_kept_with_a_note(tmp_path):
    scene_at(tmp_path / "in" / "a.tif")
    run(tmp_path / "in", out=tmp_path / "out")
    before = (tmp_path / "out" / "a.patches.tif").stat().st_mtime_ns
    scene_at(tmp_path / "in" / "b.tif", 3)
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "1 of 2 rasters exist already" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif", "b.patches.tif"]
    assert steps[-1].total == 4, "only the other picture's tiles"
    assert (tmp_path / "out" / "a.patches.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("more", "words"),
    a_few(
        [
            ({"model": "scale_mae_tiny"}, "its model is 'mae_tiny' and would now be 'scale_mae_tiny'"),
            ({"gsd_m": (10.5,)}, "its gsd_m is 10.0"),
            ({"data_type": "int8"}, "its data_type is 'float32' and would now be 'int8'"),
            ({"stride_px": SIDE}, "stride_px"),
            ({"min_valid": 0.2}, "min_valid"),
        ],
        1,
    ),
)
def test_a_raster_with_other_settings_is_refused(tmp_path, more, words):
    scene = scene_at(tmp_path / "a.tif")
    run(scene, out=tmp_path / "out")
    with pytest.raises(EmbeddingError, match=words):
        run(scene, out=tmp_path / "out", **more)


@pytest.mark.thorough
def test_a_raster_of_another_picture_of_that_name_is_refused(tmp_path):
    run(scene_at(tmp_path / "a" / "s.tif"), out=tmp_path / "out")
    with pytest.raises(EmbeddingError, match="content of its picture is different"):
        run(scene_at(tmp_path / "b" / "s.tif", 2), out=tmp_path / "out")
    (tmp_path / "out" / "s.patches.tif").write_bytes(b"no raster")
    with pytest.raises(EmbeddingError, match="not a raster of patch embeddings"):
        run(tmp_path / "a" / "s.tif", out=tmp_path / "out")


@pytest.mark.thorough
def test_a_bad_file_among_others_is_left_out_with_a_note(tmp_path):
    scene_at(tmp_path / "in" / "a.tif")
    scene_at(tmp_path / "in" / "z.tif")
    (tmp_path / "in" / "m.tif").write_bytes(b"II*\0 nothing")
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "m.tif was left out" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif", "z.patches.tif"]
    (tmp_path / "bad.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(Exception, match="cannot be read"):
        run(tmp_path / "bad.tif", out=tmp_path / "other")


@pytest.mark.thorough
def test_a_picture_without_data_among_others_is_left_out_with_a_note(tmp_path):
    scene_at(tmp_path / "in" / "a.tif")
    with rasterio.open(scene_at(tmp_path / "in" / "bare.tif"), "r+") as file:
        file.nodata = 0
        file.write(np.zeros((3, file.height, file.width), np.uint8))
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "bare.tif was left out: bare.tif cannot be embedded" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif"]
    assert steps[-1].done == steps[-1].total


@pytest.mark.thorough
def test_two_runs_into_one_folder_are_refused(tmp_path):
    scene = scene_at(tmp_path / "a.tif")
    with EmbeddingFolder(tmp_path / "out").locked(), pytest.raises(EmbeddingError, match="is writing to out"):
        run(scene, out=tmp_path / "out")


@pytest.mark.thorough
def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    left = tmp_path / "out" / ".patches-abc"
    left.mkdir(parents=True)
    (left / "sum.bin").write_bytes(bytes(100))
    (tmp_path / "out" / ".a.patches.tif.tmp").write_bytes(b"torn")
    run(scene_at(tmp_path / "a.tif"), out=tmp_path / "out")
    assert [f.name for f in (tmp_path / "out").glob(".*")] == []


def test_a_run_stops_within_a_picture_on_request_and_resumes_there(tmp_path, monkeypatch):
    scene, out = scene_at(tmp_path / "a.tif"), tmp_path / "out"
    spec = EmbeddingSpec((str(scene),), str(out), MODEL, tile_px=2 * PATCH, stride_px=PATCH, batch=1)
    embed = patch_raster.patch_vectors

    def slow(*arguments, **more):
        time.sleep(0.2)
        return embed(*arguments, **more)

    monkeypatch.setattr(patch_raster, "patch_vectors", slow)
    steps = embed_patches(spec)
    while next(steps).done < 2:
        pass
    ask_to_stop(out)
    *_, last = steps
    assert not last.finished and last.done < last.total and "Stopped; add --resume" in last.note
    monkeypatch.undo()
    again = list(embed_patches(spec))
    assert again[1].done == last.done and again[1].rate is None, "finished tiles do not count in the rate"
    assert again[-1].finished and [file.name for file in out.glob(".*")] == []


@pytest.mark.thorough
def test_patch_rasters_among_the_pictures_are_not_embedded(tmp_path):
    scene_at(tmp_path / "a.tif"), scene_at(tmp_path / "b.tif", 2)
    run(tmp_path, out=tmp_path / "made", data_type="int8")
    again = run(tmp_path, out=tmp_path / "made", data_type="int8")
    assert [path.name for path in again[-1].rasters] == ["a.patches.tif", "b.patches.tif"]
    assert "2 of 2 rasters exist already" in notes(again)


def test_the_command_prints_rate_notes_and_rasters(tmp_path, capsys):
    scene_at(tmp_path / "in" / "s.tif")
    scene_at(tmp_path / "in" / "s.png", 2)
    words = [
        "embed",
        str(tmp_path / "in"),
        "--patches",
        "--model",
        MODEL,
        "--tile-px",
        str(SIDE),
        "--stated-gsd-m",
        "10",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*words, "--batch", "3", "--json"]) == 0
    output = capsys.readouterr()
    names = [path.rsplit("/", 1)[1] for path in json.loads(output.out)["rasters"]]
    assert names == ["s.png.patches.tif", "s.tif.patches.tif"]
    assert "of 8 tiles" in output.err and "tiles/s" in output.err and " left" in output.err
    assert main([*words, "--resume"]) == 0
    assert "2 of 2 rasters exist already and are kept" in capsys.readouterr().err


@pytest.mark.thorough
def test_a_raster_of_an_earlier_version_is_kept(tmp_path):
    scene, out = scene_at(tmp_path / "a.tif"), tmp_path / "out"
    (raster,) = run(scene, out=out)[-1].rasters
    with rasterio.open(raster, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        recipe = json.loads(file.tags()["RECIPE"])
        del recipe["content_sha256"]
        file.update_tags(RECIPE=json.dumps({**recipe, "source_stamp": "0123456789abcdef"}))
    assert run(scene, out=out)[-1].rasters == (raster,)
