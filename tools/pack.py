"""Write a folder for a computer lab without internet: program, wheels, sample imagery, start scripts (`make
pack`).

The wheels are for one platform, this one or that of `--platform`, and one Python version. Prints the size of
each part. Needs the internet once; what it writes does not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

from packaging.markers import Marker, default_environment

ROOT = Path(__file__).resolve().parents[1]
TORCH = re.compile(r"(torch|torchvision|triton|nvidia)[-_]")
COMPONENTS = "ui/components"
NOT_NEEDED = {
    "duckdb": "only the tests and notebook 7 read tables with it",
    "pyogrio": "geopandas reads vector files with it; the app reads none",
    "jedi": "completion in a terminal",
    "hf_xet": "faster transfers from the Hugging Face hub",
    "pydeck": "maps of st.pydeck_chart, which the app does not use",
    "widgetsnbextension": "widgets in Jupyter notebooks",
    "imageio_ffmpeg": "exports as MP4, for which the app then offers GIF; 68 MB",
}
"""Locked packages without which the app runs, and what they are for. The pack leaves them out."""
LEFT_OUT = ("tests", "benchmarks", "frontend", ".ci", ".github", "docs/pictures", "notebooks/0*.ipynb")
"""Files of the checkout that running and teaching do not need."""
LARGEST = 12
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class Platform(NamedTuple):
    """A platform: variables for the markers in the lock file, and the tags of its wheels."""

    markers: Mapping[str, str]
    tags: tuple[str, ...]


PLATFORMS = {
    "linux": Platform(
        {
            "sys_platform": "linux",
            "os_name": "posix",
            "platform_system": "Linux",
            "platform_machine": "x86_64",
        },
        (
            *(f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)),
            *(f"manylinux{year}_x86_64" for year in ("2014", "2010", "1")),
        ),
    ),
    "macos": Platform(
        {
            "sys_platform": "darwin",
            "os_name": "posix",
            "platform_system": "Darwin",
            "platform_machine": "arm64",
        },
        (
            *(f"macosx_{major}_0_{kind}" for major in (14, 13, 12, 11) for kind in ("arm64", "universal2")),
            "macosx_10_9_universal2",
        ),
    ),
    "windows": Platform(
        {
            "sys_platform": "win32",
            "os_name": "nt",
            "platform_system": "Windows",
            "platform_machine": "AMD64",
        },
        ("win_amd64",),
    ),
}
"""Linux and Windows on x86-64, macOS on Apple silicon."""
START = {
    "start.sh": """#!/usr/bin/env bash
# Linux and macOS: installs once into .venv, from this folder only, then starts the app.
set -euo pipefail
cd "$(dirname "$0")/program"
if [ ! -x .venv/bin/python ]; then
  "${PYTHON:-python3}" -m venv .venv
  .venv/bin/python -m pip install --no-index --no-deps --find-links ../wheels -r ../wheels/requirements.txt
fi
exec .venv/bin/python -m streamlit run serve.py --server.address "${HOST:-127.0.0.1}" \\
  --browser.serverAddress localhost
""",
    "start.bat": """@echo off
rem Windows: installs once into .venv, from this folder only, then starts the app.
cd /d "%~dp0program"
if not exist .venv\\Scripts\\python.exe (
  py -3 -m venv .venv || exit /b 1
  .venv\\Scripts\\python -m pip install --no-index --no-deps --find-links ..\\wheels ^
    -r ..\\wheels\\requirements.txt || exit /b 1
)
if "%HOST%"=="" set HOST=127.0.0.1
.venv\\Scripts\\python -m streamlit run serve.py --server.address %HOST% --browser.serverAddress localhost
""",
    "README.txt": """Earth MAE Explorer for a computer lab without internet

Linux:    ./start.sh
macOS:    open a terminal in this folder and run ./start.sh
Windows:  start.bat

The first start installs the program from the folder wheels and takes some minutes. Python {python} must be
installed; the wheels are for {platform}. To serve other computers of the lab, set HOST=0.0.0.0 before
starting, and read program/SECURITY.md first. Worksheets and answers are in the folder worksheets.
""",
}


def main() -> int:
    """Write the pack and print its size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "pack")
    parser.add_argument(
        "--platform", choices=PLATFORMS, default=here(), help="of the lab's computers (default: %(default)s)"
    )
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument(
        "--index", default="", help=f"another package index; {CPU_INDEX} gives Linux a torch without CUDA"
    )
    parser.add_argument("--zip", action="store_true", help="also write one zip file")
    args = parser.parse_args()
    out: Path = args.out
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty: name another folder with --out, or delete it.")
    if args.platform == "linux" and not (is_native(args.platform, args.python) or args.index):
        raise SystemExit(
            "pip finds CUDA's packages only for the system and Python that run it: "
            f"add --index {CPU_INDEX} for a torch without CUDA."
        )
    program(out / "program")
    wheels(out / "wheels", args.platform, args.python, args.index)
    samples(out / "program" / "data" / "wheels")
    worksheets(out / "worksheets")
    for name, text in START.items():
        path = out / name
        if name == "README.txt":
            text = text.format(python=args.python, platform=args.platform)
        path.write_text(text, newline="\r\n" if name.endswith(".bat") else "\n")
        if name.endswith(".sh"):
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    report(out)
    if args.zip:
        print(archive(out))
    return 0


def here() -> str:
    """Return the platform of this machine."""
    return {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")


def is_native(platform: str, python: str) -> bool:
    """Whether a platform and Python version are those of this process."""
    return (platform, python) == (here(), f"{sys.version_info.major}.{sys.version_info.minor}")


def program(folder: Path) -> None:
    """Copy the tracked files of the program, except LEFT_OUT."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *(f":!{name}" for name in LEFT_OUT)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def wheels(folder: Path, platform: str, python: str, index: str) -> None:
    """Collect the wheels that `make app` installs, except NOT_NEEDED, and list them for the start scripts."""
    folder.mkdir(parents=True)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT / COMPONENTS))
    if native := is_native(platform, python):
        collect = ["wheel", "--wheel-dir", str(folder)]
    else:
        tags = [word for tag in PLATFORMS[platform].tags for word in ("--platform", tag)]
        collect = ["download", "--dest", str(folder), "--only-binary=:all:", *tags]
        collect += ["--python-version", python, "--implementation", "cp"]
    locked = (ROOT / "requirements.lock").read_text()
    lock = folder / "requirements.lock"
    lock.write_text(needed(locked, {} if native else environment(platform, python)))
    _pip(*collect, "--no-deps", "--require-hashes", "-r", str(lock))
    lock.unlink()
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"^([\w.-]+==[^\s\\;]+)", locked, re.MULTILINE)) + "\n")
    pinned = re.findall(r"^(torch(?:vision)?==\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    # the lock has what torch needs, except CUDA's packages, which pip finds for its own platform only
    how = ["-c", str(constraints), "--find-links", str(folder)] if native else ["--no-deps"]
    _pip(*collect, *how, *(("--extra-index-url", index) if index else ()), *pinned)
    constraints.unlink()
    names = sorted("==".join(path.name.split("-")[:2]) for path in folder.glob("*.whl"))
    (folder / "requirements.txt").write_text("\n".join(names) + "\n")


def environment(platform: str, python: str) -> dict[str, str]:
    """Return the variables of markers for another platform and Python version."""
    return {**PLATFORMS[platform].markers, "python_version": python, "python_full_version": f"{python}.99"}


def needed(lock: str, environment: Mapping[str, str] = {}) -> str:
    """Return the entries of the lock file that a platform needs, without their markers.

    Left out are those of NOT_NEEDED, and those whose marker excludes the `environment` (variables that
    differ from this process's). Raises ValueError if an entry to leave out is missing.
    """
    variables = {**cast("dict[str, str]", default_environment()), **environment}
    absent = set(NOT_NEEDED)
    kept: list[str] = []
    for entry in re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE):
        first, rest, behind = entry.partition(" \\\n")
        pin, _, marker = first.partition(" ; ")
        name = pin.split("==")[0].replace("-", "_")
        if name in absent:
            absent.remove(name)
        elif not marker or Marker(marker).evaluate(variables):
            kept.append(pin + rest + behind)
    if absent:
        raise ValueError(
            f"requirements.lock has no {', '.join(sorted(absent))}: correct the table in this file."
        )
    return "".join(kept)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, cwd=ROOT, check=True)


def samples(folder: Path) -> None:
    """Copy the wheels with sample rasters, if they were downloaded."""
    have = sorted((ROOT / "data" / "wheels").glob("*.whl"))
    if have:
        folder.mkdir(parents=True, exist_ok=True)
    for path in have:
        shutil.copy2(path, folder / path.name)


def worksheets(folder: Path) -> None:
    """Write the worksheets of all lessons."""
    command = [sys.executable, "-m", "core", "lessons", "--worksheets", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def report(out: Path) -> None:
    """Print the size of each part, with torch apart, and the largest wheels."""
    torch = [path for path in (out / "wheels").glob("*.whl") if TORCH.match(path.name)]
    rest = [path for path in (out / "wheels").iterdir() if path not in torch]
    imagery = _size([out / "program" / "data"])
    parts = {
        "program and weights": _size([out / "program"]) - imagery, "downloaded sample rasters": imagery,
        "worksheets": _size([out / "worksheets"]),
        "wheels besides torch": _size(rest), "wheels of torch": _size(torch),
    }  # fmt: skip
    for path in sorted(rest, key=lambda path: path.stat().st_size, reverse=True)[:LARGEST]:
        print(f"{_size([path]) / 1e6:8.1f} MB  wheel {path.name.split('-')[0]}")
    for name, size in parts.items():
        print(f"{size / 1e6:8.1f} MB  {name}")
    print(f"{sum(parts.values()) / 1e6:8.1f} MB  in all, {out}")
    print(f"{(sum(parts.values()) - parts['wheels of torch']) / 1e6:8.1f} MB  beyond torch")


def _size(places: list[Path]) -> int:
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file())


def archive(out: Path) -> Path:
    """Pack the folder into one zip file beside it. Wheels are compressed already and only stored."""
    target = out.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(out.rglob("*")):
            if path.is_file():
                how = zipfile.ZIP_STORED if path.suffix == ".whl" else zipfile.ZIP_DEFLATED
                packed.write(path, Path(out.name) / path.relative_to(out), compress_type=how)
    return target


if __name__ == "__main__":
    raise SystemExit(main())
