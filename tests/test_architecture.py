"""The rules of docs/architecture.md: layers, sizes, where state and devices live, names."""

import ast
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE_LINES = 410
PAGE_LINES = {"app.py": 60, "serve.py": 40}
COMPONENTS = (
    "ui/components/"  # a separate package: it keeps events of the browser in its own key of the session state
)
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

OFFENCES = {
    "geo/tile.py": "from core import masking",
    "policy.py": "import core.engine",
    "masking.py": "import streamlit",
    "evaluation/stats/metrics.py": "import torch",
    "session.py": "import core.models",
    "cli/entry.py": "import torch",
    "engine/results.py": "import core.evaluation",
    "geo/stretch.py": "from core.geo import catalogue",
}
REPORTED = (
    "core.geo.tile -> core.masking",
    "core.policy -> core.engine",
    "core.masking -> streamlit",
    "core.evaluation.stats.metrics -> torch",
    "core.session -> core.models",
    "core.cli.entry -> torch",
    "core.engine.results -> core.evaluation",
)


@cache
def sources() -> dict[str, str]:
    """Our Python by path from the root: text of every file of the program itself."""
    found = [
        path
        for folder in ("core", "ui", "pages", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    found += [path for path in (ROOT / "app.py", ROOT / "serve.py") if path.is_file()]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text() for path in found if "build" not in path.parts
    }


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"], cwd=root, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy_of_core(tmp_path: Path) -> Path:
    for package in ("core", "ui"):
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__", "weights", "assets"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_layer_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 broken" in done.stdout


@pytest.mark.thorough
def test_a_broken_contract_is_detected(copy_of_core: Path) -> None:
    for file, offence in OFFENCES.items():
        with (copy_of_core / "core" / file).open("a") as source:
            source.write(f"\n{offence}\n")
    done = lint_imports(copy_of_core)
    assert done.returncode != 0
    assert "0 kept" in done.stdout
    assert [line for line in REPORTED if line not in done.stdout] == []


@pytest.mark.thorough
def test_a_new_package_must_be_added_to_the_layers(copy_of_core: Path) -> None:
    (copy_of_core / "core" / "annexe.py").write_text("")
    done = lint_imports(copy_of_core)
    assert done.returncode != 0
    assert "annexe" in done.stdout


def test_pages_and_core_files_are_short() -> None:
    limits = {
        path: PAGE_LINES.get(path, 150 if path.startswith("pages/") else CORE_LINES) for path in sources()
    }
    limits = {
        path: limit
        for path, limit in limits.items()
        if path in PAGE_LINES or path.startswith(("pages/", "core/"))
    }
    long = {
        path: len(sources()[path].splitlines())
        for path, limit in limits.items()
        if len(sources()[path].splitlines()) > limit
    }
    assert not long, "split this file"


@cache
def names(text: str) -> frozenset[str]:
    """Return every dotted name in a source text, as written: st.cache_data, torch.cuda, ..."""
    nodes = list(ast.walk(ast.parse(text)))
    accessed = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    imported = {
        f"{node.module}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return frozenset(accessed | {name.replace("streamlit.", "st.", 1) for name in imported})


def users_of(*prefixes: str) -> set[str]:
    """Files that use a name with one of these prefixes."""
    return {
        path for path, text in sources().items() if any(name.startswith(prefixes) for name in names(text))
    }


def test_every_way_of_writing_a_name_is_found() -> None:
    assert "st.cache_data" in names("import streamlit as st\n@st.cache_data(max_entries=2)\ndef f(): ...")
    assert "st.session_state" in names("from streamlit import session_state")
    assert any(name.startswith("st.query_params") for name in names("st.query_params.get('a')"))


def test_caches_live_in_one_file() -> None:
    assert users_of("st.cache_") <= {"ui/shell/cached.py"}


def test_session_state_and_the_url_live_in_one_file() -> None:
    assert {
        path for path in users_of("st.session_state", "st.query_params") if not path.startswith(COMPONENTS)
    } <= {"ui/shell/state.py"}


def test_only_one_file_says_cuda() -> None:
    def says(text: str) -> bool:
        strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        return any(value == "cuda" or str(value).startswith("cuda:") for value in strings) or any(
            ".cuda" in name for name in names(text)
        )

    assert {path for path, text in sources().items() if says(text)} <= {"core/engine/device.py"}


def test_pages_and_what_they_share_load_neither_torch_nor_the_networks() -> None:
    def imports(text: str) -> set[str]:
        nodes = list(ast.walk(ast.parse(text)))
        return {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names} | {
            node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)
        }

    pages = [path for path in sources() if path.startswith("pages/") or path == "app.py"]
    assert not [
        path
        for path in pages
        if any(name.split(".")[0] in {"torch", "timm"} for name in imports(sources()[path]))
    ]


def test_a_download_button_does_not_rerun_the_page() -> None:
    calls = [
        (path, call.lineno, {word.arg: word.value for word in call.keywords})
        for path, text in sources().items()
        if path.startswith(("ui/", "pages/"))
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "download_button"
    ]
    assert len(calls) > 5
    for path, line, words in calls:
        assert "on_click" in words and ast.literal_eval(words["on_click"]) == "ignore", (
            f'{path}:{line}: st.download_button needs on_click="ignore"'
        )


def test_no_module_has_a_meaningless_name() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in sources() if empty & {*Path(path).parts[:-1], Path(path).stem}]


def test_no_stored_file_contains_a_local_path() -> None:
    homes = ("/home/", "/root/", "/Users/", "/work/")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so tracked files are unknown")
    texts = (".py", ".md", ".toml", ".txt", ".json", ".ipynb", ".yaml", ".ts", "Makefile", "run", "browser")
    kept = [
        ROOT / path
        for path in listed.stdout.split("\0")
        if path.endswith(texts) and path != "tests/test_architecture.py"
    ]
    assert not [
        path
        for path in kept
        if path.is_file() and any(home in path.read_text(errors="ignore") for home in homes)
    ]
