"""Comparisons for an embedding run: torchgeo's sampler and DataLoader on the same tiles, and our reader alone."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
from _bare import kept
from _scenes import SIDE

BATCH = 16


def torchgeo_rate(name: str, source: str, workers: int, network: bool) -> float:
    """Tiles per second of torchgeo's GridGeoSampler and DataLoader, with or without the network behind."""
    import torch

    model = kept(name)  # before torchgeo, for our networks mend the import of torchvision that it needs
    loader = _loader(source, workers)
    count, start = 0, time.perf_counter()
    with torch.inference_mode():
        for batch in loader:
            count += len(batch["image"])
            if network:
                model.encode(batch["image"].float() / 255, torch.ones(len(batch["image"])))
    return count / (time.perf_counter() - start)


def _loader(source: str, workers: int) -> Any:
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(source)
    return DataLoader(
        dataset, batch_size=BATCH, sampler=GridGeoSampler(dataset, size=SIDE), num_workers=workers, collate_fn=stack_samples,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip


def delivery_rate(source: str) -> float:
    """Tiles per second that the sweep's reader delivers without a network behind it."""
    from core.engine.embedding.plan import make_plan
    from core.engine.embedding.read import Reader
    from core.engine.embedding.spec import EmbeddingSpec

    plan = make_plan(EmbeddingSpec((source,), "out", "mae_tiny"), SIDE)
    start = time.perf_counter()
    count = sum(
        len(batch.images)
        for batch in Reader(plan, SIDE, BATCH, 0.5).batches(iter(range(-(-plan.count // BATCH))))
    )
    return count / (time.perf_counter() - start)


def least_cosine(name: str, source: str) -> float:
    """The least cosine between a vector of the sweep's table and that of the tile that torchgeo delivers for the same ground."""
    import rasterio

    from core.atlas import open_table
    from core.engine.embed import embed
    from core.engine.embedding import run as engine
    from core.engine.embedding.spec import EmbeddingSpec

    engine.load, model = kept, kept(name)
    pictures = np.concatenate([batch["image"].numpy() for batch in _loader(source, 0)]).astype(np.uint8)
    with rasterio.open(source) as file:
        across, down = file.width // SIDE, file.height // SIDE
    with tempfile.TemporaryDirectory() as place:
        list(engine.embed_sources(EmbeddingSpec((source,), f"{place}/table", name, tile_px=SIDE)))
        table = open_table(f"{place}/table")
        corners = np.array(table.columns["pixel_bbox"].to_pylist())[:, :2] // SIDE
        theirs = embed(model, pictures, gsd_m=10.0, native_gsd_m=10.0)[
            (down - 1 - corners[:, 1]) * across + corners[:, 0]
        ]  # from the south up
        ours = table.vectors
    return float(
        ((theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)).min()
    )
