"""Rules for every multiselect, checked in the source."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT

CALLS = [
    (path.relative_to(ROOT).as_posix(), node)
    for path in sorted([*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "multiselect"
]


@pytest.mark.parametrize(("path", "call"), CALLS, ids=[f"{path}:{call.lineno}" for path, call in CALLS])
def test_enter_selects_one_entry(path: str, call: ast.Call) -> None:
    """Streamlit's "select all" comes first in a filtered list, so Enter would select every match."""
    assert any(
        word.arg == "select_all" and ast.literal_eval(word.value) is False for word in call.keywords
    ), path
