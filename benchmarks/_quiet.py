"""Report how busy the machine is, and refuse to measure on a busy one.

Every benchmark imports this module first: it also adds the repository to the import path.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

MOST_LOAD = 0.3


def load_or_leave(anyway: bool) -> float:
    """Print and return the load average; exit if it is above 0.3, unless `anyway`."""
    load = os.getloadavg()[0]
    print(f"load average {load:.2f}, {os.cpu_count()} cores", file=sys.stderr)
    if load > MOST_LOAD and not anyway:
        sys.exit(
            f"The machine is busy (load average {load:.2f}, limit {MOST_LOAD}), so nothing was measured: "
            "wait, or add --anyway."
        )
    return load
