"""`embed --plan`: what an embedding run takes, printed before anything is written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..units import duration

if TYPE_CHECKING:
    from ..engine.embedding.estimate import Estimate
    from ..engine.embedding.spec import EmbeddingSpec


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `embed --plan`."""
    add = parser.add_argument_group("planning").add_argument
    add(
        "--plan",
        action="store_true",
        help="print tiles, bytes, time and cost of the run, from speeds measured here, and write nothing",
    )
    add("--workers", type=int, default=1, metavar="N", help="plan for N workers (default: 1)")
    add(
        "--tiles-per-s",
        type=float,
        metavar="R",
        help="speed of one worker's networks, for instance measured on a GPU (default: measured here)",
    )
    add("--price-per-hour", type=float, metavar="P", help="price of one worker's hour, in any currency")
    add("--area-km2", type=float, metavar="A", help="plan for an area at --gsd-m instead of for sources")


def print_plan(args: argparse.Namespace, spec: EmbeddingSpec, models: Sequence[str]) -> int:
    """Estimate a run and print it as a table, or as JSON."""
    from ..engine.embedding.estimate import estimate

    found = estimate(
        spec, models, workers=args.workers, tiles_per_s=args.tiles_per_s, price_per_hour=args.price_per_hour,
        area_km2=args.area_km2, untrusted=args.untrusted,
    )  # fmt: skip
    if args.json:
        print(json.dumps(asdict(found)))
    else:
        for name, value in plan_lines(found, stated=args.tiles_per_s is not None).items():
            print(f"{name:<14} {value}")
    return 0


def plan_lines(found: Estimate, *, stated: bool) -> dict[str, str]:
    """Return an estimate as lines of text, by name; `stated`: the speed of the networks was not measured."""
    rates, how = found.rates, "as stated" if stated else "measured here"
    ground = f"{found.area_km2:,.0f} km²" if found.area_km2 else "an unknown area"
    lines = {
        "tiles": f"{found.tiles:,} of {found.tile_px} px over {ground}, in batches of {found.batch}",
        "to read": size(found.read_bytes),
        "to write": size(found.written_bytes),
        "networks": f"{rates.network:,.1f} tiles/s by one worker, {how}",
    }
    if rates.read:
        lines["reading"] = f"{rates.read:,.1f} tiles/s by one worker"
    lines["storing"] = f"{rates.stored:,.1f} tiles/s by the leader"
    plural = "s" * (found.workers != 1)
    lines["wall time"] = f"{duration(found.wall_s)} with {found.workers:,} worker{plural}"
    lines["limited by"] = "the networks" if found.limit == "network" else found.limit
    lines["worker-hours"] = f"{found.worker_hours:,.1f}"
    if found.cost is not None:
        lines["cost"] = f"{found.cost:,.2f}"
    if found.tables > 1:
        lines["tables"] = f"at least {found.tables}: one run holds at most 20,000,000 tiles"
    return lines


def size(count: float) -> str:
    """Write a number of bytes with three digits, such as 1.23 TB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} PB"
