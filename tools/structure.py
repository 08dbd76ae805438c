"""Measure the code against the limits of docs/architecture.md: `python tools/structure.py`.

Prints lines by package, the longest file and function, class names used in two modules, import circles,
lines over 110 characters, files over 400 lines, and unwanted words in text that users read and in names of
tests. Exits with 1 if a count that must be 0 is not; `--report` prints the same and always exits with 0.
`--since COMMIT` prints lines by package at that commit beside those of today.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_LINE, LONGEST_FILE = 110, 400
PROGRAM = ("core", "ui", "pages")
CODE = (*PROGRAM, "tests", "benchmarks", "docs", "tools")
UNWANTED = re.compile(
    r"""\b(?:
        laid\ in | (?:place|row|table)\ in\ hand | (?<!there\ )(?:is|are)\ (?-i:none)(?!\ of) | anew
        | calls\ before\ the\ device | the\ device\ likes | hears? | none\ heard | cannot\ be\ meant | houses?
        | rooms | goes\ on | opponents? | paints | painters\ are | few\ words\ to\ know | how\ much\ hidden
        | shelf | yardsticks? | manners | landed | (?:is|are|gets?)\ (?:(?:a|one)\ sentence|said|told)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words that a plainer one replaces (CONTRIBUTING.md, "Style")."""


def main() -> int:
    """Print the report and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--report", action="store_true", help="exit with 0 whatever is found")
    parser.add_argument("--since", metavar="COMMIT", help="also print lines by package at this commit")
    parser.add_argument(
        "--all", action="store_true", help="list every finding instead of the first ten of each kind"
    )
    args = parser.parse_args()
    files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in python_files()}
    trees = {name: ast.parse(text) for name, text in files.items()}

    now = lines_by_package(files)
    before = lines_by_package(python_files_at(args.since)) if args.since else Counter[str]()
    print("Lines by package" + (f", at {args.since} and now" if args.since else ""))
    for package in sorted(now | before):
        print((f"  {before[package]:7,}" if args.since else "") + f"  {now[package]:7,}  {package}")
    for kind, (length, place) in longest(files, trees).items():
        print(f"Longest {kind}: {length} lines, {place}")

    findings = {
        "Class names in two modules": duplicate_classes(trees),
        "Import circles": import_circles(),
        f"Lines over {LONGEST_LINE} characters": long_lines(files),
        f"Files of the program over {LONGEST_FILE} lines": long_files(files),
        "Unwanted words in text that users read, and in names of tests": unwanted_words(trees),
    }
    for title, lines in findings.items():
        print(f"{title}: {len(lines)}")
        shown = lines if args.all else lines[:10]
        for line in shown:
            print(f"  {line}")
        if len(shown) < len(lines):
            print(f"  and {len(lines) - len(shown)} more; --all lists them")
    return 0 if args.report or not any(findings.values()) else 1


def python_files() -> Iterator[Path]:
    """Yield the Python files of the repository, without environments and builds."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not {"build", "node_modules", ".venv", "site"} & set(path.relative_to(ROOT).parts):
                yield path
    yield from sorted(ROOT.glob("*.py"))


def python_files_at(commit: str) -> dict[str, str]:
    """Return the text of the same files at a commit, by path."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        sys.exit(archive.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        names = [name for name in tar.getnames() if name.endswith(".py")]
        chosen = [name for name in names if name.split("/")[0] in CODE or "/" not in name]
        return {name: file.read().decode() for name in chosen if (file := tar.extractfile(name))}


def lines_by_package(files: dict[str, str]) -> Counter[str]:
    """Count lines by folder: two levels deep in core and ui, one level elsewhere."""
    lines: Counter[str] = Counter()
    for name, text in files.items():
        parts = Path(name).parts[:-1]
        depth = 2 if parts and parts[0] in ("core", "ui") else 1
        count = len(text.splitlines())
        lines["/".join(parts[:depth]) or "(top)"] += count
        if parts and parts[0] in PROGRAM:
            lines["total of core, ui and pages"] += count
    return lines


def longest(files: dict[str, str], trees: dict[str, ast.Module]) -> dict[str, tuple[int, str]]:
    """Find the longest file and the longest function of the program itself."""
    own = [name for name in files if name.startswith(PROGRAM)]
    lengths = [(len(files[name].splitlines()), name) for name in own]
    functions = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{node.name} in {name}:{node.lineno}")
        for name in own
        for node in ast.walk(trees[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {"file": max(lengths), "function": max(functions)}


def duplicate_classes(trees: dict[str, ast.Module]) -> list[str]:
    """List the top-level class names of core and ui that stand in more than one module."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, tree in trees.items():
        if name.startswith(("core/", "ui/")):
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(name)
    return [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]


def import_circles() -> list[str]:
    """List the groups of modules of core and ui that import each other, late imports included."""
    try:
        import grimp
    except ImportError:
        sys.exit("grimp is missing: it comes with import-linter, see requirements-dev.txt.")
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph("core", "ui", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    return [" <-> ".join(sorted(group)) for group in strongly_connected(imports) if len(group) > 1]


def strongly_connected(graph: dict[str, set[str]]) -> list[list[str]]:
    """Find the strongly connected components of a directed graph (Kosaraju's algorithm, iterative)."""
    backwards: dict[str, set[str]] = {node: set() for node in graph}
    for node, targets in graph.items():
        for target in targets & graph.keys():
            backwards[target].add(node)
    order: list[str] = []
    visited: set[str] = set()
    for start in graph:
        stack = [(start, iter(graph[start] & graph.keys()))] if start not in visited else []
        visited.add(start)
        while stack:
            node, targets = stack[-1]
            target = next((one for one in targets if one not in visited), None)
            if target is None:
                order.append(node)
                stack.pop()
            else:
                visited.add(target)
                stack.append((target, iter(graph[target] & graph.keys())))
    components: list[list[str]] = []
    assigned: set[str] = set()
    for start in reversed(order):
        group, pending = [], [start] if start not in assigned else []
        assigned.add(start)
        while pending:
            node = pending.pop()
            group.append(node)
            pending += sorted(backwards[node] - assigned)
            assigned |= backwards[node]
        components += [group] if group else []
    return components


def long_lines(files: dict[str, str]) -> list[str]:
    """List the lines of Python code that are longer than the limit."""
    return [
        f"{name}:{number}: {len(line)} characters"
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]


def long_files(files: dict[str, str]) -> list[str]:
    """List the files of the program itself that are longer than the limit."""
    lengths = {name: len(text.splitlines()) for name, text in files.items() if name.startswith(PROGRAM)}
    return [f"{name}: {length} lines" for name, length in lengths.items() if length > LONGEST_FILE]


def unwanted_words(trees: dict[str, ast.Module]) -> list[str]:
    """List unwanted words in pages, command help, errors, documentation, and names of tests."""
    found: list[str] = []
    for name, tree in trees.items():
        if name.startswith(("ui/", "pages/", "core/cli/")) or name in ("app.py", "serve.py"):
            found += _matches(name, _strings(tree))
        elif name.startswith("core/"):
            raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
            found += _matches(name, (text for node in raised for text in _strings(node)))
        elif name.startswith("tests/"):
            tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            found += _matches(name, ((test.lineno, test.name.replace("_", " ")) for test in tests))
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))):
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        found += _matches(path.relative_to(ROOT).as_posix(), lines)
    return found


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line number and text of every string below a node that is not a docstring."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, documented):
            docstrings |= {id(child.value) for child in node.body if isinstance(child, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def _matches(name: str, texts: Iterable[tuple[int, str]]) -> list[str]:
    return [f"{name}:{line}: {match[0]}" for line, text in texts for match in UNWANTED.finditer(text)]


if __name__ == "__main__":
    sys.exit(main())
