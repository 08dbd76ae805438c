"""The verb label, as a person types it."""

import json

import numpy as np
import pytest

from core.atlas import TableInfo
from core.atlas.store.shards import write_table
from core.cli.entry import main
from tests.atlas.labelling.conftest import grid, label_files  # noqa: F401 (fixtures)


@pytest.fixture
def table(grid, tmp_path):  # noqa: F811
    vectors = grid.stored.values
    from core.atlas import make_rows

    names = ("unique_id", "centre_lon", "centre_lat", "geometry", "bbox", "model")
    rows = make_rows(vectors, {name: grid.columns[name].combine_chunks() for name in names})
    write_table(tmp_path / "table", rows, TableInfo("test", None, "vector", vectors.shape[1]))
    return tmp_path / "table"


def test_label_writes_a_map_and_its_report(table, label_files, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "out"
    assert main(["label", str(table), str(label_files / "labels.gpkg"), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["labelled_tiles"] == 300 and set(said["cross_validation"]) == {"random", "blocks"}
    assert {f.name for f in out.iterdir()} == {
        "map.parquet", "map.tif", "classes.tif", "confusion.csv", "report.json",
    }  # fmt: skip
    assert np.isclose(sum(record["share"] for record in said["areas"]), 1)


def test_label_explains_what_is_wrong(table, label_files, tmp_path, capsys):  # noqa: F811
    assert main(["label", str(table), str(label_files / "labels.csv"), "--column", "crop"]) == 2
    assert "no column 'crop'" in capsys.readouterr().err
    assert main(["label", str(table), str(tmp_path / "absent.csv")]) == 2
    assert "There is no file absent.csv" in capsys.readouterr().err
    assert main(["label", str(table), str(label_files / "labels.csv"), "--folds", "1"]) == 2
    assert "2 to 20 folds" in capsys.readouterr().err
