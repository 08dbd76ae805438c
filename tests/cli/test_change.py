"""The verb change, as a person types it: two rasters, two tables, and invalid input."""

import json

import numpy as np
import pytest

from core.cli.entry import main
from tests.waves import waves, write_raster


def write_scene(path, seed=None):
    """Write a striped scene of 4 x 5 tiles of 32 px; `seed` puts noise into one tile."""
    pixels = waves(128, 160)
    if seed is not None:
        pixels[:, 32:64, 32:64] = np.random.default_rng(seed).integers(0, 255, (3, 32, 32))
    return str(write_raster(path, pixels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("change")
    scenes = [write_scene(folder / "old.tif"), write_scene(folder / "new.tif", seed=0)]
    options = ["--model", "mae_tiny", "--tile-px", "32", "--out", str(folder / "out")]
    assert main(["change", *scenes, *options]) == 0
    return folder


def test_two_rasters_are_embedded_and_the_changed_tile_comes_first(folder):
    assert {f.name for f in (folder / "out").iterdir()} == {
        "before", "after", "change.parquet", "change.tif", "report.json",
    }  # fmt: skip
    found = json.loads((folder / "out" / "report.json").read_text())
    first, second = found["most_changed"][:2]
    assert found["places"] == 20 and first["score"] > 10 * max(second["score"], 1e-6)


def test_two_tables_print_the_same(folder, capsys):
    tables = [str(folder / "out" / name) for name in ("before", "after")]
    assert main(["change", *tables, "--json", "--top", "1"]) == 0
    report = json.loads((folder / "out" / "report.json").read_text())
    assert json.loads(capsys.readouterr().out)["most_changed"] == report["most_changed"][:1]


def test_the_scenes_are_their_own_reference(folder, capsys):
    tables = [str(folder / "out" / name) for name in ("before", "after")]
    assert main(["change", *tables, "--season", "--json", "--top", "1"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["most_changed"]
    report = json.loads((folder / "out" / "report.json").read_text())
    assert found["before"] == report["most_changed"][0]["before"]
    assert found["percentile"] > 0.9
    assert main(["change", *tables, "--season", "--reference", *tables]) == 2
    assert "leave out --reference" in capsys.readouterr().err


def test_invalid_input_is_reported(folder, capsys):
    table = str(folder / "out" / "before")
    assert main(["change", table]) == 2
    assert "holds no dates" in capsys.readouterr().err
    assert main(["change", str(folder / "old.tif"), str(folder / "new.tif")]) == 2
    assert "--out DIR" in capsys.readouterr().err
    assert main(["change", table, table, "--dates", "2020-01-01", "2021-01-01"]) == 2
    assert "two dates of one table" in capsys.readouterr().err
