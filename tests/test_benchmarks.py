"""Benchmarks run as their first lines say, without more said to Python."""

import ast
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_program_is_found_before_it_is_imported(file: Path) -> None:
    tree = ast.parse(file.read_text())
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    ours = [place for place, name in enumerate(imported) if name and name.split(".")[0] in ("core", "ui")]
    assert imported.index("_quiet") < min(ours, default=len(imported))
    assert f"python benchmarks/{file.name}" in (ast.get_docstring(tree) or "")
