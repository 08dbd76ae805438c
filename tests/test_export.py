import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from core.cli.entry import main
from core.engine.inputs import read_ground
from core.engine.loaded import load
from core.engine.reconstruct import reconstruct
from core.engine.training.runs import PRESETS, RunError, TrainingRun, read_spec
from core.export import (
    BANDS,
    ExportError,
    animation,
    figure,
    geotiff,
    pictures_zip,
    recipe_json,
    series_sheet,
    series_views,
    training_animation,
    write_all,
)
from core.geo import TileRef, TileSpec, known_sources
from core.judge import judge
from core.masking import MaskSpec
from core.policy import Policy
from core.session import PageView
from core.viz.pictures import png
from core.viz.publication import latex_figure, latex_text
from core.viz.series import frames
from tests.engine.conftest import plain_tile
from tests.thorough import a_few


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


@pytest.mark.parametrize("kind", a_few(["png", "svg", "pdf"], 1))
def test_figures_carry_the_recipe(made, verdict, kind):
    content = figure(made, verdict, kind, dpi=60)
    if kind == "png":
        image = Image.open(io.BytesIO(content))
        assert json.loads(image.text["Description"])["model"] == made.recipe.model
        assert image.width == pytest.approx(7.2 * 60, abs=2)
    else:
        assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF"}[kind])
        assert b"blob-50-s1" in content


@pytest.mark.parametrize("width_mm", [88.9, 183.0])
def test_a_figure_has_its_width_and_embeds_its_fonts(made, verdict, width_mm):
    pdf = figure(made, verdict, "pdf", width_mm=width_mm)
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert box
    assert float(box[1]) == pytest.approx(width_mm / 25.4 * 72, abs=0.6)
    assert float(box[2]) < 240 / 25.4 * 72  # fits on a page
    descriptors = pdf.split(b"/Type /FontDescriptor")[1:]
    assert descriptors and pdf.count(b"/FontFile2") == len(descriptors)
    assert b"/Type3" not in pdf and b"/Subtype /Type1" not in pdf
    svg = figure(made, verdict, "svg", width_mm=width_mm)
    assert b"<text" not in svg and b"<use" in svg  # outlines


@pytest.mark.skipif(not shutil.which("pdffonts"), reason="no pdffonts: install poppler-utils")
def test_pdffonts_finds_every_font_embedded(made, verdict, tmp_path):
    files = {"figure": figure(made, verdict, "pdf"), "sheet": series_sheet([made, made], "pdf")}
    for name, content in files.items():
        path = tmp_path / f"{name}.pdf"
        path.write_bytes(content)
        listed = subprocess.run(["pdffonts", str(path)], capture_output=True, text=True, check=True)
        fonts = [line.split() for line in listed.stdout.splitlines()[2:]]
        # name, type (two words), encoding, embedded, subset, unicode, object
        assert fonts and all("TrueType" in font and font[-5] == "yes" for font in fonts), listed.stdout


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe: install ffmpeg")
@pytest.mark.parametrize(("kind", "codec"), [("gif", "gif"), ("mp4", "h264")])
def test_ffprobe_reads_every_frame(small_scale_mae, tmp_path, kind, codec):
    steps = [reconstruct(small_scale_mae, plain_tile(64), MaskSpec(ratio=ratio)) for ratio in (0.2, 0.5, 0.8)]
    path = tmp_path / f"series.{kind}"
    path.write_bytes(animation(steps, kind, seconds=0.5))
    asked = "stream=codec_name,width,height,nb_read_frames,avg_frame_rate,pix_fmt:format_tags=comment"
    words = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", asked, "-of", "json", str(path)]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    assert found.stderr == ""
    read = json.loads(found.stdout)
    [stream] = read["streams"]
    assert (stream["codec_name"], stream["avg_frame_rate"]) == (codec, "2/1")
    assert (stream["width"], stream["height"]) == (960, 340)
    assert stream["nb_read_frames"] == "3"
    if kind == "mp4":  # what QuickTime and PowerPoint play
        assert stream["pix_fmt"] == "yuv420p"
        recipes = json.loads(read["format"]["tags"]["comment"])
        assert [recipe["mask"] for recipe in recipes] == ["random-20-s0", "random-50-s0", "random-80-s0"]


def test_an_mp4_without_its_encoder_is_refused(training_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ExportError, match="pip install imageio-ffmpeg`, or choose gif"):
        training_animation(training_run, "mp4")


def test_latex_code_escapes_its_caption(made, verdict):
    code = latex_figure(made, verdict, "figures/001-my_tile.pdf", page_wide=False)
    assert code.startswith("\\begin{figure}[t]") and r"\includegraphics[width=\columnwidth]" in code
    assert r"\label{fig:001-my-tile}" in code
    caption = code.split(r"\caption{")[1].split("}\n  \\label")[0]
    assert "SSIM" in caption and "blob-50-s1" in caption
    assert not re.search(r"(?<!\\)[&%$#_^~]", caption)
    assert latex_text("50% of a_b & {c} ~ \\") == (
        r"50\% of a\_b \& \{c\} \textasciitilde{} \textbackslash{}"
    )


@pytest.mark.thorough
def test_animations_open_in_their_readers(small_scale_mae, tmp_path):
    tile = plain_tile(64)
    steps = [reconstruct(small_scale_mae, tile, MaskSpec("random", ratio)) for ratio in (0.2, 0.5, 0.8)]
    gif = Image.open(io.BytesIO(animation(steps)))
    assert gif.n_frames == 3 and gif.size == (960, 340) and gif.info["duration"] == 800
    recipes = json.loads(gif.info["comment"])
    assert [recipe["mask"] for recipe in recipes] == ["random-20-s0", "random-50-s0", "random-80-s0"]
    path = tmp_path / "film.mp4"
    path.write_bytes(animation(steps, "mp4", seconds=0.5))
    film = cv2.VideoCapture(str(path))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and film.get(cv2.CAP_PROP_FPS) == 2
    gif.seek(2)
    for _ in range(3):
        found, last = film.read()
        assert found
    np.testing.assert_allclose(last[..., ::-1].mean(), np.asarray(gif.convert("RGB")).mean(), atol=3)
    sheet = Image.open(io.BytesIO(series_sheet(steps, dpi=60)))
    assert len(json.loads(sheet.text["Description"])) == 3
    with pytest.raises(ExportError, match="gif or mp4"):
        animation(steps, "avi")


@pytest.fixture
def training_run(tmp_path):
    """A run with three previews, of which the last is cut off."""
    run = TrainingRun(tmp_path / "sunday")
    run.open(replace(read_spec(PRESETS["smoke"]), steps=30))
    run.previews.mkdir()
    for n, step in enumerate((10, 20, 30)):
        sheet = np.full((4 * 32, 6 * 32, 3), 60 * n, np.uint8)
        (run.previews / f"{step:07d}.png").write_bytes(png(sheet)[: None if n < 2 else 40])
        run.append({"step": step, "loss": 0.5, "psnr": 20.0 + n})
    return run


def test_a_training_run_becomes_an_animation(training_run, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr("core.export.frames", lambda rows, size: shown.extend(rows) or frames(rows, size))
    gif = Image.open(io.BytesIO(training_animation(training_run, seconds=0.5)))
    assert gif.n_frames == 2 and gif.size == (960, 720) and gif.info["duration"] == 500
    assert json.loads(gif.info["comment"])["name"] == "smoke"
    assert [row.label for row in shown] == [
        "smoke · step 10 of 30 · 20.0 dB",
        "smoke · step 20 of 30 · 21.0 dB",
    ]
    gif.seek(1)
    assert np.asarray(gif.convert("RGB"))[360, 480].tolist() == pytest.approx([60] * 3, abs=3)
    path = tmp_path / "film.mp4"
    path.write_bytes(training_animation(training_run, "mp4"))
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    monkeypatch.setattr("core.export.MOST_FRAMES", 2)
    assert Image.open(io.BytesIO(training_animation(training_run))).n_frames == 1


def test_a_training_run_without_previews_is_refused(training_run):
    for file in training_run.preview_files().values():
        file.unlink()
    with pytest.raises(ExportError, match="no previews yet: they are drawn every"):
        training_animation(training_run)
    with pytest.raises(RunError, match="no readable run"):
        training_animation(TrainingRun(training_run.folder / "nowhere"))


def test_the_command_writes_the_animation_of_a_run(training_run, tmp_path, capsys):
    words = ["train", "smoke", "--run", str(training_run.folder), "--animate"]
    file = tmp_path / "run.gif"
    assert main([*words, str(file)]) == 0
    assert file.read_bytes() == training_animation(training_run)
    assert main([*words, str(tmp_path / "run.avi")]) == 2
    assert "choose gif or mp4" in capsys.readouterr().err


def test_a_figure_of_impossible_width_is_refused(made, verdict):
    with pytest.raises(ExportError, match="60 to 420 mm"):
        figure(made, verdict, width_mm=5)


@pytest.mark.parametrize("kind", ["ratio", "scale"])
def test_a_series_varies_one_thing(kind):
    view = PageView(
        "mae_tiny", "", TileSpec(TileRef("samples", "landsat")), Policy("log_gsd"), MaskSpec("blob", 0.4, 7)
    )
    views = series_views(view, kind, 4, load("mae_tiny").card, known_sources())
    assert len(set(views)) == 4
    if kind == "ratio":
        assert [each.mask.ratio for each in views] == [0.05, 0.35, 0.65, 0.95]
        assert all(replace(each, mask=view.mask) == view for each in views)
    else:
        assert view in views and len({each.tile for each in views}) == 4
    with pytest.raises(ExportError, match="ratio or scale"):
        series_views(view, "time", 4, load("mae_tiny").card, known_sources())


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


@pytest.mark.parametrize("name", a_few(["scale_mae_tiny", "mae_tiny"], 1))
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
