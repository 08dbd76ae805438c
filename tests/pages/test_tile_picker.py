"""Uploading a picture: a missing GSD is asked for before it is needed."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from tests.waves import waves, write_raster


def upload_tab() -> None:
    from ui.pickers import controls, tile_picker

    tile_picker._upload(controls.default_view())


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (240, 240, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def show_it(app: AppTest):
    return next(one for one in app.button if one.label == "Show this picture")


def test_a_png_is_shown_once_its_gsd_is_entered():
    app = AppTest.from_function(upload_tab, default_timeout=120).run()
    assert show_it(app).disabled
    app.file_uploader[0].set_value(("field.png", picture(), "image/png")).run()
    asked = app.number_input[0]
    assert "not stated" in asked.label
    assert show_it(app).disabled and not app.error, "the first click would fail"
    asked.set_value(0.3).run()
    assert not show_it(app).disabled
    show_it(app).click().run()
    assert not app.exception and not app.error
    assert app.session_state["the view"].tile.ref.source == "upload"


def test_a_file_that_is_not_a_picture_is_refused():
    app = AppTest.from_function(upload_tab, default_timeout=120).run()
    app.file_uploader[0].set_value(("trap.tif", b"<VRTDataset></VRTDataset>", "image/tiff")).run()
    show_it(app).click().run()
    assert not app.exception
    assert "virtual raster" in app.error[0].value


def test_no_placeholder_looks_like_an_entered_number():
    sources = [path for folder in ("ui", "pages") for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in sources if re.search(r'placeholder="[\d., ]+"', path.read_text())] == []


def test_a_geotiff_that_states_its_scale_is_shown_without_another_click(tmp_path: Path):
    content = write_raster(tmp_path / "field.tif", waves(256, 256)).read_bytes()
    app = AppTest.from_function(upload_tab, default_timeout=120).run()
    app.file_uploader[0].set_value(("field.tif", content, "image/tiff")).run()
    assert not app.exception and not app.error
    assert app.session_state["the view"].tile.ref.source == "upload"
