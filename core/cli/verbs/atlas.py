"""`python -m core atlas`: build the world table, the embeddings that the Globe page opens with."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

WORLD = Path(__file__).resolve().parents[2] / "atlas" / "world"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "atlas", help="build the world table that the Globe page opens with; resumes an unfinished one"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=WORLD,
        metavar="DIR",
        help="folder of the table (default: the one shipped with the program)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="a name from `models` (default: the default embedding model)"
    )
    parser.add_argument("--tile-px", type=int, metavar="P", help="side of a tile (default: the model's own)")
    parser.add_argument("--stride-px", type=int, metavar="S", help="step between places (default: 22)")
    parser.add_argument(
        "--most", type=int, metavar="N", help="embed at most N places, spread over the globe, as a trial"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object about the finished table")


def run(args: argparse.Namespace) -> int:
    """Build it, with progress on standard error."""
    from ...engine.embedding.world_table import build_world_table
    from ...models.registry import default_embedder

    last = None
    for last in build_world_table(
        args.out,
        args.model or default_embedder(),
        tile_px=args.tile_px,
        stride_px=args.stride_px,
        most=args.most,
    ):
        rate = f", {last.rate:.1f} places/s" if last.rate else ""
        print(f"\r{last.done:,} of {last.total:,} places{rate}    ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if args.json and last is not None:
        size = sum(file.stat().st_size for file in args.out.iterdir() if file.is_file())
        print(json.dumps({"table": args.out.name, "bytes": size, **asdict(last)}))
    return 0
