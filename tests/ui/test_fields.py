"""Rules for every multiselect and every text field, checked in the source."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT


def calls(*names: str) -> list[object]:
    """Calls of methods by these names, as parameters of a test: path, call."""
    return [
        pytest.param(path, node, id=f"{path.relative_to(ROOT).as_posix()}:{node.lineno}")
        for path in sorted([*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names
    ]


@pytest.mark.parametrize(("path", "call"), calls("multiselect"))
def test_enter_selects_one_entry(path: object, call: ast.Call) -> None:
    """Streamlit's "select all" comes first in a filtered list, so Enter would select every match."""
    assert any(
        word.arg == "select_all" and ast.literal_eval(word.value) is False for word in call.keywords
    ), path


@pytest.mark.parametrize(("path", "call"), calls("text_input", "text_area"))
def test_a_text_field_takes_a_bounded_number_of_characters(path: object, call: ast.Call) -> None:
    """Typed text is parsed, kept and sent back at every run of the page."""
    assert any(word.arg == "max_chars" for word in call.keywords), path
