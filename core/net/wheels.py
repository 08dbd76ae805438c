"""Wheels downloaded for the data in them: pinned by hash, read in place and never installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ExplorerError


class WheelError(ExplorerError):
    """A wheel that cannot be downloaded, or that is not the pinned file."""


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel: requirement, file name and SHA-256."""

    requirement: str
    file: str
    sha256: str


# pip >= 24.1 ignores some old wheels with invalid metadata, so an older pip, pinned as well and put in a
# temporary folder, downloads all of them.
PIP = Wheel(
    "pip==24.0",
    "pip-24.0-py3-none-any.whl",
    "ba0d021a166865d2265246961bec0152ff124de910c5cc39f1156ce3fa7c69dc",
)


def verified(wheel: Wheel, folder: Path) -> bool:
    """Return whether a wheel is in the folder with the pinned hash."""
    file = folder / wheel.file
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == wheel.sha256


def download_wheels(wheels: Iterable[Wheel], folder: Path) -> list[Path]:
    """Download missing wheels to `folder` and return all files; intact ones are kept.

    Raises WheelError if the package index cannot be reached or a download is not the pinned file.
    """
    wheels = list(wheels)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in wheels if not verified(wheel, folder)]
    if missing:
        with tempfile.TemporaryDirectory(dir=folder) as text:
            scratch = Path(text)
            _pip([PIP], scratch, {})
            old_pip = scratch / PIP.file  # a wheel is a zip that Python imports from
            _pip(missing, scratch, {"PYTHONPATH": str(old_pip)})
            for wheel in missing:
                if not verified(wheel, scratch):
                    raise WheelError(
                        f"The download of {wheel.requirement} is not the pinned file: "
                        "try again, or continue without it."
                    )
                (scratch / wheel.file).replace(folder / wheel.file)
    return [folder / wheel.file for wheel in wheels]


def _pip(wheels: list[Wheel], folder: Path, environment: dict[str, str]) -> None:
    """Run `pip download --no-deps --require-hashes` for some wheels into a folder."""
    pins = folder / "requirements.txt"
    pins.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(pins)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
        names = ", ".join(wheel.requirement for wheel in wheels)
        raise WheelError(
            f"{names} cannot be downloaded ({reason}): try again when online, or continue without it."
        )
