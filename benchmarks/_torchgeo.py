"""Compare an embedding run with torchgeo's sampler and DataLoader on the same tiles."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np
from _bare import load_once
from _scenes import SIDE

BATCH = 16


def torchgeo_rate(name: str, source: str, workers: int, network: bool) -> float:
    """Measure torchgeo's GridGeoSampler and DataLoader in tiles per second, with or without the network."""
    import torch

    model = load_once(
        name
    )  # before torchgeo: loading it makes the import of torchvision work, which torchgeo needs
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
        dataset,
        batch_size=BATCH,
        sampler=GridGeoSampler(dataset, size=SIDE),
        num_workers=workers,
        collate_fn=stack_samples,
        multiprocessing_context="fork" if workers else None,
    )


def delivery_rate(source: str) -> float:
    """Measure the reader of an embedding run in tiles per second, without a network."""
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
    """Return the lowest cosine similarity between our vectors and those of tiles read by torchgeo."""
    import rasterio

    from core.atlas import open_table
    from core.engine.embed import embed
    from core.engine.embedding import prepare
    from core.engine.embedding import run as engine
    from core.engine.embedding.spec import EmbeddingSpec

    prepare.load, model = load_once, load_once(name)
    pictures = np.concatenate([batch["image"].numpy() for batch in _loader(source, 0)]).astype(np.uint8)
    with rasterio.open(source) as file:
        across, down = file.width // SIDE, file.height // SIDE
    with tempfile.TemporaryDirectory() as place:
        list(engine.embed_sources(EmbeddingSpec((source,), f"{place}/table", name, tile_px=SIDE)))
        table = open_table(f"{place}/table")
        corners = np.array(table.columns["pixel_bbox"].to_pylist())[:, :2] // SIDE
        from_south = (down - 1 - corners[:, 1]) * across + corners[:, 0]
        theirs = embed(model, pictures, gsd_m=10.0, native_gsd_m=10.0)[from_south]
        ours = table.vectors
    return float(
        ((theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)).min()
    )
