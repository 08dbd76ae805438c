"""An interrupted embedding run gives the same bytes after it is resumed, and only with the same settings."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.engine.embedding.batches import PendingBatches
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop
from core.engine.embedding.run import embed_sources, embed_with_models
from core.engine.embedding.spec import EmbeddingError
from tests.engine.embedding.runs import MODEL, finish, picture, table_bytes, write
from tests.thorough import a_few

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("seed", a_few(range(2), 1))
def test_killed_and_resumed_gives_the_same_bytes(spec, tmp_path, seed):
    kill_and_resume(spec, tmp_path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_killed_at_any_moment(spec, tmp_path, seed):
    kill_and_resume(spec, tmp_path, seed)


def kill_and_resume(spec, tmp_path, seed):
    finish(spec)
    whole = table_bytes(spec.out)
    broken = replace(spec, out=str(tmp_path / "broken"))
    after = int(np.random.default_rng(seed).integers(1, 8))
    script = (
        "from core.engine.embedding.run import embed_sources\n"
        "from core.engine.embedding.spec import EmbeddingSpec\n"
        f"for step in embed_sources({broken!r}):\n"
        "    print(step.done, flush=True)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT, env=environment
    )
    for line, _ in enumerate(process.stdout):
        if line == after + 1:
            break
    time.sleep(np.random.default_rng(seed).random() * 0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = len(EmbeddingFolder(Path(broken.out)).pending.finished()) * spec.batch + _rows_in_shards(
        broken.out
    )
    steps = finish(broken, resume=True)
    assert table_bytes(broken.out) == whole
    assert steps[0].done >= min(after * spec.batch, 63) - spec.batch
    assert steps[0].done <= saved
    assert not (Path(broken.out) / "_pending").exists()


def _rows_in_shards(folder):
    manifest = Path(folder) / "_manifest.json"
    return sum(s["rows"] for s in json.loads(manifest.read_text())["shards"]) if manifest.exists() else 0


@pytest.mark.thorough
def test_models_stopped_separately_resume_together(spec, tmp_path):
    models = (MODEL, "tinymim_tiny")
    for model in models:
        finish(replace(spec, model=model, out=str(tmp_path / "alone" / model)))
    for most, model in zip((3, 5), models, strict=True):
        steps = embed_sources(replace(spec, model=model, out=str(tmp_path / "out" / model)))
        next(step for step in steps if step.done >= most * spec.batch)
        steps.close()
    first, *_, last = embed_with_models(spec, models, resume=True)
    assert first.done >= 8 * spec.batch
    assert last.finished
    for model in models:
        assert table_bytes(tmp_path / "out" / model) == table_bytes(tmp_path / "alone" / model)


def test_a_closed_generator_stops_and_resumes(spec):
    steps = embed_sources(spec)
    for step in steps:
        if step.done:
            break
    steps.close()
    embedded = []
    for step in embed_sources(spec, resume=True):
        embedded.append(step.done)
    assert embedded[0] >= 8
    assert embedded[-1] == 63
    assert finish(spec, resume=True)[-1].done == 63  # a finished run resumes to nothing at once


def test_a_requested_stop(spec):
    for step in embed_sources(spec):
        if step.done:
            ask_to_stop(Path(spec.out))
    assert not step.finished
    assert "Stopped; add --resume" in step.note
    assert finish(spec, resume=True)[-1].embedded == 63


def test_resuming_an_empty_folder_starts_a_run(spec):
    assert finish(spec, resume=True)[0].done == 0


def test_a_folder_in_use_or_with_a_run_is_refused(spec):
    steps = embed_sources(spec)
    next(steps)
    with pytest.raises(EmbeddingError, match=rf"process {os.getpid()} on .+\) is writing"):
        next(embed_sources(spec, resume=True))
    steps.close()
    with pytest.raises(EmbeddingError, match="add --resume"):
        next(embed_sources(spec))


def test_other_settings_and_other_weights_are_refused(spec):
    next(embed_sources(spec))
    with pytest.raises(EmbeddingError, match="tile_px was 32 and is now 40"):
        next(embed_sources(replace(spec, tile_px=40), resume=True))
    plan = Path(spec.out) / "_plan.json"
    changed = json.loads(plan.read_text())
    known = changed["spec"]["weights_sha256"]
    changed["spec"]["weights_sha256"] = "ab" * 32
    plan.write_text(json.dumps(changed))
    with pytest.raises(EmbeddingError, match=f"weights were {'ab' * 32} and are now {known or 'untrained'}"):
        next(embed_sources(spec, resume=True))


@pytest.mark.thorough
def test_notes_of_an_earlier_version_do_not_prevent_a_resume(spec):
    next(embed_sources(spec))
    plan = Path(spec.out) / "_plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"notes": ["scene.tif is kept off the map."]}))
    assert list(embed_sources(spec, resume=True))[-1].finished


@pytest.mark.thorough
def test_changed_pictures_are_refused(spec):
    next(embed_sources(spec))
    write(spec.sources[0], picture(300, 300))
    with pytest.raises(EmbeddingError, match="pictures have changed"):
        next(embed_sources(spec, resume=True))


def test_a_full_disk_stops_cleanly_and_resumes(spec, monkeypatch):
    finish(replace(spec, out=spec.out + "-whole"))
    save = PendingBatches.save

    def full(self, index, arrays, made_with):
        if index == 4:
            raise OSError(28, "No space left on device")
        save(self, index, arrays, made_with)

    monkeypatch.setattr(PendingBatches, "save", full)
    with pytest.raises(EmbeddingError, match=r"The disk is full after \d+ of 63 tiles"):
        list(embed_sources(spec))
    monkeypatch.undo()
    assert finish(spec, resume=True)[0].done >= 8
    assert table_bytes(spec.out) == table_bytes(spec.out + "-whole")
