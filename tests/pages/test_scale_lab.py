from pathlib import Path

import pytest

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

from tests.thorough import a_few
from ui.scale_lab.choices import Choices, choices_from

ROOT = Path(__file__).parents[2]
TABS = ["Rows", "Animation", "Curves", "Sensitivity to the scale input", "Spectrum", "Patches"]


def lab(**params):
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=180).switch_page("pages/2_Scale_Lab.py")
    for name, value in params.items():
        test.query_params[name] = value
    return test.run()


def rows(test):
    return [m.value for m in test.markdown if "patches" in m.value and " · fed " in m.value]


@pytest.mark.parametrize("hold", a_few(["ground", "pixels"], 1))
def test_rows_describe_the_input(hold):
    test = lab(model="scale_mae_tiny", sel=f"scales;hold:{hold};count:3")
    assert not test.exception and not test.error
    shown = rows(test)
    assert len(shown) == 3 and sum("own scale" in row for row in shown) == 1
    assert all("res " in row for row in shown)
    sides = {row.split("fed ")[1].split(" px")[0] for row in shown}
    assert len(sides) == (3 if hold == "ground" else 1)
    assert any("uses the input's res only" in caption.value for caption in test.caption)
    assert "".join(test.query_params["sel"]).startswith("scales")


@pytest.mark.thorough
def test_all_sixteen_scales_stay_within_the_picture():
    from core.engine.inputs import read_ground
    from core.engine.scales import ScaleSpec, ladder
    from core.geo import TileRef, TileSpec, known_sources
    from core.masking import MaskSpec
    from ui.pickers.controls import gsd_range

    read = known_sources().read
    for left, top in ((700, 620), (600, 500), (0, 0), (1000, 1000)):
        tile = TileSpec(TileRef("samples", "landsat"), window=(left, top, 224, 224))
        found = ladder(
            ScaleSpec(tile, MaskSpec(), "pixels", "ground", 16),
            read,
            input_px=112,
            patch_px=8,
            limits_m=gsd_range(tile, 112),
        )
        assert len(found) == 16
        assert all(read_ground(read, scale.tile, 112).width >= 112 for scale in found[-2:])


def test_a_changed_control_computes_only_what_it_affects(monkeypatch):
    from core.engine import prediction

    seen = []
    real = prediction._run
    monkeypatch.setattr(prediction, "_run", lambda *args: (seen.append(len(args[3])), real(*args))[1])
    test = lab(model="scale_mae_tiny", mask="random-75-s77", sel="scales;count:3")
    assert sum(seen) == 3
    test.toggle(key="w:band").set_value(True).run()
    assert not test.exception and sum(seen) == 3
    test.segmented_control(key="w:masked").set_value("patches").run()
    assert not test.exception and sum(seen) == 5, "the mask at the tile's own scale is unchanged"


def test_patches_tab_computes_only_what_a_control_affects(monkeypatch):
    from core.engine import tokens
    from ui.scale_lab import patches

    made = []

    def counted(module, name):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args: (made.append(name), real(*args))[1])

    for name in ("attention", "feature_rgb", "transplant"):
        counted(patches, name)
    counted(tokens, "patch_vectors")
    test = lab(model="scale_mae_tiny", tab="Patches", sel="scales;count:2;row:2;col:3;block:3")
    assert sorted(made) == ["attention", "feature_rgb", "patch_vectors", "patch_vectors", "transplant"]
    made.clear()
    next(box for box in test.selectbox if box.label == "Head").set_value(1).run()
    assert not test.exception and made == []
    next(slider for slider in test.slider if slider.label == "Block").set_value(2).run()
    assert made == ["attention"]
    next(number for number in test.number_input if number.label == "Row").set_value(6).run()
    assert made == ["attention", "transplant", "patch_vectors"], (
        "only the pictures into which the new patch was pasted"
    )


@pytest.mark.parametrize("model", a_few(["tinymim_tiny", "scale_contrast_tiny"], 1))
@pytest.mark.parametrize("tab", a_few(TABS, 1))
def test_a_network_without_decoder_shows_inputs_and_embeddings(model, tab):
    test = lab(model=model, tab=tab, sel="scales;count:3")
    assert not test.exception and not test.error
    notes = [*test.caption, *test.info]
    assert tab in ("Curves", "Patches") or any(
        "no decoder" in one.value or "static" in one.value for one in notes
    )
    assert not rows(test)
    assert sum('data-panel="fed-' in html.proto.body for html in test.get("html")) == (tab == "Rows")
    heading = {"Curves": "**Embedding drift**", "Patches": "## Feature colours"}.get(tab)
    assert heading is None or heading in [m.value for m in test.markdown]


@pytest.mark.parametrize("tab", a_few([tab for tab in TABS if tab not in ("Rows", "Curves")], 2))
def test_every_tab_opens(tab):
    test = lab(model="scale_mae_tiny", tab=tab, sel="scales;count:2;row:3;col:4;block:1;head:0")
    assert not test.exception and not test.error
    if tab == "Patches":
        assert "row:3" in "".join(test.query_params["sel"]) and "block:1" in "".join(test.query_params["sel"])
        next(number for number in test.number_input if number.label == "Row").set_value(8).run()
        assert not test.exception and "row:8" in "".join(test.query_params["sel"])


def test_choices_are_restored_from_a_link_and_invalid_ones_reported():
    chosen = Choices("pixels", "patches", 16, 1, 3, 4, 2, 0)
    assert choices_from(chosen.to_text()) == (chosen, ())
    found, ignored = choices_from("scales;count:99;hold:water;colour:red;count:5")
    assert found == Choices(count=5) and len(ignored) == 3
    found, ignored = choices_from("another page's")
    assert found == Choices() and "ignored" in ignored[0]
    assert choices_from("") == (Choices(), ())
    test = lab(sel="scales;count:1")
    assert any("count:1" in warning.value for warning in test.warning)


def test_accuracy_over_scales_is_computed_on_request_and_cached(tmp_path, monkeypatch, shared_data):
    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path))
    monkeypatch.setattr("ui.scale_lab.accuracy.FEW", 2)
    monkeypatch.setattr("ui.scale_lab.accuracy.IN_ALL", 24)
    test = lab(model="scale_mae_tiny", sel="scales;count:2", tab="Curves")
    assert not test.exception and not list(tmp_path.rglob("*.json"))
    next(box for box in test.selectbox if box.label == "Labelled set").set_value("harvey").run()
    next(button for button in test.button if button.label == "Compute").click().run()
    assert not test.exception and not test.error
    assert len(list(tmp_path.glob("*.json"))) == 4
    assert any("Weighted kNN on 24 test images" in caption.value for caption in test.caption)


@pytest.mark.thorough
def test_choices_carry_over_to_the_other_lab():
    test = lab(model="scale_mae_tiny", mask="block-50-s3", sel="scales;count:2")
    for page in ("pages/1_Mask_Lab.py", "pages/2_Scale_Lab.py"):
        test.switch_page(page).run()
        assert not test.exception and not test.error
        assert {name: "".join(test.query_params[name]) for name in ("model", "mask")} == {
            "model": "scale_mae_tiny",
            "mask": "block-50-s3",
        }


def test_a_verdict_names_a_winner_only_if_it_is_ahead():
    from ui.scale_lab.sections import best_policies, policy_verdict

    close = {"native_gsd": 27.00, "log_gsd": 27.02, "author_eval": 27.01}
    assert policy_verdict(close) == (
        "**GSD hardly matters to this network here:** 0.02 dB between policies, so none is best."
    )
    tied = {"native_gsd": 25.0, "log_gsd": 27.02, "author_eval": 27.04}
    assert best_policies(tied) == ["author_eval", "log_gsd"]
    assert "tie, 2.04 dB ahead of the next" in policy_verdict(tied) and "best here" not in policy_verdict(
        tied
    )
    clear = {"native_gsd": 25.0, "log_gsd": 27.0, "author_eval": 26.0}
    assert best_policies(clear) == ["log_gsd"]
    assert "log_gsd" in policy_verdict(clear) and "1.00 dB ahead of the next" in policy_verdict(clear)


def test_the_verdict_on_the_page_agrees_with_its_table():
    from ui.scale_lab.sections import TIE_DB

    test = lab(
        model="scale_mae_tiny",
        tab="Sensitivity to the scale input",
        sel="scales;count:2",
        mask="random-50-s1",
    )
    assert not test.exception and not test.error
    table = next(frame.value for frame in test.dataframe if "Policy" in frame.value)
    psnr = table["PSNR of hidden pixels"].str.removesuffix(" dB").astype(float)
    assert psnr.is_monotonic_decreasing
    verdict = next(
        m.value for m in test.markdown if "best here" in m.value or "tie" in m.value or "hardly" in m.value
    )
    spread = psnr.max() - psnr.min()
    if abs(spread - TIE_DB) > 0.01:  # the table is rounded to 0.01 dB
        assert ("hardly" in verdict) == (spread < TIE_DB)


@pytest.mark.thorough
def test_the_animation_moves_through_the_scales():
    test = lab(model="scale_mae_tiny", tab="Animation", sel="scales;count:3")
    slider = next(
        one for one in test.select_slider if one.label == "Ground sample distance as fed" and one.key
    )
    shown = next(html.proto.body for html in test.get("html") if "played-combined" in html.proto.body)
    before = slider.value
    next(button for button in test.button if button.label == "Play").click().run()
    assert not test.exception
    after = next(one for one in test.select_slider if one.key == slider.key).value
    assert after != before
    assert shown not in [html.proto.body for html in test.get("html")]
    next(button for button in test.button if button.label == "Pause").click().run()
    assert next(one for one in test.select_slider if one.key == slider.key).value == after


def test_same_pixels_hides_the_same_share_at_every_scale():
    from core.masking import make_mask
    from ui.pickers import controls
    from ui.scale_lab.choices import scales_of
    from ui.shell import cached

    view = controls.default_view()
    card = cached.card_of(view.model)
    found = scales_of(view, Choices(hold="pixels", count=6), card)
    assert len(found) == 6
    grid = card.input_px // card.patch_px
    assert {make_mask(scale.mask, grid, grid).hidden.sum() for scale in found} == {round(0.75 * grid**2)}
