"""A series of sixteen scales of one place: the network, the page in a browser, and optionally ViT-L.

    python benchmarks/scale_lab.py [--anyway] [--large] [--threads 2] [--visits 4]

The network runs on two threads with the fastest batch size. The page is timed from its navigation to the
first row and to all sixteen with their curves, each visit at a new place. The first visit also waits for the
server to import and load the network, so it is reported separately, without a bar. The benchmark refuses to
start if the load average is above 0.3, unless --anyway is given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from _app import chromium, serving
from _quiet import load_or_leave

from core.engine.device import device_of, use_threads
from core.engine.inputs import read_ground
from core.engine.loaded import load
from core.engine.prediction import reconstruct_each
from core.engine.reconstruct import ReconstructionRequest, reconstruct_many
from core.engine.scales import ScaleSpec, ladder
from core.geo import TileRef, TileSpec, known_sources
from core.masking import MaskSpec
from core.models import default_reconstructor
from core.policy import Policy

PLACE = TileSpec(TileRef("samples", "landsat"), window=(700, 620, 224, 224))
LIMITS_M = (13.0, 300.0)


def scale_series(
    name: str, hold: str, repeat: int, limits_m: tuple[float, float] = LIMITS_M
) -> dict[str, object]:
    """Return the best of `repeat` series: seconds until the first and until all reconstructions."""
    network, read = load(name), known_sources().read
    card = network.card
    spec = ScaleSpec(PLACE, MaskSpec(), hold, count=16)
    start = time.perf_counter()
    scales = ladder(spec, read, input_px=card.input_px, patch_px=card.patch_px, limits_m=limits_m)
    policy = Policy(card.default_policy)
    requests = [
        ReconstructionRequest(read_ground(read, scale.tile, scale.side_px), scale.mask, policy, scale.side_px)
        for scale in scales
    ]
    reading_s = time.perf_counter() - start
    best, first = float("inf"), 0.0
    for _ in range(repeat):
        start, arrivals = time.perf_counter(), []
        for _ in reconstruct_many(network, requests):
            arrivals.append(time.perf_counter() - start)
        if arrivals[-1] < best:
            best, first = arrivals[-1], arrivals[0]
    return {
        "model": name,
        "hold": hold,
        "scales": len(scales),
        "input_px": card.input_px,
        "seconds": round(best, 3),
        "first_s": round(first, 3),
        "reading_s": round(reading_s, 3),
        "device": device_of(network).name,
    }


def batches(name: str) -> dict[int, float]:
    """Return the seconds for sixteen equal inputs at fixed batch sizes."""
    import numpy as np

    from core.masking import make_mask

    network = load(name)
    side, grid = network.card.input_px, network.card.input_px // network.card.patch_px
    images = np.random.default_rng(0).random((16, 3, side, side), dtype=np.float32)
    hidden = np.stack([make_mask(MaskSpec(), grid, grid).hidden] * 16)
    found: dict[int, float] = {}
    for size in (1, 4, 16):
        start = time.perf_counter()
        list(reconstruct_each(network, images, hidden, [1.0] * 16, batch=size))
        found[size] = round(time.perf_counter() - start, 3)
    return found


ROWS = "document.querySelectorAll('[data-panel$=\"-error\"] img').length"
DONE = f"{ROWS} === 16 && document.querySelectorAll('.js-plotly-plot').length === 2"
STILL = "document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"


def in_the_browser(visits: int) -> list[dict[str, float]]:
    """Return the seconds to the first row, to all rows and curves, and to the end of the script."""
    found: list[dict[str, float]] = []
    with chromium() as browser, serving() as (address, _):
        for n in range(visits + 1):
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(
                f"{address}/Scale_Lab?tile=samples/landsat&win={600 + 20 * n},500,224,224"
                "&sel=scales;hold:pixels;count:16",
                wait_until="commit",
            )
            marks = {"first_row_s": f"{ROWS} > 0", "complete_s": DONE, "script_ended_s": f"{DONE} && {STILL}"}
            seen = {
                name: page.wait_for_function(
                    f"() => {mark} && performance.now()", timeout=180_000
                ).json_value()
                for name, mark in marks.items()
            }
            found.append({name: round(milliseconds / 1000, 2) for name, milliseconds in seen.items()})
            page.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine, too")
    parser.add_argument("--large", action="store_true", help="time the untrained ViT-L as well")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--visits", type=int, default=4, help="visits of the page after the first")
    args = parser.parse_args()
    load_average = load_or_leave(args.anyway)
    name = default_reconstructor()
    results = [
        scale_series(name, hold, args.repeat) for hold in ("pixels", "ground") if use_threads(args.threads)
    ]
    large = [scale_series("scale_mae_large", "pixels", 1, (13.0, 150.0))] if args.large else []
    results_json = {
        "load_average": round(load_average, 2),
        "threads": args.threads,
        "series": [*results, *large],
        "seconds_by_batch_size": batches(name),
    }
    first, *visits = in_the_browser(args.visits)
    print(json.dumps(results_json | {"page_first_visit": first, "page": visits}, indent=1))
    if results[0]["seconds"] > 2:  # type: ignore[operator]
        sys.exit("Sixteen scales took more than 2 s.")
    if any(visit["complete_s"] > 5 for visit in visits):
        sys.exit("The page of sixteen scales took more than 5 s.")


if __name__ == "__main__":
    main()
