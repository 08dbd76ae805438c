"""How fast and how large the Globe page is: 60,000 places, a million, and 300,000 with text columns.

    python benchmarks/globe.py [--rows 60000 1000000] [--text-rows 300000] [--dim 192] [--lassos 6] [--no-browser] [--anyway]

For each table: what the server does (open, project, encode; a lasso's rows; likeness of all rows; its memory), and what a browser sees
(page to first full picture: first of all, in a new browser, and once more in the same one, which is "warm"; lasso to both sides drawn, to
the screen by the browser's own event timing, to Python's answer in the address; a click to its likest places; bytes through the socket;
memory of server and browser). Headless Chromium draws in software, so every frame costs the processor what a graphics card would do.
What does not come within --wait-s ends that table's part in the browser with a sentence, and the command with 1. Refuses to measure while
the machine is busy (load average above 0.3) unless told --anyway. Prints one JSON object last.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _app import chromium, serving
from _quiet import load_or_leave

from core.geo.catalogue import DATA_VARIABLE

BARS = {
    "page_warm_s": 3.0,
    "highlight_ms": 100.0,
    "answer_ms": 400.0,
    "lasso_socket_bytes": 100_000,
    "click_socket_bytes": 100_000,
}
BARRED_ROWS = 60_000


def write_table(folder: Path, rows: int, dim: int, text: bool) -> None:
    """A table of so many places in 24 bunches, int8; with `text`, three more columns of words as other programs write them."""
    from core.atlas import TableInfo, make_rows
    from core.atlas.store.shards import write_manifest, write_shard

    generator = np.random.default_rng(0)
    centres = generator.standard_normal((24, dim)).astype(np.float32)
    info = TableInfo("benchmark", None, "vector", dim, "int8")
    folder.mkdir(parents=True)
    shards = []
    for n, start in enumerate(range(0, rows, 65_536)):
        count = min(65_536, rows - start)
        group = generator.integers(0, 24, count)
        lat = np.degrees(np.arcsin(generator.uniform(-0.98, 0.98, count)))
        known: dict[str, Any] = {
            "unique_id": [f"row{i:08d}" for i in range(start, start + count)], "centre_lon": generator.uniform(-180, 180, count), "centre_lat": lat,
            "source": ["The globe at 7.4 km"] * count, "gsd_m": np.full(count, 7400.0), "image_size": [64] * count, "model": ["benchmark"] * count,
        }  # fmt: skip
        known["product_id"] = (
            [f"a caption of some length about group {g} and row {i}" for i, g in enumerate(group)]
            if text
            else ["blue_marble"] * count
        )
        if text:
            known |= {
                "crs": [f"described as {g}" for g in group],
                "res_policy": [f"words {i % 977}" for i in range(count)],
            }
        vectors = centres[group] + 0.4 * generator.standard_normal((count, dim), np.float32)
        made = make_rows(vectors, known)
        shards.append(write_shard(folder / f"part-{n:05d}.parquet", made, info))
    write_manifest(folder, info, shards, {"complete": True})


def timed(work: Any, times: int = 1) -> tuple[float, Any]:
    """Median seconds, and the last result."""
    taken, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), result


def server_side(folder: Path) -> dict[str, float]:
    """What the page does before it answers, by the page's own functions, and the memory that takes."""
    import logging

    logging.disable(logging.WARNING)  # Streamlit's, about running without it
    from core.atlas.search.neighbors import similarities
    from ui.globe import tables
    from ui.globe.map import colour, linked_maps

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told: dict[str, float] = {}
    told["open_project_encode_s"], made = timed(lambda: tables.map_data(folder))
    told["pca_rgb_s"], _ = timed(lambda: colour.encoded_colours(made.table, "appearance", None))
    ring = [(40 * math.cos(a / 10) + 10, 30 * math.sin(a / 10) + 10) for a in range(63)]
    from earth_mae_components import Selection

    told["lasso_rows_ms"], rows = timed(
        lambda: linked_maps.selected_rows(made, Selection("globe", "lasso", tuple(ring))), 9
    )
    told["lasso_rows_ms"] *= 1000
    similarities(made.table, made.table.vectors_of([0])[0])
    told["likeness_ms"], _ = timed(lambda: similarities(made.table, made.table.vectors_of([1])[0]), 9)
    told["likeness_ms"] *= 1000
    told["likeness_to_bytes_ms"] = (
        1000
        * timed(
            lambda: colour.encode(
                colour.Layer("", values=similarities(made.table, made.table.vectors_of([2])[0]))
            ),
            5,
        )[0]
    )
    told["rows"], told["lasso_rows"], told["points_bytes"] = len(made.table), len(rows), len(made.points)
    told["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return told


def in_browser(data: Path, name: str, wait_s: float, lassos: int, told: dict[str, float]) -> None:
    """What somebody sees: the page opened first, in a new browser and once more in the same one; lassos, a click, bytes and memory.

    Writes into `told` as it goes, so that what was measured before something failed is not lost.
    """
    os.environ[DATA_VARIABLE] = str(data)
    with serving() as (server_address, _), chromium() as browser:
        server = next(one for one in psutil.Process().children() if "streamlit" in one.cmdline())
        _until_it_rests(server)
        address = f"{server_address}/Globe?table={name}"
        context = _context(browser, wait_s)
        told["page_first_s"] = _open(context, address)[1]
        context.close()
        context = _context(browser, wait_s)
        page, told["page_new_browser_s"] = _open(context, address)
        _until_it_rests(server)
        page.close()
        moved = [0]
        page, told["page_warm_s"] = _open(context, address, moved)
        _until_it_rests(server)
        told["page_socket_bytes"] = moved[0]
        told |= lassos_of(page, moved, lassos)
        told |= click_of(page, moved)
        told["server_mb"] = _memory_mb([server])
        told["browser_mb"] = _memory_mb(
            [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
        )


def _until_it_rests(server: psutil.Process, limit_s: float = 90) -> None:
    """Wait until the server has warmed its models up: two seconds with next to no work. One that never rests is measured as it is, and said."""
    calm, deadline = 0, time.monotonic() + limit_s
    while calm < 4 and time.monotonic() < deadline:
        calm = calm + 1 if server.cpu_percent(0.5) < 10 else 0
    if calm < 4:
        print(
            f"The server still worked after {limit_s:.0f} s; what follows is measured beside that work.",
            file=sys.stderr,
        )


def _wait(page: Any, what: str, script: str, *args: Any) -> None:
    """Wait for something on the page; a wait that ends says for what it was."""
    from playwright.sync_api import TimeoutError as TooLong

    try:
        page.wait_for_function(script, arg=args[0] if args else None, polling=5)
    except TooLong:
        said = page.locator(
            ".globe .message:visible, [data-testid=stException], [data-testid=stAlert]"
        ).all_inner_texts()
        raise TimeoutError(
            f"{what} did not come in time (longer with --wait-s). The page says: {' / '.join(said) or 'nothing'}"
        ) from None


def _context(browser: Any, wait_s: float) -> Any:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(wait_s * 1000)
    context.add_init_script(
        "window.ups = []; new PerformanceObserver(list => ups.push(...list.getEntries().filter(e => e.name === 'pointerup').map(e => e.duration)))"
        ".observe({type: 'event', durationThreshold: 16})"
    )
    return context


def _open(context: Any, address: str, moved: list[int] | None = None) -> tuple[Any, float]:
    """A new page, and the seconds until points, projection and the Earth's picture are drawn; `moved` counts the socket's bytes."""
    page = context.new_page()
    if moved is not None:
        page.on(
            "websocket",
            lambda ws: [
                ws.on(kind, lambda frame: moved.__setitem__(0, moved[0] + len(frame)))
                for kind in ("framereceived", "framesent")
            ],
        )
    start = time.perf_counter()
    page.goto(address)
    _wait(page, "The first full picture", "performance.getEntriesByName('linked-globe:highlight').length > 0")
    return page, time.perf_counter() - start


def lassos_of(page: Any, moved: list[int], count: int) -> dict[str, float]:
    """Lassos on the globe's side and the projection's in turn: to membership and colours, to both sides drawn, to the screen, to the answer."""
    box = page.locator(".scene").bounding_box()
    answers, used = [], []
    for n in range(count):
        page.wait_for_timeout(1000)
        moved[0] = 0
        page.get_by_role("button", name="Lasso").click()
        cx, cy = box["x"] + box["width"] * (0.75 if n % 2 else 0.25), box["y"] + box["height"] / 2
        page.mouse.move(cx + 60 + 5 * n, cy)
        page.mouse.down()
        for step in range(1, 13):
            page.mouse.move(cx + (60 + 5 * n) * math.cos(step / 2), cy + (60 + 5 * n) * math.sin(step / 2))
        before = page.url
        start = time.perf_counter()
        page.mouse.up()
        _wait(page, f"Python's answer to lasso {n + 1}", "before => location.href !== before", before)
        answers.append(1000 * (time.perf_counter() - start))
        page.wait_for_timeout(600)
        used.append(moved[0])
    durations = (
        "name => performance.getEntriesByName(`linked-globe:${name}`).slice(1).map(entry => entry.duration)"
    )
    told = {
        f"{name}_ms": float(np.median(page.evaluate(durations, name) or [math.nan]))
        for name in ("select", "highlight")
    }
    seen = page.evaluate("ups.slice()")[-count:]
    return told | {
        "on_screen_ms": float(np.median(seen or [math.nan])),
        "answer_ms": float(np.median(answers)),
        "lasso_socket_bytes": max(used),
    }


def click_of(page: Any, moved: list[int]) -> dict[str, float]:
    """A click on the globe: to the pictures of the most alike places."""
    box = page.locator(".scene").bounding_box()
    page.get_by_role("button", name="Move and click").click()
    moved[0] = 0
    start = time.perf_counter()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    _wait(
        page,
        "The places most alike",
        """() => document.querySelectorAll('[class*="st-key-strip-near"] button img').length >= 12""",
    )
    told = {"click_to_alike_s": time.perf_counter() - start}
    page.wait_for_timeout(3000)
    return told | {"click_socket_bytes": moved[0]}


def _memory_mb(processes: list[psutil.Process]) -> float:
    """What processes hold together, shared pages counted once."""
    return sum(one.memory_full_info().pss for one in processes) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=[60_000, 1_000_000])
    parser.add_argument("--text-rows", type=int, nargs="*", default=[300_000])
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--wait-s", type=float, default=180)
    parser.add_argument("--lassos", type=int, default=6)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--anyway", action="store_true")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    found: dict[str, dict[str, float]] = {}
    failed = False
    for rows, text in [*((n, False) for n in args.rows), *((n, True) for n in args.text_rows)]:
        name = f"{rows}{'_text' if text else ''}"
        with tempfile.TemporaryDirectory() as folder:
            write_table(Path(folder) / name, rows, args.dim, text)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                told = pool.apply(server_side, (Path(folder) / name,))
            if not args.no_browser:
                try:
                    in_browser(Path(folder), name, args.wait_s, args.lassos, told)
                except Exception as problem:  # a browser that draws in software may give up on a million points: say so and go on
                    print(f"{name}: the browser part ended early: {str(problem).splitlines()[0]}")
                    failed = True
        found[name] = told
        print(f"== {rows:,} rows{' with text' if text else ''}")
        for what, value in told.items():
            bar = BARS.get(what) if rows <= BARRED_ROWS or what.endswith("bytes") else None
            print(
                f"  {what:24} {value:14,.1f}"
                + (f"   bar {bar:,.0f}: {'kept' if value <= bar else 'MISSED'}" if bar else "")
            )
    print(json.dumps(found))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
