"""Recipe files reproduce their results from any folder: own folders and zips, stated GSDs, and fills."""

import json
import shutil
from pathlib import Path

import pytest

from core.cli.entry import main
from core.evaluation.baselines.fills import FILLS
from core.evaluation.recipes import read_recipe
from core.evaluation.rerun import fill_of
from core.models import registry
from tests.evaluation.protocols.test_segmentation import write_pair

WEIGHTS = Path(registry.__file__).parent / "weights"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Change to another working directory, after the recipes are written."""
    (tmp_path / "elsewhere").mkdir()
    return lambda: monkeypatch.chdir(tmp_path / "elsewhere")


def written(capsys, out, *command):
    """Evaluate and return the recipe files with their results."""
    assert main(["evaluate", *map(str, command), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    files = {
        (r.model, r.scale, r.shots, r.ratio): path
        for path in (out / "recipes").glob("*.toml")
        if (r := read_recipe(path))
    }
    return [
        (files[r["model"], r["scale"], r["recipe"].get("shots"), r["recipe"].get("ratio")], r) for r in found
    ]


def again(capsys, *command):
    assert main(["evaluate", "--recipe", *map(str, command), "--json"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out)["results"][-1], err


@pytest.mark.parametrize("kind", ["class_folders", "index_zip"])
def test_recipe_of_an_own_set_runs_again_from_any_folder(request, kind, tmp_path, capsys, elsewhere):
    data = request.getfixturevalue(kind)
    command = (
        data,
        "--protocol",
        "sweep",
        "--model",
        "mae_tiny",
        "--scales",
        "50,100",
        "--policy",
        "log_gsd",
        "--gsd-m",
        "0.7",
        "--limit",
        "9",
    )
    pairs = written(capsys, tmp_path / "out", *command)
    elsewhere()
    for path, first in pairs:
        for where in ((data,), ("--data", data.parent), ("--data", data)):
            if where == ("--data", data) and data.suffix:
                continue  # a zip is no folder of sets
            found, err = again(capsys, path, *where)
            assert found["recipe"] == {**first["recipe"], "protocol": "knn"}
            assert (found["accuracy"], found["low"], found["high"]) == (
                first["accuracy"],
                first["low"],
                first["high"],
            )
            assert "followed in every setting" in err
        assert found["recipe"]["stated_gsd_m"] == 0.7


@pytest.mark.parametrize("protocol", ["probe", "few-shot"])
def test_recipes_of_classification_protocols_run_again(index_zip, tmp_path, capsys, elsewhere, protocol):
    pairs = written(
        capsys,
        tmp_path / "out",
        index_zip,
        "--protocol",
        protocol,
        "--model",
        "mae_tiny",
        "--gsd-m",
        "3",
        "--seed",
        "5",
    )
    elsewhere()
    for path, first in pairs:
        found, err = again(capsys, path, "--data", tmp_path)
        assert (found["recipe"], found["accuracy"]) == (first["recipe"], first["accuracy"])
        assert "followed in every setting" in err


def test_recipes_of_reconstructions_and_of_every_fill_run_again(index_zip, tmp_path, capsys, elsewhere):
    command = (
        index_zip,
        "--protocol",
        "reconstruction",
        "--model",
        "scale_mae_tiny",
        "--ratios",
        "0.75,0.5",
        "--limit",
        "2",
        "--size",
        "64",
    )
    pairs = written(capsys, tmp_path / "out", *command, "--gsd-m", "0.7")
    assert {first["model"] for _, first in pairs} == {*FILLS, "scale_mae_tiny"}
    elsewhere()
    for path, first in pairs:
        found, err = again(capsys, path, index_zip)
        assert (found["recipe"], found["psnr"]) == (first["recipe"], first["psnr"])
        assert "followed in every setting" in err


def test_fill_recipe_without_patch_size_is_refused(index_zip, tmp_path, capsys):
    command = (
        index_zip,
        "--protocol",
        "reconstruction",
        "--model",
        "scale_mae_tiny",
        "--ratios",
        "0.75",
        "--limit",
        "1",
        "--size",
        "64",
    )
    path = next(
        path for path, first in written(capsys, tmp_path / "out", *command) if first["model"] == "telea"
    )
    assert fill_of(read_recipe(path)).patch_px == 8
    path.write_text(path.read_text().replace(", patches of 8 px", ""))
    assert main(["evaluate", "--recipe", str(path), str(index_zip)]) == 2
    assert "does not state the patch size of its mask" in capsys.readouterr().err


def test_changed_images_are_reported_and_a_renamed_copy_is_accepted(
    class_folders, tmp_path, capsys, elsewhere
):
    ((path, first),) = written(capsys, tmp_path / "out", class_folders, "--model", "colour_histogram")
    shutil.copytree(class_folders, tmp_path / "copy")
    elsewhere()
    found, err = again(capsys, path, tmp_path / "copy")
    assert found["accuracy"] == first["accuracy"]
    assert "followed in every setting" in err
    (tmp_path / "copy" / "River" / "River_3.png").write_bytes(
        (class_folders / "Town" / "Town_3.png").read_bytes()
    )
    found, err = again(capsys, path, tmp_path / "copy")
    assert (
        f"not those of the recipe (fingerprint {first['recipe']['data_hash']}, here "
        f"{found['recipe']['data_hash']})" in err
    )


def test_missing_set_and_too_many_sets_are_refused(class_folders, tmp_path, capsys, elsewhere):
    (path, _), = written(capsys, tmp_path / "out", class_folders, "--model", "colour_histogram")  # fmt: skip
    elsewhere()
    assert main(["evaluate", "--recipe", str(path)]) == 2
    assert "There is no labelled set 'set': give a folder" in capsys.readouterr().err
    assert main(["evaluate", "--recipe", str(path), "eurosat", "harvey"]) == 2
    assert "A recipe belongs to one set" in capsys.readouterr().err


def test_a_segmentation_of_own_masks_runs_again(tmp_path, capsys, elsewhere):
    data = tmp_path / "masked"
    for number in range(8):
        write_pair(data, f"field{number}", seed=number)
    ((path, first),) = written(
        capsys,
        tmp_path / "out",
        data,
        "--protocol",
        "segmentation",
        "--model",
        "colour_histogram",
        "--gsd-m",
        "2",
    )
    elsewhere()
    found, err = again(capsys, path, "--data", tmp_path)
    assert (found["recipe"], found["miou"]) == (first["recipe"], first["miou"])
    assert "followed in every setting" in err


def test_a_recipe_of_weights_runs_again_with_the_file_that_is_given(index_zip, tmp_path, capsys, elsewhere):
    weights = tmp_path / "kept" / "mine.safetensors"
    weights.parent.mkdir()
    shutil.copy(WEIGHTS / "mae_tiny.safetensors", weights)
    ((path, first),) = written(capsys, tmp_path / "out", index_zip, "--model", weights, "--gsd-m", "2")
    elsewhere()
    assert main(["evaluate", "--recipe", str(path), str(index_zip)]) == 2
    assert (
        "The recipe's model 'mine.safetensors' is neither a preset nor a file in this folder: give its "
        "weights file" in capsys.readouterr().err
    )
    found, err = again(capsys, path, index_zip, "--model", weights)
    assert (found["recipe"], found["accuracy"]) == (first["recipe"], first["accuracy"])
    assert "followed in every setting" in err


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\\u0000b", "~nobody-of-this-name/set"])
def test_recipe_with_an_invalid_path_is_refused(tmp_path, capsys, name):
    text = f'protocol="knn"\ndata="{name}"\ndata_hash="b"\nmodel="colour_histogram"\nweights="none"\n'
    (tmp_path / "recipe.toml").write_text(text)
    assert main(["evaluate", "--recipe", str(tmp_path / "recipe.toml")]) == 2
    err = capsys.readouterr().err
    assert "There is no labelled set" in err and len(err) < 500
