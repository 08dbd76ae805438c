"""Write a folder for a computer lab without internet: program, wheels, sample imagery, start scripts (`make
pack`).

The wheels are for the platform and the Python version that run this, or for those that `--platform` and
`--python` name. Prints the size of each part. Needs the internet once; what it writes does not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = re.compile(r"(torch|torchvision|triton|nvidia)[-_]")
COMPONENTS = "ui/components"
NOT_NEEDED = {
    "duckdb": "only the tests and notebook 7 read tables with it",
    "pyogrio": "geopandas reads vector files with it; the app reads none",
    "jedi": "completion in a terminal",
    "hf_xet": "faster transfers from the Hugging Face hub",
    "widgetsnbextension": "widgets in Jupyter notebooks",
}
"""Locked packages that the app never imports, and what they are for. The pack leaves them out."""
LEFT_OUT = ("tests", "benchmarks", "frontend", ".ci", ".github", "docs/pictures", "notebooks/0*.ipynb")
"""Files of the checkout that running and teaching do not need."""
LARGEST = 12
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
    """Write the pack and print what it weighs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "pack")
    parser.add_argument(
        "--platform", action="append", default=[], help="such as win_amd64 or macosx_11_0_arm64"
    )
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument(
        "--index",
        default="",
        help="another package index; https://download.pytorch.org/whl/cpu gives Linux a torch without CUDA",
    )
    parser.add_argument("--zip", action="store_true", help="also write one zip file")
    args = parser.parse_args()
    out: Path = args.out
    if out.exists() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty: name another folder with --out, or delete it.")
    program(out / "program")
    wheels(out / "wheels", args.platform, args.python, args.index)
    samples(out / "program" / "data" / "wheels")
    worksheets(out / "worksheets")
    platform = ", ".join(args.platform) or "the platform that wrote this folder"
    for name, text in START.items():
        path = out / name
        if name == "README.txt":
            text = text.format(python=args.python, platform=platform)
        path.write_text(text, newline="\r\n" if name.endswith(".bat") else "\n")
        if name.endswith(".sh"):
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    report(out)
    if args.zip:
        print(archive(out))
    return 0


def program(folder: Path) -> None:
    """Copy what git has of the program, except LEFT_OUT."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *(f":!{name}" for name in LEFT_OUT)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def wheels(folder: Path, platforms: list[str], python: str, index: str) -> None:
    """Collect the wheels that `make app` installs, except NOT_NEEDED, and list them for the start scripts."""
    folder.mkdir(parents=True)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT / COMPONENTS))
    where = ["--only-binary=:all:", *(word for name in platforms for word in ("--platform", name))]
    where += ["--python-version", python, "--implementation", "cp"]
    collect = (
        ["download", "--dest", str(folder), *where] if platforms else ["wheel", "--wheel-dir", str(folder)]
    )
    lock = folder / "requirements.lock"
    lock.write_text(needed((ROOT / "requirements.lock").read_text()))
    _pip(*collect, "--no-deps", "--require-hashes", "-r", str(lock))
    lock.unlink()
    locked = re.findall(r"^([\w.-]+==[^\s\\;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(locked) + "\n")
    pinned = re.findall(r"^(torch(?:vision)?==\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    _pip(
        *collect,
        "-c",
        str(constraints),
        "--find-links",
        str(folder),
        *(("--extra-index-url", index) if index else ()),
        *pinned,
    )
    constraints.unlink()
    names = sorted("==".join(path.name.split("-")[:2]) for path in folder.glob("*.whl"))
    (folder / "requirements.txt").write_text("\n".join(names) + "\n")


def needed(lock: str) -> str:
    """Return the lock file without the entries of NOT_NEEDED. Raises ValueError if one is missing."""
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)
    kept = [entry for entry in entries if entry.split("==")[0].replace("-", "_") not in NOT_NEEDED]
    if len(entries) - len(kept) != len(NOT_NEEDED):
        raise ValueError(
            "NOT_NEEDED names a package that requirements.lock does not have: correct the table."
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
