"""The committed components match their sources."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"
PACKAGE = ROOT / "ui" / "components" / "earth_mae_components"
NOTEBOOK = ROOT / "core" / "notebook"
NAMES = ("mask_painter", "compare", "loupe", "linked_globe")
BUILT = [(PACKAGE, name) for name in NAMES] + [(NOTEBOOK, name) for name in NAMES if name != "loupe"]
LARGEST_BYTES = 1_200_000


def source_hash() -> str:
    """SHA-256 over "path NUL bytes NUL" of the sorted sources: the rule of frontend/build.mjs."""
    files = [FRONTEND / name for name in ("build.mjs", "package.json", "package-lock.json", "tsconfig.json")]
    files += [path for path in (FRONTEND / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(FRONTEND).as_posix(), path) for path in files):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@pytest.mark.parametrize(("package", "name"), BUILT)
def test_the_built_file_names_the_sources_it_came_from(package: Path, name: str) -> None:
    banner = (package / "assets" / f"{name}.js").read_text(encoding="utf-8").splitlines()[0]
    found = re.search(r"sources-sha256:([0-9a-f]{64})", banner)
    assert found, "no banner: run `npm ci && npm run build` in frontend/"
    assert found[1] == source_hash(), "the sources changed after the build: run `make frontend`"


@pytest.mark.parametrize(("package", "name"), BUILT)
def test_the_built_file_is_small_and_alone(package: Path, name: str) -> None:
    code = (package / "assets" / f"{name}.js").read_text(encoding="utf-8")
    assert len(code.encode()) <= LARGEST_BYTES
    imports = r"""\bfrom\s*["']\.{0,2}/|\bimport\s*\(\s*["']"""
    assert not re.search(imports, code), "the component must be a single file"


@pytest.mark.parametrize(("package", "name"), BUILT)
def test_licences_stand_beside_the_built_file(package: Path, name: str) -> None:
    text = (package / "assets" / f"{name}.licences.txt").read_text(encoding="utf-8")
    assert text.startswith(f"What {name}.js bundles")


def test_the_lock_file_names_no_private_registry() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text(encoding="utf-8"))
    addresses = {entry["resolved"] for entry in lock["packages"].values() if "resolved" in entry}
    assert all(address.startswith("https://registry.npmjs.org/") for address in addresses)
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)


def test_both_pyproject_files_say_the_same() -> None:
    outer, inner = (
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        for folder in (PACKAGE.parent, PACKAGE)
    )
    for field in ("name", "version"):
        assert outer["project"][field] == inner["project"][field]
    assert {entry["name"] for entry in inner["tool"]["streamlit"]["component"]["components"]} == set(NAMES)
