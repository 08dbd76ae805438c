"""The lock files: every installed package with its exact version and file hashes."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
APP, DEV = ("requirements.txt", "requirements.lock"), ("requirements-dev.txt", "requirements-dev.lock")
BUILDS = {"torch", "torchvision"}
"""Published as several builds of one version, whose hashes differ (see .ci/lock)."""
NOT_LOCKED = re.compile(
    r"torch|torchvision|triton|nvidia-.*|cuda-.*|earth-mae-components|pip|setuptools|wheel"
)


def plain(name: str) -> str:
    """Give a package's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> dict[str, set[str]]:
    """Read versions by package from a lock file; a package may have several, for different systems."""
    versions: dict[str, set[str]] = {}
    pairs = re.findall(r"^([\w.-]+)==([^\s;\\]+)", (ROOT / lock).read_text(), re.MULTILINE)
    for name, version in pairs:
        versions.setdefault(plain(name), set()).add(version)
    return versions


def pinned(requirements: str) -> dict[str, str]:
    """Read the versions that a requirements file pins."""
    text = (ROOT / requirements).read_text()
    pairs = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;#]+)", text, re.MULTILINE)
    return {plain(name): version for name, version in pairs}


@pytest.mark.parametrize(("requirements", "lock"), [APP, DEV])
def test_pinned_packages_are_locked_in_that_version(requirements, lock):
    pins = {name: version for name, version in pinned(requirements).items() if name not in BUILDS}
    assert len(pins) > 10
    versions = locked("requirements.lock") | locked(lock)
    stale = {name: version for name, version in pins.items() if versions.get(name) != {version}}
    assert not stale, f"{lock} does not match {requirements}: {stale}; run make lock"


def test_the_lock_for_tests_holds_only_what_tests_add():
    assert set(pinned("requirements.txt")) >= BUILDS
    assert not set(locked("requirements.lock")) & set(locked("requirements-dev.lock"))


@pytest.mark.parametrize(("lock", "least"), [(APP[1], 30), (DEV[1], 30), ("requirements-s3.lock", 10)])
def test_every_entry_has_hashes(lock, least):
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) > least
    bare = [entry.split()[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]
    assert not bare


@pytest.mark.parametrize(("requirements", "locks"), [(APP[0], APP[1:]), (DEV[0], (APP[1], DEV[1]))])
def test_installed_versions_are_the_locked_ones(requirements, locks):
    """Direct and indirect requirements alike; the environment may hold other packages too."""
    versions = {name: found for lock in locks for name, found in locked(lock).items()}
    needed, names = set(), [name for name in pinned(requirements) if name not in BUILDS]
    while names:
        name = names.pop()
        if name in needed or NOT_LOCKED.fullmatch(name):
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # an extra, or for another system
            continue
        needed.add(name)
        required = map(Requirement, distribution.requires or ())
        names += [
            plain(each.name)
            for each in required
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    installed = {name: importlib.metadata.version(name) for name in needed}
    wrong = {name: version for name, version in installed.items() if version not in versions.get(name, ())}
    assert len(needed) > len(pinned(requirements)) - len(BUILDS)
    assert not wrong, f"installed in other versions than locked: {wrong}; run make setup or make lock"
