"""Raster to GeoParquet beside the bare network: how much of the network's own speed a sweep keeps.

    python benchmarks/sweep.py [--models mae_tiny224 mae_base] [--tiles 192] [--pairs 5] [--anyway] [--memory]

Bare is the fastest of one process with all threads and one process per core with one thread each, tensors already in memory. Every
figure is the median of interleaved pairs. Sources are written for the run: int16 deflate and zstd COG, uint8 striped, JPEG COG. Where torchgeo is
installed its GridGeoSampler and DataLoader are measured in the same run. Refuses to measure above a load average of 0.3 unless told --anyway.
`--memory` measures the peak memory on a sparse raster of 100,000 x 100,000 against 5,000 x 5,000 instead. Prints one JSON object last.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _quiet import load_or_leave

SIDE = 224
BARS = {"mae_base": 0.97, "mae_tiny224": 0.92}
KINDS: dict[str, dict[str, Any]] = {
    "int16 deflate": {"dtype": "int16", "driver": "COG", "compress": "deflate", "blocksize": 512},
    "int16 zstd": {"dtype": "int16", "driver": "COG", "compress": "zstd", "blocksize": 512},
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


def _bare(name: str, threads: int, tiles: int, ready: Any, answer: Any) -> None:
    import torch

    torch.set_num_threads(threads)
    model = model_of(name)
    images = torch.rand(16, 3, SIDE, SIDE)
    res = torch.ones(16)
    with torch.inference_mode():
        for _ in range(2):
            model.encode(images, res)
        ready.wait()
        start = time.perf_counter()
        for _ in range(-(-tiles // 16)):
            model.encode(images, res)
    answer.put((-(-tiles // 16) * 16, time.perf_counter() - start))


def bare_rate(name: str, processes: int, threads: int, tiles: int) -> float:
    """Tiles per second of the network alone in so many processes."""
    spawn = multiprocessing.get_context("spawn")
    ready, answer = spawn.Barrier(processes), spawn.Queue()
    workers = [spawn.Process(target=_bare, args=(name, threads, tiles // processes, ready, answer)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found = [answer.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(count for count, _ in found) / max(seconds for _, seconds in found)


def _swept(name: str, source: str, out: str, options: dict[str, Any], answer: Any) -> None:
    from core.engine import sweep as engine

    model = model_of(name)
    engine.load = lambda _name: model
    spec = engine.SweepSpec((source,), out, name, tile_px=SIDE, **options)
    started = 0.0
    last = None
    for last in engine.sweep(spec):
        if last.rate is not None and not started:
            started = time.perf_counter()  # the plan and the estimate are behind, as the loading of the network is in the bare run
    answer.put((last.embedded if last else 0, time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def swept(name: str, source: Path, **options: Any) -> tuple[float, int]:
    """Tiles per second of a whole sweep in a process of its own, and its peak memory in bytes."""
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    out = tempfile.mkdtemp(prefix="sweep-")
    worker = spawn.Process(target=_swept, args=(name, str(source), str(Path(out) / "table"), options, answer))
    worker.start()
    count, seconds, peak = answer.get()
    worker.join()
    shutil.rmtree(out, ignore_errors=True)
    return count / seconds, peak


def torchgeo_rates(name: str, source: Path, workers: int) -> dict[str, float] | None:
    """Tiles per second of torchgeo's GridGeoSampler and DataLoader, alone and with the network behind; None where it is not installed."""
    try:
        import torch
        from torch.utils.data import DataLoader
        from torchgeo.datasets import RasterDataset, stack_samples
        from torchgeo.samplers import GridGeoSampler
    except ImportError:
        return None
    dataset = type("Scene", (RasterDataset,), {"filename_glob": source.name, "is_image": True})(str(source.parent))
    model = model_of(name)
    rates: dict[str, float] = {}
    for what in ("delivery", "end_to_end"):
        loader = DataLoader(
            dataset, batch_size=16, sampler=GridGeoSampler(dataset, size=SIDE, stride=SIDE), num_workers=workers, collate_fn=stack_samples
        )
        start, count = time.perf_counter(), 0
        with torch.inference_mode():
            for batch in loader:
                count += len(batch["image"])
                if what == "end_to_end":
                    model.encode(batch["image"].float() / 255, torch.ones(len(batch["image"])))
        rates[what] = count / (time.perf_counter() - start)
    return rates


def delivery_rate(source: Path) -> float:
    """Tiles per second that the sweep's reader delivers without a network behind it."""
    from core.engine.sweep_plan import SweepSpec, make_plan
    from core.engine.sweep_read import Reader

    plan = make_plan(SweepSpec((str(source),), "out", "mae_tiny"), SIDE)
    start = time.perf_counter()
    count = sum(len(batch.images) for batch in Reader(plan, SIDE, 16, 0.5).batches(iter(range(-(-plan.count // 16)))))
    return count / (time.perf_counter() - start)


def measure(name: str, folder: Path, tiles: int, pairs: int) -> dict[str, Any]:
    """Interleave bare and swept runs of every kind of source, and what else a sweep can do once each."""
    cores = os.cpu_count() or 1
    found: dict[str, Any] = {"bare_two_ways": {}}
    bare: list[float] = []
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for pair in range(pairs):
        for kind in KINDS:
            ways = {"one process": bare_rate(name, 1, cores, tiles), "one a core": bare_rate(name, cores, 1, tiles)}
            best = max(ways.values())
            bare.append(best)
            rate, _ = swept(name, folder / f"{kind}.tif")
            shares[kind].append(rate / best)
            found["bare_two_ways"] = ways
            print(f"{name} pair {pair + 1}, {kind}: {rate:.2f} of {best:.2f} tiles/s = {rate / best:.3f}", file=sys.stderr)
    found["bare_tiles_per_s"] = statistics.median(bare)
    found["share_of_bare"] = {kind: statistics.median(values) for kind, values in shares.items()}
    found["bar"] = BARS.get(name)
    first = folder / "int16 deflate.tif"
    found["tiles_per_s_resampled"] = swept(name, first, gsd_m=(13.0,))[0]
    found["tiles_per_s_with_losses"] = swept(name, first, losses=True)[0]
    found["delivery_tiles_per_s"] = delivery_rate(first)
    others = [torchgeo_rates(name, first, workers) for workers in (0, 1, cores)]
    found["torchgeo"] = {key: max(o[key] for o in others if o) for key in ("delivery", "end_to_end")} if all(others) else "not installed"
    return found


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
        peaks[str(side)] = swept("mae_tiny", path)[1] / 1e6
    return {"peak_mb": peaks, "more_mb": peaks["100000"] - peaks["5000"], "bar_mb": 300}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mae_tiny224", "mae_base"])
    parser.add_argument("--tiles", type=int, default=192)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    found: dict[str, Any] = {"load": load, "tiles": args.tiles}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if args.memory:
            found |= memory(folder)
        else:
            for kind, options in KINDS.items():
                write_scene(folder / f"{kind}.tif", options, args.tiles)
            found |= {name: measure(name, folder, args.tiles, args.pairs) for name in args.models}
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
