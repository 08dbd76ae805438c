"""The panel Label with a file: labels are read, learned from, and shown with their accuracy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.atlas import open_table
from tests.pages.test_globe import PAGE, no_exception, param, text_of

Open = Callable[..., AppTest]


def csv_of(folder: Path) -> bytes:
    """Points at tile centres, labelled by hemisphere, with an untrusted class name."""
    lonlat = open_table(folder / "world").lonlat
    lines = [
        f"{lon},{lat},{'**north** [x](http://a.b)' if lat > 0 else 'south'}"
        for lon, lat in lonlat[:240].tolist()
    ]
    return "\n".join(["lon,lat,class", *lines]).encode()


@pytest.fixture
def page(data: Path, open_page: Open) -> AppTest:
    app = no_exception(open_page(PAGE, tab="Label"))
    next(way for way in app.segmented_control if way.key == "label way").set_value("From a file")
    return no_exception(app.run())


def test_a_file_of_labels_becomes_a_map(page: AppTest, data: Path) -> None:
    assert "Upload points or polygons" in text_of(page)
    page.file_uploader(key="label file").set_value(("places.csv", csv_of(data), "text/csv"))
    no_exception(page.run())
    assert "**240** labels, 2 classes" in text_of(page)
    no_exception(page.button(key="label file run").click().run())
    frame = page.dataframe[0].value
    assert frame["validated by"].tolist() == ["Random folds", "Spatial blocks"]
    assert (frame["accuracy"].astype(float) > 0.4).all() and np.isfinite(
        frame["accuracy"].astype(float)
    ).all()
    assert "Olofsson" in text_of(page) and "[x](http" not in text_of(page)
    toggle = next(t for t in page.toggle if t.label == "Colour the maps by this")
    no_exception(toggle.set_value(True).run())
    assert param(page, "by") == "painted"


def test_a_file_without_labels_is_reported(page: AppTest) -> None:
    page.file_uploader(key="label file").set_value(("odd.csv", b"\x00\x01", "text/csv"))
    no_exception(page.run())
    assert "odd.csv is not a label file" in " ".join(each.value for each in [*page.error, *page.warning])
