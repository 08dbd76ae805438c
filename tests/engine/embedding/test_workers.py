"""A run divided among processes ends with the same bytes as one process, and failures lose nothing."""

import errno
import json
import multiprocessing
import os
import platform
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.cli.entry import main
from core.engine import batch_sizes
from core.engine.embedding import environment, plan, sharing
from core.engine.embedding.batches import PendingBatches
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop
from core.engine.embedding.run import embed_share, embed_sources, lead
from core.engine.embedding.share import Share, share_from_text
from core.engine.embedding.sinks import table
from core.engine.embedding.sinks.table import TableSink
from core.engine.embedding.spec import EmbeddingError
from core.engine.loaded import load
from tests.engine.embedding.runs import MODEL, finish, run_leader, run_worker, table_bytes


@pytest.fixture
def whole(spec):
    """The bytes that one process writes."""
    one = replace(spec, out=f"{spec.out}-whole")
    finish(one)
    return table_bytes(one.out)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sharing, "POLL_S", 0.01)


def led(spec, workers=2, **more):
    """A leader that has written the plan and divided the run."""
    steps = lead(spec, [spec.model], workers, **more)
    next(steps)
    EmbeddingFolder(Path(spec.out)).divide(workers)
    return steps


def work(spec, share, **more):
    return embed_share(spec, [spec.model], share_from_text(share), wait_s=0, **more)


def complete(spec, leader, workers):
    for number in range(workers):
        list(work(spec, f"{number}/{workers}"))
    assert list(leader)[-1].finished


def test_three_workers_of_which_one_is_killed(spec, whole):
    spec = replace(spec, shard_tiles=16)  # 8 batches in 4 shards: worker 0 has two shards
    one = replace(spec, out=f"{spec.out}-one")
    finish(one)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["core.engine.embedding.run", "tests.engine.embedding.runs"])
    shares = [Share(number, 3) for number in range(3)]
    workers = [processes.Process(target=run_worker, args=(spec, shares[0], 3))]
    workers += [processes.Process(target=run_worker, args=(spec, share)) for share in shares[1:]]
    leader = processes.Process(target=run_leader, args=(spec, 3))
    for process in (*workers, leader):  # workers may start before their leader
        process.start()
    try:
        workers[0].join(300)
        assert workers[0].exitcode == -9
        assert list((Path(spec.out) / "_pending").glob(".*.part"))
        workers[0] = processes.Process(target=run_worker, args=(spec, shares[0]))
        workers[0].start()
        for process in (*workers, leader):
            process.join(300)
            assert process.exitcode == 0
    finally:
        for process in (*workers, leader):
            if process.is_alive():
                process.kill()
    assert table_bytes(spec.out) == table_bytes(one.out)
    assert not list(Path(spec.out).glob("_pending")) and not list(Path(spec.out).glob("_workers.json"))


def test_each_worker_embeds_its_own_shards_only(spec, whole):
    leader, pending = led(spec), EmbeddingFolder(Path(spec.out)).pending
    steps = list(work(spec, "1/2"))
    assert pending.finished() == {3, 4, 5}  # the second of three shards
    assert (steps[0].done, steps[0].total, steps[-1].done, steps[-1].finished) == (0, 24, 24, True)
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole
    assert "Nothing is left" in list(work(spec, "1/2"))[-1].note


def test_a_second_leader_and_a_worker_without_one(spec, whole):
    with pytest.raises(EmbeddingError, match=r"No leader has started .* \(--leader 2\), then this worker"):
        list(work(spec, "0/2"))
    leader = led(spec)
    with pytest.raises(EmbeddingError, match=rf"process {os.getpid()} on .* is writing to out: wait for it"):
        next(lead(spec, [MODEL], 2, resume=True))
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


def test_a_worker_with_another_plan(spec, whole):
    leader = led(spec)
    with pytest.raises(EmbeddingError, match="tile_px was 32 and is now 40"):
        list(work(replace(spec, tile_px=40), "0/2"))
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


def other_versions(monkeypatch):
    other = {**environment.environment(), "torch": "1.0"}
    for module in (plan, table):
        monkeypatch.setattr(module, "environment", lambda: other)


@pytest.mark.thorough
def test_another_version_is_refused_or_recorded_for_each_batch(spec, monkeypatch):
    leader = led(spec)
    with monkeypatch.context() as patched:
        other_versions(patched)
        with pytest.raises(EmbeddingError, match=r"torch was .* and is now 1\.0.* or add --mix"):
            list(work(spec, "1/2"))
        list(work(spec, "1/2", mix=True))
    complete(spec, leader, 2)
    manifest = json.loads((Path(spec.out) / "_manifest.json").read_text())
    assert manifest["mixed"] == [{"batches": [3, 5], "made_with": {"torch": "1.0"}}]


@pytest.mark.thorough
def test_one_process_resumes_with_another_version_if_asked(spec, monkeypatch):
    next(step for step in embed_sources(spec) if step.shards)
    other_versions(monkeypatch)
    with pytest.raises(EmbeddingError, match=r"torch was .* and is now 1\.0"):
        list(embed_sources(spec, resume=True))
    finish(spec, resume=True, mix=True)
    (mixed,) = json.loads((Path(spec.out) / "_manifest.json").read_text())["mixed"]
    assert mixed["batches"][0] >= 3 and mixed["batches"][1] == 7


@pytest.mark.thorough
def test_another_number_of_workers_midway(spec, whole):
    leader = led(spec, 2)
    worker = work(spec, "0/2")
    next(step for step in worker if step.done)
    leader.close()
    leader = led(spec, 3, resume=True)
    with pytest.raises(EmbeddingError, match=r"divided among 3 workers and not 2: .* as 0/3 to 2/3"):
        list(worker)
    with pytest.raises(EmbeddingError, match="divided among 3 workers and not 2"):
        list(work(spec, "1/2"))
    complete(spec, leader, 3)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_a_folder_that_vanishes(spec):
    leader = led(spec)
    worker = work(spec, "0/2")
    next(step for step in worker if step.done)
    shutil.rmtree(spec.out)
    with pytest.raises(EmbeddingError, match="out is gone: reconnect its disk"):
        list(worker)
    with pytest.raises(EmbeddingError, match="out is gone: reconnect its disk"):
        list(leader)
    assert not Path(spec.out).exists()


def fail_with(monkeypatch, number, owner=PendingBatches, name="save"):
    """Let a method fail as it does on a full, unmounted or vanished disk."""

    def fail(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self.path / "00000000"))

    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The disk is full: free some space, then start this worker again; finished"),
        (errno.EDQUOT, "The disk is full: free some space, then start this worker again"),
        (errno.EIO, "out cannot be written or read .* check its disk, then start this worker again"),
    ],
)
@pytest.mark.thorough
def test_a_worker_whose_disk_fails_continues_later(spec, whole, monkeypatch, number, sentence):
    leader, worker = led(spec), work(spec, "0/2")
    next(step for step in worker if step.done)
    with monkeypatch.context() as patched:
        fail_with(patched, number)
        with pytest.raises(EmbeddingError, match=sentence):
            list(worker)
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_a_leader_whose_disk_is_full_continues_later(spec, whole, monkeypatch):
    leader = led(spec)
    list(work(spec, "0/2"))
    with monkeypatch.context() as patched:
        fail_with(patched, errno.ENOSPC, EmbeddingFolder, "write_shard")
        with pytest.raises(EmbeddingError, match=r"full after 24 of 63 tiles: free .* then add --resume"):
            list(leader)
    complete(spec, led(spec, resume=True), 2)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_a_network_file_system_that_forgets_its_files(spec, whole, monkeypatch):
    def stale(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    leader, worker = led(spec), work(spec, "0/2")
    next(step for step in worker if step.done)
    with monkeypatch.context() as patched:
        fail_with(patched, errno.ESTALE)
        patched.setattr(Path, "is_dir", stale)
        with pytest.raises(EmbeddingError, match="out is gone: reconnect its disk, then start this worker"):
            list(worker)
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


@pytest.mark.parametrize("hours", [-30, 30])
@pytest.mark.thorough
def test_a_worker_whose_clock_is_wrong(spec, whole, monkeypatch, hours):
    leader = led(spec)
    part = Path(spec.out) / "_pending" / ".00000002.other.host.7.part"
    part.write_bytes(b"written by another worker at this moment")
    now = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now() + hours * 3600)
        list(work(spec, "0/2"))
        leader.close()
        leader = led(spec, resume=True)
        assert part.exists()
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_one_process_takes_over_and_workers_notice(spec, whole):
    leader = led(spec)
    worker = work(spec, "0/2")
    next(step for step in worker if step.done)
    leader.close()
    steps = embed_sources(spec, resume=True)
    next(steps), next(steps)
    with pytest.raises(EmbeddingError, match="is no longer divided among workers"):
        list(worker)
    assert list(steps)[-1].finished
    assert table_bytes(spec.out) == whole


def test_a_stop_reaches_leader_and_workers(spec, whole):
    leader, worker = led(spec), work(spec, "0/2")
    next(step for step in worker if step.done)
    ask_to_stop(Path(spec.out))
    for steps in (worker, leader):
        last = list(steps)[-1]
        assert not last.finished and "Stopped" in last.note
    complete(spec, led(spec, resume=True), 2)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_progress_takes_the_same_time_for_every_batch(spec, monkeypatch):
    leader, calls, tiles_of = led(spec, 1), [], TableSink.tiles_of
    monkeypatch.setattr(
        TableSink, "tiles_of", lambda self, index: calls.append(index) or tiles_of(self, index)
    )
    steps = [step.done for step in work(spec, "0/1")]
    assert steps == sorted(steps) and steps[-2:] == [63, 63] and len(calls) <= 3 * 8
    leader.close()


@pytest.mark.thorough
def test_a_damaged_batch_is_embedded_again(spec, whole):
    leader = led(spec)
    list(work(spec, "0/2"))
    file = Path(spec.out) / "_pending" / "00000001.safetensors"
    file.write_bytes(file.read_bytes()[:60])
    next(step for step in leader if step.done >= 8 * 3)
    assert not file.exists()
    complete(spec, leader, 2)
    assert table_bytes(spec.out) == whole


def test_the_leader_names_the_workers_it_waits_for(spec, monkeypatch):
    monkeypatch.setattr(sharing, "REMIND_S", 0.0)
    leader = led(spec)
    list(work(spec, "0/2"))
    assert "Batches are left for --worker 1/2:" in next(step for step in leader if step.note).note


@pytest.mark.thorough
def test_a_worker_does_not_halve_its_batches(spec, monkeypatch):
    monkeypatch.setattr(batch_sizes, "_largest", {})

    def limited(self, images, res, keep):
        raise MemoryError

    leader = led(spec)
    monkeypatch.setattr(type(load(MODEL)), "_encode", limited)
    with pytest.raises(EmbeddingError, match="batch of 8 tiles does not fit into this worker"):
        list(work(spec, "0/2"))
    leader.close()


@pytest.mark.thorough
def test_a_worker_takes_the_batch_size_of_the_plan(spec, whole, monkeypatch):
    leader = led(spec)
    monkeypatch.setattr("core.engine.embedding.prepare._batch_size", lambda side: 2)
    complete(replace(spec, batch=None), leader, 2)
    assert table_bytes(spec.out) == whole


def test_only_torn_parts_of_dead_writers_are_deleted(tmp_path):
    pending = PendingBatches(tmp_path)
    host = platform.node()
    writing = {f".00000001.{host}.{os.getppid()}.part", ".00000002.other.host.7.part"}
    torn = {f".00000003.{host}.{os.getpid()}.part", f".00000004.{host}.99999999.part", ".00000005.old.1.part"}
    for name in writing | torn:
        (tmp_path / name).write_bytes(b"torn")
    hour_ago = (tmp_path / ".00000002.other.host.7.part").stat().st_mtime - 3600
    os.utime(tmp_path / ".00000005.old.1.part", (hour_ago, hour_ago))
    pending.open()
    assert {file.name for file in tmp_path.iterdir()} == writing


@pytest.mark.parametrize("text", ["3/3", "1", "-1/2", "a/b", "0/0", "1/2/3"])
def test_an_impossible_worker(text):
    with pytest.raises(EmbeddingError, match="worker"):
        share_from_text(text)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--worker", "0/2", "--resume"], "--worker takes neither --leader nor --resume"),
        (["--worker", "2/2"], "must be between 0 and 1; 2 is not"),
        (["--leader", "0"], "needs at least one worker"),
        (["--leader", "2", "--patches"], "--leader cannot be combined with --patches"),
    ],
)
def test_mistakes_on_the_command_line(spec, capsys, words, sentence):
    assert main(["embed", *spec.sources, "--out", spec.out, "--model", MODEL, *words]) != 0
    assert sentence in capsys.readouterr().err
