"""The sink that writes a patch raster: every patch of a picture becomes a pixel with d bands.

A patch near the edge of a tile has seen less of its surroundings than one in the middle. Tiles therefore
overlap, and each contributes with the weight of a raised cosine (Hann window) over the tile, so that no seams
show. Sums are kept in files (see `patch_sums`), so memory stays constant.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....models.base import Encoder
from ...tokens import patch_vectors
from ..batches import PendingBatches
from ..folder import EmbeddingFolder
from ..pipeline import Sink
from ..read import EMPTY, OK, UNREADABLE, TileBatch
from ..spec import EmbeddingError, EmbeddingSpec
from .patch_layout import BATCH, PatchLayout, scratch_of
from .patch_sums import PatchSums
from .patch_writing import write_raster


@final
class PatchRasterSink(Sink):
    """Adds batches to the sums in their order, and writes the raster to `out` at the end.

    `bare` is then the number of patches without a vector.
    """

    def __init__(
        self, folder: EmbeddingFolder, layout: PatchLayout, spec: EmbeddingSpec, model: Encoder, out: Path
    ) -> None:
        self.scratch = scratch_of(layout, spec, out)
        super().__init__(
            folder, PendingBatches(self.scratch / "batches"), layout.plan, spec, model,
            tile_px=layout.tile_px, batch=spec.batch or BATCH,
        )  # fmt: skip
        self.layout, self.out = layout, out
        self.shape = (layout.rows, layout.cols, model.embed_dim)
        self.bare = 0

    def start(self) -> None:
        """Read what an earlier run finished and find what is left."""
        self._sums = PatchSums(self.scratch, self.layout.corners, self.layout.side, self.shape)
        self.pending.open()
        added = self._sums.counts
        unreadable, empty = added.get("unreadable", 0), added.get("empty", 0)
        self._added = np.zeros(3, np.int64)
        self._added[UNREADABLE], self._added[EMPTY] = unreadable, empty
        self._added[OK] = added.get("done", 0) - unreadable - empty
        self.counts += self._added
        self._find_left(range(self._sums.batches))

    def store(self) -> None:
        """Add the waiting batches that come next; floating-point sums depend on the order."""
        while (index := self._sums.batches) in self.waiting:
            arrays = self.pending.load(range(index, index + 1))
            tiles = index * self.batch + np.flatnonzero(arrays["state"] == OK)
            self._added += np.bincount(arrays["state"], minlength=3)
            done, unreadable, empty = self._added.sum(), self._added[UNREADABLE], self._added[EMPTY]
            counts = {"done": int(done), "unreadable": int(unreadable), "empty": int(empty)}
            self._sums.add(tiles, arrays["vectors"], counts)
            self.pending.delete(range(index, index + 1))
            self.waiting.remove(index)

    def finish(self) -> None:
        """Write the raster and delete the scratch folder. Raises EmbeddingError if no tile has a vector."""
        if not self.counts[OK]:
            shutil.rmtree(self.scratch, ignore_errors=True)
            why = f"every tile has less than {self.spec.min_valid:.0%} valid pixels or cannot be read"
            if self.counts[UNREADABLE] == self.total:
                why = "no tile of it can be read"
            raise EmbeddingError(
                f"{self.layout.recipe['source']} cannot be embedded because {why}: "
                "choose another picture, or a smaller --min-valid."
            )
        write_raster(self._sums, self.layout, self.spec.data_type, self.scratch / "plain.tif", self.out)
        self.bare = self.shape[0] * self.shape[1] - self._sums.known()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def note(self) -> str:
        """Describe what the finished raster lacks; empty if it is complete."""
        if not (self.counts[UNREADABLE] or self.bare):
            return ""
        lacks = [f"{self.counts[UNREADABLE]:,} could not be read"] if self.counts[UNREADABLE] else []
        lacks += [f"{self.counts[EMPTY]:,} hold too little data"] if self.counts[EMPTY] else []
        return (
            f"{self.layout.recipe['source']}: of {self.total:,} tiles {' and '.join(lacks)}; "
            f"{self.bare:,} of {self.shape[0] * self.shape[1]:,} patches have no vector."
        )

    def _vectors(
        self,
        batch: TileBatch,
        network: Encoder,
        report: Callable[[str], None],  # noqa: ARG002
    ) -> dict[str, NDArray[Any]]:
        """Return the vectors (k, g, g, d) of the patches of the k tiles of a batch that are OK."""
        images = batch.unit_images()
        if not len(images):
            return {"vectors": np.empty((0, 1, 1, 1), np.float32)}
        res = np.full(len(images), self.layout.recipe["input_res_m"], np.float32)
        return {"vectors": patch_vectors(network, images, res, batch=self.batch)}
