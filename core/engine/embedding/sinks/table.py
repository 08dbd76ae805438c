"""The sink that writes one model's vectors to a table, shard by shard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....atlas.store.shards import ShardRecord, shard_name
from ....masking import MaskSpec, make_mask
from ....models.base import Encoder, Reconstructor
from ....policy import Policy
from ...embed import embed
from ...inputs import res_of
from ..environment import Environment, difference, environment
from ..folder import EmbeddingFolder
from ..losses import tile_losses
from ..mixed import mixed_batches, mixed_entries
from ..pipeline import Sink
from ..plan import EmbeddingPlan, plan_json
from ..read import EMPTY, OK, UNREADABLE, TileBatch
from ..rows import EmbeddingRecipe, make_table
from ..share import Share
from ..spec import EmbeddingError
from ..speed import TILES, tiles_per_second

ASSUMED_GSD_M = 1.0
"""GSD assumed when computing res, if neither the picture nor the user states one."""


@final
class TableSink(Sink):
    """Writes a shard as soon as all its batches are there, and the manifest after every shard.

    If not `may_shrink`, a batch that does not fit into the device's memory is an error: vectors may depend on
    the size of the batch.
    """

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
        self.made_with = environment()
        self.may_shrink = True
        self._mixed: dict[int, Environment] = {}
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
        manifest = self.folder.manifest()
        self._batch_that_fits = manifest.get("batch_that_fits")
        if self._batch_that_fits:
            self.made_with = {**self.made_with, "batch": str(self._batch_that_fits)}
        self._mixed = mixed_batches(manifest)
        stored: set[int] = set()
        for number in self.shard_numbers:
            record = self._shards.get(shard_name(number))
            if record is None:
                continue
            batches = self._batches_of(number)
            stored.update(batches)
            windows = min(batches.stop * self.batch, self.total) - batches.start * self.batch
            unreadable = self.folder.unreadable_rows(record)
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
            self._record_environments(batches)
            self._shards[shard_name(number)] = self.write_rows(self.folder, number, arrays)
            self.shards = len(self._shards)
            self._write_manifest(complete=False)
            self.pending.delete(batches)
            self.waiting.difference_update(batches)

    def write_rows(
        self, folder: EmbeddingFolder, number: int, arrays: dict[str, NDArray[Any]]
    ) -> ShardRecord:
        """Write the arrays of a shard's windows to a folder."""
        rows = make_table(self.plan, self.recipe, number * self._per_shard * self.batch, arrays)
        return folder.write_shard(number, rows, self.recipe.info)

    def finish(self) -> None:
        """Mark the table as complete."""
        self._write_manifest(complete=True)
        self.pending.remove()
        self.folder.divide(None)

    def find_share(self, share: Share) -> None:
        """Find what is left of the batches of one worker, as the leader's manifest has it; reads no shard."""
        stored = {record.file for record in self.folder.shard_records()}
        waiting = self.pending.finished()
        self.left = {
            index
            for number in self.shard_numbers
            if share.has(number) and shard_name(number) not in stored
            for index in self._batches_of(number)
            if index not in waiting
        }

    def share_tiles(self, share: Share) -> int:
        """Return the number of windows of one worker."""
        return sum(self.tiles_of(i) for n in self.shard_numbers if share.has(n) for i in self._batches_of(n))

    def tiles_of(self, index: int) -> int:
        """Return the number of windows in a batch."""
        return min((index + 1) * self.batch, self.total) - index * self.batch

    def workers_with_work(self, workers: int) -> list[int]:
        """Return the workers that have batches left, out of this number of workers."""
        return sorted({index // self._per_shard % workers for index in self.left})

    @property
    def shard_numbers(self) -> range:
        """The numbers of all shards of the finished table."""
        return range(-(-self.batches // self._per_shard))

    def speed(self) -> float:
        """Measure tiles per second of this network on one thread, on noise."""
        tiles = TILES if self.made_with["device"].startswith("cpu ") else self.batch
        return tiles_per_second(
            self.model, self.tile_px, policy=self.policy, pooling=self.recipe.info.pooling, mask=self._mask,
            tiles=tiles,
        )  # fmt: skip

    def _batches_of(self, shard: int) -> range:
        return range(shard * self._per_shard, min((shard + 1) * self._per_shard, self.batches))

    def _record_environments(self, batches: range) -> None:
        """Remember how the environment of each batch differs from that of the plan."""
        planned = {"batch": str(self.batch), **(self.folder.saved_plan() or {}).get("environment", {})}
        for index in batches:
            self._mixed.pop(index, None)
            if other := difference(planned, self.pending.made_with(index)):
                self._mixed[index] = other

    def _write_manifest(self, *, complete: bool) -> None:
        more: dict[str, Any] = {"complete": complete, "batch": self.batch}
        if self._batch_that_fits:
            more["batch_that_fits"] = self._batch_that_fits
        if self._mixed:
            more["mixed"] = mixed_entries(self._mixed)
        if complete:
            more["tiles"], more["unreadable"] = int(self.counts[OK]), int(self.counts[UNREADABLE])
            more["empty"] = int(self.counts[EMPTY]) + self.plan.empty
        self.folder.write_manifest(self.recipe.info, self._shards, more)

    def _vectors(
        self, batch: TileBatch, network: Encoder, report: Callable[[str], None]
    ) -> dict[str, NDArray[Any]]:
        """Run a network on a batch; returns the arrays that `make_table` needs."""

        def shrink(note: str) -> None:
            if not self.may_shrink:
                raise EmbeddingError(
                    f"A batch of {self.batch} tiles does not fit into this worker's device: use a larger "
                    "one, start over with a smaller --batch, or add --mix to allow smaller parts."
                )
            self._batch_that_fits = max(1, (self._batch_that_fits or self.batch) // 2)
            self.made_with = {**self.made_with, "batch": str(self._batch_that_fits)}
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
