"""Compare the speed of embedding runs, raster to GeoParquet, with that of the bare network.

    python benchmarks/embedding.py [--model mae_tiny224] [--tiles 768] [--pairs 5] [--anyway]
    python benchmarks/embedding.py --model mae_base --tiles 64
    python benchmarks/embedding.py --more       resampling, losses, several models in one pass
    python benchmarks/embedding.py --torchgeo   compare with torchgeo's GridGeoSampler and DataLoader
    python benchmarks/embedding.py --memory     peak memory for sparse rasters of 100,000 and 5,000 px a side

The bare network (`_bare.py`) runs in the faster of two set-ups, one process with all threads or one process
per core with one thread each, at the fastest of several batch sizes, with its tensors in memory. It is
measured right before and after every embedding run, because the speed of machines drifts; each share is the
median of such pairs. Start-up is excluded on both sides: processes persist, and networks are loaded and warm.
A run is timed from its plan to its finished table, so the time that cores wait for the first or the last
batch counts against the run only. Shares of CPU time are printed beside those of wall-clock time: they
measure what a run computes besides the network, however busy the machine is. Sources are written for the
run: int16 deflate and zstd COG, uint8 striped, JPEG COG. The benchmark refuses to start if the load average
is above 0.3, unless --anyway is given. The last line printed is a JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from _bare import Network, Rate, Reference, load_once
from _quiet import load_or_leave
from _scenes import KINDS, SIDE, write_scene, write_sparse
from _torchgeo import delivery_rate, least_cosine, torchgeo_rate
from _worker import Worker

THREE = ("mae_tiny", "tinymim_tiny", "scale_contrast_tiny")
BARS = {"mae_base": 0.97, "mae_tiny224": 0.92}
TILES = {"speed": 768, "more": 192, "torchgeo": 192}
BARE_S = 4.0


@dataclass(frozen=True)
class Case:
    """An embedding run, and the network that it is compared with."""

    network: Network
    source: str
    options: dict[str, Any] = field(default_factory=dict)


def embedded(
    name: str, source: str, tile_px: int | None = SIDE, models: Sequence[str] = (), **options: Any
) -> Rate:
    """Measure an embedding run in tiles per second, without its plan and the loading of the network."""
    from core.engine.embedding import prepare
    from core.engine.embedding import run as engine
    from core.engine.embedding.spec import EmbeddingSpec

    prepare.load = load_once
    with tempfile.TemporaryDirectory() as place:
        spec = EmbeddingSpec((source,), f"{place}/table", name, tile_px=tile_px, **options)
        started, cpu, last = 0.0, 0.0, None
        for last in engine.embed_with_models(spec, models) if models else engine.embed_sources(spec):
            if last.rate is not None and not started:
                started, cpu = time.perf_counter(), time.process_time()
        assert last is not None
        return Rate(
            last.embedded / (time.perf_counter() - started), last.embedded / (time.process_time() - cpu)
        )


def shares(cases: dict[str, Case], pairs: int) -> dict[str, Any]:
    """Measure each embedding run between two runs of its bare network; the first round is a warm-up."""
    reference, worker = Reference(), Worker()
    measured: dict[str, list[tuple[Rate, float, float]]] = {label: [] for label in cases}
    for pair in range(pairs + 1):
        before: dict[Network, Rate] = {}
        for label, case in cases.items():
            network = case.network
            if network not in before:
                before[network] = reference.measure(network, BARE_S)
            rate = worker.run(
                embedded, network.name, case.source, network.side, losses=network.losses, **case.options
            )
            beside = before[network], reference.measure(network, BARE_S)
            before[network] = beside[1]
            bare = Rate(
                statistics.mean(one.wall for one in beside), statistics.mean(one.cpu for one in beside)
            )
            wall, cpu = rate.wall / bare.wall, rate.cpu / bare.cpu
            if pair:
                measured[label].append((rate, wall, cpu))
            rates = f"{rate.wall:.2f} of {bare.wall:.2f} tiles/s = {wall:.3f}, {cpu:.3f} of CPU time"
            print(f"{network.name} pair {pair}, {label}: {rates}", file=sys.stderr)
        reference.choose_setups()
    reference.close()
    worker.close()
    return {
        label: {
            "tiles_per_s": statistics.median(rate.wall for rate, _, _ in rounds),
            "share_of_bare": statistics.median(wall for _, wall, _ in rounds),
            "pairs": [round(wall, 3) for _, wall, _ in rounds],
            "share_by_cpu_time": statistics.median(cpu for *_, cpu in rounds),
            "bare": reference.summary(cases[label].network),
            "bar": BARS.get(cases[label].network.name) if label in KINDS else None,
        }
        for label, rounds in measured.items()
    }


def speed(name: str, folder: Path, kinds: Sequence[str], given_back: bool) -> dict[str, Case]:
    """Return the runs that the bars refer to: native GSD, stride = tile, one per kind of source."""
    return {
        kind: Case(Network(name, SIDE, given_back=given_back), str(folder / f"{kind}.tif")) for kind in kinds
    }


def more(name: str, source: str, tiles: int) -> dict[str, Case]:
    """Return runs with further features."""
    from core.models.registry import default_embedder

    shipped = default_embedder()
    return {
        "resampled from 10 m to 13 m": Case(Network(name, SIDE), source, {"gsd_m": (13.0,)}),
        "with losses": Case(Network(name, SIDE, losses=True), source, {"most": tiles // 2}),
        f"{shipped} at its own tile": Case(Network(shipped), source),
    }


def one_pass(source: str, pairs: int) -> dict[str, Any]:
    """Compare three models in one pass with one after the other, in windows of 64 px per second."""
    worker = Worker()
    rates: dict[str, list[float]] = {"one after the other": [], "in one pass": []}
    for _ in range(pairs):
        rates["one after the other"].append(
            1 / sum(1 / worker.run(embedded, model, source, 64).wall for model in THREE)
        )
        rates["in one pass"].append(worker.run(embedded, "", source, 64, THREE).wall / len(THREE))
    worker.close()
    return {"three models, windows/s": {way: statistics.median(values) for way, values in rates.items()}}


def torchgeo(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Measure both programs in turns, torchgeo with several numbers of workers; return medians."""
    source, cores = str(folder / "int16 deflate.tif"), os.cpu_count() or 1
    taken: dict[str, list[float]] = {}
    worker = Worker()
    for _ in range(rounds):
        for what, network in (("delivery", False), ("end to end", True)):
            ours = worker.run(embedded, name, source).wall if network else worker.run(delivery_rate, source)
            taken.setdefault(f"ours, {what}", []).append(ours)
            for workers in (0, 1, cores):
                taken.setdefault(f"torchgeo, {what}, {workers} workers", []).append(
                    worker.run(torchgeo_rate, name, source, workers, network)
                )
    cosine = worker.run(least_cosine, name, str(folder / "uint8 striped.tif"))
    worker.close()
    rates = {key: statistics.median(values) for key, values in taken.items()}
    best = {
        what: max(rate for key, rate in rates.items() if key.startswith(f"torchgeo, {what}"))
        for what in ("delivery", "end to end")
    }
    times = {what: rates[f"ours, {what}"] / best[what] for what in best}
    return {
        "tiles_per_s": rates,
        "times_torchgeo": times,
        "bars": {"delivery": 1.5, "end to end": 1.0},
        "least_cosine": cosine,
        "bar_cosine": 0.9999,
    }


def peak(name: str, source: str) -> float:
    """Return the peak memory in MB of a process that embeds a source."""
    embedded(name, source, None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def memory(folder: Path) -> dict[str, Any]:
    """Compare the peak memory for a small and a huge sparse raster with data in one stripe."""
    peaks: dict[str, float] = {}
    for side in (5_000, 100_000):
        path = folder / f"{side}.tif"
        write_sparse(path, side)
        worker = Worker()
        peaks[str(side)] = worker.run(peak, "mae_tiny", str(path))
        worker.close()
    return {"peak_mb": peaks, "more_mb": peaks["100000"] - peaks["5000"], "bar_mb": 300}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="mae_tiny224")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS))
    parser.add_argument("--tiles", type=int, help=f"of {SIDE} px in a source (default: {TILES})")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--given-back",
        action="store_true",
        help="compare with a bare network that returns freed memory to the system, as torch does by default",
    )
    for one in ("more", "torchgeo", "memory"):
        parser.add_argument(f"--{one}", action="store_true")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    if args.torchgeo and find_spec("torchgeo") is None:
        sys.exit(
            "torchgeo is not installed: python -m pip install torchgeo==0.8.1, in a separate environment, "
            "because nothing else here needs it."
        )
    load = load_or_leave(args.anyway)
    tiles = args.tiles or TILES["torchgeo" if args.torchgeo else "more" if args.more else "speed"]
    found: dict[str, Any] = {"load": load} | (
        {"model": "mae_tiny"} if args.memory else {"model": args.model, "tiles": tiles}
    )
    kinds = (
        ("int16 deflate", "uint8 striped")
        if args.torchgeo
        else ("int16 deflate",)
        if args.more
        else args.kinds
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for kind in () if args.memory else kinds:
            write_scene(folder / f"{kind}.tif", KINDS[kind], tiles)
        source = str(folder / "int16 deflate.tif")
        if args.memory:
            found |= memory(folder)
        elif args.torchgeo:
            found |= torchgeo(args.model, folder, args.pairs)
        elif args.more:
            found |= shares(more(args.model, source, tiles), args.pairs) | one_pass(
                source, max(1, args.pairs // 2)
            )
        else:
            found |= shares(speed(args.model, folder, kinds, args.given_back), args.pairs)
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
