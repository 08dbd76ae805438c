"""The commands and the code in the README work as written."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from core.cli.entry import build_parser, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_two_commands_come_first() -> None:
    first = README.split("```")[1].split("\n")
    assert [line.split("#")[0].strip() for line in first if line] == ["make app", "make test"]


def test_every_make_target_exists() -> None:
    words = set(re.findall(r"`?make ([a-z]+)", README))
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert words <= {line.split()[0] for line in listed.splitlines()}


def test_every_command_line_is_valid() -> None:
    lines = [
        line
        for line in README.splitlines()
        if line.startswith(".venv/bin/python -m core ") and not line.endswith("--help")
    ]
    assert lines
    for line in lines:
        build_parser().parse_args(shlex.split(line)[3:])


def test_every_file_that_it_names_exists() -> None:
    named = set(re.findall(r"`([A-Za-z_-]+\.(?:md|cff)|LICENSE)`|\]\(([\w./-]+)\)", README))
    named = {name for pair in named for name in pair if name}
    assert named
    assert {"LICENSE", "docs/models.md", "docs/pictures/globe.png"} <= named
    assert not [name for name in named if not (ROOT / name).is_file()]


def test_the_reconstruction_leads_every_fill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = next(line for line in README.splitlines() if " reconstruct " in line)
    assert main([*shlex.split(line)[3:-1], str(tmp_path), "--json"]) == 0
    psnr = {name: scores["psnr"] for name, scores in json.loads(capsys.readouterr().out)["metrics"].items()}
    assert psnr.pop("model") > max(psnr.values()) + 0.2


@pytest.mark.slow
def test_the_python_code_runs_unchanged() -> None:
    scope: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(compile(block, "README", "exec"), scope)
    assert "result" in scope
