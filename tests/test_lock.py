"""requirements.lock: everything that is installed, in the very version and with the hashes of its files."""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILDS = {"torch", "torchvision"}
"""Published as several builds of one version, whose hashes differ (.ci/lock says more)."""
NOT_LOCKED = re.compile(
    r"torch|torchvision|triton|nvidia-.*|cuda-.*|earth-mae-components|pip|setuptools|wheel"
)


def plain(name: str) -> str:
    """A package's name as the index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, set[str]]:
    """Versions in the lock by package, one for each kind of system that needs its own."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    ):
        found.setdefault(plain(name), set()).add(version)
    return found


def asked() -> dict[str, str]:
    """Versions that requirements.txt and requirements-dev.txt pin."""
    text = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    return {
        plain(name): version
        for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;#]+)", text, re.MULTILINE)
    }


def test_what_is_asked_for_is_locked_in_that_version():
    wanted = {name: version for name, version in asked().items() if name not in BUILDS}
    assert len(wanted) > 30 and set(asked()) >= BUILDS
    stale = {name: version for name, version in wanted.items() if locked().get(name) != {version}}
    assert not stale, f"requirements.lock is not of these requirements: {stale}; run make lock"


def test_every_entry_has_hashes():
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) > 200
    bare = [entry.split()[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)]
    assert not bare


def test_what_is_installed_is_what_is_locked():
    """Everything that our requirements bring, directly or not; other packages that share the environment are none of our business."""
    versions = locked()
    needed, open_names = set(), [name for name in asked() if name not in BUILDS]
    while open_names:
        name = open_names.pop()
        if name in needed or NOT_LOCKED.fullmatch(name):
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # an extra, or of another system
            continue
        needed.add(name)
        open_names += [
            plain(re.split(r"[\s\[<>=!~;(]", line, maxsplit=1)[0])
            for line in distribution.requires or ()
            if "extra ==" not in line
        ]
    wrong = {
        name: importlib.metadata.version(name)
        for name in needed
        if importlib.metadata.version(name) not in versions.get(name, ())
    }
    assert len(needed) > 150
    assert not wrong, (
        f"installed, but not as in requirements.lock: {wrong}; run make setup, or make lock after changing requirements"
    )
