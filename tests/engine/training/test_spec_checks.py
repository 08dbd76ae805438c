"""Every invalid value of a training spec is refused with a clause that says what it must be."""

import pytest

from core.cli.entry import main
from core.engine.inputs import InputError
from core.engine.training.finetune import FineTune
from core.engine.training.runs import RunError, spec_from

GOOD = {"name": "x", "model": "mae_tiny", "steps": 5}


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"name": "../weights/scale_mae_tiny"}, "name must start with a letter"),
        ({"name": "/etc/passwd"}, "name must start with a letter"),
        ({"name": ""}, "name must start with a letter"),
        ({"name": "a\nb"}, "name must start with a letter"),
        ({"name": "x\n"}, "name must start with a letter"),
        ({"name": "x" * 61}, "at most 60"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"preview_every": 0}, "preview_every must be a whole number of 1 or more, not 0"),
        ({"betas": []}, "betas must be two numbers"),
        ({"betas": [0.9, 1.0]}, "betas must be two numbers"),
        ({"betas": ["a", "b"]}, "betas must be two numbers"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": 2**64}, "seed must be a whole number from 0"),
        ({"sides_px": [0]}, "sides_px must list"),
        ({"sides_px": []}, "sides_px must list"),
        ({"sides_px": [64.5]}, "sides_px must list"),
        ({"sides_px": [64, 96]}, "same length"),
        ({"side_shares": [0.0]}, "side_shares must list"),
        ({"batch": 10**9}, "batch must be a whole number from 1 to 65,536"),
        ({"batch": 1e9}, r"run.toml: batch must be a whole number, not 1000000000\.0\."),
        ({"ratios": []}, "ratios must list"),
        ({"ratios": [float("nan")]}, "ratios must list"),
        ({"mask_kinds": [["clouds", 1.0]]}, "mask_kinds must list pairs"),
        ({"mask_kinds": [["cells", 1.0]]}, "mask_kinds must list pairs"),
        ({"mask_kinds": [["random", 0.0]]}, "mask_kinds must list pairs"),
        ({"mask_kinds": [[["random"], 1.0]]}, "mask_kinds must list pairs"),
        ({"mask_kinds": ["random"]}, "mask_kinds must list pairs"),
        ({"lr": float("inf")}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"ema": 1.0}, "ema must be a number from 0 to below 1"),
        ({"encoder_rate": 2}, "encoder_rate must be a number from 0 to 1"),
        ({"clip": -1.0}, "clip must be 0"),
        ({"floor": 2.0}, "floor must be"),
        ({"weight_decay": -1.0}, "weight_decay must be"),
        ({"warmup_steps": -1}, "warmup_steps must be"),
        ({"policy": "manual"}, "policy must be one of native_gsd"),
        ({"policy": "best"}, "policy must be one of"),
        ({"checkpoint_minutes": float("nan")}, "checkpoint_minutes must be"),
        ({"sizes": [1, 2]}, "sizes must be a table"),
        ({"objective": "l2"}, "objective must be a list or a table, not 'l2'"),
        ({"targets_px": ["a"]}, "targets_px must be empty or list whole numbers"),
        ({"data": [1]}, "data must be a list of names"),
        ({"lr": 10**400}, "lr is too large"),
    ],
)
def test_it_is_refused_with_a_clause(changed, clause):
    with pytest.raises(RunError, match=clause):
        spec_from(GOOD | changed, "run.toml")


@pytest.mark.parametrize(
    "line", ["preview_every = 0", "betas = []", "seed = -1", "sides_px = [0]", "batch = 1e9", "batch = -1"]
)
def test_a_spec_on_the_command_line_gets_one_line(line, tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "x"\nmodel = "mae_tiny"\nsteps = 5\n{line}\n')
    assert main(["train", str(path), "--run", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert line.split()[0] in said
    assert not (tmp_path / "run").exists()


def test_all_that_is_wrong_is_said_at_once_and_shortly():
    with pytest.raises(RunError) as problem:
        spec_from(GOOD | {"seed": -1, "betas": [0.5] * 1000, "clip": -1.0}, "run.toml")
    said = str(problem.value)
    assert all(name in said for name in ("seed", "betas", "clip")) and len(said) < 400


def test_good_specs_pass():
    assert (
        spec_from(
            GOOD | {"name": "run-0.5_b", "mask_kinds": [["random", 0.5], ["blob", 2]], "clip": 0.0},
            "run.toml",
        ).name
        == "run-0.5_b"
    )


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"steps": 0}, "steps must be"), ({"batch": 10**9}, "batch must be"),
        ({"lr": float("nan")}, "lr must be"),
        ({"seed": -1}, "seed must be"), ({"warmup_steps": -1}, "warmup_steps must be"),
        ({"layer_decay": 0.0}, "layer_decay must be"),
        ({"label_smoothing": 1.0}, "label_smoothing must be"), ({"weight_decay": -1.0}, "weight_decay must "
                                                                                        "be"),
    ],
)  # fmt: skip
def test_a_fine_tuning_is_held_to_its_bounds_too(changed, clause):
    with pytest.raises(InputError, match=clause):
        FineTune(**changed)
