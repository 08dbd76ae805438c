"""Benchmarks say how busy the machine is, and refuse to measure one that is not quiet.

Every benchmark imports this before anything of the program, which it lets Python find from whichever folder it is run.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MOST_LOAD = 0.3


def load_or_leave(anyway: bool) -> float:
    """Print the load average and give it; leave with a sentence above 0.3, unless told to measure anyway."""
    load = os.getloadavg()[0]
    print(f"load average {load:.2f}, {os.cpu_count()} cores", file=sys.stderr)
    if load > MOST_LOAD and not anyway:
        sys.exit(
            f"The machine is busy (load average {load:.2f} above {MOST_LOAD}) and nothing was measured: wait, or add --anyway."
        )
    return load
