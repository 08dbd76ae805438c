import io

import numpy as np
import pytest
from PIL import Image

from core.engine.reconstruct import reconstruct
from core.masking import MaskSpec
from core.models import create
from core.viz.maps import animation, error_panels, fade, scale_bar
from core.viz.pictures import Stretch, draw_residual, enlarge_pixels, gain_of, heat, panels, png, stretch_of
from core.viz.sheet import jpeg, sheet
from core.viz.theme import HIDDEN
from tests.engine.conftest import plain_tile


@pytest.fixture(scope="module")
def made(small_scale_mae):
    return reconstruct(small_scale_mae, plain_tile(128), MaskSpec(ratio=0.5))


def test_six_panels_of_one_size(made):
    shown = panels(made)
    assert [p.name for p in shown] == ["original", "masked", "low", "high", "combined", "pasted"]
    assert {p.pixels.shape for p in shown} == {(128, 128, 3)}
    assert all(p.title and p.note for p in shown)


def test_a_sheet_reaches_streamlit_without_a_search_for_indentation(made, monkeypatch):
    import streamlit as st
    from streamlit.elements import html

    monkeypatch.setattr(html, "clean_text", lambda text: pytest.fail("searched"))
    whole = sheet(panels(made))
    st.html(whole)
    assert whole._repr_html_() == whole


def test_a_network_that_works_on_a_fill_shows_what_it_added():
    sizes = {"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 1, "num_heads": 2}
    decoder = {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 2}
    network = create("mae", **sizes, **decoder, centre="visible_harmonic").requires_grad_(False)
    made = reconstruct(network, plain_tile(64), MaskSpec(ratio=0.5))
    shown = {panel.name: panel for panel in panels(made)}
    assert list(shown) == ["original", "masked", "low", "high", "combined", "added", "pasted"]
    assert made.fill is not None and made.added is not None
    visible = ~made.hidden_high
    np.testing.assert_allclose(made.fill[:, visible], made.input[:, visible], atol=1e-5)
    assert np.abs(made.fill - made.input)[:, made.hidden_high].max() > 0.01
    np.testing.assert_allclose(made.fill + made.added, made.combined, atol=1e-6)
    assert f"× {gain_of(made)}" in shown["added"].note
    grey = np.abs(made.added) < 0.1 / 255 / gain_of(made)
    pixels = np.moveaxis(shown["added"].pixels, -1, 0)
    assert np.isin(pixels[grey], (127, 128)).all()
    brighter = made.added > 2 / 255 / gain_of(made)
    assert brighter.any() and (pixels[brighter] > 128).all()
    assert "relative to the harmonic fill of the visible pixels" in made.recipe.caption()


def test_a_network_on_no_fill_has_nothing_to_show_as_added(made):
    assert made.fill is None and made.added is None
    assert made.recipe.centre == "dataset" and "relative to" not in made.recipe.caption()


def test_the_masked_panel_covers_exactly_the_hidden_patches(made):
    masked = next(p for p in panels(made) if p.name == "masked")
    assert (masked.pixels[made.hidden_high] == HIDDEN).all()
    original = next(p for p in panels(made) if p.name == "original")
    assert np.array_equal(masked.pixels[~made.hidden_high], original.pixels[~made.hidden_high])


def test_grey_levels_stand_for_what_the_panel_says(made):
    original = next(p for p in panels(made) if p.name == "original")
    low, high = original.value_range
    values = np.clip(np.moveaxis(made.target, 0, -1), low, high)
    np.testing.assert_allclose(low + original.pixels / 255 * (high - low), values, atol=(high - low) / 500)


def test_a_residual_of_nothing_is_grey_and_its_gain_is_stated(made):
    assert (draw_residual(np.zeros((3, 4, 4)), 4) == 128).all()
    high = next(p for p in panels(made) if p.name == "high")
    assert f"× {gain_of(made)}" in high.note


def test_a_dull_tile_is_not_stretched_into_noise(made):
    from dataclasses import replace

    dull = replace(made, target=np.full_like(made.target, 0.4))
    stretch = stretch_of(dull)
    assert stretch.high - stretch.low >= 0.249
    assert stretch_of(made, plain=True) == Stretch(0.0, 1.0)


def test_pictures_are_encoded_faithfully(made):
    pixels = panels(made)[0].pixels
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
    seen = np.asarray(Image.open(io.BytesIO(jpeg(pixels)))).astype(int)
    assert np.abs(seen - pixels).mean() < 2


def test_the_sheet_names_its_panels_and_stays_on_this_host(made):
    html = sheet(panels(made))
    assert html.count("data-panel=") == 6 and 'data-panel="combined"' in html
    assert "http" not in html and "<script" not in html


def test_a_sheet_refers_to_pictures_by_address(made):
    laid = {}
    html = sheet(
        panels(made), address=lambda name, jpeg: laid.setdefault(name, jpeg) and f"/pictures/{name}.jpg"
    )
    assert "data:" not in html and all(f'src="/pictures/{panel.name}.jpg"' in html for panel in panels(made))
    assert all(jpeg.startswith(b"\xff\xd8\xff") for jpeg in laid.values())


def test_names_in_a_sheet_cannot_become_markup(made):
    from dataclasses import replace

    bad = replace(panels(made)[0], title="<script>alert(1)</script>")
    assert "<script" not in sheet([bad])


def test_error_panels_share_their_scale_and_fade_what_was_visible(made):
    maps, full = error_panels(made, "l1", None)
    assert {p.value_range for p in maps} == {(0.0, full)}
    judged, _ = error_panels(made, "l1", None, judged_only=True)
    assert np.array_equal(judged[0].pixels[made.hidden_high], maps[0].pixels[made.hidden_high])
    assert not np.array_equal(judged[0].pixels[~made.hidden_high], maps[0].pixels[~made.hidden_high])


def test_heat_goes_from_dark_to_bright():
    shown = heat(np.array([[0.0, 0.5, 1.0, 9.0]]), 1.0).astype(int).sum(axis=-1)[0]
    assert shown[0] < shown[1] < shown[2] == shown[3]
    assert "0.1" in scale_bar(0.1, "absolute difference")


def test_small_helpers_keep_shapes():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert enlarge_pixels(pixels, 4).shape == (4, 4, 3)
    assert fade(pixels, np.ones((2, 2), bool)).shape == (2, 2, 3)


def test_the_animation_has_a_frame_for_each_step(made):
    film = Image.open(io.BytesIO(animation([made, made, made])))
    assert film.n_frames in (1, 3)  # equal frames may be merged
    assert film.size == (2 * 128 + 8, 128)
