"""Every name that a notebook imports from `core` exists. `make notebooks` runs the notebooks themselves."""

import ast
import importlib
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_imported_names_exist(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, alias.name) for node in imports for alias in node.names]
    ours = [(module, name) for module, name in names if module and module.split(".")[0] == "core"]
    assert ours
    assert not [(module, name) for module, name in ours if not hasattr(importlib.import_module(module), name)]
