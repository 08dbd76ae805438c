"""Parameters of a link that a page cannot use are reported, on every page."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.thorough import a_few

MASK_LAB, SCALE_LAB, GLOBE = "pages/1_Mask_Lab.py", "pages/2_Scale_Lab.py", "pages/3_Globe.py"
UNLINKED = (None, "pages/4_Evaluate.py", "pages/5_Train.py")


def reported(app: AppTest) -> str:
    return " ".join(box.value for box in (*app.warning, *app.error))


@pytest.mark.parametrize(
    ("page", "params", "named"),
    a_few(
        [
            (MASK_LAB, {"weights": "deadbeef0000"}, "made with the weights deadbeef0000"),
            (MASK_LAB, {"model": "mae_tiny", "weights": "deadbeef0000"}, "mae_tiny has the weights"),
            (
                SCALE_LAB,
                {"weights": "deadbeef0000", "sel": "scales;count:2"},
                "made with the weights deadbeef0000",
            ),
            (MASK_LAB, {"sel": "scales;count:4"}, '"sel"'),
            (MASK_LAB, {"cam": "1,2,3"}, '"cam"'),
            (MASK_LAB, {"tab": "Nonsense"}, "no tab called Nonsense"),
            (SCALE_LAB, {"tab": "Errors", "sel": "scales;count:2"}, "no tab called Errors"),
            (SCALE_LAB, {"sel": "row:17"}, "row:17"),
            (MASK_LAB, {"mask": "checkerboard-30"}, "takes no ratio"),
            (MASK_LAB, {"mask": "random-50-z5"}, "takes no size"),
            (MASK_LAB, {"tile": "samples/none"}, "'none' is not in"),
            (MASK_LAB, {"win": "99999,0,50,50"}, "extends beyond the picture"),
            (MASK_LAB, {"at": "0,0"}, "outside this picture"),
            (MASK_LAB, {"gsd": "1e6"}, "choose a GSD of at most"),
            (MASK_LAB, {"size": "13"}, "13 px cannot be cut into patches"),
            (MASK_LAB, {"rgb": "0,1,99"}, "asks for bands"),
            *((page, {"model": "nobody"}, '"model"') for page in UNLINKED),
        ],
        4,
    ),
    ids=str,
)
def test_unusable_parameters_are_reported(open_page, page, params, named):
    app = open_page(page, **params)
    assert not app.exception
    assert named in reported(app)


def test_globe_reports_other_weights(open_page, data):
    app = open_page(GLOBE, weights="deadbeef0000", tab="Nonsense")
    assert not app.exception
    assert "made with the weights deadbeef0000" in reported(app) and "no tab called Nonsense" in reported(app)


def test_a_valid_link_gives_no_warning(open_page):
    from ui.shell import cached

    card = cached.cards()["mae_tiny"]
    app = open_page(MASK_LAB, model="mae_tiny", weights=card.weights.sha256[:12], tab="Compare")
    assert not app.exception and not app.warning


@pytest.mark.parametrize(
    ("page", "old", "present"),
    a_few(
        [
            (MASK_LAB, "Judge", "Errors"),
            (MASK_LAB, "Many masks", "Uncertainty (Monte Carlo)"),
            (SCALE_LAB, "Response to res", "Sensitivity to the scale input"),
        ],
        1,
    ),
)
def test_an_old_tab_name_opens_the_renamed_tab(open_page, page, old, present):
    app = open_page(page, tab=old)
    assert not app.exception
    assert "no tab called" not in reported(app)
    assert app.session_state["tab"] == present


@pytest.mark.thorough
def test_warnings_stay_until_the_view_changes(open_page):
    """A component may rerun the page at once; the warnings about the link must remain."""
    app = open_page(MASK_LAB, weights="deadbeef0000")
    app.run()
    assert "deadbeef0000" in reported(app)
    next(one for one in app.slider if one.label == "Masking ratio").set_value(37).run()
    app.run()
    assert "deadbeef0000" not in reported(app)
