"""The verb search with words, as a person types it."""

import json

import numpy as np
from PIL import Image

from core.cli.entry import main


def asked(capsys, *words):
    code = main(["search", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_words_name_a_place_or_a_class(grid_table, label_files, capsys):
    code, out, err = asked(capsys, grid_table, "--words", "Timbuktu", "--json")
    assert code == 0 and json.loads(out)["query"] == {"words": "Timbuktu"}
    assert "the ground near Timbuktu, Mali" in err and "may not cover the place" in err
    code, out, err = asked(
        capsys, grid_table, "--words", "forest", "--labels", label_files / "labels.gpkg", "--k", "5", "--json"
    )
    assert code == 0 and len(json.loads(out)["neighbors"]) == 5
    assert "tiles labelled “forest”" in err and "balanced accuracy" in err
    code, _, err = asked(capsys, grid_table, "--words", "desert", "--labels", label_files / "labels.gpkg")
    assert code == 2 and "No class is called “desert”" in err
    code, _, err = asked(capsys, grid_table, "--words", "a nice harbour")
    assert code == 2 and "not among the 24,000 towns" in err and "--text-encoder" in err
    code, _, err = asked(capsys, grid_table, "--row", "3", "--column", "crop")
    assert code == 2 and "belong to --words" in err


def test_words_describe_the_pictures_of_the_table(encoder_pair, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in (("red", (200, 0, 0)), ("green", (0, 200, 0)), ("blue", (0, 0, 200))):
        Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(pictures / f"{name}.png")
    made = [
        "embed",
        pictures,
        "--out",
        tmp_path / "t",
        "--model",
        encoder_pair / "vision_model.onnx",
        "--gsd-m",
        "1",
    ]
    assert main([*map(str, made), "--stated-gsd-m", "1"]) == 0
    capsys.readouterr()
    for name in ("red", "green", "blue"):
        code, out, err = asked(
            capsys,
            tmp_path / "t",
            "--words",
            name,
            "--text-encoder",
            encoder_pair / "text_model.onnx",
            "--json",
        )
        assert code == 0 and json.loads(out)["neighbors"][0]["product_id"].startswith(name)
        assert f"“{name}”, read by text_model.onnx" in err
    (encoder_pair / "vision_model.onnx").write_bytes((encoder_pair / "fixed.onnx").read_bytes())
    code, _, err = asked(
        capsys, tmp_path / "t", "--words", "red", "--text-encoder", encoder_pair / "text_model.onnx"
    )
    assert code == 2 and "cannot describe" in err and "image half" in err
