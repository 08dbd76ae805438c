"""A raster of any size becomes shards of vectors, at the speed of the network: plan, run, stop, resume.

One or more threads read (decode, cut, resample) ahead; as many threads as there are cores run the network, one core each, so that no core waits for
another inside a layer; every finished batch is put on disk before the next is begun. Batches are cut from the plan alone, so a sweep
that was killed anywhere goes on to the very same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atlas import TableInfo
from core.atlas.shards import ShardRecord, read_manifest, shard_name
from core.engine import device
from core.engine.embed import embed
from core.engine.loaded import load
from core.engine.reconstruct import res_of
from core.engine.sweep_losses import tile_losses
from core.engine.sweep_pace import pace
from core.engine.sweep_plan import Plan, SweepError, SweepSpec, make_plan, plan_json, source_names
from core.engine.sweep_read import EMPTY, OK, UNREADABLE, Batch, Reader
from core.engine.sweep_rows import Recipe, make_table
from core.engine.sweep_store import Standing, SweepFolder, ask_to_stop, ran_full, standing
from core.engine.sweep_workers import Workers, network_threads
from core.masking import MaskSpec, make_mask
from core.models.base import Encoder, Reconstructor
from core.models.pooling import vector_width
from core.policy import Policy, policy_from_text, policy_to_text

BATCH = {"cpu": 16, "mps": 64}
NETWORK_ALONE = 256
ASSUMED_GSD_M = 1.0
"""What a pixel is taken to measure, for res only, where neither the picture nor the user says."""


@dataclass(frozen=True)
class SweepProgress:
    """Where a sweep stands: windows `done` of `total`, of which `unreadable` were marked and `empty` left out; `rate` in tiles per second and
    `seconds_left`, None until measured; `batch` size; `finished` only at the very end; `note` a sentence when something happened."""

    done: int
    total: int
    embedded: int
    unreadable: int
    empty: int
    area_km2: float
    batches: int
    batch: int
    rate: float | None
    seconds_left: float | None
    shards: int
    finished: bool = False
    note: str = ""


def sweep(spec: SweepSpec, *, resume: bool = False) -> Generator[SweepProgress]:
    """Embed everything that a spec names into a folder of GeoParquet shards; yields the plan first, then after every batch.

    Closing the generator, `ask_to_stop(folder)` or a full disk stops it so that `resume=True` goes on. Raises SweepError, GeoError, PolicyError, and
    what loading the model raises.
    """
    model = load(spec.model)
    recipe, policy = _recipe(spec, model)
    folder = SweepFolder(Path(spec.out))
    with folder.locked():
        plan = make_plan(recipe.spec, recipe.tile_px)
        batch = spec.batch or BATCH.get(device.device().torch.type, NETWORK_ALONE)
        decided = {
            "tile_px": recipe.tile_px,
            "policy": recipe.policy,
            "pooling": recipe.info.pooling,
            "batch": batch,
            "weights_sha256": recipe.info.weights_sha256,
        }
        folder.agree(plan_json(recipe.spec, plan, decided), resume=resume)
        yield from _Run(folder, plan, recipe, policy, model, batch).go()


def _recipe(spec: SweepSpec, model: Encoder) -> tuple[Recipe, Policy]:
    """Settle what the spec leaves to the model's card."""
    card = model.card
    tile_px = spec.tile_px or card.input_px
    if tile_px % card.patch_px or tile_px <= 0:
        raise SweepError(f"A tile of {tile_px} px cannot be cut into patches of {card.patch_px} px: choose a multiple.")
    if spec.losses and not isinstance(model, Reconstructor):
        raise SweepError(
            f"{card.name} is an encoder without a decoder, so it has no reconstruction loss: leave the losses out, or choose another model."
        )
    policy = policy_from_text(spec.policy) if spec.policy else Policy(card.default_policy)
    pooling = spec.pooling or card.pooling
    width = vector_width(model, pooling)
    weights = card.weights.sha256 if card.weights else None
    info = TableInfo(card.name, weights, pooling, width, spec.data_type, source_names(spec), card.licence)
    return Recipe(spec, info, policy_to_text(policy), tile_px), policy


class _Run:
    """One go at a sweep, from what is on disk to the end or to wherever it is stopped."""

    def __init__(self, folder: SweepFolder, plan: Plan, recipe: Recipe, policy: Policy, model: Encoder, batch: int) -> None:
        self.folder, self.plan, self.recipe, self.policy, self.model, self.batch = folder, plan, recipe, policy, model, batch
        self.total = plan.count
        self.batches = -(-self.total // batch)
        self.per_shard = max(1, recipe.spec.shard_tiles // batch)
        self.shards: dict[str, ShardRecord] = folder.shards()
        self.counts = np.zeros(3, np.int64)
        self.fits: int | None = read_manifest(folder.path).get("batch_that_fits")
        grid = recipe.tile_px // model.card.patch_px
        self.mask = make_mask(MaskSpec("random", recipe.spec.mask_ratio, recipe.spec.mask_seed), grid, grid) if recipe.spec.losses else None

    def go(self) -> Generator[SweepProgress]:
        waiting = self._on_disk()
        todo = [i for i in range(self.batches) if i not in waiting and shard_name(i // self.per_shard) not in self.shards]
        self.folder.log("start", batches=self.batches, to_do=len(todo), tiles=self.total)
        yield self._progress(todo, None, note=" ".join(self.plan.notes))
        rate = self._measure() if todo else None
        yield self._progress(todo, rate)
        try:
            yield from self._work(todo, waiting)
        except OSError as error:
            if not ran_full(error):
                raise
            raise SweepError(
                f"The disk is full after {self._done():,} of {self.total:,} tiles, which are kept: free some space, then add --resume."
            ) from error

    def _work(self, todo: list[int], waiting: set[int]) -> Generator[SweepProgress]:
        left = list(todo)
        self._seal(waiting)
        began, before = time.perf_counter(), self._done()
        note = ""
        reader = Reader(self.plan, self.recipe.tile_px, self.batch, self.recipe.spec.min_valid)
        with Workers(reader.batches(iter(todo)), self._embed, len(todo)) as workers:
            for index, state in workers.finished():
                left.remove(index)
                waiting.add(index)
                self._count(state)
                self._seal(waiting, {index // self.per_shard})
                rate = (self._done() - before) / max(time.perf_counter() - began, 1e-9)
                note = workers.said()
                counted = {"done": self._done(), "unreadable": int(self.counts[UNREADABLE])}
                self.folder.log("batch", index=index, rate=round(rate, 3), **counted, **({"note": note} if note else {}))
                yield self._progress(left, rate, note=note)
                if self.folder.asked_to_stop:
                    workers.stop()
        if left:
            self.folder.log("stopped", done=self._done())
            yield self._progress(left, None, note="Stopped as asked; add --resume to go on.")
            return
        self._write_manifest(complete=True)
        self.folder.finish()
        self.folder.log("finished", done=self._done())
        yield replace(self._progress(left, None), finished=True)

    def _on_disk(self) -> set[int]:
        """Count what earlier goes have done, and give the batches that wait for their shard."""
        waiting = {i for i in self.folder.finished_batches() if shard_name(i // self.per_shard) not in self.shards}
        for index in waiting:
            self._count(self.folder.take_batches(range(index, index + 1))["state"])
        for record in self.shards.values():
            first = int(record.file.split("-")[1].split(".")[0]) * self.per_shard * self.batch
            windows = min(self.per_shard * self.batch, self.total - first)
            unreadable = self._marked(record)
            self.counts += [record.rows - unreadable, unreadable, windows - record.rows]
        return waiting

    def _marked(self, record: ShardRecord) -> int:
        import pyarrow.parquet as pq

        return pq.read_table(self.folder.path / record.file, columns=["status"])["status"].to_pylist().count("unreadable")

    def _seal(self, waiting: set[int], only: set[int] | None = None) -> None:
        """Write every shard all of whose batches are there; then the manifest, and only then forget the batches."""
        for number in sorted(only if only is not None else {i // self.per_shard for i in waiting}):
            batches = range(number * self.per_shard, min((number + 1) * self.per_shard, self.batches))
            if not waiting.issuperset(batches):
                continue
            rows = make_table(self.plan, self.recipe, batches.start * self.batch, self.folder.take_batches(batches))
            self.shards[shard_name(number)] = self.folder.write_shard(number, rows, self.recipe.info)
            self._write_manifest(complete=False)
            self.folder.forget_batches(batches)
            waiting.difference_update(batches)

    def _write_manifest(self, *, complete: bool) -> None:
        said: dict[str, Any] = {"complete": complete, "batch": self.batch} | ({"batch_that_fits": self.fits} if self.fits else {})
        if complete:
            said |= {"tiles": int(self.counts[OK]), "unreadable": int(self.counts[UNREADABLE]), "empty": int(self.counts[EMPTY]) + self.plan.empty}
        self.folder.write_manifest(self.recipe.info, self.shards, said)

    def _embed(self, batch: Batch, say: Callable[[str], None]) -> None:
        """Run the network on a batch and put the result on disk."""

        def shrunk(sentence: str) -> None:
            self.fits = max(1, (self.fits or self.batch) // 2)
            say(sentence)

        self.folder.keep_batch(batch.index, self.vectors(batch, shrunk))

    def vectors(self, batch: Batch, say: Callable[[str], None]) -> dict[str, NDArray[Any]]:
        """Run the network on a batch: what `make_table` needs of it."""
        gsd = np.where(np.isfinite(batch.gsd_m), batch.gsd_m, ASSUMED_GSD_M)
        native = np.where(np.isfinite(batch.native_gsd_m), batch.native_gsd_m, ASSUMED_GSD_M)
        vectors = np.empty((len(gsd), self.recipe.info.dimensions), np.float32)
        res = np.empty(len(gsd))
        for one in np.unique(native):
            rows = np.flatnonzero(native == one)
            images = batch.images if len(rows) == len(gsd) else batch.images[rows]
            res[rows] = [res_of(self.model.card, self.policy, g, self.recipe.tile_px, one) for g in gsd[rows].tolist()]
            vectors[rows] = embed(
                self.model, images, gsd_m=gsd[rows], policy=self.policy, pooling=self.recipe.info.pooling, native_gsd_m=float(one),
                batch=self.fits or self.batch, say=say,
            )  # fmt: skip
        found: dict[str, NDArray[Any]] = {"state": batch.state, "valid": batch.valid, "vectors": vectors, "res": res.astype(np.float32)}
        if self.mask is not None and isinstance(self.model, Reconstructor):
            images = batch.images.astype(np.float32, copy=False)
            if batch.images.dtype == np.uint8:
                images = images / np.float32(255)
            lost = tile_losses(self.model, images, res, self.mask) if len(images) else None
            found |= {"low": lost.low if lost else np.empty(0, np.float32), "high": lost.high if lost else np.empty(0, np.float32)}
        return found

    def _count(self, state: NDArray[np.uint8]) -> None:
        self.counts += np.bincount(state, minlength=3)

    def _done(self) -> int:
        return int(self.counts.sum())

    def _measure(self) -> float:
        """Measure tiles per second of the network on noise, for the estimate that comes with the plan."""
        cores = device.use_threads()
        workers = network_threads()
        if workers > 1:
            device.use_threads(1)  # as each of the workers will
        try:
            return workers * pace(self.model, self.recipe.tile_px, policy=self.policy, pooling=self.recipe.info.pooling, mask=self.mask)
        finally:
            device.use_threads(cores)

    def _progress(self, left: list[int], rate: float | None, note: str = "") -> SweepProgress:
        embedded, unreadable, empty = (int(n) for n in self.counts)
        seconds = (self.total - self._done()) / rate if rate and left else None
        return SweepProgress(
            self._done(), self.total, embedded, unreadable, empty, self.plan.area_km2(self.recipe.tile_px), self.batches, self.batch, rate, seconds,
            len(self.shards), note=note,
        )  # fmt: skip


__all__ = ["Standing", "SweepError", "SweepProgress", "SweepSpec", "ask_to_stop", "standing", "sweep"]
