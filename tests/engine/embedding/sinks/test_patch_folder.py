"""Rasters of patch embeddings of many pictures: a name for each, what is there kept or refused, one run at a time."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.cli.entry import main
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop
from core.engine.embedding.sinks.patch_folder import Named, embed_pictures, names_of
from core.engine.embedding.sinks.patch_layout import PatchRasterSpec
from core.engine.embedding.spec import EmbeddingError, EmbeddingSpec
from core.engine.loaded import load

MODEL = "mae_tiny"
PATCH = load(MODEL).card.patch_px
SIDE = 4 * PATCH


def drawn(path, value=1.0):
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
    spec = EmbeddingSpec(tuple(map(str, sources)), str(out), MODEL)
    return list(embed_pictures(spec, PatchRasterSpec(**{"model": MODEL, "tile_px": SIDE, **more})))


def notes(steps):
    return " ".join(step.note for step in steps if step.note)


def test_pictures_of_one_name_keep_a_raster_each(tmp_path):
    first, other = drawn(tmp_path / "a" / "utm.tif"), drawn(tmp_path / "b" / "utm.tif", 2)
    *_, last = run(first, other, tmp_path / "a", out=tmp_path / "out")
    assert [path.name for path in last.rasters] == ["a_utm.patches.tif", "b_utm.patches.tif"], (
        "the folder names the first once more"
    )
    found = []
    for path in last.rasters:
        with rasterio.open(path) as file:
            found.append(file.read())
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/s.tif", "/x/s.png"], ["s.tif", "s.png"]), (["/x/s.tif", "/x/t.tif"], ["s", "t"]),
        (["/x/y/s.tif", "/x/z/s.tif", "/x/z/t.tif"], ["y_s", "z_s", "t"]), (["/x/y/s.tif", "/w/y/s.tif"], ["x_y_s", "w_y_s"]),
        (["/x/S.tif", "/x/s.png"], ["S.tif", "s.png"]),
    ],
)  # fmt: skip
def test_names_that_collide_get_the_shortest_tail_that_tells_them_apart(paths, names):
    pictures = [Named(None, path.rsplit("/", 1)[1], ("/", *path[1:].split("/")), None) for path in paths]
    assert names_of(pictures) == names


def test_what_is_there_is_kept_and_said(tmp_path):
    drawn(tmp_path / "in" / "a.tif")
    run(tmp_path / "in", out=tmp_path / "out")
    before = (tmp_path / "out" / "a.patches.tif").stat().st_mtime_ns
    drawn(tmp_path / "in" / "b.tif", 3)
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "1 of 2 rasters exist already" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif", "b.patches.tif"]
    assert steps[-1].total == 4, "only the other picture's tiles"
    assert (tmp_path / "out" / "a.patches.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"model": "scale_mae_tiny"}, "its model is 'mae_tiny' and would now be 'scale_mae_tiny'"), ({"gsd_m": 10.5}, "its gsd_m is 10.0"),
        ({"data_type": "int8"}, "its data_type is 'float32' and would now be 'int8'"), ({"stride_px": SIDE}, "stride_px"), ({"min_valid": 0.2}, "min_valid"),
    ],
)  # fmt: skip
def test_a_raster_made_otherwise_is_refused(tmp_path, more, words):
    scene = drawn(tmp_path / "a.tif")
    run(scene, out=tmp_path / "out")
    with pytest.raises(EmbeddingError, match=words):
        run(scene, out=tmp_path / "out", **more)


def test_a_raster_of_another_picture_of_that_name_is_refused(tmp_path):
    run(drawn(tmp_path / "a" / "s.tif"), out=tmp_path / "out")
    with pytest.raises(EmbeddingError, match="content of its picture is different"):
        run(drawn(tmp_path / "b" / "s.tif", 2), out=tmp_path / "out")
    (tmp_path / "out" / "s.patches.tif").write_bytes(b"no raster")
    with pytest.raises(EmbeddingError, match="not a raster of patch embeddings"):
        run(tmp_path / "a" / "s.tif", out=tmp_path / "out")


def test_a_bad_file_among_others_is_left_out_with_a_note(tmp_path):
    drawn(tmp_path / "in" / "a.tif")
    drawn(tmp_path / "in" / "z.tif")
    (tmp_path / "in" / "m.tif").write_bytes(b"II*\0 nothing")
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "m.tif was left out" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif", "z.patches.tif"]
    (tmp_path / "bad.tif").write_bytes(b"II*\0 nothing")
    with pytest.raises(Exception, match="cannot be read"):
        run(tmp_path / "bad.tif", out=tmp_path / "other")


def test_a_picture_without_data_among_others_is_said(tmp_path):
    drawn(tmp_path / "in" / "a.tif")
    with rasterio.open(drawn(tmp_path / "in" / "bare.tif"), "r+") as file:
        file.nodata = 0
        file.write(np.zeros((3, file.height, file.width), np.uint8))
    steps = run(tmp_path / "in", out=tmp_path / "out")
    assert "bare.tif was left out: bare.tif cannot be embedded" in notes(steps)
    assert [path.name for path in steps[-1].rasters] == ["a.patches.tif"]
    assert steps[-1].done == steps[-1].total


def test_two_runs_into_one_folder_are_refused(tmp_path):
    scene = drawn(tmp_path / "a.tif")
    with (
        EmbeddingFolder(tmp_path / "out").locked(),
        pytest.raises(EmbeddingError, match="is writing to out"),
    ):
        run(scene, out=tmp_path / "out")


def test_what_a_killed_run_left_behind_is_removed(tmp_path):
    left = tmp_path / "out" / ".patches-abc"
    left.mkdir(parents=True)
    (left / "sum.bin").write_bytes(bytes(100))
    (tmp_path / "out" / ".a.patches.tif.tmp").write_bytes(b"torn")
    run(drawn(tmp_path / "a.tif"), out=tmp_path / "out")
    assert [f.name for f in (tmp_path / "out").glob(".*")] == []


def test_a_run_stops_inside_a_picture_as_asked_and_goes_on_there(tmp_path):
    scene, out = drawn(tmp_path / "a.tif"), tmp_path / "out"
    spec, wanted = (
        EmbeddingSpec((str(scene),), str(out), MODEL),
        PatchRasterSpec(MODEL, tile_px=SIDE, batch=1),
    )
    steps = embed_pictures(spec, wanted)
    while next(steps).done < 2:
        pass
    ask_to_stop(out)
    *_, last = steps
    assert not last.finished and last.done < last.total and "Stopped; run the same command" in last.note
    again = list(embed_pictures(spec, wanted))
    assert again[1].done == last.done and again[1].rate is None, (
        "what is done is not done again, and says nothing about the pace"
    )
    assert again[-1].finished and [file.name for file in out.glob(".*")] == []


def test_rasters_that_were_made_among_the_pictures_are_no_pictures(tmp_path):
    drawn(tmp_path / "a.tif"), drawn(tmp_path / "b.tif", 2)
    run(tmp_path, out=tmp_path / "made", data_type="int8")
    again = run(tmp_path, out=tmp_path / "made", data_type="int8")
    assert [path.name for path in again[-1].rasters] == ["a.patches.tif", "b.patches.tif"]
    assert "2 of 2 rasters exist already" in notes(again)


def test_the_command_tells_rate_notes_and_rasters(tmp_path, capsys):
    drawn(tmp_path / "in" / "s.tif")
    drawn(tmp_path / "in" / "s.png", 2)
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
    said = capsys.readouterr()
    assert [path.rsplit("/", 1)[1] for path in json.loads(said.out)["rasters"]] == [
        "s.png.patches.tif",
        "s.tif.patches.tif",
    ]
    assert "3 of 8 tiles" in said.err and "tiles/s" in said.err and " left" in said.err
    assert main([*words, "--resume"]) == 0
    assert "2 of 2 rasters exist already and are kept" in capsys.readouterr().err
