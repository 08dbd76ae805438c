"""One embedding run by one thread, by two threads, by two worker processes, and on Ray with two actors.

    python benchmarks/scaling.py [--count 2] [--tiles 2048] [--rounds 3] [--ray] [--anyway]

Each takes turns on the same raster and the same network (`mae_tiny`, 112 px). The pace counts from the
first to the last batch that reaches the table, so starting and planning are left out. Printed are the median
pace of each, its ratio to one thread, and whether all tables have the same SHA-256, shard by shard.
"""

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _quiet import load_or_leave
from _worker import Worker

MODEL, SIDE = "mae_tiny", 112


def write_raster(path: Path, tiles: int) -> None:
    """Write an 8-bit RGB raster, one row of tiles after another."""
    import rasterio
    from rasterio.transform import from_origin

    across = 16
    height, width = -(-tiles // across) * SIDE, across * SIDE
    pixels = np.random.default_rng(0).integers(1, 255, (3, height, width), np.uint8)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=3, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 10, 10),
    ) as file:  # fmt: skip
        file.write(pixels)


def spec_of(scene: str, out: str) -> Any:
    from core.engine.embedding.spec import EmbeddingSpec

    return EmbeddingSpec((scene,), out, MODEL, tile_px=SIDE, batch=16, shard_tiles=64)


def pace(steps: Iterable[Any]) -> float:
    """Return tiles per second between the first and the last batch of a run."""
    seen = [(step.done, time.perf_counter()) for step in steps if step.done]
    return (seen[-1][0] - seen[0][0]) / (seen[-1][1] - seen[0][1])


def alone(scene: str, out: str) -> float:
    """Embed in this process, with as many threads as torch has here."""
    from core.engine.embedding.run import embed_sources

    return pace(embed_sources(spec_of(scene, out)))


def lead(scene: str, out: str, workers: int) -> float:
    """Lead worker processes."""
    from core.engine.embedding import run, sharing

    sharing.POLL_S = 0.05
    return pace(run.lead(spec_of(scene, out), [MODEL], workers))


def embed_share(scene: str, out: str, share: str) -> None:
    """Embed the share of one worker process."""
    from core.engine.embedding import run, sharing
    from core.engine.embedding.share import share_from_text

    sharing.POLL_S = 0.05
    for _ in run.embed_share(spec_of(scene, out), [MODEL], share_from_text(share)):
        pass


def on_ray(scene: str, out: str, actors: int) -> float:
    """Embed with actors of Ray on this machine."""
    from core.engine.embedding import run
    from core.engine.embedding.on_ray import Cluster

    return pace(run.embed_on_ray(spec_of(scene, out), [MODEL], Cluster(actors=actors)))


def divided(scene: str, out: str, count: int) -> float:
    """Embed with worker processes of one thread each, and a leader."""
    leader, workers = Worker(1), [Worker(1) for _ in range(count)]
    leader.submit(lead, scene, out, count)
    for number, worker in enumerate(workers):
        worker.submit(embed_share, scene, out, f"{number}/{count}")
    for worker in workers:
        worker.result()
    found = leader.result()
    for process in (leader, *workers):
        process.close()
    return found


def in_process(work: Any, threads: int, *args: Any) -> float:
    """Run in a new process with this number of threads."""
    worker = Worker(threads)
    found = worker.run(work, *args)
    worker.close()
    return found


def digest(out: str) -> str:
    """Return one hash of all shards of a table."""
    return hashlib.sha256(b"".join(f.read_bytes() for f in sorted(Path(out).glob("*.parquet")))).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2, help="threads, workers and actors (default: 2)")
    parser.add_argument("--tiles", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="also on Ray, which must be installed")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    n = args.count
    ways: dict[str, Any] = {
        "one thread": lambda scene, out: in_process(alone, 1, scene, out),
        f"{n} threads": lambda scene, out: in_process(alone, n, scene, out),
        f"{n} workers": lambda scene, out: divided(scene, out, n),
    }
    if args.ray:
        ways[f"Ray, {n} actors"] = lambda scene, out: in_process(on_ray, 1, scene, out, n)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    digests: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        scene = f"{folder}/scene.tif"
        write_raster(Path(scene), args.tiles)
        for turn in range(args.rounds):
            for number, (name, way) in enumerate(ways.items()):
                out = f"{folder}/table-{turn}-{number}"
                rates[name].append(way(scene, out))
                digests.add(digest(out))
                print(f"{name:15} {rates[name][-1]:7.1f} tiles/s", file=sys.stderr, flush=True)
    first = next(iter(rates.values()))
    for name, found in rates.items():
        ratio = statistics.median(a / b for a, b in zip(found, first, strict=True))
        print(f"{name:15} {statistics.median(found):7.1f} tiles/s   {ratio:4.2f} times one thread")
    print(f"{len(digests)} different tables in {args.rounds * len(ways)} runs   load {load:.1f}")


if __name__ == "__main__":
    main()
