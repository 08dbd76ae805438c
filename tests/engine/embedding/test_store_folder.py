"""A run in object storage ends with the bytes of a local one, and failures of the storage lose nothing."""

import hashlib
import json
import multiprocessing
import os
import signal
import traceback
from dataclasses import replace

import pytest

from core.atlas import open_table
from core.atlas.errors import TableError
from core.atlas.store import remote
from core.cli.entry import main
from core.engine.embedding import lease, sharing
from core.engine.embedding.run import embed_share, embed_sources, embed_with_models, lead
from core.engine.embedding.share import share_from_text
from core.engine.embedding.spec import EmbeddingError
from core.engine.embedding.store_folder import StoreFolder, StorePending
from core.net import object_store
from core.net.object_store import ObjectStore
from core.net.online import OnlineError
from tests.engine.embedding.runs import MODEL, finish, table_bytes
from tests.s3_server import BUCKET, s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def storage(server, monkeypatch):
    """The server, healed, with the variables that lead to it."""
    server.fail(200)
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(object_store, "RETRIES", 1)
    quick(monkeypatch.setattr)
    return server


def quick(put, lease_s=600.0):
    put(sharing, "POLL_S", 0.05)
    put(lease, "RENEW_S", 0.2)
    put(lease, "LEASE_S", lease_s)
    put(lease, "POLL_S", 0.1)


@pytest.fixture
def whole(spec):
    """The bytes that one process writes to a local folder."""
    one = replace(spec, out=f"{spec.out}-whole")
    finish(one)
    return table_bytes(one.out)


@pytest.fixture
def stored(storage, spec, tmp_path):
    """The same spec, with an output of its own in object storage."""
    return replace(spec, out=f"s3://{BUCKET}/{tmp_path.name}/out", online=True)


def objects(spec):
    store = ObjectStore(spec.out)
    return {name: store.get(name).data for name in store.names()}


def stored_bytes(spec):
    """The hashes of a table's objects, once nothing is left of the run itself."""
    found = objects(spec)
    assert not [name for name in found if name.startswith("_pending")]
    assert {name for name in found if name.startswith("_")} == {"_log.jsonl", "_manifest.json", "_plan.json"}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if name != "_log.jsonl"}


def led(spec, workers=2, **more):
    """A leader that has written the plan and divided the run."""
    steps = lead(spec, [spec.model], workers, **more)
    next(steps)
    StoreFolder(ObjectStore(spec.out)).divide(workers)
    return steps


def work(spec, share):
    return embed_share(spec, [spec.model], share_from_text(share), wait_s=0)


def complete(spec, leader, workers=2):
    for number in range(workers):
        list(work(spec, f"{number}/{workers}"))
    assert list(leader)[-1].finished


def in_a_process(environment, killed_in, owner, name, steps, *args, **more):
    """Run steps to their end, or until the call of a method in which this process kills itself."""
    os.environ.update(environment)
    quick(setattr, lease_s=1.0)  # the only other leader is dead by then
    original, calls = getattr(owner, name), []

    def count(*values, **others):
        calls.append(1)
        if len(calls) == killed_in:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*values, **others)

    setattr(owner, name, count)
    assert list(steps(*args, **more))[-1].finished


def test_workers_and_a_leader_are_killed_and_started_again(stored, storage, spec, whole):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["core.engine.embedding.run", "tests.engine.embedding.runs"])

    def start(killed_in, owner, name, steps, *args, **more):
        process = processes.Process(
            target=in_a_process,
            args=(storage.environment, killed_in, owner, name, steps, stored, [MODEL], *args),
            kwargs=more,
        )
        process.start()
        return process

    def worker(share, killed_in=None):
        return start(killed_in, StorePending, "save", embed_share, share_from_text(share), wait_s=300)

    def leader(killed_in=None, **more):
        return start(killed_in, StoreFolder, "write_manifest", lead, 2, **more)

    running = [worker("0/2", killed_in=2), worker("1/2"), leader(killed_in=2)]
    try:
        running[0].join(300)
        running.append(worker("0/2"))
        running[2].join(300)
        assert [running[0].exitcode, running[2].exitcode] == [-9, -9]
        running.append(leader(resume=True))
        for process in (running[1], *running[3:]):
            process.join(300)
            assert process.exitcode == 0
    finally:
        for process in running:
            if process.is_alive():
                process.kill()
    assert stored_bytes(stored) == whole


def test_one_process_and_opening_the_table(stored, spec, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "program_folder", lambda name: tmp_path / name)
    with pytest.raises(TableError, match=r"no table at s3://.*/out: check the address, or write one"):
        open_table(stored.out)
    finish(stored)
    assert stored_bytes(stored) == whole
    with pytest.raises(EmbeddingError, match="already holds an embedding run: add --resume"):
        finish(stored)
    table = open_table(stored.out)
    assert table.name == "out" and len(table) == 63
    local = open_table(f"{spec.out}-whole")
    assert table.fingerprint == local.fingerprint and (table.vectors == local.vectors).all()
    fetched = []
    monkeypatch.setattr(remote, "_fetch", lambda *each: fetched.append(each))
    assert len(open_table(stored.out)) == 63 and not fetched  # what is here is not downloaded again


def test_a_damaged_shard_is_refused_and_embedded_again(stored, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "program_folder", lambda name: tmp_path / name)
    finish(stored)
    store = ObjectStore(stored.out)
    store.put("part-00001.parquet", store.get("part-00001.parquet").data[:-1] + b"?")
    store.delete(["part-00002.parquet"])
    with pytest.raises(TableError, match=r"part-0000[12].parquet is (missing|not the file)"):
        open_table(stored.out)
    steps = finish(stored, resume=True)
    assert "part-00001.parquet, part-00002.parquet is missing or damaged" in steps[0].note
    assert stored_bytes(stored) == whole


def test_several_models_write_to_folders_of_their_own(stored):
    assert list(embed_with_models(stored, [MODEL, "scale_mae_tiny"]))[-1].finished
    for model in (MODEL, "scale_mae_tiny"):
        assert "_manifest.json" in objects(replace(stored, out=f"{stored.out}/{model}"))


def test_a_second_leader_is_refused_until_the_first_has_ended(stored, whole):
    leader = led(stored)
    with pytest.raises(
        EmbeddingError, match=rf"process {os.getpid()} on .* is writing to s3://.*: wait for it"
    ):
        next(lead(stored, [MODEL], 2, resume=True))
    leader.close()
    complete(stored, led(stored, resume=True))
    assert stored_bytes(stored) == whole


def test_a_leader_that_was_taken_for_dead_stops(stored, whole, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    paused = led(stored)
    with monkeypatch.context() as patched:
        patched.setattr(lease.Lease, "_renew", lambda self: None)  # as while a machine sleeps
        other = lead(stored, [MODEL], 2, resume=True)
        next(other)
    list(work(stored, "0/2"))
    list(work(stored, "1/2"))
    with pytest.raises(EmbeddingError, match=r"Another embedding run has taken over s3://.*nothing is lost"):
        list(paused)
    assert list(other)[-1].finished
    assert stored_bytes(stored) == whole


FAILURES = [
    (403, "refuses access .403.: check the AWS_. variables with the key .*, then {again}; finished batches"),
    (507, "is full: free some space or raise the quota, then {again}; finished batches are kept"),
    (503, "is busy or failing .503.: wait a minute, then {again}; finished"),
    (0, "cannot be reached: check the network and AWS_ENDPOINT_URL, then {again}; finished"),
]


@pytest.mark.parametrize(("status", "sentence"), FAILURES)
def test_a_worker_whose_storage_fails_continues_later(stored, storage, whole, status, sentence):
    leader, worker = led(stored), work(stored, "0/2")
    next(step for step in worker if step.done)
    leader.close()  # so that its lease does not use up the writes that succeed
    storage.fail(status, after=1)
    with pytest.raises(EmbeddingError, match=sentence.format(again="start this worker again")) as raised:
        list(worker)
    shown = "".join(traceback.format_exception(raised.value))
    assert "the-secret" not in shown and "the-key" not in shown
    storage.fail(200)
    complete(stored, led(stored, resume=True))
    assert stored_bytes(stored) == whole


@pytest.mark.parametrize(("status", "sentence"), FAILURES[1:2] + FAILURES[3:])
def test_a_leader_whose_storage_fails_continues_later(stored, storage, whole, monkeypatch, status, sentence):
    leader = led(stored)
    list(work(stored, "0/2"))
    storage.fail(status)
    with pytest.raises(EmbeddingError, match=sentence.format(again="add --resume")):
        list(leader)
    storage.fail(200)
    monkeypatch.setattr(lease, "LEASE_S", 1.0)  # it could not give back its lease
    complete(stored, led(stored, resume=True))
    assert stored_bytes(stored) == whole


def test_storage_that_is_emptied(stored):
    leader, worker = led(stored), work(stored, "0/2")
    next(step for step in worker if step.done)
    store = ObjectStore(stored.out)
    store.delete(store.names())
    with pytest.raises(EmbeddingError, match="out is gone: check the bucket, then start this worker again"):
        list(worker)
    with pytest.raises(
        EmbeddingError, match="out is gone: check the bucket, then add --resume, or start over"
    ):
        list(leader)


def test_a_worker_with_another_plan_or_of_another_division(stored, whole):
    with pytest.raises(EmbeddingError, match=r"No leader has started .* \(--leader 2\), then this worker"):
        list(work(stored, "0/2"))
    leader = led(stored)
    with pytest.raises(EmbeddingError, match="tile_px was 32 and is now 40"):
        list(work(replace(stored, tile_px=40), "0/2"))
    with pytest.raises(EmbeddingError, match=r"divided among 2 workers and not 3: .* as 0/2 to 1/2"):
        list(work(stored, "0/3"))
    complete(stored, leader)
    assert stored_bytes(stored) == whole


def test_a_damaged_batch_is_embedded_again(stored, whole):
    leader = led(stored)
    list(work(stored, "0/2"))
    store = ObjectStore(stored.out)
    batch = "_pending/00000001.safetensors"
    store.put(batch, store.get(batch).data[:60])
    next(step for step in leader if step.done >= 8 * 3)
    assert not store.exists(batch)
    complete(stored, leader)
    assert stored_bytes(stored) == whole


def test_the_command_and_the_switch(stored, storage, whole, capsys, monkeypatch):
    words = [
        "embed",
        *stored.sources,
        "--out",
        stored.out,
        "--model",
        MODEL,
        "--tile-px",
        "32",
        "--batch",
        "8",
    ]
    monkeypatch.delenv("EARTH_MAE_ONLINE")
    assert main(words) != 0
    assert (
        "is on the internet and online access is off: start with EARTH_MAE_ONLINE=1"
        in capsys.readouterr().err
    )
    assert main([*words, "--online", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["table"] == stored.out
    assert main([*words, "--online", "--patches"]) != 0
    assert "--patches writes to a folder of this machine" in capsys.readouterr().err
    monkeypatch.delenv("EARTH_MAE_ONLINE_LOCAL")
    with pytest.raises(OnlineError, match="give an https:// address"):
        list(embed_sources(stored, resume=True))


def test_without_a_bucket_or_with_one_of_another_name(stored):
    other = replace(stored, out="s3://other-bucket/out")
    with pytest.raises(EmbeddingError, match="The bucket of s3://other-bucket/out does not exist: create it"):
        list(embed_sources(other))
