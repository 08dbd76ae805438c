"""The panels Groups and Compare without a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Toggle

from tests.globe_tables import write_other
from tests.pages.test_globe import PAGE, formats, no_exception, param, plain, text_of
from tests.thorough import a_few

Open = Callable[..., AppTest]


def strips(app: AppTest, start: str) -> int:
    return sum((b.key or "").startswith(f"strip {start}") for b in app.button)


def toggle(app: AppTest) -> Toggle:
    return next(toggle for toggle in app.toggle if toggle.label == "Colour the maps by this")


@pytest.mark.usefixtures("data")
def test_groups_are_shown_coloured_and_linked(open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Groups"))
    assert "have the highest silhouette score" in text_of(app)
    assert "by" not in app.query_params, "opening a panel changes no colours"
    assert strips(app, "group 0") == 6
    assert formats(app) == {"GeoParquet", "GeoJSON", "PMTiles", "COG", "Share card"}
    no_exception(app.selectbox(key="w:groups count").set_value(5).run())
    assert param(app, "groups") == "groups 5" and strips(app, "group 4") and not strips(app, "group 5")
    no_exception(toggle(app).set_value(True).run())
    assert param(app, "by") == "painted"
    no_exception(app.selectbox(key="w:groups count").set_value(6).run())
    assert param(app, "by") == "painted" and toggle(app).value
    no_exception(toggle(app).set_value(False).run())
    assert "by" not in app.query_params
    again = no_exception(open_page(PAGE, tab="Groups", groups="groups 5"))
    assert strips(again, "group 4") and not strips(again, "group 5")
    invalid = no_exception(open_page(PAGE, tab="Groups", groups="<b> 99999"))
    assert "have the highest silhouette score" in text_of(invalid)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("way", "words"), a_few([("density", "cosine distance to the 10th"), ("low", "reconstruction loss")], 1)
)
def test_outliers(open_page: Open, way: str, words: str) -> None:
    app = no_exception(open_page(PAGE, tab="Groups", groups=way))
    assert words in text_of(app) and strips(app, f"outliers {way}") == 24 and param(app, "groups") == way


@pytest.mark.thorough
def test_only_density_outliers_without_stored_losses(data: Path, open_page: Open) -> None:
    plain(data, "bare")
    app = no_exception(open_page(PAGE, table="bare", tab="Groups", groups="both"))
    assert not app.error and app.segmented_control(key="w:groups way").options == [
        "Groups",
        "Outliers: distance to neighbours",
    ]


def test_two_networks_on_the_same_places(data: Path, open_page: Open) -> None:
    write_other(data / "turned", data / "world", 0.0)
    app = no_exception(open_page(PAGE, tab="Compare", table="world", place="place000003"))
    assert "**100%** of a place's 20 nearest places" in text_of(app) and "Linear CKA: **1.00**" in text_of(
        app
    )
    assert "another" in param(app, "with") and "by" not in app.query_params
    assert strips(app, "compare beside") == 16
    assert all(
        b.label.endswith("both") for b in app.button if (b.key or "").startswith("strip compare beside")
    )


@pytest.mark.thorough
def test_partial_agreement_over_the_shared_places(data: Path, open_page: Open) -> None:
    write_other(data / "noisy", data / "world", 0.2, slice(0, 200))
    app = no_exception(open_page(PAGE, tab="Compare", table="world"))
    assert "over 200 shared places" in text_of(app) and "**100%**" not in text_of(app)
    assert strips(app, "compare Least agreement") == 8


@pytest.mark.thorough
def test_tables_without_shared_places_are_named_and_not_offered(data: Path, open_page: Open) -> None:
    app = no_exception(open_page(PAGE, tab="Compare", table="world"))
    assert "embed the same imagery with each" in text_of(app) and "Not listed" not in text_of(app)
    plain(data, "nowhere")
    app = no_exception(open_page(PAGE, tab="Compare", table="world"))
    assert "embed the same imagery with each" in text_of(app) and re.search(
        r"share fewer than three places.*· nowhere\.", text_of(app)
    )
    write_other(data / "turned", data / "world", 0.0)
    app = no_exception(open_page(PAGE, tab="Compare", table="world"))
    offered = next(box for box in app.selectbox if (box.key or "").startswith("compare with"))
    assert [option.rpartition(" · ")[2] for option in offered.options] == ["turned"]
    assert re.search(r"share fewer than three places.*· nowhere\.", text_of(app)) and "Linear CKA" in text_of(
        app
    )
