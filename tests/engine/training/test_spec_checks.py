"""Every invalid value of a training spec is refused, and the message says which values are valid."""

import pytest

from core.cli.entry import main
from core.engine.inputs import InputError
from core.engine.training.finetune import FineTune
from core.engine.training.runs import RunError, TrainSpec, spec_from
from core.engine.training.spec_checks import _CHECKS, _FINE_TUNE_CHECKS
from core.masking import MAX_SEED
from tests.thorough import a_few

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
    "line",
    a_few(["preview_every = 0", "betas = []", "seed = -1", "sides_px = [0]", "batch = 1e9", "batch = -1"], 2),
)
def test_an_invalid_spec_on_the_command_line_gives_one_line(line, tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(f'name = "x"\nmodel = "mae_tiny"\nsteps = 5\n{line}\n')
    assert main(["train", str(path), "--run", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert line.split()[0] in message
    assert not (tmp_path / "run").exists()


def test_all_problems_are_reported_at_once_and_briefly():
    with pytest.raises(RunError) as problem:
        spec_from(GOOD | {"seed": -1, "betas": [0.5] * 1000, "clip": -1.0}, "run.toml")
    message = str(problem.value)
    assert all(name in message for name in ("seed", "betas", "clip")) and len(message) < 400


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
def test_fine_tuning_specs_have_bounds_too(changed, clause):
    with pytest.raises(InputError, match=clause):
        FineTune(**changed)


TRAIN_ENDS = {
    "steps": (1, 10**8), "batch": (1, 65_536), "encoder_rate": (0.0, 1.0), "weight_decay": (0.0, 100.0),
    "warmup_steps": (0, 10**8), "floor": (0.0, 1.0), "clip": (0.0, 1e9), "seed": (0, MAX_SEED),
    "coarser": (1.0, 1000.0), "checkpoint_minutes": (0.0, 1e6), "preview_every": (1, 10**8),
}  # fmt: skip
FINE_TUNE_ENDS = {
    "steps": (1, 10**8), "batch": (1, 65_536), "weight_decay": (0.0, 100.0), "warmup_steps": (0, 10**8),
    "rand_augment": (0, 10), "erasing": (0.0, 1.0), "mixup": (0.0, 100.0), "cutmix": (0.0, 100.0),
    "seed": (0, MAX_SEED),
}  # fmt: skip
OPEN_BELOW = {"lr": None, "native_factor": 1000, "layer_decay": 1}
OPEN_ABOVE = ("ema", "label_smoothing", "drop_path")
TABLES = ((TrainSpec, _CHECKS, TRAIN_ENDS), (FineTune, _FINE_TUNE_CHECKS, FINE_TUNE_ENDS))


def refused(kind, name, value):
    given = GOOD if kind is TrainSpec else {}
    with pytest.raises((RunError, InputError), match=rf"\b{name} must"):
        kind(**given | {name: value})


def accepted(kind, name, value):
    kind(**(GOOD if kind is TrainSpec else {}) | {name: value})


@pytest.mark.parametrize(
    ("kind", "name", "low", "high"),
    [(kind, name, *ends) for kind, _, table in TABLES for name, ends in table.items()],
)
def test_a_number_is_accepted_up_to_both_ends_of_its_range(kind, name, low, high):
    accepted(kind, name, low)
    accepted(kind, name, high)
    whole = isinstance(high, int)
    beyond = (low - 1, high + 1) if whole else (low - 0.01, high + 0.01)
    for value in (*beyond, True, "1", float("nan"), *([low + 0.5] if whole else [])):
        refused(kind, name, value)


@pytest.mark.parametrize(("kind", "checks"), [table[:2] for table in TABLES])
def test_ends_that_are_not_part_of_a_range_are_refused(kind, checks):
    names = {check[0] for check in checks}
    for name in names & OPEN_BELOW.keys():
        refused(kind, name, 0)
        refused(kind, name, float("inf"))
        if (most := OPEN_BELOW[name]) is not None:
            accepted(kind, name, most)
            refused(kind, name, most + 0.01)
    for name in names.intersection(OPEN_ABOVE):
        accepted(kind, name, 0)
        refused(kind, name, -0.01)
        refused(kind, name, 1)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("name", [5, None]),
        ("sides_px", [(7,), (2049,), (64,) * 33, 64, [64]]),
        ("targets_px", [(7,), (4097,), (100.5,), (64,) * 33, 64]),
        ("side_shares", [(0,), (1e7,), (1.0,) * 33, 1.0]),
        ("ratios", [(0,), (1,), (0.5,) * 33, 0.5]),
        ("betas", [(0.9,), (0.9, 0.95, 0.9), (-0.1, 0.9), (0.9, 1), 0.9]),
        ("mask_kinds", [(), (("random", 1.0),) * 33, (("random",),), (("random", 1e7),), [("random", 1.0)]]),
        ("data", [(1,), ("a",) * 33, 7]),
        ("sizes", ["ab", (("depth",),), ((1, 2),), (5,)]),
        ("objective", ["ab", (("depth",),), ((1, 2),), (5,)]),
    ],
)
def test_a_list_is_bounded_in_its_length_and_in_each_value(name, values):
    for value in values:
        refused(TrainSpec, name, value)


def test_every_setting_has_a_check():
    assert {check[0] for check in _CHECKS} >= set(TrainSpec.__dataclass_fields__) - {"model", "start_from"}
    assert {check[0] for check in _FINE_TUNE_CHECKS} == set(FineTune.__dataclass_fields__)
