"""Train on a folder of 50,000 pictures and watch the memory: they are streamed from disk, not held.

    python benchmarks/train_folder.py [--pictures 50000] [--steps 800] [--anyway]

Two of the generated JPEGs cannot be read, one without a header and one cut off behind it. Exits with 1 if
memory still grows by more than MOST_GROWTH after the first fifth of the steps, or if a file is not reported.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from _quiet import load_or_leave

SIDE_PX, A_FOLDER, KINDS = 96, 1000, 500
MOST_GROWTH = 64 << 20
NO_HEADER, CUT_OFF = "00/000007.jpg", "00/000011.jpg"


def generate(folder: Path, count: int) -> int:
    """Write JPEGs of coloured noise in folders of 1,000, two of them broken; return the bytes on disk."""
    import cv2

    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (KINDS, SIDE_PX // 8, SIDE_PX // 8, 3), np.uint8)
    kinds = [cv2.imencode(".jpg", cv2.resize(one, (SIDE_PX, SIDE_PX)))[1].tobytes() for one in noise]
    written = 0
    for number in range(count):
        path = folder / f"{number // A_FOLDER:02d}" / f"{number:06d}.jpg"
        path.parent.mkdir(exist_ok=True)
        written += path.write_bytes(kinds[number % KINDS] + number.to_bytes(4, "big"))
    (folder / NO_HEADER).write_bytes(b"no picture")
    (folder / CUT_OFF).write_bytes(kinds[0][:700])
    return written


def resident() -> int:
    """Bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    load = load_or_leave(args.anyway)
    from core.engine.training.runs import read_spec
    from core.engine.training.train import train
    from core.geo.imagery import FolderPictures, folder_imagery
    from core.geo.tile import GeoError

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pictures"
        folder.mkdir()
        on_disk = generate(folder, args.pictures)
        began = time.monotonic()
        imagery = folder_imagery(folder, 1.0)
        listed_s = time.monotonic() - began
        spec = replace(read_spec(Path("smoke")), steps=args.steps, batch=64, preview_every=args.steps)
        sizes: list[int] = []
        began = time.monotonic()
        for _ in train(spec, Path(temporary) / "run", (imagery,)):
            sizes.append(resident())
        trained_s = time.monotonic() - began
        pictures = imagery.pictures
        assert isinstance(pictures, FolderPictures)
        try:
            pictures[pictures.names.index(CUT_OFF)]  # a random draw may have missed it
        except GeoError as problem:
            print(problem, file=sys.stderr)
    settled = max(sizes[: max(1, len(sizes) // 5)])
    growth = max(0, max(sizes) - settled)
    found = {
        "load": load,
        "pictures": len(pictures),
        "on_disk_mb": round(on_disk / 2**20),
        "decoded_mb": round(args.pictures * SIDE_PX**2 * 3 / 2**20),
        "listed_s": round(listed_s, 1),
        "drawn": args.steps * spec.batch,
        "pictures_per_s": round(args.steps * spec.batch / trained_s),
        "resident_mb": round(settled / 2**20),
        "growth_mb": round(growth / 2**20, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10),
        "unreadable": sorted([*imagery.skipped, *pictures.failed]),
    }
    print(json.dumps(found, indent=1))
    return int(growth > MOST_GROWTH or found["unreadable"] != [NO_HEADER, CUT_OFF])


if __name__ == "__main__":
    sys.exit(main())
