"""The state of the Globe page in its address: restored exactly, and invalid parts ignored."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from earth_mae_components import Camera, Selection, encode_polygon
from hypothesis import given
from hypothesis import strategies as st

from ui.globe.globe_state import PANEL_PARAMS, GlobePageView, from_params, to_params
from ui.shell.state import GLOBE_PARAMS

SHOWN = GlobePageView(
    table="The world at 7 to 30 km",
    model="scale_contrast_tiny (7618ae81) vector",
    gsd_m=7400.0,
    by="column:recon_loss_low",
    camera=Camera("flat", -120.5, 12.25, 1.5, 0.125, -3.5, 4.25),
    selection=Selection("globe", "lasso", ((170.0, -10.0), (190.0, -10.0), (180.0, 5.0))),
    place="36695e9b18a38f38b075",
    land_only=False,
    panel_params=(("labels", "abc"), ("with", "another table")),
)


def test_state_round_trips_through_the_address() -> None:
    params = to_params(SHOWN)
    assert set(params) <= GLOBE_PARAMS
    assert from_params(params) == (SHOWN, ())


def test_defaults_are_left_out() -> None:
    assert to_params(GlobePageView()) == {}
    assert from_params({}) == (GlobePageView(), ())


@pytest.mark.parametrize("rows", [("", 15_000.0), ("one vector", 0.0), ("one~two", 7.5)])
def test_any_model_name_and_gsd_round_trips(rows: tuple[str, float]) -> None:
    shown = GlobePageView(model=rows[0], gsd_m=rows[1])
    assert from_params(to_params(shown))[0] == shown


def test_a_click_is_not_written_as_an_area() -> None:
    assert "area" not in to_params(
        GlobePageView(selection=Selection("globe", "click", ((1.0, 2.0),), 1, (5,)))
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cam", "g,1"),
        ("cam", "g,nan,0,1"),
        ("cam", "q,0,0,1"),
        ("cam", "g,0,91,1"),
        ("cam", "g,0,0,inf"),
        ("area", "xx"),
        ("area", "gl!"),
        ("area", "gl" + "A" * 30_000),
        ("land", "maybe"),
        ("by", "../../etc"),
        ("by", "painted"),
        ("by", "column:a b"),
        ("table", "a\0b"),
        ("place", "x" * 300),
        ("rows", "x" * 300),
    ],
)
def test_invalid_values_are_ignored_and_reported(name: str, text: str) -> None:
    view, ignored = from_params({name: text})
    assert view == GlobePageView()
    assert len(ignored) == 1 and ignored[0].startswith(f'"{name}" in the link was ignored. ')


@given(st.dictionaries(st.sampled_from(sorted(GLOBE_PARAMS)), st.text(max_size=60)))
def test_no_link_raises(params: Mapping[str, str]) -> None:
    found, _ = from_params(params)
    assert from_params(to_params(found))[0] == found


def test_a_lasso_of_two_thousand_vertices_fits() -> None:
    ring = tuple((n / 10.0, 10.0 if n % 2 else -10.0) for n in range(2000))
    shown = GlobePageView(selection=Selection("plane", "lasso", ring))
    found, left_out = from_params({"area": "pl" + encode_polygon(ring)})
    assert not left_out
    assert found.selection is not None and len(found.selection.polygon) == 2000
    assert to_params(shown)["area"].startswith("pl")


def test_panel_texts_are_short_and_printable() -> None:
    found, _ = from_params(dict.fromkeys(PANEL_PARAMS, "x" * 1000))
    assert all(len(text) == 400 for _, text in found.panel_params)
    assert from_params({"labels": "a\x07b"})[0].panel_params == ()
