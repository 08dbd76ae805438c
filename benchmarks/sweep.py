"""Raster to GeoParquet beside the bare network: how much of the network's own speed a sweep keeps.

    python benchmarks/sweep.py [--model mae_tiny224] [--tiles 768] [--pairs 5] [--kinds "int16 deflate" ...] [--given-back] [--anyway]
    python benchmarks/sweep.py --model mae_base --tiles 64
    python benchmarks/sweep.py --more       with resampling, with losses, and the shipped default; several models in one pass beside one after the other
    python benchmarks/sweep.py --torchgeo   beside torchgeo's GridGeoSampler and DataLoader (pip install torchgeo==0.8.1)
    python benchmarks/sweep.py --memory     peak memory on a sparse raster of 100,000 x 100,000 against 5,000 x 5,000

Bare (`_bare.py`) is the faster of one process with all threads and one process per core with one thread each, each at the fastest of several
batches, tensors already in memory. It is measured right before and right after every sweep, for machines drift; every share is the median of such
pairs. Neither side pays for starting: processes stay, networks are
loaded and warm, and a sweep is timed from its plan to its finished table, so its two ends, where a core waits for the first batch or
for the last, count against the sweep alone. Shares of processors' time are printed beside those of wall-clock time: what a sweep computes besides
the network, however busy the machine is; the two differ by the time that cores stood idle. Sources are written for the run: int16 deflate and zstd
COG, uint8 striped, JPEG COG. Refuses to measure above a load average of 0.3 unless told --anyway. Prints one JSON object last.
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

from _bare import Network, Rate, Yardstick, kept
from _hands import Hand
from _quiet import load_or_leave
from _scenes import KINDS, SIDE, write_scene, write_sparse
from _torchgeo import delivery_rate, least_cosine, torchgeo_rate

THREE = ("mae_tiny", "tinymim_tiny", "scale_contrast_tiny")
BARS = {"mae_base": 0.97, "mae_tiny224": 0.92}
TILES = {"speed": 768, "more": 192, "torchgeo": 192}
BARE_S = 4.0


@dataclass(frozen=True)
class Case:
    """One way to sweep, and the network it is held against."""

    network: Network
    source: str
    options: dict[str, Any] = field(default_factory=dict)


def swept(
    name: str, source: str, tile_px: int | None = SIDE, models: Sequence[str] = (), **options: Any
) -> Rate:
    """Tiles per second of a whole sweep; the plan and the estimate are left out, as the loading of the network is of the bare run."""
    from core.engine.embedding import run as engine
    from core.engine.embedding.spec import EmbeddingSpec

    engine.load = kept
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
    """Every sweep between two runs of its bare network; the first round warms up, finds the best batches and the faster way."""
    yardstick, hand = Yardstick(), Hand()
    found: dict[str, list[tuple[Rate, float, float]]] = {label: [] for label in cases}
    for pair in range(pairs + 1):
        before: dict[Network, Rate] = {}
        for label, case in cases.items():
            network = case.network
            if network not in before:
                before[network] = yardstick.measure(network, BARE_S)
            rate = hand.do(
                swept, network.name, case.source, network.side, losses=network.losses, **case.options
            )
            beside = before[network], yardstick.measure(network, BARE_S)
            before[network] = beside[1]
            bare = Rate(
                statistics.mean(one.wall for one in beside), statistics.mean(one.cpu for one in beside)
            )
            wall, cpu = rate.wall / bare.wall, rate.cpu / bare.cpu
            if pair:
                found[label].append((rate, wall, cpu))
            said = f"{rate.wall:.2f} of {bare.wall:.2f} tiles/s = {wall:.3f}, {cpu:.3f} of processors' time"
            print(f"{network.name} pair {pair}, {label}: {said}", file=sys.stderr)
        yardstick.settle()
    yardstick.leave()
    hand.leave()
    return {
        label: {
            "tiles_per_s": statistics.median(rate.wall for rate, _, _ in rounds), "share_of_bare": statistics.median(wall for _, wall, _ in rounds),
            "pairs": [round(wall, 3) for _, wall, _ in rounds], "share_by_cpu_time": statistics.median(cpu for *_, cpu in rounds),
            "bare": yardstick.said(cases[label].network), "bar": BARS.get(cases[label].network.name) if label in KINDS else None,
        }
        for label, rounds in found.items()
    }  # fmt: skip


def speed(name: str, folder: Path, kinds: Sequence[str], given_back: bool) -> dict[str, Case]:
    """The sweep that the bars speak of: native GSD, stride = tile, no losses, every kind of source apart."""
    return {
        kind: Case(Network(name, SIDE, given_back=given_back), str(folder / f"{kind}.tif")) for kind in kinds
    }


def more(name: str, source: str, tiles: int) -> dict[str, Case]:
    """What else a sweep can do."""
    from core.models.registry import default_embedder

    shipped = default_embedder()
    return {
        "resampled from 10 m to 13 m": Case(Network(name, SIDE), source, {"gsd_m": (13.0,)}),
        "with losses": Case(Network(name, SIDE, losses=True), source, {"most": tiles // 2}),
        f"{shipped} at its own tile": Case(Network(shipped), source),
    }


def one_pass(source: str, pairs: int) -> dict[str, Any]:
    """Three models in one reading pass beside one after the other, windows of 64 px per second through all three."""
    hand = Hand()
    rates: dict[str, list[float]] = {"apart": [], "in one pass": []}
    for _ in range(pairs):
        rates["apart"].append(1 / sum(1 / hand.do(swept, model, source, 64).wall for model in THREE))
        rates["in one pass"].append(hand.do(swept, "", source, 64, THREE).wall / len(THREE))
    hand.leave()
    return {"three models, windows/s": {way: statistics.median(found) for way, found in rates.items()}}


def torchgeo(name: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Both ways in turns, torchgeo with every number of workers; the median of each."""
    source, cores = str(folder / "int16 deflate.tif"), os.cpu_count() or 1
    taken: dict[str, list[float]] = {}
    hand = Hand()
    for _ in range(rounds):
        for what, network in (("delivery", False), ("end to end", True)):
            ours = hand.do(swept, name, source).wall if network else hand.do(delivery_rate, source)
            taken.setdefault(f"sweep, {what}", []).append(ours)
            for workers in (0, 1, cores):
                taken.setdefault(f"torchgeo, {what}, {workers} workers", []).append(
                    hand.do(torchgeo_rate, name, source, workers, network)
                )
    cosine = hand.do(least_cosine, name, str(folder / "uint8 striped.tif"))
    hand.leave()
    rates = {key: statistics.median(found) for key, found in taken.items()}
    best = {
        what: max(rate for key, rate in rates.items() if key.startswith(f"torchgeo, {what}"))
        for what in ("delivery", "end to end")
    }
    times = {what: rates[f"sweep, {what}"] / best[what] for what in best}
    return {
        "tiles_per_s": rates,
        "times_torchgeo": times,
        "bars": {"delivery": 1.5, "end to end": 1.0},
        "least_cosine": cosine,
        "bar_cosine": 0.9999,
    }


def peak(name: str, source: str) -> float:
    """Peak memory in MB of a process that has swept a source."""
    swept(name, source, None)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def memory(folder: Path) -> dict[str, Any]:
    """Peak memory of a sweep over a small and over a huge sparse raster with data in one stripe."""
    peaks: dict[str, float] = {}
    for side in (5_000, 100_000):
        path = folder / f"{side}.tif"
        write_sparse(path, side)
        hand = Hand()
        peaks[str(side)] = hand.do(peak, "mae_tiny", str(path))
        hand.leave()
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
        help="hold it against a bare network that gives freed memory back, as torch leaves it",
    )
    for one in ("more", "torchgeo", "memory"):
        parser.add_argument(f"--{one}", action="store_true")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    if args.torchgeo and find_spec("torchgeo") is None:
        sys.exit(
            "torchgeo is not installed: python -m pip install torchgeo==0.8.1, in an environment of its own; nothing else here needs it."
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
