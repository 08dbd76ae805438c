"""Raster to GeoParquet beside the bare network: how much of the network's own speed a sweep keeps.

    python benchmarks/sweep.py [--model mae_tiny224] [--tiles 768] [--pairs 5] [--kinds "int16 deflate" ...] [--anyway]
    python benchmarks/sweep.py --model mae_base --tiles 64 --kinds "int16 deflate"
    python benchmarks/sweep.py --more       with resampling, with losses, several models in one pass, and the shipped default
    python benchmarks/sweep.py --torchgeo   beside torchgeo's GridGeoSampler and DataLoader (pip install torchgeo)
    python benchmarks/sweep.py --memory     peak memory on a sparse raster of 100,000 x 100,000 against 5,000 x 5,000

Bare is the faster of one process with all threads and one process per core with one thread each, tensors already in memory. Every share is the
median of interleaved pairs; processes stay alive between them, so that no pair pays for starting, and a sweep is long enough that its two ends,
where a core waits for the first batch or for the last, count for little. Sources are written for the run: int16 deflate and zstd COG, uint8 striped,
JPEG COG. Refuses to measure above a load average of 0.3 unless told --anyway. Prints one JSON object last.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _quiet import load_or_leave

SIDE, BATCH = 224, 16
THREE = ("mae_tiny", "tinymim_tiny", "scale_contrast_tiny")
BARS = {"mae_base": 0.97, "mae_tiny224": 0.92}
KINDS: dict[str, dict[str, Any]] = {
    "int16 deflate": {"dtype": "int16", "driver": "COG", "compress": "deflate", "blocksize": 512, "num_threads": "all_cpus"},
    "int16 zstd": {"dtype": "int16", "driver": "COG", "compress": "zstd", "blocksize": 512, "num_threads": "all_cpus"},
    "uint8 striped": {"dtype": "uint8", "driver": "GTiff", "tiled": False},
    "uint8 JPEG": {"dtype": "uint8", "driver": "COG", "compress": "jpeg", "blocksize": 512},
}


def model_of(name: str) -> Any:
    """A preset, or with the ending 224 the tiny encoder with patches of 16 at 224 px that the bars speak of."""
    from core.engine.loaded import load
    from core.models import create

    if not name.endswith("224"):
        return load(name)
    return create(name.removesuffix("224"), img_size=SIDE, patch_size=16).requires_grad_(False).eval()


def write_scene(path: Path, kind: dict[str, Any], tiles: int) -> None:
    """A scene with the texture of the bundled Landsat sample, mirrored out to enough tiles."""
    import localtileserver
    import rasterio
    from rasterio.transform import from_origin

    with rasterio.open(Path(localtileserver.__file__).parent / "tiler" / "data" / "landsat.tif") as file:
        sample = file.read((5, 4, 3))[:, :1400, :1400] if file.count >= 5 else file.read((1, 2, 3))
    across = max(1, int(np.ceil(np.sqrt(tiles))))
    down = -(-tiles // across)
    pad = ((0, 0), (0, max(0, down * SIDE - sample.shape[1])), (0, max(0, across * SIDE - sample.shape[2])))
    pixels = np.pad(sample, pad, mode="reflect")[:, : down * SIDE, : across * SIDE]
    noise = np.random.default_rng(0).integers(-3, 4, pixels.shape)
    pixels = (pixels.astype(np.int32) + noise).clip(1, 255)
    options = dict(kind)
    dtype = options.pop("dtype")
    values = (pixels * (37 if dtype == "int16" else 1)).astype(dtype)
    with rasterio.open(
        path, "w", width=values.shape[2], height=values.shape[1], count=3, dtype=dtype, crs="EPSG:32612",
        transform=from_origin(4e5, 4.5e6, 10, 10), **options,
    ) as file:  # fmt: skip
        file.write(values)


class Hand:
    """A process that stays and does one piece of work after another; `begin` lets several work at once."""

    def __init__(self, threads: int | None = None) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._here, there = spawn.Pipe()
        self._process = spawn.Process(target=_obey, args=(there, threads))
        self._process.start()

    def begin(self, work: Callable[..., Any], *args: Any, **options: Any) -> None:
        self._here.send((work, args, options))

    def answer(self) -> Any:
        return self._here.recv()

    def do(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.begin(work, *args, **options)
        return self.answer()

    def leave(self) -> None:
        self._here.send(None)
        self._process.join()


def _obey(orders: Any, threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    while (order := orders.recv()) is not None:
        work, args, options = order
        orders.send(work(*args, **options))


@lru_cache
def kept(name: str) -> Any:
    return model_of(name)


def bare(name: str, tiles: int) -> float:
    """Seconds that the network alone takes for so many tiles, warmed up."""
    import torch

    model = kept(name)
    images, res = torch.rand(BATCH, 3, SIDE, SIDE), torch.ones(BATCH)
    with torch.inference_mode():
        model.encode(images, res)
        start = time.perf_counter()
        for _ in range(tiles // BATCH):
            model.encode(images, res)
    return time.perf_counter() - start


def swept(name: str, source: str, tile_px: int | None = SIDE, models: Sequence[str] = (), **options: Any) -> float:
    """Tiles per second of a whole sweep; the plan and the estimate are left out, as the loading of the network is of the bare run."""
    from core.engine import sweep as engine

    engine.load = kept
    with tempfile.TemporaryDirectory() as place:
        spec = engine.SweepSpec((source,), f"{place}/table", name, tile_px=tile_px, **options)
        started, last = 0.0, None
        for last in engine.sweep_models(spec, models) if models else engine.sweep(spec):
            if last.rate is not None and not started:
                started = time.perf_counter()
        assert last is not None
        return last.embedded / (time.perf_counter() - started)


def peak(name: str, source: str) -> float:
    """Peak memory in MB of a process that has swept a source."""
    swept(name, source, None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def speed(name: str, folder: Path, kinds: Sequence[str], tiles: int, pairs: int) -> dict[str, Any]:
    """Interleave bare and swept runs of every kind of source."""
    cores = os.cpu_count() or 1
    together, apart, hand = Hand(cores), [Hand(1) for _ in range(cores)], Hand()
    share_of = max(tiles // 2 // (BATCH * cores), 1) * BATCH  # a bare run takes half as many tiles: it has neither a beginning nor an end
    rates: dict[str, list[float]] = {"one process": [], "one a core": []}
    shares: dict[str, list[float]] = {kind: [] for kind in kinds}
    for pair in range(pairs + 1):  # the first warms up
        for one in apart:
            one.begin(bare, name, share_of)
        rates["one a core"].append(cores * share_of / max(one.answer() for one in apart))
        rates["one process"].append(cores * share_of / together.do(bare, name, cores * share_of))
        best = max(found[-1] for found in rates.values())
        for kind in kinds:
            rate = hand.do(swept, name, str(folder / f"{kind}.tif"))
            shares[kind].append(rate / best)
            print(f"{name} pair {pair}, {kind}: {rate:.2f} of {best:.2f} tiles/s = {rate / best:.3f}", file=sys.stderr)
    for one in (together, *apart, hand):
        one.leave()
    return {
        "bare_tiles_per_s": {way: statistics.median(found[1:]) for way, found in rates.items()},
        "share_of_bare": {kind: statistics.median(found[1:]) for kind, found in shares.items()}, "bar": BARS.get(name),
    }  # fmt: skip


def more(name: str, source: str, tiles: int) -> dict[str, Any]:
    """What else a sweep can do, in tiles per second, once each."""
    from core.models.registry import default_embedder

    hand, shipped = Hand(), default_embedder()
    hand.do(swept, name, source)
    found = {
        "plain": hand.do(swept, name, source), "resampled from 10 m to 13 m": hand.do(swept, name, source, gsd_m=(13.0,)),
        "with losses": hand.do(swept, name, source, losses=True, most=tiles // 4),
        f"{shipped} at its own tile": hand.do(swept, shipped, source, None),
        "three models apart": 3 / sum(1 / hand.do(swept, model, source, 64) for model in THREE),
        "three models in one pass": hand.do(swept, "", source, 64, THREE),
    }  # fmt: skip
    hand.leave()
    return {"tiles_per_s": found}


def torchgeo_rate(name: str, source: str, workers: int, network: bool) -> float:
    """Tiles per second of torchgeo's GridGeoSampler and DataLoader, with or without the network behind."""
    import torch

    model = kept(name)  # before torchgeo, for our networks mend the import of torchvision that it needs
    loader = _torchgeo(source, workers)
    count, start = 0, time.perf_counter()
    with torch.inference_mode():
        for batch in loader:
            count += len(batch["image"])
            if network:
                model.encode(batch["image"].float() / 255, torch.ones(len(batch["image"])))
    return count / (time.perf_counter() - start)


def _torchgeo(source: str, workers: int) -> Any:
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    dataset = RasterDataset(source)
    return DataLoader(
        dataset, batch_size=BATCH, sampler=GridGeoSampler(dataset, size=SIDE), num_workers=workers, collate_fn=stack_samples,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip


def least_cosine(name: str, source: str) -> float:
    """The least cosine between a vector of the sweep's table and that of the tile that torchgeo delivers for the same ground."""
    import rasterio

    from core.atlas import open_table
    from core.engine import sweep as engine
    from core.engine.embed import embed

    engine.load, model = kept, kept(name)
    pictures = np.concatenate([batch["image"].numpy() for batch in _torchgeo(source, 0)]).astype(np.uint8)
    with rasterio.open(source) as file:
        across, down = file.width // SIDE, file.height // SIDE
    with tempfile.TemporaryDirectory() as place:
        list(engine.sweep(engine.SweepSpec((source,), f"{place}/table", name, tile_px=SIDE)))
        table = open_table(f"{place}/table")
        corners = np.array(table.columns["pixel_bbox"].to_pylist())[:, :2] // SIDE
        theirs = embed(model, pictures, gsd_m=10.0, native_gsd_m=10.0)[(down - 1 - corners[:, 1]) * across + corners[:, 0]]  # from the south up
        ours = table.vectors
    return float(((theirs * ours).sum(axis=1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)).min())


def torchgeo(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Both ways in turns, torchgeo with every number of workers; the median of each."""
    source, cores = str(folder / "int16 deflate.tif"), os.cpu_count() or 1
    taken: dict[str, list[float]] = {}
    hand = Hand()
    for _ in range(rounds):
        for what, network in (("delivery", False), ("end to end", True)):
            ours = hand.do(swept, name, source) if network else hand.do(delivery_rate, source)
            taken.setdefault(f"sweep, {what}", []).append(ours)
            for workers in (0, 1, cores):
                taken.setdefault(f"torchgeo, {what}, {workers} workers", []).append(hand.do(torchgeo_rate, name, source, workers, network))
    cosine = hand.do(least_cosine, name, str(folder / "uint8 striped.tif"))
    hand.leave()
    rates = {key: statistics.median(found) for key, found in taken.items()}
    best = {what: max(rate for key, rate in rates.items() if key.startswith(f"torchgeo, {what}")) for what in ("delivery", "end to end")}
    times = {what: rates[f"sweep, {what}"] / best[what] for what in best}
    return {"tiles_per_s": rates, "times_torchgeo": times, "bars": {"delivery": 1.5, "end to end": 1.0}, "least_cosine": cosine, "bar_cosine": 0.9999}


def delivery_rate(source: str) -> float:
    """Tiles per second that the sweep's reader delivers without a network behind it."""
    from core.engine.sweep_plan import SweepSpec, make_plan
    from core.engine.sweep_read import Reader

    plan = make_plan(SweepSpec((source,), "out", "mae_tiny"), SIDE)
    start = time.perf_counter()
    count = sum(len(batch.images) for batch in Reader(plan, SIDE, BATCH, 0.5).batches(iter(range(-(-plan.count // BATCH)))))
    return count / (time.perf_counter() - start)


def memory(folder: Path) -> dict[str, Any]:
    """Peak memory of a sweep over a small and over a huge sparse raster with data in one corner and one stripe."""
    import rasterio
    from rasterio.transform import from_origin

    peaks: dict[str, Any] = {}
    for side in (5_000, 100_000):
        path = folder / f"{side}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32612", transform=from_origin(4e5, 4.5e6, 1, 1),
            tiled=True, blockxsize=512, blockysize=512, compress="deflate", sparse_ok=True, bigtiff="yes",
        ) as file:  # fmt: skip
            stripe = np.random.default_rng(0).integers(1, 255, (3, 512, min(side, 100_000)), dtype=np.uint8)
            file.write(stripe, window=((512, 1024), (0, stripe.shape[2])))
        hand = Hand()
        peaks[str(side)] = hand.do(peak, "mae_tiny", str(path))
        hand.leave()
    return {"peak_mb": peaks, "more_mb": peaks["100000"] - peaks["5000"], "bar_mb": 300}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_tiny224")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--tiles", type=int, help="of 224 px in a source (default: 768 for the speed, 192 beside torchgeo, 96 with --more)")
    parser.add_argument("--pairs", type=int, default=5)
    for one in ("more", "torchgeo", "memory"):
        parser.add_argument(f"--{one}", action="store_true")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    if args.torchgeo and find_spec("torchgeo") is None:
        sys.exit("torchgeo is not installed: python -m pip install torchgeo, in an environment of its own if you like; nothing else here needs it.")
    load = load_or_leave(args.anyway)
    tiles = args.tiles or (192 if args.torchgeo else 96 if args.more else 768)
    found: dict[str, Any] = {"load": load, "model": args.model, "tiles": tiles}
    kinds = ("int16 deflate", "uint8 striped") if args.torchgeo else ("int16 deflate",) if args.more else args.kinds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if args.memory:
            found |= memory(folder)
        else:
            for kind in kinds:
                write_scene(folder / f"{kind}.tif", KINDS[kind], tiles)
            if args.torchgeo:
                found |= torchgeo(args.model, folder, args.pairs)
            elif args.more:
                found |= more(args.model, str(folder / "int16 deflate.tif"), tiles)
            else:
                found |= speed(args.model, folder, kinds, tiles, args.pairs)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
