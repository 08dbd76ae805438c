"""The code of a measurement as text that runs on its own: the function, what it uses, and the imports."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from itertools import groupby
from typing import Any


def source_of(function: Callable[..., Any], package: str = "core") -> str:
    """Return a function with the names of its module that it uses, imports first, relative ones made
    absolute."""
    module = sys.modules[function.__module__]
    text = inspect.getsource(module)
    tree = ast.parse(text)
    lines = text.splitlines()
    defined: dict[str, ast.stmt] = {}
    imports: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = node
        elif isinstance(node, ast.Assign):
            defined |= {name: node for target in node.targets for name in _names(target)}
        elif isinstance(node, ast.AnnAssign):
            defined |= dict.fromkeys(_names(node.target), node)
        elif isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", "") != "__future__":
            imports |= {
                alias.asname or alias.name: _written(node, alias, function.__module__) for alias in node.names
            }
    needed, waiting = set[str](), [function.__name__]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in defined:
            waiting += _names(defined[name])
    kept = sorted(
        {id(node): node for name, node in defined.items() if name in needed}.values(), key=lambda n: n.lineno
    )
    body = "\n\n".join("\n".join(lines[_first(node) - 1 : node.end_lineno]) for node in kept)
    wanted = {imports[name].partition("import ") for name in needed if name in imports}
    in_order = sorted(wanted, key=lambda line: (not line[0], line))
    by_home = groupby(in_order, key=lambda line: line[0] or line)
    head = "\n".join(
        "".join(first[:2]) + ", ".join(name for *_, name in (first, *others))
        for first, *others in (tuple(lines) for _, lines in by_home)
    )
    return f"{head}\n\n{body}".replace("from core", f"from {package}")


def _names(node: ast.AST) -> list[str]:
    """Every plain name in a piece of code."""
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def _first(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _written(node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str) -> str:
    """One import as a line of its own, absolute."""
    name = alias.name + (f" as {alias.asname}" if alias.asname else "")
    if isinstance(node, ast.Import):
        return f"import {name}"
    home = node.module or ""
    if node.level:
        home = ".".join([*module.split(".")[: -node.level], *([node.module] if node.module else [])])
    return f"from {home} import {name}"
