"""The effect of keeping freed memory in the process (`core/engine/allocator.py`) on networks on one core.

    python benchmarks/freed_memory.py [--models mae_tiny224 mae_base] [--pairs 5] [--anyway]

With and without it, the same network runs on the same noise in separate processes, in turns. Printed are
tiles per second, page faults per tile and the median ratio. The benchmark refuses to start if the load
average is above 0.3, unless --anyway is given.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
from typing import Any

from _bare import Network, bare
from _quiet import load_or_leave
from _scenes import SIDE
from _worker import Worker

SECONDS = 4.0
PATCHES = 1600


def run(name: str, keep: bool) -> tuple[float, float]:
    """Return tiles per second and page faults per tile."""
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
        workers = {keep: Worker(1) for keep in (False, True)}
        rounds = [
            {keep: worker.run(run, name, keep) for keep, worker in workers.items()}
            for _ in range(args.pairs + 1)
        ][1:]
        for worker in workers.values():
            worker.close()
        found[name] = {
            "tiles_per_s": {
                label: statistics.median(one[keep][0] for one in rounds)
                for keep, label in ((False, "given back"), (True, "kept"))
            },
            "faults_per_tile": {
                label: statistics.median(one[keep][1] for one in rounds)
                for keep, label in ((False, "given back"), (True, "kept"))
            },
            "kept_over_given_back": statistics.median(one[True][0] / one[False][0] for one in rounds),
        }
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
