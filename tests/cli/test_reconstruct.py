import json

import numpy as np
import pytest
from PIL import Image

from core.cli.entry import BAD_INPUT, OK, main


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return str(path)


def test_json_is_one_object_and_everything_else_goes_to_standard_error(capsys):
    assert (
        main(
            [
                "reconstruct",
                "samples/landsat",
                "--model",
                "mae_tiny",
                "--json",
                "--mask",
                "block",
                "--ratio",
                "0.5",
                "--seed",
                "3",
            ]
        )
        == OK
    )
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["recipe"]["mask"] == "block-50-s3" and result["recipe"]["hidden_share"] == 0.5
    assert set(result["metrics"]) == {"model", "visible_mean", "nearest", "harmonic"}
    assert all(set(scores) == {"psnr", "ssim", "l1"} for scores in result["metrics"].values())
    assert err


def test_a_stated_gsd_is_that_of_the_original_pixels(photo, capsys):
    assert main(["reconstruct", photo, "--gsd-m", "10", "--model", "mae_tiny", "--json"]) == OK
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    assert recipe["native_gsd_m"] == 10 and recipe["gsd"] == pytest.approx(640 / recipe["input_px"])


@pytest.mark.parametrize(
    "extra",
    [[], ["--gsd-m", "-1"], ["--gsd-m", "1", "--ratio", "1.5"], ["--gsd-m", "1", "--window", "60,60,10,10"],
    ["--gsd-m", "1", "--window", "1,2"],
     ["--gsd-m", "1", "--policy", "manual"], ["--gsd-m", "1", "--mask", "spiral"],
     ["--gsd-m", "1", "--model", "nobody"]],
)  # fmt: skip
def test_invalid_input_gives_one_line_and_exit_code_2(photo, capsys, extra):
    assert main(["reconstruct", photo, *extra]) == BAD_INPUT
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith("core: ")
        and "Traceback" not in err
        and len(err.strip().splitlines()) == 1
    )


def test_models_lists_every_card(capsys):
    assert main(["models", "--json"]) == OK
    result = json.loads(capsys.readouterr().out)
    assert result["default_reconstructor"] in {card["name"] for card in result["models"]}


def test_one_model_is_described_with_what_is_built_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "scale_mae_tiny"]) == OK
    text = capsys.readouterr().out
    assert "Built in: its output is relative to the harmonic fill of the visible pixels" in text
    assert "Licence: Apache-2.0" in text
    assert main(["models", "mae_tiny"]) == OK
    assert "ignores the GSD" in capsys.readouterr().out
    assert main(["models", "nobody"]) == BAD_INPUT
    assert "no model called 'nobody'" in capsys.readouterr().err
