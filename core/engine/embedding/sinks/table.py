"""One model's part of an embedding run, which writes batches of vectors to a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....atlas.store.shards import ShardRecord, read_manifest, shard_name
from ....masking import MaskSpec, make_mask
from ....models.base import Encoder, Reconstructor
from ....policy import Policy
from ...embed import embed
from ...inputs import res_of
from ...loaded import on_every_device
from ..folder import EmbeddingFolder
from ..losses import tile_losses
from ..pace import pace
from ..plan import EmbeddingPlan, plan_json
from ..read import EMPTY, OK, UNREADABLE, TileBatch
from ..rows import EmbeddingRecipe, make_table

ASSUMED_GSD_M = 1.0
"""GSD assumed when computing res, if neither the picture nor the user states one."""


class TableRun:
    """The run of one model over a plan, with the folder for its table."""

    def __init__(
        self,
        folder: EmbeddingFolder,
        plan: EmbeddingPlan,
        recipe: EmbeddingRecipe,
        policy: Policy,
        model: Encoder,
        batch: int,
    ) -> None:
        self.folder, self.plan, self.recipe, self.policy, self.model, self.batch = (
            folder,
            plan,
            recipe,
            policy,
            model,
            batch,
        )
        self._networks = on_every_device(model)
        self.total = plan.count
        self.batches = -(-self.total // batch)
        self.per_shard = max(1, recipe.spec.shard_tiles // batch)
        self.shards: dict[str, ShardRecord] = {}
        self.counts = np.zeros(3, np.int64)
        self.waiting: set[int] = set()
        self.left: set[int] = set()
        self.fits: int | None = None
        self.said = ""
        grid = recipe.tile_px // model.card.patch_px
        self.mask = (
            make_mask(MaskSpec("random", recipe.spec.mask_ratio, recipe.spec.mask_seed), grid, grid)
            if recipe.spec.losses
            else None
        )

    @property
    def done(self) -> int:
        """Number of finished windows."""
        return int(self.counts.sum())

    def plan_json(self) -> dict[str, Any]:
        """Give the settings that must be the same to resume this folder."""
        info = self.recipe.info
        decided = {
            "tile_px": self.recipe.tile_px, "policy": self.recipe.policy, "pooling": info.pooling, "batch": self.batch,
            "weights_sha256": info.weights_sha256,
        }  # fmt: skip
        return plan_json(self.recipe.spec, self.plan, decided)

    def start(self) -> None:
        """Read what earlier runs finished and find what is left; damaged shards and batches are recomputed."""
        self.shards, damaged = self.folder.shards()
        self.fits = read_manifest(self.folder.path).get("batch_that_fits")
        self.waiting = self._on_disk()
        self.left = {
            i
            for i in range(self.batches)
            if i not in self.waiting and shard_name(i // self.per_shard) not in self.shards
        }
        if damaged:
            self.said = f"{self.folder.path.name}: {', '.join(damaged[:5])}{' and others' if len(damaged) > 5 else ''} is missing or damaged and will be recomputed."
            self._write_manifest(complete=False)  # the table is incomplete until they are back
        self.folder.log("start", batches=self.batches, to_do=len(self.left), tiles=self.total)

    def take(self, index: int, state: NDArray[np.uint8]) -> bool:
        """Count a saved batch and write its shard once complete; False if this model did not have to do it."""
        if index not in self.left:
            return False
        self.left.remove(index)
        self.waiting.add(index)
        self._count(state)
        self.seal({index // self.per_shard})
        return True

    def log_batch(self, index: int, rate: float, note: str) -> None:
        """Log a finished batch."""
        said = {"rate": round(rate, 3), "done": self.done, "unreadable": int(self.counts[UNREADABLE])}
        self.folder.log("batch", index=index, **said, **({"note": note} if note else {}))

    def end(self) -> bool:
        """Finish the table if nothing is left; tell whether it is finished."""
        if self.left:
            self.folder.log("stopped", done=self.done)
            return False
        self._write_manifest(complete=True)
        self.folder.finish()
        self.folder.log("finished", done=self.done)
        return True

    def pace(self) -> float:
        """Measure tiles per second of this network on one thread, on noise."""
        return pace(
            self.model,
            self.recipe.tile_px,
            policy=self.policy,
            pooling=self.recipe.info.pooling,
            mask=self.mask,
        )

    def _on_disk(self) -> set[int]:
        """Count what earlier runs have done, and give the batches that wait for their shard."""
        found = {
            i
            for i in self.folder.finished_batches()
            if i < self.batches and shard_name(i // self.per_shard) not in self.shards
        }
        states = {index: self.folder.state_of(index) for index in sorted(found)}
        waiting = {index for index, state in states.items() if state is not None}
        for state in states.values():
            if state is not None:
                self._count(state)
        for record in self.shards.values():
            first = int(record.file.split("-")[1].split(".")[0]) * self.per_shard * self.batch
            windows = min(self.per_shard * self.batch, self.total - first)
            unreadable = self._marked(record)
            self.counts += [record.rows - unreadable, unreadable, windows - record.rows]
        return waiting

    def _marked(self, record: ShardRecord) -> int:
        import pyarrow.parquet as pq

        return (
            pq.read_table(self.folder.path / record.file, columns=["status"])["status"]
            .to_pylist()
            .count("unreadable")
        )

    def seal(self, numbers: set[int]) -> None:
        """Write the shards whose batches are all there, then the manifest; only then delete the batches."""
        for number in sorted(numbers):
            batches = range(number * self.per_shard, min((number + 1) * self.per_shard, self.batches))
            if not self.waiting.issuperset(batches):
                continue
            rows = make_table(
                self.plan, self.recipe, batches.start * self.batch, self.folder.take_batches(batches)
            )
            self.shards[shard_name(number)] = self.folder.write_shard(number, rows, self.recipe.info)
            self._write_manifest(complete=False)
            self.folder.forget_batches(batches)
            self.waiting.difference_update(batches)

    def _write_manifest(self, *, complete: bool) -> None:
        said: dict[str, Any] = {"complete": complete, "batch": self.batch} | (
            {"batch_that_fits": self.fits} if self.fits else {}
        )
        if complete:
            said |= {
                "tiles": int(self.counts[OK]),
                "unreadable": int(self.counts[UNREADABLE]),
                "empty": int(self.counts[EMPTY]) + self.plan.empty,
            }
        self.folder.write_manifest(self.recipe.info, self.shards, said)

    def embed(self, batch: TileBatch, thread: int, say: Callable[[str], None]) -> None:
        """Run the network on the device of a thread and save the result."""

        def shrunk(sentence: str) -> None:
            self.fits = max(1, (self.fits or self.batch) // 2)
            say(sentence)

        self.folder.keep_batch(
            batch.index, self.vectors(batch, self._networks[thread % len(self._networks)], shrunk)
        )

    def vectors(
        self, batch: TileBatch, network: Encoder, say: Callable[[str], None]
    ) -> dict[str, NDArray[Any]]:
        """Run a network on a batch; returns the arrays that `make_table` needs."""
        gsd = np.where(np.isfinite(batch.gsd_m), batch.gsd_m, ASSUMED_GSD_M)
        native = np.where(np.isfinite(batch.native_gsd_m), batch.native_gsd_m, ASSUMED_GSD_M)
        vectors = np.empty((len(gsd), self.recipe.info.dimensions), np.float32)
        res = np.empty(len(gsd))
        for one in np.unique(native):
            rows = np.flatnonzero(native == one)
            images = batch.images if len(rows) == len(gsd) else batch.images[rows]
            res[rows] = [
                res_of(self.model.card, self.policy, g, self.recipe.tile_px, one) for g in gsd[rows].tolist()
            ]
            vectors[rows] = embed(
                network, images, gsd_m=gsd[rows], policy=self.policy, pooling=self.recipe.info.pooling, native_gsd_m=float(one),
                batch=self.fits or self.batch, say=say,
            )  # fmt: skip
        found: dict[str, NDArray[Any]] = {
            "state": batch.state,
            "valid": batch.valid,
            "vectors": vectors,
            "res": res.astype(np.float32),
        }
        if self.mask is not None and isinstance(network, Reconstructor):
            images = batch.images.astype(np.float32, copy=False)
            if batch.images.dtype == np.uint8:
                images = images / np.float32(255)
            lost = tile_losses(network, images, res, self.mask) if len(images) else None
            found |= {
                "low": lost.low if lost else np.empty(0, np.float32),
                "high": lost.high if lost else np.empty(0, np.float32),
            }
        return found

    def _count(self, state: NDArray[np.uint8]) -> None:
        self.counts += np.bincount(state, minlength=3)
