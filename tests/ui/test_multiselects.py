"""Every list of several choices, by its source."""

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
def test_enter_chooses_one_entry_and_not_all_that_match(path: str, call: ast.Call) -> None:
    """Streamlit's bulk entry comes first in a filtered list, so "mae_tiny" and Enter chose every model of that ending."""
    assert any(
        word.arg == "select_all" and ast.literal_eval(word.value) is False for word in call.keywords
    ), path
