"""TOML and JSON from strangers: bounded in size, depth and length of numbers."""

from __future__ import annotations

import time

import psutil
import pytest

from core.engine.training.runs import RunError, parse_spec
from core.evaluation.errors import RecipeError
from core.evaluation.recipes import parse_recipe
from core.session import PageView, view_from_json

DOTTED = ".".join(["a"] * 19_000) + "=1"
BOMBS = {
    "brackets": "[" * 5000,
    "a deep list": "a = " + "[" * 5000,
    "an integer of 5,000 digits": "a = " + "9" * 5000,
    "an integer of 100 digits": "a = " + "9" * 100,
    "a dotted key of 38 kB": DOTTED,
    "deep headers": "\n".join(f"[{'.'.join('a' * depth)}]" for depth in range(1, 300)),
    "deep inline tables": "a = " + "{b=" * 400 + "1" + "}" * 400,
    "many values": "a = [" + "1," * 40_000 + "]",
    "200 kB": "#" * 200_000,
    "a name of 100 kB": "a" * 100_000 + " = 1",
    "a date": "a = 1979-05-27T07:32:00Z",
    "no text": "a = \x00",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_in_toml_is_refused_by_both_readers(bomb: str) -> None:
    memory = psutil.Process().memory_info().rss
    for door in (
        lambda: parse_recipe(BOMBS[bomb].encode(), "mine.toml"),
        lambda: parse_spec(BOMBS[bomb]),
    ):
        started = time.monotonic()
        with pytest.raises((RecipeError, RunError), match=r"(?s)^('mine|'?the spec).*\.$") as refusal:
            door()
        assert len(str(refusal.value)) < 1000
        assert time.monotonic() - started < 40
    assert psutil.Process().memory_info().rss - memory < 50 * 2**20


@pytest.mark.parametrize(
    "bomb",
    [
        "[" * 100_000,
        '{"a":' * 20_000,
        '{"a": ' + "9" * 5000 + "}",
        '{"a": 1' + "0" * 90 + "}",
        "[" + "0," * 50_000 + "0]",
        "{",
        "\ud800",
    ],
)
def test_a_bomb_in_json_is_refused(bomb: str) -> None:
    with pytest.raises(RecipeError, match=r"^'mine\.json'"):
        parse_recipe(bomb.encode(errors="surrogatepass"), "mine.json")


def test_97_megabytes_of_json_are_refused_by_their_size() -> None:
    content = b"[" + b"{}," * 32_000_000 + b"{}]"
    started = time.process_time()
    with pytest.raises(RecipeError, match="larger than 128 kB"):
        parse_recipe(content, "mine.json")
    assert time.process_time() - started < 0.5


def test_a_saved_view_without_end_is_not_read() -> None:
    default, text = PageView.__new__(PageView), '{"a": "' + "b" * 50_000_000 + '"}'
    started = time.process_time()
    assert view_from_json(text, default).ignored
    assert time.process_time() - started < 0.05
