"""Background jobs: queued, followed, cancelled, killed, resumed, kept apart; each of them only a folder on disk."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.atlas import open_table
from core.atlas.analysis.match import same_places
from core.engine.embedding.folder import LOCK
from core.engine.embedding.spec import EmbeddingSpec, folder_of
from ui.shell import jobs
from ui.shell.jobs import Job, JobError


@pytest.fixture(autouse=True)
def house(tmp_path, monkeypatch):
    """A folder for jobs of its own, and no keeper but the test."""
    monkeypatch.setattr(jobs, "JOBS", tmp_path / "jobs")
    monkeypatch.setattr(jobs, "keep", lambda: None)


@pytest.fixture
def launched(monkeypatch):
    """Nothing is really started; what would have been is noted, and counts as being there."""
    started: list[Path] = []
    monkeypatch.setattr(jobs, "launch", lambda folder, arguments: started.append(folder))
    monkeypatch.setattr(jobs, "alive", lambda folder: folder in started)
    return started


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    rows, cols = np.mgrid[:640, :640] / 17
    pixels = np.stack([np.sin(rows) * np.cos(cols * k) * 100 + 128 for k in (1, 1.3, 1.7)]).astype("uint8")
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=640,
        height=640,
        count=3,
        dtype="uint8",
        crs="EPSG:32610",
        transform=from_origin(5e5, 4e6, 10, 10),
    ) as file:
        file.write(pixels)
    return path


def spec(scene, **more):
    return EmbeddingSpec((str(scene),), "", "mae_tiny", tile_px=32, **more)


def wait_until(what, seconds=120):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it never happened"
        jobs.tend()
        time.sleep(0.05)
    return found


def test_cancelled_killed_resumed_and_found_again(scene):
    owner = jobs.new_owner()
    job = jobs.start(owner, "My scene", spec(scene, stride_px=16, batch=8))
    assert job.state == "waiting"
    wait_until(lambda: (job.standing or jobs._NEVER).done > 0)
    assert job.state == "running"
    jobs.cancel(job)
    assert job.state in ("stopping", "cancelled")
    wait_until(lambda: job.state == "cancelled")
    kept = job.standing
    assert 0 < kept.done < kept.total == 39 * 39

    again = jobs.jobs_of(owner)[0]  # a reload, or a server that starts again, knows nothing but the key
    assert (again.title, again.standing.done, again.state) == ("My scene", kept.done, "cancelled")
    jobs.resume(again)
    wait_until(lambda: again.standing.done > kept.done)
    before = again.standing.done
    os.kill(int((again.table / LOCK).read_text()), signal.SIGKILL)
    wait_until(lambda: again.state == "stopped")
    assert again.standing.done >= before

    jobs.resume(again)
    assert wait_until(lambda: again.state in ("finished", "stopped") and again.state) == "finished", (
        again.last_words
    )
    assert len(open_table(again.table)) == kept.total
    logged = [json.loads(line) for line in (again.table / "_log.jsonl").read_text().splitlines()]
    repeated = [line["index"] for line in logged if line["event"] == "batch"]
    assert len(repeated) - len(set(repeated)) <= 1, "what was done is not done again"
    assert jobs.tables_of(owner) == {"My scene": again.table}
    jobs.remove(again)
    assert jobs.jobs_of(owner) == ()


def test_several_models_write_a_table_each_from_one_job(scene, tmp_path):
    owner, models = jobs.new_owner(), ["mae_tiny", "scale_mae_tiny"]
    job = jobs.start(owner, "pair", spec(scene, stride_px=64), models)
    wait_until(lambda: job.state in ("finished", "stopped"))
    tables = jobs.tables_of(owner)
    assert list(tables) == ["pair (mae_tiny)", "pair (scale_mae_tiny)"], job.last_words
    assert list(tables.values()) == [folder_of(job.spec.out, model) for model in models]
    opened = [open_table(folder) for folder in tables.values()]
    assert [table.columns["model"][0].as_py() for table in opened] == models
    assert job.standing.done == job.standing.total == 2 * len(opened[0]) == 2 * len(same_places(*opened).a)
    assert [jobs.made_by(folder) for folder in (*tables.values(), tmp_path)] == [job, job, None]
    with pytest.raises(JobError, match="already"):
        jobs.start(owner, "pair (mae_tiny)", spec(scene))


def test_what_goes_wrong_is_its_last_words(tmp_path):
    job = jobs.start(jobs.new_owner(), "gone", spec(tmp_path / "gone.tif"))
    wait_until(lambda: job.state == "stopped")
    assert "There is no file 'gone.tif'" in job.last_words
    assert not job.last_words.startswith("core:")


def test_two_users_know_nothing_of_each_other(scene, launched):
    one, other = jobs.new_owner(), jobs.new_owner()
    jobs.start(one, "mine", spec(scene))
    assert [job.title for job in jobs.jobs_of(one)] == ["mine"]
    assert jobs.jobs_of(other) == ()
    assert jobs.tables_of(other) == {}
    jobs.start(other, "mine", spec(scene))  # a name belongs to a user, not to the server
    assert len(jobs.jobs_of(one)) == 1


@pytest.mark.parametrize("key", ["", "..", "../../etc", "short", "x" * 22 + "/..", "a/b" * 8, "." * 22])
def test_a_key_that_was_never_given_out_opens_nothing(key, scene, launched):
    jobs.start(jobs.new_owner(), "mine", spec(scene))
    assert jobs.jobs_of(key) == ()


def test_one_at_a_time_in_the_order_of_asking(scene, launched):
    first, second = jobs.new_owner(), jobs.new_owner()
    a, b, c = (
        jobs.start(first, "a", spec(scene)),
        jobs.start(second, "b", spec(scene)),
        jobs.start(first, "c", spec(scene)),
    )
    for at, job in enumerate((a, b, c)):
        os.utime(job.folder / jobs.WAITING, (1000 + at, 1000 + at))
    jobs.tend()
    jobs.tend()
    assert launched == [a.folder]
    assert [jobs.place_in_queue(job) for job in (b, c)] == [1, 2]
    with pytest.raises(JobError, match="still running: cancel it"):
        jobs.remove(a)
    jobs.cancel(b)
    launched.clear()
    jobs.tend()
    assert launched == [c.folder]
    assert b.state == "cancelled"


def test_limits_are_sentences(scene, launched, monkeypatch):
    owner = jobs.new_owner()
    jobs.start(owner, "  a   name ", spec(scene))
    with pytest.raises(JobError, match="already have a table called a name"):
        jobs.start(owner, "a name", spec(scene))
    with pytest.raises(JobError, match="needs a name"):
        jobs.start(owner, "  ", spec(scene))
    monkeypatch.setattr(jobs, "MOST_EACH", 1)
    with pytest.raises(JobError, match="already have 1 tables"):
        jobs.start(owner, "b", spec(scene))
    monkeypatch.setattr(jobs, "MOST_WAITING", 1)
    with pytest.raises(JobError, match="Too many jobs are waiting"):
        jobs.start(jobs.new_owner(), "c", spec(scene))
    monkeypatch.setattr(jobs, "MOST_OWNERS", 1)
    with pytest.raises(JobError, match="stores tables for 1 users"):
        jobs.start(jobs.new_owner(), "d", spec(scene))


def test_what_nobody_came_back_for_goes(scene, launched):
    owner = jobs.new_owner()
    old, new = jobs.start(owner, "old", spec(scene)), jobs.start(owner, "new", spec(scene))
    jobs.cancel(old)
    words = json.loads((old.folder / jobs.WORDS).read_text())
    (old.folder / jobs.WORDS).write_text(
        json.dumps({**words, "time": time.time() - (jobs.KEPT_DAYS + 1) * 86_400})
    )
    jobs.forget_expired()
    assert [job.folder for job in jobs.jobs_of(owner)] == [new.folder]


def test_the_spec_survives_the_disk(scene, launched):
    wanted = spec(
        scene, gsd_m=(10.0, 20.0), losses=True, only=("scene.tif",), min_valid=0.25, data_type="int8"
    )
    job = jobs.start(jobs.new_owner(), "all of it", wanted)
    found = Job(job.folder).spec
    assert found.out == str(job.table)
    assert {**vars(found), "out": ""} == vars(wanted)


def test_owners_take_turns_and_nobody_waits_for_all_jobs_of_another(scene, launched):
    greedy, modest = jobs.new_owner(), jobs.new_owner()
    first, second, third = (jobs.start(greedy, name, spec(scene)) for name in "abc")
    for at, job in enumerate((first, second, third)):
        os.utime(job.folder / jobs.WAITING, (1000 + at, 1000 + at))
    jobs.tend()
    assert launched == [first.folder]
    only = jobs.start(modest, "d", spec(scene))
    os.utime(
        only.folder / jobs.WAITING, (1500, 1500)
    )  # after all of the other's, before the first of them was started
    assert [jobs.place_in_queue(job) for job in (only, second, third)] == [1, 2, 3]
    launched.clear()
    jobs.tend()
    assert launched == [only.folder]


def test_one_visitor_cannot_fill_the_queue(scene, launched):
    greedy = jobs.new_owner()
    for n in range(jobs.MOST_WAITING_EACH):
        jobs.start(greedy, f"table {n}", spec(scene))
    with pytest.raises(JobError, match=f"already have {jobs.MOST_WAITING_EACH} jobs waiting"):
        jobs.start(greedy, "one more", spec(scene))
    held = jobs.jobs_of(greedy)
    jobs.cancel(held[0])
    jobs.start(greedy, "one more", spec(scene))
    with pytest.raises(JobError, match=f"already have {jobs.MOST_WAITING_EACH} jobs waiting"):
        jobs.resume(held[0])  # the other way into the queue
    assert jobs.start(jobs.new_owner(), "mine", spec(scene)).state == "waiting"


def test_disk_space_has_an_end_for_each_and_for_all(scene, launched, monkeypatch):
    owner = jobs.new_owner()
    job = jobs.start(owner, "a", spec(scene))
    job.table.mkdir()
    (job.table / "shard.parquet").write_bytes(b"x" * 5000)
    monkeypatch.setattr(jobs, "MOST_BYTES_EACH", 5000)
    with pytest.raises(JobError, match="delete a table"):
        jobs.start(owner, "b", spec(scene))
    jobs.start(jobs.new_owner(), "c", spec(scene))
    monkeypatch.setattr(jobs, "MOST_BYTES", 5000)
    with pytest.raises(JobError, match="all visitors"):
        jobs.start(jobs.new_owner(), "d", spec(scene))
