"""The Evaluate page in a browser: filters, export, comparison, dark theme, two widths."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.engine.training.segment import train_head
from core.evaluation.cache import Cache
from core.evaluation.plan import EvaluationPlan
from core.evaluation.running import evaluate
from core.evaluation.subjects import ColourHistogram
from tests.evaluation.conftest import CLASSES, FakeNetwork, picture
from tests.evaluation.protocols.test_segmentation import write_pair

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory, serve):
    """Serve the page with a small EuroSAT and cached results of two models, two protocols."""
    folder = tmp_path_factory.mktemp("evaluate")
    for kind, name in enumerate(CLASSES):
        (folder / "data" / "EuroSAT_RGB" / name).mkdir(parents=True)
        for number in range(20):
            picture(kind, number, 64).save(folder / "data" / "EuroSAT_RGB" / name / f"{name}_{number}.png")
    for number in range(8):
        write_pair(folder / "fields", str(number), seed=number)
    subjects, cache = [ColourHistogram(), FakeNetwork()], Cache(folder / "cache")
    list(
        evaluate(
            EvaluationPlan(protocol="sweep", data=("eurosat",), scales=(0.5, 1.0)),
            subjects,
            folders=(folder / "data",),
            cache=cache,
        )
    )
    dense = EvaluationPlan(protocol="segmentation", data=(str(folder / "fields"),), gsd_m=1.0)
    list(evaluate(dense, subjects, folders=(), cache=cache, learn=train_head))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARTH_MAE_CACHE", str(folder / "cache"))
        yield f"{serve(ROOT / 'app.py', data=folder / 'data')}/Evaluate"


def choose(page: Page, title: str, option: str) -> None:
    several = title != "Compare with"
    box = page.get_by_test_id("stMultiSelect" if several else "stSelectbox").filter(
        has=page.get_by_text(title, exact=True)
    )
    box.get_by_role("combobox").click()
    page.wait_for_timeout(500)  # a rerun under way redraws the list once
    page.get_by_role("option", name=option).first.click()
    if several:  # a multiselect stays open; a selectbox is closed, and Escape would undo its choice
        page.keyboard.press("Escape")


def several(page: Page, title: str) -> Locator:
    return page.get_by_test_id("stMultiSelect").filter(has=page.get_by_text(title, exact=True))


def exported(page: Page, name: str) -> str:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(waiting.value.path()).read_text()


@pytest.mark.thorough
def test_narrow_dark_page_shows_all_results(local_page: Page, place):
    local_page.emulate_media(color_scheme="dark")
    local_page.set_viewport_size({"width": 400, "height": 1000})
    local_page.goto(place)
    expect(local_page.get_by_role("button", name="LaTeX", exact=True)).to_be_visible()
    assert len(exported(local_page, "CSV").splitlines()) == 7
    assert local_page.evaluate("document.documentElement.scrollWidth") <= 400


def test_results_are_filtered_compared_and_exported(local_page: Page, place):
    local_page.set_viewport_size({"width": 1400, "height": 1000})
    local_page.goto(place)
    expect(local_page.get_by_role("button", name="LaTeX", exact=True)).to_be_visible()
    everything = list(csv.DictReader(exported(local_page, "CSV").splitlines()))
    assert len(everything) == 6 and {row["model"] for row in everything} == {"colour_histogram", "fake"}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in everything)
    choose(local_page, "Set", "fields")
    expect(local_page.get_by_text("Test tiles from the least to the most accurate")).to_be_visible()
    assert "0.5" not in {row["scale"] for row in csv.DictReader(exported(local_page, "CSV").splitlines())}
    latex = exported(local_page, "LaTeX")
    assert "\\toprule" in latex and "fields" in latex and "eurosat" not in latex
    choose(local_page, "Compare with", "colour_histogram on fields")
    expect(local_page.get_by_text("Second minus first")).to_be_visible()


@pytest.mark.thorough
def test_duplicates_are_searched_on_request(local_page: Page, place):
    local_page.set_viewport_size({"width": 1400, "height": 1000})
    local_page.goto(place)
    local_page.get_by_text("Duplicates across the split").click()
    local_page.get_by_role("button", name="Find duplicates").click()
    expect(
        local_page.get_by_text("test images of eurosat are also among its training images")
    ).to_be_visible()


@pytest.mark.thorough
def test_new_results_appear_without_a_reload(local_page: Page, place):
    local_page.set_viewport_size({"width": 1400, "height": 1000})
    local_page.goto(place)
    expect(local_page.get_by_role("button", name="LaTeX", exact=True)).to_be_visible()
    before = len(exported(local_page, "CSV").splitlines())
    models = several(local_page, "Models")
    models.get_by_role("button", name="Clear all").click()
    models.get_by_role("combobox").fill("Colour histogram")
    local_page.keyboard.press("Enter")
    local_page.keyboard.press("Escape")
    local_page.get_by_test_id("stNumberInput").locator("input").first.fill("4")
    local_page.get_by_role("button", name="Evaluate", exact=True).click()
    expect(local_page.get_by_text("Done: 1 result.")).to_be_visible()
    assert len(exported(local_page, "CSV").splitlines()) == before + 1


@pytest.mark.thorough
def test_a_new_installation_gives_a_first_result_of_its_own(local_page: Page, serve, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))
        address = serve(ROOT / "app.py", data=tmp_path / "none")
    local_page.set_viewport_size({"width": 1400, "height": 1000})
    local_page.goto(f"{address}/Evaluate")
    sets = several(local_page, "Sets")
    expect(sets).to_be_visible()
    if "world_regions" not in sets.inner_text():  # data packs lie beside the checkout
        sets.get_by_role("button", name="Clear all").click()
        choose(local_page, "Sets", "world_regions")
        expect(sets).to_contain_text("world_regions")
        local_page.wait_for_timeout(2000)  # a click while the form is drawn again would be lost
    local_page.get_by_role("button", name="Evaluate", exact=True).click()  # the only click
    first = local_page.get_by_text(re.compile(r"world_regions, colour_histogram.*: accuracy 0\.\d+ \[0\."))
    expect(first).to_be_visible()  # before the other models are done
    expect(local_page.get_by_text("results.").filter(has_text="Done")).to_be_visible()
    # While the page is drawn again, the old element may still stand beside the new one.
    expect(local_page.get_by_text(re.compile("Second minus first|Details of")).first).to_be_visible()
    found = list(csv.DictReader(exported(local_page, "CSV").splitlines()))
    assert {row["data"] for row in found} == {"world_regions"} and len(found) >= 5
    assert all(0.1 < float(row["value"]) < 1 for row in found)


@pytest.mark.thorough
def test_all_selected_models_are_visible_and_settings_are_closed(local_page: Page, place):
    local_page.set_viewport_size({"width": 1400, "height": 1000})
    local_page.goto(place)
    tags = several(local_page, "Models").get_by_test_id("stMultiSelectTagsContainer")
    expect(tags).to_be_visible()
    assert tags.evaluate("box => box.scrollHeight - box.clientHeight") <= 0
    neighbours = local_page.get_by_label("Neighbours k", exact=True)
    expect(neighbours).to_be_hidden()
    local_page.get_by_text("Protocol settings").click()
    expect(neighbours).to_be_visible()


@pytest.mark.parametrize("width", [1400, 400])
@pytest.mark.thorough
def test_legends_of_the_papers_do_not_cover_their_curves(local_page: Page, place, width):
    local_page.set_viewport_size({"width": width, "height": 1000})
    local_page.goto(place)
    charts = local_page.locator(".js-plotly-plot").filter(has=local_page.get_by_text("colour histogram"))
    expect(charts).to_have_count(3)
    for number in range(3):
        legend, plot = (
            charts.nth(number).locator(part).first.bounding_box() for part in ("g.legend .bg", ".nsewdrag")
        )
        assert legend and plot and legend["y"] + legend["height"] <= plot["y"] + 1, (number, legend, plot)
        assert plot["height"] > 150
