"""Simulate an embedding run of a million tiles through four workers, with a network that only waits.

    python benchmarks/workers.py [--tiles 1000000] [--workers 4] [--tile-ms 1] [--anyway]

The network of every worker takes 1 ms a tile and computes nothing, so that all other time is overhead:
reading, batches on disk, and what workers and leader do to divide the run. Printed are the share of the time
of each worker that its network does not take, the CPU time of each worker beside the time of its network,
that of its main thread alone, which only hands out batches, checks that the run is still divided as before
and reports progress (`scheduling`), the time of the leader after the last worker, and the memory of every
process at a tenth and at the end of its work. On fewer cores than workers, and on a busy machine, these wait
for cores, and the overhead includes that; CPU time does not. Starting up and planning are left out. The last
line printed is a JSON object.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _quiet import load_or_leave
from _worker import Worker

SIDE = 16
MODEL = "mae_tiny224"
DIMENSIONS = 192


def write_raster(path: Path, tiles: int) -> int:
    """Write one 8-bit band of tiles with a constant value each; return how many there are."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    across = math.isqrt(tiles)
    down = tiles // across
    with rasterio.open(
        path, "w", driver="GTiff", width=across * SIDE, height=down * SIDE, count=1, dtype="uint8",
        crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1, bigtiff="if_safer",
    ) as file:  # fmt: skip
        row = np.repeat(np.arange(across, dtype=np.uint8) % 200 + 20, SIDE)[None].repeat(512, axis=0)
        for top in range(0, down * SIDE, 512):
            height = min(512, down * SIDE - top)
            file.write(row[None, :height], window=Window(0, top, across * SIDE, height))
    return across * down


def simulate(tile_ms: float) -> list[float]:
    """Replace the network of this process by one that waits; return the list of its waiting times."""
    import torch
    from _bare import load_once

    from core.engine.embedding import prepare

    waited: list[float] = []
    model = load_once(MODEL)

    def wait(images: Any, *_: Any) -> Any:
        start = time.perf_counter()
        time.sleep(len(images) * tile_ms / 1000)
        waited.append(time.perf_counter() - start)
        return torch.ones(len(images), 2, DIMENSIONS)

    object.__setattr__(model, "_encode", wait)
    prepare.load = lambda _: model
    return waited


def spec_of(folder: str) -> Any:
    from core.engine.embedding.spec import EmbeddingSpec

    return EmbeddingSpec(
        (f"{folder}/scene.tif",), f"{folder}/table", MODEL, tile_px=SIDE, batch=64, data_type="int8"
    )


def memory_mb() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


def embed_share(folder: str, share: str, tile_ms: float) -> dict[str, float]:
    """Embed a share; return tiles, seconds, overhead and memory."""
    from core.engine.embedding import run
    from core.engine.embedding.share import share_from_text

    waited = simulate(tile_ms)
    spec, early, first, cpu, main, last = spec_of(folder), 0.0, 0.0, 0.0, 0.0, None
    for last in run.embed_share(spec, [MODEL], share_from_text(share)):
        if last.total and not first:
            first, cpu, main = time.perf_counter(), time.process_time(), time.thread_time()
        if last.done > last.total / 10 and not early:
            early = memory_mb()
    assert last is not None
    seconds = time.perf_counter() - (first or time.perf_counter())
    return {
        "tiles": last.total, "seconds": seconds, "overhead": 1 - sum(waited) / seconds if waited else 0.0,
        "cpu_overhead": (time.process_time() - cpu) / sum(waited) if waited else 0.0,
        "scheduling": (time.thread_time() - main) / sum(waited) if waited else 0.0,
        "early_mb": early, "end_mb": memory_mb(), "ended": time.time(),
    }  # fmt: skip


def lead(folder: str, workers: int, tile_ms: float) -> dict[str, float]:
    """Lead the run; return its memory and when it ended."""
    from core.engine.embedding import run

    simulate(tile_ms)
    early, last, cpu = 0.0, None, time.process_time()
    for last in run.lead(spec_of(folder), [MODEL], workers):
        if last.done > last.total / 10 and not early:
            early = memory_mb()
    assert last is not None and last.finished
    return {
        "tiles": last.embedded, "cpu_s": time.process_time() - cpu, "early_mb": early, "end_mb": memory_mb(),
        "ended": time.time(),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--tile-ms", type=float, default=1.0)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    with tempfile.TemporaryDirectory() as folder:
        tiles = write_raster(Path(folder) / "scene.tif", args.tiles)
        print(f"{tiles:,} tiles written", file=sys.stderr)
        leader, workers = Worker(1), [Worker(1) for _ in range(args.workers)]
        leader.submit(lead, folder, args.workers, args.tile_ms)
        for number, worker in enumerate(workers):
            worker.submit(embed_share, folder, f"{number}/{args.workers}", args.tile_ms)
        shares = [worker.result() for worker in workers]
        led = leader.result()
        for process in (leader, *workers):
            process.close()
    assert led["tiles"] == tiles == sum(share["tiles"] for share in shares)
    found = {
        "load": load,
        "tiles": tiles,
        "overhead": [round(share["overhead"], 4) for share in shares],
        "cpu_overhead": [round(share["cpu_overhead"], 4) for share in shares],
        "scheduling": [round(share["scheduling"], 4) for share in shares],
        "bar_scheduling": 0.02,
        "slowest_s": round(max(share["seconds"] for share in shares), 1),
        "network_alone_s": tiles * args.tile_ms / 1000 / args.workers,
        "leader_after_last_worker_s": round(led["ended"] - max(share["ended"] for share in shares), 1),
        "leader_cpu_s": round(led["cpu_s"], 1),
        "memory_mb": {
            "workers": [[round(share["early_mb"]), round(share["end_mb"])] for share in shares],
            "leader": [round(led["early_mb"]), round(led["end_mb"])],
        },
    }
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
