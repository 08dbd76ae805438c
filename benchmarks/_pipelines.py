"""The pipelines of `pipelines.py`, in a module that the processes of DataLoaders and of Ray can import."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

MODEL, SIDE, BATCH, ACROSS = "mae_tiny", 112, 16, 16


@dataclass(frozen=True)
class Run:
    """Seconds of wall and of CPU time, and the vectors of all tiles, row by row."""

    wall_s: float
    cpu_s: float
    vectors: np.ndarray


class Clock:
    """Wall time since it was made, and CPU time of this process, its children and their children."""

    def __init__(self) -> None:
        self._cpu, self._wall = _cpu_s(), time.perf_counter()

    def run(self, vectors: np.ndarray, cpu_s: float | None = None) -> Run:
        wall_s = time.perf_counter() - self._wall
        return Run(wall_s, (_cpu_s() if cpu_s is None else cpu_s) - self._cpu, vectors)


def _cpu_s() -> float:
    me = psutil.Process()
    total = sum(me.cpu_times()[:4])  # with children that have ended
    for child in me.children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.Error:
            continue
    return total


def vectors_of(pictures: np.ndarray) -> np.ndarray:
    """Embed a batch (n, 3, side, side) of 8-bit pixels."""
    from core.engine.embed import embed
    from core.engine.loaded import load

    return embed(load(MODEL), pictures, gsd_m=10.0, native_gsd_m=10.0)


def warm() -> None:
    vectors_of(np.zeros((BATCH, 3, SIDE, SIDE), np.uint8))


def ours(scene: str, _: int) -> Run:
    from core.atlas import open_table
    from core.engine.embedding.run import embed_sources
    from core.engine.embedding.spec import EmbeddingSpec

    warm()
    with tempfile.TemporaryDirectory() as place:
        clock = None
        for step in embed_sources(
            EmbeddingSpec((scene,), f"{place}/table", MODEL, tile_px=SIDE, batch=BATCH)
        ):
            if step.rate is not None and clock is None:
                clock = Clock()  # planned, and the speed of the network measured
        assert clock is not None
        timed = clock.run(np.empty(0))
        table = open_table(f"{place}/table")
        corners = np.array(table.columns["pixel_bbox"].to_pylist())[:, :2] // SIDE
        order = np.argsort(corners[:, 1] * ACROSS + corners[:, 0])
        return Run(timed.wall_s, timed.cpu_s, table.vectors[order])


def through_loader(loader: Any) -> Run:
    """Embed what a DataLoader delivers."""
    clock = Clock()
    found = [vectors_of(batch["image"].numpy().astype(np.uint8)) for batch in loader]
    return clock.run(np.concatenate(found))


def torchgeo(scene: str, workers: int) -> Run:
    warm()  # first: loading a network makes the import of torchvision work, which torchgeo needs
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    data = RasterDataset(scene)
    done = through_loader(
        DataLoader(
            data, batch_size=BATCH, sampler=GridGeoSampler(data, size=SIDE), num_workers=workers,
            collate_fn=stack_samples, multiprocessing_context="fork" if workers else None,
        )
    )  # fmt: skip
    from_north = done.vectors.reshape(-1, ACROSS, done.vectors.shape[1])[::-1]  # it starts in the south
    return Run(done.wall_s, done.cpu_s, from_north.reshape(done.vectors.shape))


class Chips:
    """One file a tile."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.tif"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        import rioxarray
        import torch

        with rioxarray.open_rasterio(self.files[index], masked=True) as chip:
            return {"image": torch.from_numpy(chip.fillna(0).to_numpy())}


def plain_loader(scene: str, workers: int) -> Run:
    from torch.utils.data import DataLoader

    warm()
    return through_loader(
        DataLoader(
            Chips(Path(scene).parent / "chips"), batch_size=BATCH, num_workers=workers,
            multiprocessing_context="fork" if workers else None,
        )
    )  # fmt: skip


def read_windows(scene: str, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Read the windows of a batch, for Ray Data."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(scene) as file:
        numbers = rows["id"].tolist()
        windows = [Window(n % ACROSS * SIDE, n // ACROSS * SIDE, SIDE, SIDE) for n in numbers]
        return {"id": rows["id"], "image": np.stack([file.read(window=window) for window in windows])}


class Embedder:
    """What runs in an actor of Ray Data."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        warm()

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"id": rows["id"], "vector": vectors_of(rows["image"])}


def ray_data(scene: str, actors: int) -> Run:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here = Path(__file__).parent
    os.environ["PYTHONPATH"] = f"{here}:{here.parent}"
    import ray

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)

        def embedded(tiles: int) -> Any:
            return (
                ray.data.from_items([{"id": n} for n in range(tiles)], override_num_blocks=tiles // BATCH)
                .map_batches(partial(read_windows, scene), batch_size=BATCH, num_cpus=0.1)
                .map_batches(Embedder, batch_size=BATCH, concurrency=actors, num_cpus=0.75)
            )

        clock: Clock | None = None
        found: list[dict[str, np.ndarray]] = []
        # Ray Data starts its actors with each data set, so time counts from the first vectors on, when other
        # batches are under way, or a second actor still starts.
        for batch in embedded(tiles_of(scene)).iter_batches(batch_size=BATCH, batch_format="numpy"):
            clock = clock or Clock()
            found.append(batch)
        assert clock is not None
        timed = clock.run(np.empty(0))
        order = np.argsort(np.concatenate([batch["id"] for batch in found]))
        vectors = np.stack([row for batch in found for row in batch["vector"]])[order]
        rest = (len(order) - BATCH) / len(order)
        return Run(timed.wall_s / rest, timed.cpu_s / rest, vectors)
    finally:
        ray.shutdown()


def tiles_of(scene: str) -> int:
    import rasterio

    with rasterio.open(scene) as file:
        return file.width // SIDE * (file.height // SIDE)
