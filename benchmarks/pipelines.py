"""The same tiles and the same network through our run, torchgeo, a plain DataLoader and Ray Data.

    python benchmarks/pipelines.py [--tiles 512] [--rounds 3] [--workers 0 2] [--threads 1] [--anyway]

All embed the same raster with `mae_tiny` (112 px, batches of 16, one call for a batch: `core.engine.embed`):

- ours: an embedding run, to a finished GeoParquet table with places and outlines
- torchgeo: RasterDataset, GridGeoSampler and a DataLoader
- plain DataLoader: one file a tile, read with rioxarray, as terratorch's generic data sets do; the files are
  written before, which is not counted
- Ray Data: `map_batches` twice, to read windows and to embed them, with actors on this machine

The last three keep their vectors in memory, which is less work than a table. Each pipeline runs in a process
of its own, which has loaded the network and embedded a batch. Timed is everything from the first tile to the
last vector: wall time, and CPU time of the process and all below it, which is fairer on a busy machine.
Planning, starting Ray and its actors, and opening data sets are left out; with Ray Data, time counts from the
first batch on, when others are under way or a second actor still starts. Networks have --threads threads,
1 by default: on a busy machine torch's threads wait for each other actively, which would count as work.
Libraries that are missing are skipped (torchgeo needs an environment of its own:
`python -m pip install torchgeo==0.8.1`).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _pipelines import ACROSS, Run, ours, plain_loader, ray_data, tiles_of, torchgeo
from _quiet import load_or_leave
from _worker import Worker
from scaling import SIDE, write_raster

OURS = "ours"


def write_chips(scene: str) -> float:
    """Write each tile to a file of its own; returns the seconds that took."""
    import rasterio
    from rasterio.windows import Window

    folder = Path(scene).parent / "chips"
    folder.mkdir()
    began = time.perf_counter()
    with rasterio.open(scene) as file:
        for number in range(tiles_of(scene)):
            window = Window(number % ACROSS * SIDE, number // ACROSS * SIDE, SIDE, SIDE)
            profile = file.profile | {
                "width": SIDE, "height": SIDE, "transform": file.window_transform(window), "tiled": False,
            }  # fmt: skip
            profile = {name: value for name, value in profile.items() if "block" not in name}
            with rasterio.open(folder / f"{number:06d}.tif", "w", **profile) as chip:
                chip.write(file.read(window=window))
    return time.perf_counter() - began


def in_process(way: Callable[[str, int], Run], scene: str, count: int, threads: int) -> Run:
    """Run a pipeline in a new process, whose networks have this number of threads."""
    worker = Worker(threads)
    done = worker.run(way, scene, count)
    worker.close()
    return done


def agreement(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Say how far two sets of float32 vectors agree."""
    differing = np.count_nonzero(ours.view(np.uint8) != theirs.view(np.uint8))
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return f"{differing / ours.nbytes:7.2%} of the bytes differ, least cosine {cosine.min():.8f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=512, help="a multiple of 16 (default: 512)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of DataLoaders")
    parser.add_argument("--threads", type=int, default=1, help="of each network (default: 1)")
    parser.add_argument("--actors", type=int, default=2, help="of Ray Data")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    ways: dict[str, tuple[Callable[[str, int], Run], int]] = {OURS: (ours, 0)}
    if args.threads == 1:
        ways["ours, 2 threads"] = (ours, 2)
    for name, library, way, counts in (
        ("torchgeo", "torchgeo", torchgeo, args.workers),
        ("plain DataLoader", "rioxarray", plain_loader, args.workers),
        ("Ray Data", "ray", ray_data, [args.actors]),
    ):
        if find_spec(library) is None:
            print(f"{name} is skipped: {library} is not installed.", file=sys.stderr)
            continue
        unit = "actors" if way is ray_data else "workers"
        ways |= {f"{name}, {count} {unit}": (way, count) for count in counts}
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        scene = f"{folder}/scene.tif"
        write_raster(Path(scene), args.tiles)
        print(f"chips written in {write_chips(scene):.1f} s", file=sys.stderr)
        for _ in range(args.rounds):
            for name, (way, count) in ways.items():
                done = in_process(way, scene, count, count if way is ours and count else args.threads)
                runs[name].append(done)
                rate = args.tiles / done.wall_s
                print(
                    f"{name:28} {rate:6.1f} tiles/s, {done.cpu_s:.1f} s of CPU", file=sys.stderr, flush=True
                )
    base = runs[OURS]
    for name, found in runs.items():
        wall, cpu = (
            statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(found, base, strict=True))
            for kind in ("wall_s", "cpu_s")
        )
        rate = args.tiles / statistics.median(one.wall_s for one in found)
        print(f"{name:28} {rate:6.1f} tiles/s  {wall:5.2f} x our time  {cpu:5.2f} x our CPU time", end="  ")
        print(agreement(base[0].vectors, found[0].vectors))
    print(f"{args.tiles} tiles, {args.rounds} rounds, load {load:.1f}")


if __name__ == "__main__":
    main()
