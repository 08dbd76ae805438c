"""Files of every product, uploaded on the Globe page by somebody who does not say what they are."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.atlas import open_table
from tests.atlas.products import RASTERS, TABLES
from tests.browser.conftest import wait_until_rest
from tests.conftest import ROOT
from tests.globe_tables import write_world

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # a page and a child process for each of 15 products
BUILDERS = {**TABLES, **RASTERS}


@pytest.fixture(scope="module")
def jobs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def address(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, jobs_folder: Path) -> str:
    data = tmp_path_factory.mktemp("data")
    write_world(data / "world of tests", 300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARTH_MAE_JOBS", str(jobs_folder))
        return f"{serve(ROOT / 'serve.py', data=data)}/Globe?table=world+of+tests"


def uploaded(path: Path) -> list[Path]:
    """Return what a user would upload: the tile with its scales, or the store as a ZIP."""
    if path.is_dir():
        return [Path(shutil.make_archive(str(path), "zip", path))]
    return sorted(path.parent.iterdir()) if path.suffix == ".npy" and "grid_" in path.name else [path]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_product_is_opened(
    local_page: Page, address: str, jobs_folder: Path, tmp_path: Path, name: str
) -> None:
    product = BUILDERS[name](tmp_path)
    page = local_page
    page.set_viewport_size({"width": 1400, "height": 1300})
    page.goto(address)
    wait_until_rest(page)
    page.get_by_role("button", name=re.compile("Open a file")).click()
    before = set(jobs_folder.glob("*/opened/*"))
    page.locator("input[type=file]").first.set_input_files(uploaded(product.path))
    page.wait_for_function("!location.search.includes('world+of+tests')")
    wait_until_rest(page)
    title = parse_qs(urlsplit(page.url).query)["table"][0]
    assert title.startswith(product.path.name.split(".")[0])
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text(re.compile(rf"\b{len(product.vectors):,} "))).not_to_have_count(0)
    (folder,) = set(jobs_folder.glob("*/opened/*")) - before
    table, expected = open_table(folder / "table"), open_table(product.path)
    order = [table.row_of(identity) for identity in expected.columns["unique_id"].to_pylist()]
    np.testing.assert_array_equal(table.vectors_of(order), product.vectors)
