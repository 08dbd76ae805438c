"""The notebooks: imports exist, saved outputs are readable, and findings are reproducible."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.evaluation.claims import read_claims

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
INTERVAL = re.compile(r"([-+]?\d+\.\d+)\D* \[([-+]?\d+\.\d+), ([-+]?\d+\.\d+)\]")
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?")

every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == kind]


def printed(outputs: list[Any]) -> str:
    return "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")


def findings(texts: list[str]) -> list[str]:
    return [line for text in texts for line in text.splitlines() if line.startswith("Finding:")]


@every
def test_imported_names_exist(notebook: Path) -> None:
    code = "\n".join(
        "".join(cell["source"]).replace("%matplotlib inline", "") for cell in cells(notebook, "code")
    )
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, alias.name) for node in imports for alias in node.names]
    ours = [(module, name) for module, name in names if module and module.split(".")[0] == "core"]
    assert ours
    assert not [(module, name) for module, name in ours if not hasattr(importlib.import_module(module), name)]


@every
def test_a_saved_notebook_reads_as_a_chapter(notebook: Path) -> None:
    """It has a question, a link to a paper, instructions, a picture and a finding."""
    text = "\n".join("".join(cell["source"]) for cell in cells(notebook, "markdown"))
    assert "**Question.**" in text and "**To run it:**" in text
    assert re.search(r"\]\(https://(arxiv|doi)\.org/", text)
    code = cells(notebook, "code")
    counts = [cell["execution_count"] for cell in code]
    assert counts == list(range(1, len(code) + 1)), "run `make notebooks`"
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]
    assert findings([printed(outputs)])


def same_findings(before: list[str], after: list[str]) -> None:
    """Compare the words of findings, and their numbers within 5 % or 0.02."""
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert NUMBER.sub("", old) == NUMBER.sub("", new)
        numbers = [[float(number) for number in NUMBER.findall(line)] for line in (old, new)]
        assert numbers[1] == pytest.approx(numbers[0], rel=0.05, abs=0.02), f"{old}\nis now\n{new}"


def repeat(notebook: Path) -> None:
    """Run a notebook and compare the numbers of its findings with the saved ones."""
    import nbformat
    from nbclient import NotebookClient

    saved = nbformat.read(notebook, 4)
    again = nbformat.read(notebook, 4)
    NotebookClient(again, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    before, after = (
        findings([printed(cell.outputs) for cell in nb.cells if cell.cell_type == "code"])
        for nb in (saved, again)
    )
    same_findings(before, after)


@every
def test_a_finding_lies_inside_its_interval(notebook: Path) -> None:
    printed_findings = findings([printed(cell["outputs"]) for cell in cells(notebook, "code")])
    stated = [
        [float(number) for number in found] for line in printed_findings for found in INTERVAL.findall(line)
    ]
    assert all(low <= value <= high for value, low, high in stated), stated


def test_quoted_claims_are_the_recorded_ones() -> None:
    """Fails where `core papers --record` has measured again and the notebook still quotes the old numbers."""
    printed_findings = findings(
        [printed(cell["outputs"]) for cell in cells(FOLDER / "03_three_papers.ipynb", "code")]
    )
    same_findings(printed_findings, [f"Finding: {claim.sentence()}" for claim in read_claims()])


@pytest.mark.thorough
def test_the_findings_on_the_bundled_table_repeat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cells of notebook 8 that measure the table of the Globe, run again."""
    code = cells(FOLDER / "08_globe.ipynb", "code")
    measures = next(cell for cell in code if findings([printed(cell["outputs"])]))
    opens = next(cell for cell in code if "open_table(world)" in "".join(cell["source"]))
    names: dict[str, Any] = {}
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr("sys.path", sys.path.copy())
    for cell in (code[0], opens):
        exec("".join(cell["source"]).replace("%matplotlib inline", ""), names)
    names["lon"], names["lat"] = names["table"].lonlat.T  # a cell between them plots and projects it too
    exec("".join(measures["source"]), names)
    same_findings(findings([printed(measures["outputs"])]), findings([capsys.readouterr().out]))


@pytest.mark.parametrize("now", ["Finding: 0.60 dB.", "Finding: 0.50 points.", "Found: 0.50 dB."])
def test_another_finding_is_noticed(now: str) -> None:
    same_findings(["Finding: 0.50 dB."], ["Finding: 0.51 dB."])
    with pytest.raises(AssertionError):
        same_findings(["Finding: 0.50 dB."], [now])


def test_badges_open_a_notebook_where_it_is_hosted(tmp_path: Path) -> None:
    name = "01_mask_and_reconstruct.ipynb"
    shutil.copy(FOLDER / name, tmp_path)
    for repository in ("someone/old", "lab/earth"):
        words = [sys.executable, "tools/badges.py", repository, "--folder", str(tmp_path)]
        subprocess.run(words, check=True, cwd=FOLDER.parent)
    before, after = (json.loads((folder / name).read_text()) for folder in (FOLDER, tmp_path))
    text = "".join(after["cells"][0].pop("source"))
    assert text.startswith("".join(before["cells"][0].pop("source")).split("\n")[0])
    assert after == before
    assert f"colab.research.google.com/github/lab/earth/blob/main/notebooks/{name})" in text
    assert f"mybinder.org/v2/gh/lab/earth/main?urlpath=lab/tree/notebooks/{name})" in text
    assert "!git clone https://github.com/lab/earth`" in text and "pip install '.[all]'" in text
    assert "**Question.**" in text and "someone" not in text
    wrong = subprocess.run([*words[:2], "earth"], capture_output=True, text=True, cwd=FOLDER.parent)
    assert wrong.returncode == 2 and "write OWNER/NAME" in wrong.stderr


@pytest.mark.slow
@every
def test_every_notebook_repeats(notebook: Path) -> None:
    repeat(notebook)
