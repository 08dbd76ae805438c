"""A run on Ray ends with the same bytes as one process, also when an actor is killed."""

import importlib.util
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from core.cli.entry import main
from core.engine.embedding.folder import EmbeddingFolder, ask_to_stop
from core.engine.embedding.on_ray import BatchActor, Cluster
from core.engine.embedding.prepare import make_sinks
from core.engine.embedding.run import embed_on_ray, embed_sources
from core.engine.embedding.spec import EmbeddingError
from core.errors import ExplorerError
from core.geo.tile import GeoError
from tests.engine.embedding.runs import MODEL, finish, table_bytes

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install 'ray>=2.59'"
)


@pytest.fixture
def whole(spec):
    """The bytes that one process writes."""
    one = replace(spec, out=f"{spec.out}-whole")
    finish(one)
    return table_bytes(one.out)


def on_two(spec, **more):
    return embed_on_ray(spec, [spec.model], Cluster(actors=2), **more)


def actors():
    """The processes of the actors that this process started."""
    return [p for p in psutil.Process().children(recursive=True) if p.name().startswith("ray::BatchActor")]


@with_ray
@pytest.mark.slow
def test_one_of_two_actors_is_killed(spec, whole):
    killed = []
    for step in on_two(spec):
        if step.done and not killed:
            killed = actors()
            os.kill(killed[0].pid, signal.SIGKILL)
    assert killed and step.finished
    assert table_bytes(spec.out) == whole
    assert not actors()


@with_ray
@pytest.mark.slow
def test_a_stopped_run_is_resumed_by_one_process(spec, whole):
    for step in on_two(spec):
        if step.done:
            ask_to_stop(Path(spec.out))
    assert not step.finished and "Stopped" in step.note and 0 < step.done < step.total
    finish(spec, resume=True)
    assert table_bytes(spec.out) == whole


@with_ray
def test_a_cluster_that_does_not_answer(spec):
    with pytest.raises(EmbeddingError, match=r"No Ray cluster at '127.0.0.1:1' .* --ray local"):
        list(embed_on_ray(spec, [spec.model], Cluster("127.0.0.1:1")))


@with_ray
@pytest.mark.slow
def test_an_error_in_an_actor_is_raised_as_it_is(spec):
    steps = on_two(spec)
    next(steps)
    Path(spec.sources[0]).write_bytes(b"no picture")
    with pytest.raises(GeoError, match="scene"):
        list(steps)


def actor_of(spec, plans, **more):
    return BatchActor([spec], plans, untrusted=False, **{"mix": False, **more})


def test_an_actor_gives_what_one_process_saves(spec):
    one = embed_sources(spec)
    next(step for step in one if step.done)
    pending = EmbeddingFolder(Path(spec.out)).pending
    index = min(pending.finished())
    saved = pending.load(range(index, index + 1))
    (sink,) = make_sinks([spec], [EmbeddingFolder(Path(spec.out))], untrusted=False)
    actor = actor_of(replace(spec, batch=sink.batch), [sink.plan_json()])
    done, results = actor.embed(actor.read(index), [0])
    ((number, arrays, made_with),) = results
    assert (done.index, number, made_with) == (index, 0, sink.made_with)
    assert saved.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, saved[name])
    one.close()


def test_an_actor_with_another_plan_or_other_versions(spec):
    (sink,) = make_sinks([spec], [EmbeddingFolder(Path(spec.out))], untrusted=False)
    plan = sink.plan_json()
    with pytest.raises(EmbeddingError, match="tile_px was 32 and is now 40"):
        actor_of(replace(spec, tile_px=40), [plan]).read(0)
    plan["environment"]["torch"] = "1.0"
    with pytest.raises(EmbeddingError, match=r"torch was 1\.0 and is now .* or add --mix"):
        actor_of(spec, [plan]).read(0)
    assert actor_of(spec, [plan], mix=True).read(0).index == 0


class InProcess:
    """What `on_ray` uses of Ray, computed in this process when a result is asked for."""

    def __init__(self, monkeypatch):
        self.at_one_time, self.options, self.events = 0, {}, []
        error = type("RayError", (Exception,), {})
        task = type("RayTaskError", (error,), {"cause": property(lambda self: self.args[0])})
        names = {
            "exceptions": SimpleNamespace(RayError=error, RayTaskError=task),
            "is_initialized": lambda: False,
            "init": lambda **options: self.events.append(options["address"]),
            "shutdown": lambda: self.events.append("shutdown"),
            "cluster_resources": lambda: {"CPU": 2.0},
            "remote": self.remote,
        }
        monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(**names, __spec__=object()))
        monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(ActorPool=lambda actors: self))
        self.task_error, self.actors, self.waiting = task, [], []

    def remote(self, **options):
        self.options = options
        return lambda actor: SimpleNamespace(remote=lambda *a, **more: self.started(actor(*a, **more)))

    def started(self, actor):
        def method(function):
            later = SimpleNamespace(
                remote=lambda *args: lambda: function(*(a() if callable(a) else a for a in args))
            )
            later.options = lambda concurrency_group: later
            return later

        self.actors.append(SimpleNamespace(read=method(actor.read), embed=method(actor.embed)))
        return self.actors[-1]

    def submit(self, function, value):
        self.waiting.append(function(self.actors[value % len(self.actors)], value))
        self.at_one_time = max(self.at_one_time, len(self.waiting))

    def has_next(self):
        return bool(self.waiting)

    def get_next_unordered(self, timeout):
        try:
            return self.waiting.pop()()
        except ExplorerError as error:
            raise self.task_error(error) from error


def test_two_actors_write_the_bytes_of_one_process(spec, whole, monkeypatch):
    ray = InProcess(monkeypatch)
    assert list(embed_on_ray(spec, [MODEL], Cluster()))[-1].finished
    assert table_bytes(spec.out) == whole
    assert len(ray.actors) == 2 and ray.at_one_time == 4
    assert ray.options["max_restarts"] == ray.options["max_task_retries"] == -1
    assert ray.events == ["local", "shutdown"]
    last = list(embed_on_ray(spec, [MODEL], Cluster(), resume=True))[-1]
    assert last.finished and ray.events == ["local", "shutdown"], "nothing was left, so nothing was started"


@pytest.mark.thorough
def test_a_stop_ends_after_the_batches_in_progress(spec, whole, monkeypatch):
    InProcess(monkeypatch)
    for step in embed_on_ray(spec, [MODEL], Cluster()):
        if step.done:
            ask_to_stop(Path(spec.out))
    assert not step.finished and "Stopped" in step.note and step.done == 4 * 8
    finish(spec, resume=True)
    assert table_bytes(spec.out) == whole


@pytest.mark.thorough
def test_an_error_of_an_actor_ends_the_run_with_its_sentence(spec, monkeypatch):
    ray = InProcess(monkeypatch)
    steps = embed_on_ray(spec, [MODEL], Cluster())
    next(steps)
    Path(spec.sources[0]).write_bytes(b"no picture")
    with pytest.raises(GeoError, match="scene"):
        list(steps)
    assert ray.events == ["local", "shutdown"]


def test_a_ray_that_does_not_start(spec, whole, monkeypatch):
    def init(**_):
        raise Exception("The current node timed out during startup.")

    InProcess(monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["ray"], "init", init)
        with pytest.raises(EmbeddingError, match=r"Ray did not start .*timed out.* or leave out --ray"):
            list(embed_on_ray(spec, [MODEL], Cluster()))
    finish(spec, resume=True)
    assert table_bytes(spec.out) == whole


def test_without_ray_nothing_is_written(spec, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["embed", *spec.sources, "--out", spec.out, "--model", MODEL, "--ray", "local"]) != 0
    assert "pip install 'earth-mae-explorer[ray]'" in capsys.readouterr().err
    assert not Path(spec.out).exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--ray", "local", "--leader", "2"], "--ray takes neither --leader nor --worker"),
        (["--ray", "local", "--actors", "0"], "needs at least one actor; 0 is not"),
        (["--actors", "2"], "--actors belongs to --ray"),
        (["--ray", "local", "--patches"], "--ray cannot be combined with --patches"),
    ],
)
def test_mistakes_on_the_command_line(spec, capsys, words, sentence):
    assert main(["embed", *spec.sources, "--out", spec.out, "--model", MODEL, *words]) != 0
    assert sentence in capsys.readouterr().err
