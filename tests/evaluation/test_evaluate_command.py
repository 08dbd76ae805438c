"""The verb: JSON on standard output, everything else on standard error, exit codes, files."""

import csv
import json

import pytest

from core.cli.entry import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_CACHE", str(tmp_path / "cache"))


def test_json_is_exactly_one_object_with_the_promised_fields(index_zip, capsys):
    assert main(["evaluate", str(index_zip), "--model", "colour_histogram", "mae_tiny", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found) == ["results"]
    assert [r["model"] for r in found["results"]] == ["colour_histogram", "mae_tiny"]
    for result in found["results"]:
        assert {"data", "model", "protocol", "scale", "policy", "accuracy", "low", "high", "recipe"} <= set(
            result
        )
        assert result["low"] <= result["accuracy"] <= result["high"]
    assert "accuracy" in err


def test_a_real_network_reconstructs_beside_the_fills(index_zip, capsys):
    command = [
        "evaluate",
        str(index_zip),
        "--protocol",
        "reconstruction",
        "--model",
        "scale_mae_tiny",
        "--ratios",
        "0.75",
        "--limit",
        "1",
    ]
    assert main([*command, "--size", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    ours = next(r for r in found if r["model"] == "scale_mae_tiny")
    assert set(ours["fills"]) == {"visible_mean", "nearest", "harmonic", "telea"}
    assert ours["recipe"]["size_px"] == 64
    assert ours["psnr"] > 5


def test_files_are_written_and_a_recipe_runs_again(index_zip, tmp_path, capsys, monkeypatch):
    command = [
        "evaluate",
        str(index_zip),
        "--protocol",
        "sweep",
        "--model",
        "mae_tiny",
        "--scales",
        "50,100",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.count("accuracy") == 4
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert len(rows) == 4
    assert len(list((tmp_path / "out" / "recipes").glob("*.toml"))) == 4
    assert "\\toprule" in (tmp_path / "out" / "results.tex").read_text()
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "out" / "recipes" / f"{rows[0]['recipe']}.toml"
    text = recipe.read_text().replace('data = "pack"', 'data = "pack.zip"')
    recipe.write_text(text)
    assert main(["evaluate", "--recipe", str(recipe), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["accuracy"] == pytest.approx(float(rows[0]["value"]))
    assert "followed in every setting" in err or "data was 'pack.zip', now 'pack'" in err


def test_the_paper_is_printed_on_request(index_zip, capsys):
    assert main(["evaluate", str(index_zip), "--model", "colour_histogram", "--against", "paper"]) == 0
    assert "SpaceNet v1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no labelled set 'nowhere'"),
        ([], "Give a data set, a folder or a zip"),
        (["{pack}", "--limit", "1", "--k", "20"], "k is 20 but the gallery holds 3 images"),
        (["{pack}", "--k", "0"], "k is 0; choose a whole number, 1 or more."),
        (["{pack}", "--tau", "0"], "The temperature is 0"),
        (
            ["{pack}", "--protocol", "few-shot", "--shots", "9"],
            "smallest class of 'pack' has 8 training images",
        ),
        (["{pack}", "--protocol", "reconstruction"], "has no decoder"),
        (["{pack}", "--normalisation", "dataset"], "No colour statistics are known"),
    ],
)
def test_invalid_input_gives_one_line_and_exit_code_two(index_zip, capsys, arguments, message):
    arguments = [argument.replace("{pack}", str(index_zip)) for argument in arguments]
    assert main(["evaluate", *arguments, "--model", "colour_histogram"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err


def test_scale_series_and_its_old_name_give_the_same_plan():
    from core.cli.entry import build_parser
    from core.cli.verbs.evaluate.running import plan_from

    new, old = (
        plan_from(build_parser().parse_args(["evaluate", "eurosat", "--protocol", name]))
        for name in ("scale-series", "sweep")
    )
    assert new == old
    assert (new.protocol, new.scales, new.policies) == (
        "sweep",  # the name in recorded results
        (0.125, 0.25, 0.5, 1.0),
        (None, "author_eval"),
    )


def test_floors_and_fetched_teachers_are_evaluated_by_default(monkeypatch):
    from core.cli.entry import build_parser
    from core.cli.verbs.evaluate.running import plan_from
    from core.cli.verbs.evaluate.subjects import subjects_of
    from core.engine import candidates
    from core.evaluation.baselines.colours import FLOORS

    monkeypatch.setattr(candidates, "fetched_teachers", lambda: ())
    plans = {
        name: plan_from(build_parser().parse_args(["evaluate", "eurosat", "--protocol", name]))
        for name in ("knn", "reconstruction", "gsd")
    }
    names = {protocol: {each.name for each in subjects_of(None, plan)} for protocol, plan in plans.items()}
    assert {"scale_contrast_tiny", *FLOORS} <= names["knn"]
    assert not {*FLOORS, "scale_contrast_tiny"} & (names["reconstruction"] | names["gsd"])


@pytest.mark.thorough
def test_the_gallery_lists_every_tile(capsys):
    command = ["evaluate", "gallery", "--protocol", "reconstruction", "--model", "scale_mae_tiny"]
    assert main([*command, "--ratios", "0.75"]) == 0
    out = capsys.readouterr().out
    assert "images have a lead below +0.1 dB" in out and "detail finer than a patch correlates" in out
    tiles = [line for line in out.splitlines() if line.startswith("    ")]
    assert len(tiles) >= 7 and any(line.endswith(" dB  Nile delta and Sinai") for line in tiles)


def test_gsd_sensitivity_is_printed_with_both_directions(index_zip, capsys):
    command = ["evaluate", str(index_zip), "--protocol", "gsd", "--model", "scale_mae_tiny", "--size", "32"]
    assert main([*command, "--ratios", "0.75"]) == 0
    out = capsys.readouterr().out
    assert "gsd_gain" in out and "over a GSD 4 times coarser" in out and "4 times finer" in out
    assert main(["evaluate", str(index_zip), "--protocol", "gsd", "--model", "mae_tiny"]) == 2
    assert "mae_tiny has static positions" in capsys.readouterr().err
