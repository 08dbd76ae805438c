"""What it brings that the engine lets the process keep freed memory (`core/engine/allocator.py`): networks on one core, with and without it.

    python benchmarks/freed_memory.py [--models mae_tiny224 mae_base] [--pairs 5] [--anyway]

Both ways run the same network on the same noise in a process of their own, in turns; printed are tiles per second, page faults a tile and the
median ratio. Refuses to measure above a load average of 0.3 unless told --anyway.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from typing import Any

from _bare import Network, bare
from _hands import Hand
from _quiet import load_or_leave
from _scenes import SIDE

SECONDS = 4.0
PATCHES = 1600


def run(name: str, keep: bool) -> tuple[float, float]:
    """Tiles per second and page faults a tile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    rate = bare(Network(name, SIDE, given_back=not keep), PATCHES, SECONDS)
    return rate.wall, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (rate.wall * SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=("mae_tiny224", "mae_base"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    found: dict[str, Any] = {"load": load_or_leave(args.anyway)}
    for name in args.models:
        ways = {keep: Hand(1) for keep in (False, True)}
        rounds = [
            {keep: hand.do(run, name, keep) for keep, hand in ways.items()} for _ in range(args.pairs + 1)
        ][1:]
        for hand in ways.values():
            hand.leave()
        found[name] = {
            "tiles_per_s": {
                said: statistics.median(one[keep][0] for one in rounds)
                for keep, said in ((False, "given back"), (True, "kept"))
            },
            "faults_a_tile": {
                said: statistics.median(one[keep][1] for one in rounds)
                for keep, said in ((False, "given back"), (True, "kept"))
            },
            "kept_over_given_back": statistics.median(one[True][0] / one[False][0] for one in rounds),
        }
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
