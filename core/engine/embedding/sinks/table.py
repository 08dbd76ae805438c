"""The sink that writes one model's vectors to a table, shard by shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....atlas.store.shards import ShardRecord, read_manifest, shard_name
from ....masking import MaskSpec, make_mask
from ....models.base import Encoder, Reconstructor
from ....policy import Policy
from ...embed import embed
from ...inputs import res_of
from ..folder import EmbeddingFolder
from ..losses import tile_losses
from ..pipeline import Sink
from ..plan import EmbeddingPlan, plan_json
from ..read import EMPTY, OK, UNREADABLE, TileBatch
from ..rows import EmbeddingRecipe, make_table
from ..speed import tiles_per_second

ASSUMED_GSD_M = 1.0
"""GSD assumed when computing res, if neither the picture nor the user states one."""


@final
class TableSink(Sink):
    """Writes a shard as soon as all its batches are there, and the manifest after every shard."""

    def __init__(
        self,
        folder: EmbeddingFolder,
        plan: EmbeddingPlan,
        recipe: EmbeddingRecipe,
        policy: Policy,
        model: Encoder,
        batch: int,
    ) -> None:
        super().__init__(
            folder, folder.pending, plan, recipe.spec, model, tile_px=recipe.tile_px, batch=batch
        )
        self.recipe, self.policy = recipe, policy
        self.note = ""
        self._per_shard = max(1, recipe.spec.shard_tiles // batch)
        self._shards: dict[str, ShardRecord] = {}
        self._batch_that_fits: int | None = None
        grid = recipe.tile_px // model.card.patch_px
        mask = MaskSpec("random", recipe.spec.mask_ratio, recipe.spec.mask_seed)
        self._mask = make_mask(mask, grid, grid) if recipe.spec.losses else None

    def plan_json(self) -> dict[str, Any]:
        """Return the settings that must be the same to resume this folder."""
        info = self.recipe.info
        resolved = {
            "tile_px": self.tile_px, "policy": self.recipe.policy, "pooling": info.pooling,
            "batch": self.batch, "weights_sha256": info.weights_sha256,
        }  # fmt: skip
        return plan_json(self.recipe.spec, self.plan, resolved)

    def start(self) -> None:
        """Read what earlier runs finished and find what is left.

        Damaged shards and batches are recomputed, and `note` says so.
        """
        self._shards, damaged = self.folder.shards()
        self.shards = len(self._shards)
        self._batch_that_fits = read_manifest(self.folder.path).get("batch_that_fits")
        stored: set[int] = set()
        for number in range(-(-self.batches // self._per_shard)):
            record = self._shards.get(shard_name(number))
            if record is None:
                continue
            batches = self._batches_of(number)
            stored.update(batches)
            windows = min(batches.stop * self.batch, self.total) - batches.start * self.batch
            unreadable = self._unreadable_rows(record)
            self.counts += [record.rows - unreadable, unreadable, windows - record.rows]
        self._find_left(stored)
        if damaged:
            names = f"{', '.join(damaged[:5])}{' and others' if len(damaged) > 5 else ''}"
            self.note = f"{self.folder.path.name}: {names} is missing or damaged and will be recomputed."
            self._write_manifest(complete=False)  # the table is incomplete until they are back
        self.folder.log("start", batches=self.batches, to_do=len(self.left), tiles=self.total)

    def store(self) -> None:
        """Write the shards whose batches are all there, then the manifest; only then delete the batches."""
        for number in sorted({index // self._per_shard for index in self.waiting}):
            batches = self._batches_of(number)
            if not self.waiting.issuperset(batches):
                continue
            arrays = self.pending.load(batches)
            rows = make_table(self.plan, self.recipe, batches.start * self.batch, arrays)
            self._shards[shard_name(number)] = self.folder.write_shard(number, rows, self.recipe.info)
            self.shards = len(self._shards)
            self._write_manifest(complete=False)
            self.pending.delete(batches)
            self.waiting.difference_update(batches)

    def finish(self) -> None:
        """Mark the table as complete."""
        self._write_manifest(complete=True)
        self.pending.remove()

    def speed(self) -> float:
        """Measure tiles per second of this network on one thread, on noise."""
        pooling = self.recipe.info.pooling
        return tiles_per_second(
            self.model, self.tile_px, policy=self.policy, pooling=pooling, mask=self._mask
        )

    def _batches_of(self, shard: int) -> range:
        return range(shard * self._per_shard, min((shard + 1) * self._per_shard, self.batches))

    def _unreadable_rows(self, record: ShardRecord) -> int:
        rows = pq.read_table(self.folder.path / record.file, columns=["status"])
        return rows["status"].to_pylist().count("unreadable")

    def _write_manifest(self, *, complete: bool) -> None:
        more: dict[str, Any] = {"complete": complete, "batch": self.batch}
        if self._batch_that_fits:
            more["batch_that_fits"] = self._batch_that_fits
        if complete:
            more["tiles"], more["unreadable"] = int(self.counts[OK]), int(self.counts[UNREADABLE])
            more["empty"] = int(self.counts[EMPTY]) + self.plan.empty
        self.folder.write_manifest(self.recipe.info, self._shards, more)

    def _vectors(
        self, batch: TileBatch, network: Encoder, report: Callable[[str], None]
    ) -> dict[str, NDArray[Any]]:
        """Run a network on a batch; returns the arrays that `make_table` needs."""

        def shrink(note: str) -> None:
            self._batch_that_fits = max(1, (self._batch_that_fits or self.batch) // 2)
            report(note)

        gsd = np.where(np.isfinite(batch.gsd_m), batch.gsd_m, ASSUMED_GSD_M)
        native = np.where(np.isfinite(batch.native_gsd_m), batch.native_gsd_m, ASSUMED_GSD_M)
        pooling, card = self.recipe.info.pooling, self.model.card
        vectors = np.empty((len(gsd), self.recipe.info.dimensions), np.float32)
        res = np.empty(len(gsd))
        for native_gsd in np.unique(native).tolist():
            rows = np.flatnonzero(native == native_gsd)
            images = batch.images if len(rows) == len(gsd) else batch.images[rows]
            res[rows] = [
                res_of(card, self.policy, fed_gsd, self.tile_px, native_gsd) for fed_gsd in gsd[rows].tolist()
            ]
            vectors[rows] = embed(
                network, images, gsd_m=gsd[rows], policy=self.policy, pooling=pooling,
                native_gsd_m=native_gsd, batch=self._batch_that_fits or self.batch, say=shrink,
            )  # fmt: skip
        arrays = {"valid": batch.valid, "vectors": vectors, "res": res.astype(np.float32)}
        if self._mask is not None and isinstance(network, Reconstructor):
            arrays["low"] = arrays["high"] = np.empty(0, np.float32)
            if len(vectors):
                losses = tile_losses(network, batch.unit_images(), res, self._mask)
                arrays["low"], arrays["high"] = losses.low, losses.high
        return arrays
