"""The verb label, as a person types it."""

import json

import numpy as np

from core.cli.entry import main


def test_label_writes_a_map_and_its_report(grid_table, label_files, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(["label", str(grid_table), str(label_files / "labels.gpkg"), "--out", str(out), "--json"]) == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert result["labelled_tiles"] == 300 and set(result["cross_validation"]) == {"random", "blocks"}
    assert {f.name for f in out.iterdir()} == {
        "map.parquet", "map.tif", "classes.tif", "confusion.csv", "report.json",
    }  # fmt: skip
    assert np.isclose(sum(record["share"] for record in result["areas"]), 1)


def test_label_explains_what_is_wrong(grid_table, label_files, tmp_path, capsys):
    assert main(["label", str(grid_table), str(label_files / "labels.csv"), "--column", "crop"]) == 2
    assert "no column 'crop'" in capsys.readouterr().err
    assert main(["label", str(grid_table), str(tmp_path / "absent.csv")]) == 2
    assert "There is no file absent.csv" in capsys.readouterr().err
    assert main(["label", str(grid_table), str(label_files / "labels.csv"), "--folds", "1"]) == 2
    assert "2 to 20 folds" in capsys.readouterr().err
