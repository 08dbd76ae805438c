"""Files of any product on the Globe: uploads are read in a child process, data folders in place."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import TableError, open_table
from core.geo.catalogue import DATA_VARIABLE
from tests.atlas.products import alphaearth, clay_v1, tessera_npy
from tests.conftest import ROOT
from tests.hostile_tables import tables as hostile
from ui.shell import jobs, opened_tables


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    return jobs.new_owner()


def test_an_uploaded_raster_becomes_a_table(tmp_path, owner):
    product = alphaearth(tmp_path)
    files = [(product.path.name, product.path.read_bytes())]
    opened = opened_tables.open_files(owner, files)
    table = open_table(opened.table)
    order = np.argsort(table.columns["unique_id"].to_pylist())
    expected = open_table(product.path)
    np.testing.assert_array_equal(
        table.vectors[order], expected.vectors[np.argsort(expected.columns["unique_id"].to_pylist())]
    )
    assert opened_tables.open_files(owner, files).folder == opened.folder
    assert [each.title for each in opened_tables.opened_by(owner)] == ["x9-0000000000-0000008192"]
    assert opened_tables.opened_by(jobs.new_owner()) == ()
    assert opened_tables.product_of(opened.table).suffix == ".tiff"
    west, south = expected.lonlat.min(axis=0)
    area = opened_tables.window_of(
        owner, product.path, "mine", (west, south, *np.median(expected.lonlat, axis=0))
    )
    assert 0 < len(open_table(area.table)) < len(expected)
    opened_tables.remove(opened)
    assert [each.title for each in opened_tables.opened_by(owner)] == ["mine (area)"]


@pytest.mark.thorough
def test_tiles_of_several_files(tmp_path, owner):
    product = tessera_npy(tmp_path)
    files = [(file.name, file.read_bytes()) for file in sorted(product.path.parent.iterdir())]
    assert len(files) == 2
    table = open_table(opened_tables.open_files(owner, files).table)
    assert len(table) == 4
    assert np.isfinite(table.lonlat).all()


def test_a_hostile_upload_is_refused_and_leaves_nothing(owner):
    with pytest.raises(TableError):
        opened_tables.open_files(owner, [("t.parquet", hostile()["a footer of 4 GB"])])
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", b" " * 200_000_000)
    with pytest.raises(TableError):
        opened_tables.open_files(owner, [("t.zip", bomb.getvalue())])
    assert opened_tables.opened_by(owner) == ()
    assert not list(jobs.JOBS.rglob("*.parquet"))


@pytest.mark.slow
def test_products_of_a_data_folder_are_listed_and_thinned_ones_offer_an_area(tmp_path, owner, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    alphaearth(tmp_path, size=(30, 30)).path.rename(folder / "tile.tiff")
    clay_v1(folder)
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    monkeypatch.setattr("ui.globe.tables.WORLD", tmp_path / "none")
    monkeypatch.setattr("core.atlas.store.grid_rows.MAX_ROWS", 300)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    app.switch_page("pages/3_Globe.py")
    app.query_params["table"] = "tile.tiff"
    app.run()
    assert not app.exception
    table = next(box for box in app.selectbox if box.label == "Table")
    assert table.options == ["33UUP", "tile.tiff"]
    assert table.value == "tile.tiff"
    assert any("Only every second pixel" in caption.value for caption in app.caption)
