"""Remembered words sent by a browser are read as plain words only."""

import json

import pytest

from ui.learn.memory import MOST, read


def test_words_are_read():
    assert read(json.dumps(["done patches", "no tour mask lab"])) == {"done patches", "no tour mask lab"}


@pytest.mark.parametrize(
    "sent",
    [None, 7, "", "{", '"done x"', "[1, null, {}]", json.dumps(["<b>", "A", "x" * 99, ""]), "[" * 9000],
)
def test_anything_else_is_left_out(sent):
    assert read(sent) == frozenset()


def test_the_number_of_words_is_bounded():
    assert len(read(json.dumps([f"done {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]))) == MOST
