"""Background jobs: queue, progress, cancel, kill, resume, separate owners; each job is a folder."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from core.atlas import open_table
from core.atlas.analysis.match import same_places
from core.engine.embedding.folder import LOCK, STOP
from core.engine.embedding.spec import EmbeddingSpec, folder_of
from tests.waves import waves, write_raster
from ui.shell import job_queue, jobs
from ui.shell.jobs import Job, JobError


@pytest.fixture(autouse=True)
def job_folder(tmp_path, monkeypatch):
    """A separate folder of jobs; nothing starts the queue's thread."""
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")


@pytest.fixture
def launched(monkeypatch):
    """Record launches instead of starting processes; recorded ones count as running."""
    started: list[Path] = []
    monkeypatch.setattr(job_queue, "launch", lambda folder, arguments: started.append(folder))
    monkeypatch.setattr(jobs, "alive", lambda folder: folder in started)
    return started


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_raster(path, waves(640, 640))


def spec(scene, **more):
    return EmbeddingSpec((str(scene),), "", "mae_tiny", tile_px=32, **more)


def wait_until(what, seconds=120):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "timed out"
        job_queue.run_queue()
        time.sleep(0.05)
    return found


def test_a_job_survives_cancel_kill_and_resume(scene):
    owner = jobs.new_owner()
    job = jobs.start(owner, "My scene", spec(scene, stride_px=16, batch=8))
    assert job.state == "waiting"
    wait_until(lambda: (job.progress or jobs.NEVER).done > 0)
    assert job.state == "running"
    jobs.cancel(job)
    assert job.state in ("stopping", "cancelled")
    wait_until(lambda: job.state == "cancelled")
    kept = job.progress
    assert 0 < kept.done < kept.total == 39 * 39

    again = jobs.jobs_of(owner)[0]  # after a reload or restart only the key is known
    assert (again.title, again.progress.done, again.state) == ("My scene", kept.done, "cancelled")
    jobs.resume(again)
    wait_until(lambda: again.progress.done > kept.done)
    before = again.progress.done
    os.kill(int((again.table / LOCK).read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: again.state == "stopped")
    assert again.progress.done >= before

    jobs.resume(again)
    assert wait_until(lambda: again.state in ("finished", "stopped") and again.state) == "finished", (
        again.last_output
    )
    assert len(open_table(again.table)) == kept.total
    logged = [json.loads(line) for line in (again.table / "_log.jsonl").read_text().splitlines()]
    repeated = [line["index"] for line in logged if line["event"] == "batch"]
    assert len(repeated) - len(set(repeated)) <= 1, "finished batches are not repeated"
    assert jobs.tables_of(owner) == {"My scene": again.table}
    jobs.remove(again)
    assert jobs.jobs_of(owner) == ()


@pytest.mark.thorough
def test_several_models_write_a_table_each_from_one_job(scene, tmp_path):
    owner, models = jobs.new_owner(), ["mae_tiny", "scale_mae_tiny"]
    job = jobs.start(owner, "pair", spec(scene, stride_px=64), models)
    wait_until(lambda: job.state in ("finished", "stopped"))
    tables = jobs.tables_of(owner)
    assert list(tables) == ["pair (mae_tiny)", "pair (scale_mae_tiny)"], job.last_output
    assert list(tables.values()) == [folder_of(job.spec.out, model) for model in models]
    opened = [open_table(folder) for folder in tables.values()]
    assert [table.columns["model"][0].as_py() for table in opened] == models
    assert job.progress.done == job.progress.total == 2 * len(opened[0]) == 2 * len(same_places(*opened).a)
    assert [jobs.job_of_table(folder) for folder in (*tables.values(), tmp_path)] == [job, job, None]
    with pytest.raises(JobError, match="already"):
        jobs.start(owner, "pair (mae_tiny)", spec(scene))


def test_last_output_says_why_a_job_failed(tmp_path):
    job = jobs.start(jobs.new_owner(), "gone", spec(tmp_path / "gone.tif"))
    wait_until(lambda: job.state == "stopped")
    assert "There is no file 'gone.tif'" in job.last_output
    assert not job.last_output.startswith("core:")


def test_users_see_only_their_own_jobs(scene, launched):
    one, other = jobs.new_owner(), jobs.new_owner()
    jobs.start(one, "mine", spec(scene))
    assert [job.title for job in jobs.jobs_of(one)] == ["mine"]
    assert jobs.jobs_of(other) == ()
    assert jobs.tables_of(other) == {}
    jobs.start(other, "mine", spec(scene))  # titles are unique per owner only
    assert len(jobs.jobs_of(one)) == 1


@pytest.mark.parametrize("key", ["", "..", "../../etc", "short", "x" * 22 + "/..", "a/b" * 8, "." * 22])
def test_unknown_keys_open_nothing(key, scene, launched):
    jobs.start(jobs.new_owner(), "mine", spec(scene))
    assert jobs.jobs_of(key) == ()


def test_jobs_run_one_at_a_time_in_order(scene, launched):
    first, second = jobs.new_owner(), jobs.new_owner()
    a, b, c = (
        jobs.start(first, "a", spec(scene)),
        jobs.start(second, "b", spec(scene)),
        jobs.start(first, "c", spec(scene)),
    )
    for at, job in enumerate((a, b, c)):
        os.utime(job.folder / jobs.WAITING, (1000 + at, 1000 + at))
    job_queue.run_queue()
    job_queue.run_queue()
    assert launched == [a.folder]
    assert [job_queue.jobs_ahead(job) for job in (b, c)] == [1, 2]
    with pytest.raises(JobError, match="still running: cancel it"):
        jobs.remove(a)
    jobs.cancel(b)
    launched.clear()
    job_queue.run_queue()
    assert launched == [c.folder]
    assert b.state == "cancelled"


def test_limits_are_reported(scene, launched, monkeypatch):
    owner = jobs.new_owner()
    jobs.start(owner, "  a   name ", spec(scene))
    with pytest.raises(JobError, match="already have a table called a name"):
        jobs.start(owner, "a name", spec(scene))
    with pytest.raises(JobError, match="needs a name"):
        jobs.start(owner, "  ", spec(scene))
    monkeypatch.setattr(jobs, "MAX_EACH", 1)
    with pytest.raises(JobError, match="already have 1 tables"):
        jobs.start(owner, "b", spec(scene))
    monkeypatch.setattr(jobs, "MAX_WAITING", 1)
    with pytest.raises(JobError, match="Too many jobs are waiting"):
        jobs.start(jobs.new_owner(), "c", spec(scene))
    monkeypatch.setattr(jobs, "MAX_OWNERS", 1)
    with pytest.raises(JobError, match="stores tables for 1 users"):
        jobs.start(jobs.new_owner(), "d", spec(scene))


def test_expired_jobs_are_deleted(scene, launched):
    owner = jobs.new_owner()
    old, new = jobs.start(owner, "old", spec(scene)), jobs.start(owner, "new", spec(scene))
    jobs.cancel(old)
    words = json.loads((old.folder / jobs.RECORD).read_text())
    (old.folder / jobs.RECORD).write_text(
        json.dumps({**words, "time": time.time() - (job_queue.KEPT_DAYS + 1) * 86_400})
    )
    job_queue.delete_expired()
    assert [job.folder for job in jobs.jobs_of(owner)] == [new.folder]


def test_spec_round_trips_through_the_folder(scene, launched):
    original = spec(
        scene, gsd_m=(10.0, 20.0), losses=True, only=("scene.tif",), min_valid=0.25, data_type="int8"
    )
    job = jobs.start(jobs.new_owner(), "all of it", original)
    found = Job(job.folder).spec
    assert found.out == str(job.table)
    assert {**vars(found), "out": ""} == vars(original)


def test_owners_take_turns(scene, launched):
    first_owner, second_owner = jobs.new_owner(), jobs.new_owner()
    first, second, third = (jobs.start(first_owner, name, spec(scene)) for name in "abc")
    for at, job in enumerate((first, second, third)):
        os.utime(job.folder / jobs.WAITING, (1000 + at, 1000 + at))
    job_queue.run_queue()
    assert launched == [first.folder]
    only = jobs.start(second_owner, "d", spec(scene))
    os.utime(
        only.folder / jobs.WAITING, (1500, 1500)
    )  # after all of the other's, before the first of them was started
    assert [job_queue.jobs_ahead(job) for job in (only, second, third)] == [1, 2, 3]
    launched.clear()
    job_queue.run_queue()
    assert launched == [only.folder]


def test_a_long_job_makes_room_for_another_owner_and_continues_later(scene, launched, monkeypatch):
    monkeypatch.setattr(job_queue, "TURN_S", 60.0)
    greedy, modest = jobs.new_owner(), jobs.new_owner()
    long, next_one = jobs.start(greedy, "long", spec(scene)), jobs.start(greedy, "next", spec(scene))
    for at, job in enumerate((long, next_one)):
        os.utime(job.folder / jobs.WAITING, (1000 + at, 1000 + at))
    job_queue.run_queue()
    long.table.mkdir()
    os.utime(long.folder.parent / job_queue.SERVED, (time.time() - 100,) * 2)
    job_queue.run_queue()
    assert not (long.table / STOP).exists(), "only its own owner waits"
    short = jobs.start(modest, "short", spec(scene))
    os.utime(short.folder / jobs.WAITING, (time.time() - 5,) * 2)
    job_queue.run_queue()
    assert (long.table / STOP).exists()
    assert launched == [long.folder], "until it has stopped nothing else is started"
    launched.clear()
    assert long.state == "waiting"
    job_queue.run_queue()
    assert launched == [short.folder]
    assert [job_queue.jobs_ahead(job) for job in (next_one, long)] == [1, 2]


def test_a_job_within_its_turn_is_left_alone(scene, launched):
    long = jobs.start(jobs.new_owner(), "long", spec(scene))
    job_queue.run_queue()
    long.table.mkdir()
    jobs.start(jobs.new_owner(), "short", spec(scene))
    job_queue.run_queue()
    assert not (long.table / STOP).exists()
    assert long.state == "running"


def test_uploads_are_decoded_within_limits(scene, monkeypatch):
    asked = []
    monkeypatch.setattr(job_queue, "launch", lambda folder, arguments: asked.append(arguments))
    jobs.start(jobs.new_owner(), "mine", spec(scene))
    job_queue.run_queue()
    assert "--untrusted" in asked[0]


def test_one_owner_cannot_fill_the_queue(scene, launched):
    first_owner = jobs.new_owner()
    for n in range(jobs.MAX_WAITING_EACH):
        jobs.start(first_owner, f"table {n}", spec(scene))
    with pytest.raises(JobError, match=f"already have {jobs.MAX_WAITING_EACH} jobs waiting"):
        jobs.start(first_owner, "one more", spec(scene))
    held = jobs.jobs_of(first_owner)
    jobs.cancel(held[0])
    jobs.start(first_owner, "one more", spec(scene))
    with pytest.raises(JobError, match=f"already have {jobs.MAX_WAITING_EACH} jobs waiting"):
        jobs.resume(held[0])  # resuming counts too
    assert jobs.start(jobs.new_owner(), "mine", spec(scene)).state == "waiting"


def test_disk_space_is_limited_per_owner_and_in_total(scene, launched, monkeypatch):
    owner = jobs.new_owner()
    job = jobs.start(owner, "a", spec(scene))
    job.table.mkdir()
    (job.table / "shard.parquet").write_bytes(b"x" * 5000)
    monkeypatch.setattr(jobs, "MAX_BYTES_EACH", 5000)
    with pytest.raises(JobError, match="delete a table"):
        jobs.start(owner, "b", spec(scene))
    jobs.start(jobs.new_owner(), "c", spec(scene))
    monkeypatch.setattr(jobs, "MAX_BYTES", 5000)
    with pytest.raises(JobError, match="all visitors"):
        jobs.start(jobs.new_owner(), "d", spec(scene))
