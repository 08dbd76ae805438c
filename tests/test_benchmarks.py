"""Benchmarks run as their docstrings say, without PYTHONPATH."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_program_is_found_before_it_is_imported(file: Path) -> None:
    tree = ast.parse(file.read_text())
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    ours = [place for place, name in enumerate(imported) if name and name.split(".")[0] in ("core", "ui")]
    assert imported.index("_quiet") < min(ours, default=len(imported))
    assert f"python benchmarks/{file.name}" in (ast.get_docstring(tree) or "")


@pytest.mark.thorough
def test_the_gpu_benchmark_measures_everything_on_a_cpu_too(tmp_path):
    out = tmp_path / "table.md"
    sizes = "--model mae_tiny --seconds 0.01 --rows 2000 --tiles 4 --batch 2 --no-compile --anyway"
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu.py", *sizes.split(), "--out", str(out)],
        cwd=ROOT, env={**os.environ, "EARTH_MAE_DEVICE": "cpu"}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])["results"]
    assert [one["problem"] for one in results] == [""] * len(results)
    assert all(one["value"] > 0 for one in results)
    tasks = [one["what"].split(",")[0] for one in results]
    assert tasks[:6] == ["encode"] * 3 + ["reconstruct"] * 3
    assert tasks[6:10] == [
        "raster to GeoParquet", "the same as a share of the bare network", "training", "exact search",
    ]  # fmt: skip
    assert tasks[10].startswith("the same by a matrix product on CPU")
    assert out.read_text().count("\n| ") == len(results) + 1
