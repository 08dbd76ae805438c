"""An embedding run that is killed at any step resumes to the same bytes."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.engine.embedding.sinks.table import TableSink
from tests.engine.embedding.runs import finish, table_bytes
from tests.thorough import a_few

ROOT = Path(__file__).parents[3]
BATCHES = 8
CHILD = """
import os, signal, sys
from core.engine.embedding import folder as embedding_folder, prepare, run as engine
from core.engine.embedding.sinks import table as embedding_table
from core.engine.embedding.spec import EmbeddingSpec
from core.engine.embedding.sinks.table import TableSink
from core.engine.embedding.batches import PendingBatches
from core.engine.embedding.folder import EmbeddingFolder

def kill_in(owner, name, number):
    original, calls = getattr(owner, name), [0]
    def replacement(*args, **more):
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **more)
    setattr(owner, name, replacement)

embed = TableSink.embed
def record(self, batch, *more):
    with open({log!r}, "a") as file:
        file.write(f"{{batch.index}}\\n")
    embed(self, batch, *more)
TableSink.embed = record
kill_in({owner}, {name!r}, {number})
for _ in engine.embed_sources({spec!r}):
    pass
"""

slow = pytest.mark.slow
MOMENTS = [
    ("EmbeddingFolder", "write_manifest", 2),
    ("PendingBatches", "remove", 1),
    *(
        pytest.param(*moment, marks=slow)
        for moment in (
            ("prepare", "make_plan", 1), ("EmbeddingFolder", "agree", 1),
            ("EmbeddingFolder", "write_manifest", 1), ("EmbeddingFolder", "write_manifest", 4),
            ("EmbeddingFolder", "write_shard", 2), ("PendingBatches", "delete", 1),
            ("EmbeddingFolder", "log", 1), ("EmbeddingFolder", "log", 10),
            *(("os", "replace", number) for number in (1, 2, 5, 6, 7, 12, 15)),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name", "number"), a_few(MOMENTS, 2))
def test_killed_at_a_critical_moment(spec, tmp_path, monkeypatch, owner, name, number):
    kill_and_resume(spec, tmp_path, monkeypatch, owner, name, number, workers=1)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=slow) for seed in range(1, 8))])
def test_killed_with_two_workers(spec, tmp_path, monkeypatch, seed):
    number = int(np.random.default_rng(seed).integers(2, BATCHES + 1))
    kill_and_resume(spec, tmp_path, monkeypatch, "PendingBatches", "save", number, workers=2)


def kill_and_resume(spec, tmp_path, monkeypatch, owner, name, number, *, workers):
    finish(spec)
    broken, log = replace(spec, out=str(tmp_path / "broken")), tmp_path / "embedded.txt"
    script = CHILD.format(log=str(log), owner=owner, name=name, number=number, spec=broken)
    environment = {**os.environ, "OMP_NUM_THREADS": str(workers), "EARTH_MAE_THREADS": str(workers)}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    first = log.read_text().split() if log.exists() else []
    again = []
    embed = TableSink.embed
    monkeypatch.setattr(
        TableSink, "embed", lambda self, batch, *more: again.append(batch.index) or embed(self, batch, *more)
    )
    finish(broken, resume=True)
    assert table_bytes(broken.out) == table_bytes(spec.out)
    assert {int(index) for index in first} | set(again) == set(range(BATCHES))
    assert len(first) + len(again) <= BATCHES + workers
    left = {file.name for file in Path(broken.out).iterdir()}
    assert not (Path(broken.out) / "_pending").exists()
    assert not any(name.endswith(".part") for name in left)
