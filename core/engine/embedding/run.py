"""Embedding runs: plan, run, stop and resume the embedding of rasters of any size.

`embed_sources` and `embed_with_models` write tables, `embed_patches` writes patch rasters; `pipeline` does
the work for all of them. `lead` and `embed_share` divide a run among processes, on one machine or many;
`embed_on_ray` leaves that to Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ...net.object_store import StoreError
from . import on_ray, sharing
from .digests import modified_since
from .folder import is_disk_full
from .pipeline import EmbeddingProgress, process, progress
from .prepare import make_sinks, measured_rate
from .share import Share
from .sinks.patch_folder import PatchProgress, embed_patches
from .sinks.table import TableSink
from .spec import EmbeddingError, EmbeddingSpec, out_of
from .store_folder import folder_at

__all__ = [
    "EmbeddingProgress",
    "PatchProgress",
    "embed_on_ray",
    "embed_patches",
    "embed_share",
    "embed_sources",
    "embed_with_models",
    "lead",
]


def embed_sources(
    spec: EmbeddingSpec, *, resume: bool = False, untrusted: bool = False, mix: bool = False
) -> Generator[EmbeddingProgress]:
    """Embed all sources of a spec into a folder of GeoParquet shards; yields the plan, then after each batch.

    Closing the generator, `ask_to_stop(folder)` or a full disk stops the run, and `resume=True` continues it;
    with `mix` also on another device or with other versions. Files named by path are decoded in a child
    process with limits on time and memory if they are `untrusted`.
    Raises EmbeddingError, GeoError, PolicyError, and the errors of loading a model.
    """
    yield from _embed_all([spec], _run, resume=resume, untrusted=untrusted, mix=mix)


def embed_with_models(
    spec: EmbeddingSpec,
    models: Sequence[str],
    *,
    resume: bool = False,
    untrusted: bool = False,
    mix: bool = False,
) -> Generator[EmbeddingProgress]:
    """Embed the same windows with several models, each into a subfolder of `spec.out`; windows are read once.

    Each subfolder equals what `embed_sources` writes for that model alone, and either function can resume it.
    Progress counts a window once for each model. Raises the errors of `embed_sources`, and EmbeddingError if
    the models need different tile sizes.
    """
    specs = _spec_of_each(spec, models)
    yield from _embed_all(specs, _run, resume=resume, untrusted=untrusted, mix=mix)


def embed_on_ray(
    spec: EmbeddingSpec,
    models: Sequence[str],
    cluster: on_ray.Cluster,
    *,
    resume: bool = False,
    untrusted: bool = False,
    mix: bool = False,
) -> Generator[EmbeddingProgress]:
    """Embed as `embed_sources` and, with several models, `embed_with_models` do, in actors of a Ray cluster.

    Gives the same bytes, however many actors were lost. All nodes need the sources under the same names, the
    same device and the same versions. Raises the errors of `embed_sources`, and EmbeddingError without Ray or
    its cluster.
    """

    def work(sinks: list[TableSink]) -> Generator[EmbeddingProgress]:
        yield from _start(sinks)
        for sink in sinks:
            sink.folder.divide(None)
        yield from process(sinks, on_ray.embedded(sinks, cluster, untrusted=untrusted, mix=mix))

    on_ray.require_ray()
    yield from _embed_all(_spec_of_each(spec, models), work, resume=resume, untrusted=untrusted, mix=mix)


def lead(
    spec: EmbeddingSpec,
    models: Sequence[str],
    workers: int,
    *,
    resume: bool = False,
    untrusted: bool = False,
    mix: bool = False,
) -> Generator[EmbeddingProgress]:
    """Write the plan, wait for the batches of that many workers, and write shards, manifest and log.

    The folder equals that of `embed_sources` or, with several models, of `embed_with_models`, however many
    workers were killed and started again. Progress is that of the whole run. Raises their errors.
    """

    def collect(sinks: list[TableSink]) -> Generator[EmbeddingProgress]:
        yield from _start(sinks)
        yield from sharing.collect(sinks, workers)

    if workers < 1:
        raise EmbeddingError(f"A run needs at least one worker; {workers} is not enough.")
    yield from _embed_all(_spec_of_each(spec, models), collect, resume=resume, untrusted=untrusted, mix=mix)


def embed_share(
    spec: EmbeddingSpec,
    models: Sequence[str],
    share: Share,
    *,
    untrusted: bool = False,
    mix: bool = False,
    wait_s: float = sharing.WAIT_S,
) -> Generator[EmbeddingProgress]:
    """Embed one worker's share of a run that `lead` leads; progress is that of the share.

    Takes no lock and writes nothing but finished batches. Waits `wait_s` seconds for the leader. Start it
    again after it was killed. Raises the errors of `embed_sources`, and EmbeddingError without a leader, with
    another plan, and if the run is divided among another number of workers.
    """
    specs = _spec_of_each(spec, models)
    folders = [folder_at(each) for each in specs]
    with _sentences(sinks := [], worker=True):
        yield from sharing.wait_for_leader(folders, share, wait_s)
        if all(folder.is_complete for folder in folders):
            yield sharing.complete(share)
            return
        sinks += make_sinks(specs, folders, untrusted=untrusted)
        for sink in sinks:
            sink.folder.require_same(sink.plan_json(), mix=mix)
            sink.may_shrink = mix
        yield from sharing.embed_share(sinks, share)


def _spec_of_each(spec: EmbeddingSpec, models: Sequence[str]) -> list[EmbeddingSpec]:
    """Return the spec of each model; a single one writes to `spec.out`, several to subfolders."""
    if len(models) == 1:
        return [replace(spec, model=models[0])]
    specs = [replace(spec, model=model, out=out_of(spec.out, model)) for model in models]
    if len({each.out for each in specs}) < len(specs):
        names = ", ".join(Path(each.out).name for each in specs)
        raise EmbeddingError(f"Two models would write to the same folder ({names}): name each model once.")
    return specs


def _embed_all(
    specs: Sequence[EmbeddingSpec],
    work: Callable[[list[TableSink]], Generator[EmbeddingProgress]],
    *,
    resume: bool,
    untrusted: bool,
    mix: bool,
) -> Generator[EmbeddingProgress]:
    """Lock the folders of all models, plan, and work through the plan."""
    folders = [folder_at(spec) for spec in specs]
    with ExitStack() as stack:
        stack.enter_context(_sentences(sinks := []))
        sinks += make_sinks(specs, folders, untrusted=untrusted, locks=stack)
        for sink in sinks:
            sink.folder.agree(sink.plan_json(), resume=resume, mix=mix)
        yield from work(sinks)


def _run(sinks: list[TableSink]) -> Generator[EmbeddingProgress]:
    """Yield the plan and the expected time, then continue from what is on disk."""
    yield from _start(sinks)
    for sink in sinks:
        sink.folder.divide(None)
    yield progress(sinks, measured_rate(sinks) if any(sink.left for sink in sinks) else None)
    yield from process(sinks)


def _start(sinks: list[TableSink]) -> Generator[EmbeddingProgress]:
    """Read what is on disk, and yield the plan."""
    for sink in sinks:
        sink.start()
    plan = sinks[0].plan
    modified = modified_since(plan.sampled, min(sink.folder.started for sink in sinks))
    notes = [*plan.notes, *modified, *(sink.note for sink in sinks if sink.note)]
    yield progress(sinks, None, " ".join(notes))


@contextmanager
def _sentences(sinks: list[TableSink], *, worker: bool = False) -> Generator[None]:
    """Turn errors of the output's disk or storage into an EmbeddingError, which says how to continue."""
    again = "start this worker again" if worker else "add --resume"
    try:
        yield
    except StoreError as error:
        raise EmbeddingError(
            f"{error.problem}: {error.advice}, then {again}; finished batches are kept."
        ) from error
    except OSError as error:
        if is_disk_full(error):
            so_far = "" if worker else _how_much(sinks)
            raise EmbeddingError(
                f"The disk is full{so_far}: free some space, then {again}; finished batches are kept."
            ) from error
        for sink in sinks:
            path = sink.folder.path
            if not sink.folder.is_there:
                raise EmbeddingError(
                    f"{path.name} is gone: {sink.folder.remedy}, then {again}, or start over."
                ) from error
            if error.filename and Path(str(error.filename)).is_relative_to(path):
                raise EmbeddingError(
                    f"{path.name} cannot be written or read ({error.strerror}): check its disk, then "
                    f"{again}; finished batches are kept."
                ) from error
        raise


def _how_much(sinks: list[TableSink]) -> str:
    """Say how much is saved, once there is a plan."""
    done, total = sum(sink.done for sink in sinks), sum(sink.total for sink in sinks)
    return f" after {done:,} of {total:,} tiles" if total else ""
