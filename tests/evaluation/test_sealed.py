"""Results on disk: a flipped bit never changes a result, and a full disk loses none."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from core.cli.entry import main
from core.evaluation.cache import Cache
from core.evaluation.claims import RECORDED, read_claims
from core.evaluation.errors import RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.progress import EvaluationProgress
from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.recorded_numbers import NUMBERS, read_numbers
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.sealed import seal, unseal

RECIPE = EvaluationRecipe("knn", "pack", "0" * 16, "mae_tiny", "1" * 64, policy="log_gsd", k=20)
FOUND = Result(
    RECIPE,
    "accuracy",
    0.5801851851851851,
    0.5672,
    0.5926,
    5400,
    89.9,
    ("a.png",),
    {"recall": {"Forest": 0.71}, "votes": {10: 1, 9: 2}},
)


def flipped(content: bytes, chance: np.random.Generator) -> bytes:
    """Return the content with one random bit flipped."""
    place, bit = chance.integers(len(content)), chance.integers(8)
    return content[:place] + bytes([content[place] ^ (1 << int(bit))]) + content[place + 1 :]


def test_flipped_bit_in_the_cache_never_gives_another_result(tmp_path):
    cache, chance = Cache(tmp_path), np.random.default_rng(0)
    cache.keep_result(FOUND)
    file = tmp_path / f"{RECIPE.key}.json"
    content, good = file.read_bytes(), cache.result(RECIPE)
    assert good is not None and good.value == FOUND.value
    refused = 0
    for _ in range(400):
        file.write_bytes(flipped(content, chance))
        found = cache.result(RECIPE)
        assert found is None or found == good
        assert all(other == good for other in cache.results())
        assert cache.holds_damaged(RECIPE) == (found is None)
        refused += found is None
    assert refused > 300


def test_flipped_bit_in_a_record_never_gives_another_result(tmp_path):
    chance, numbers, claims = np.random.default_rng(1), read_numbers(), read_claims()
    assert numbers and claims
    for _ in range(40):
        (tmp_path / "numbers.json").write_bytes(flipped(NUMBERS.read_bytes(), chance))
        try:
            assert read_numbers(tmp_path / "numbers.json") == numbers
        except RecipeError as problem:
            assert "write it again" in str(problem)
        shutil.copytree(RECORDED, tmp_path / "records", dirs_exist_ok=True)
        (tmp_path / "records" / "tinymim.json").write_bytes(
            flipped((RECORDED / "tinymim.json").read_bytes(), chance)
        )
        try:
            assert read_claims(tmp_path / "records") == claims
        except RecipeError as problem:
            assert "write it again" in str(problem)


def test_a_record_without_a_checksum_or_with_another_is_refused():
    sealed = seal({"a": 1, "b": (2, 3), "c": {10: 1, 9: 2}})
    assert unseal(json.loads(json.dumps(sealed))) == {"a": 1, "b": [2, 3], "c": {"10": 1, "9": 2}}
    with pytest.raises(ValueError, match="no checksum"):
        unseal({"a": 1})
    with pytest.raises(ValueError, match="does not match"):
        unseal({**sealed, "a": 2})


def test_damaged_result_is_recomputed_with_a_notice(index_zip, network, tmp_path):
    cache, plan = Cache(tmp_path), EvaluationPlan(data=(str(index_zip),))

    def run() -> tuple[list[Result], list[str]]:
        events = list(evaluate(plan, [network], folders=(), cache=cache))
        return [e for e in events if isinstance(e, Result)], [
            e.text for e in events if isinstance(e, EvaluationProgress) and e.notice
        ]

    (first,), none = run()
    assert none == []
    file = tmp_path / f"{first.recipe.key}.json"
    file.write_text(file.read_text().replace(str(first.count), str(first.count + 1)))
    (second,), notices = run()
    assert second.value == first.value and second.count == first.count
    assert notices == [
        f"The stored result of fake on {first.recipe.data} has no valid checksum and is recomputed."
    ]
    assert run()[1] == []


@pytest.fixture
def full_disk(monkeypatch):
    """Make every flush to disk fail."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda: monkeypatch.setattr(os, "fsync", full)


@pytest.mark.parametrize("more", [(), ("--json",)], ids=["text", "json"])
def test_full_disk_loses_no_result(class_folders, tmp_path, capsys, full_disk, more):
    asked = [
        "evaluate",
        str(class_folders),
        "--model",
        "colour_histogram",
        "--gsd-m",
        "1",
        "--cache",
        str(tmp_path / "cache"),
        *more,
    ]
    full_disk()
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert "accuracy" in out
    assert err.count("No space left on device") == 1 and "free some space" in err
    assert main([*asked, "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert "accuracy" in out
    assert (
        "The results above could not be written (No space left on device)" in err and "Traceback" not in err
    )
