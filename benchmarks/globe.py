"""Speed and memory of the Globe page: 60,000 places, a million, and 300,000 with text columns.

    python benchmarks/globe.py [--rows 60000 1000000] [--text-rows 300000] [--lassos 6] [--no-browser]

On the server: opening, projecting and encoding a table, the rows of a lasso, the similarity of all rows, and
memory. In a browser: from navigation to the first full picture (first visit, new browser, and a second visit
of the same browser, "warm"); from a lasso to the highlight, to the screen (by the browser's event timing) and
to Python's answer in the address; from a click to the most similar places; bytes through the websocket;
memory of server and browser. Headless Chromium draws in software, so every frame costs CPU time that a
graphics card would save. If a wait takes longer than --wait-s, the browser part of that table ends with a
message, and the exit code is 1. The benchmark refuses to start if the load average is above 0.3, unless
--anyway is given. The last line printed is a JSON object.
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
    """Write a table of places in 24 clusters, int8; `text` adds words in three columns."""
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
            "unique_id": [f"row{i:08d}" for i in range(start, start + count)],
            "centre_lon": generator.uniform(-180, 180, count),
            "centre_lat": lat,
            "source": ["The globe at 7.4 km"] * count,
            "gsd_m": np.full(count, 7400.0),
            "image_size": [64] * count,
            "model": ["benchmark"] * count,
        }
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
        shards.append(write_shard(folder / f"part-{n:05d}.parquet", make_rows(vectors, known), info))
    write_manifest(folder, info, shards, {"complete": True})


def timed(work: Any, times: int = 1) -> tuple[float, Any]:
    """Return the median seconds and the last result."""
    taken, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), result


def server_side(folder: Path) -> dict[str, float]:
    """Measure the functions that the page calls before it answers, and their memory."""
    import logging

    logging.disable(logging.WARNING)  # Streamlit warns that it does not run
    from core.atlas.search.neighbors import similarities
    from ui.globe import tables
    from ui.globe.map import colour, linked_maps

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures: dict[str, float] = {}
    figures["open_project_encode_s"], data = timed(lambda: tables.map_data(folder))
    figures["pca_rgb_s"], _ = timed(lambda: colour.encoded_colours(data.table, "appearance", None))
    ring = [(40 * math.cos(a / 10) + 10, 30 * math.sin(a / 10) + 10) for a in range(63)]
    from earth_mae_components import Selection

    figures["lasso_rows_ms"], rows = timed(
        lambda: linked_maps.selected_rows(data, Selection("globe", "lasso", tuple(ring))), 9
    )
    figures["lasso_rows_ms"] *= 1000
    similarities(data.table, data.table.vectors_of([0])[0])
    figures["similarity_ms"], _ = timed(lambda: similarities(data.table, data.table.vectors_of([1])[0]), 9)
    figures["similarity_ms"] *= 1000
    figures["similarity_to_bytes_ms"] = (
        1000
        * timed(
            lambda: colour.encode(
                colour.Layer("", values=similarities(data.table, data.table.vectors_of([2])[0]))
            ),
            5,
        )[0]
    )
    figures["rows"], figures["lasso_rows"], figures["points_bytes"] = (
        len(data.table),
        len(rows),
        len(data.points),
    )
    figures["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return figures


def in_browser(data: Path, name: str, wait_s: float, lassos: int, figures: dict[str, float]) -> None:
    """Measure the page in a browser: three visits, lassos, a click, bytes and memory.

    Figures are added to `figures` as they arrive, so that a failure loses only those after it.
    """
    os.environ[DATA_VARIABLE] = str(data)
    with serving() as (server_address, _), chromium() as browser:
        server = next(one for one in psutil.Process().children() if "streamlit" in one.cmdline())
        _wait_until_idle(server)
        address = f"{server_address}/Globe?table={name}"
        context = _context(browser, wait_s)
        figures["page_first_s"] = _open(context, address)[1]
        context.close()
        context = _context(browser, wait_s)
        page, figures["page_new_browser_s"] = _open(context, address)
        _wait_until_idle(server)
        page.close()
        traffic = [0]
        page, figures["page_warm_s"] = _open(context, address, traffic)
        _wait_until_idle(server)
        figures["page_socket_bytes"] = traffic[0]
        figures |= lassos_of(page, traffic, lassos)
        figures |= click_of(page, traffic)
        figures["server_mb"] = _memory_mb([server])
        figures["browser_mb"] = _memory_mb(
            [one for one in psutil.Process().children(recursive=True) if "chrom" in one.name()]
        )


def _wait_until_idle(server: psutil.Process, limit_s: float = 90) -> None:
    """Wait until the server has been idle for two seconds, after loading its models.

    Report if it never is.
    """
    calm, deadline = 0, time.monotonic() + limit_s
    while calm < 4 and time.monotonic() < deadline:
        calm = calm + 1 if server.cpu_percent(0.5) < 10 else 0
    if calm < 4:
        print(
            f"The server was still busy after {limit_s:.0f} s, which affects the figures below.",
            file=sys.stderr,
        )


def _wait(page: Any, what: str, script: str, *args: Any) -> None:
    """Wait for a condition on the page; raise a TimeoutError that names what did not happen."""
    from playwright.sync_api import TimeoutError as TooLong

    try:
        page.wait_for_function(script, arg=args[0] if args else None, polling=5)
    except TooLong:
        messages = page.locator(
            ".globe .message:visible, [data-testid=stException], [data-testid=stAlert]"
        ).all_inner_texts()
        raise TimeoutError(
            f"{what} did not happen in time (--wait-s allows more). "
            f"Messages on the page: {' / '.join(messages) or 'none'}"
        ) from None


def _context(browser: Any, wait_s: float) -> Any:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(wait_s * 1000)
    context.add_init_script(
        "window.ups = []; new PerformanceObserver(list => ups.push(...list.getEntries()"
        ".filter(e => e.name === 'pointerup').map(e => e.duration)))"
        ".observe({type: 'event', durationThreshold: 16})"
    )
    return context


def _open(context: Any, address: str, traffic: list[int] | None = None) -> tuple[Any, float]:
    """Open a page; also return the seconds to the first full picture. `traffic` counts websocket bytes."""
    page = context.new_page()
    if traffic is not None:
        page.on(
            "websocket",
            lambda ws: [
                ws.on(kind, lambda frame: traffic.__setitem__(0, traffic[0] + len(frame)))
                for kind in ("framereceived", "framesent")
            ],
        )
    start = time.perf_counter()
    page.goto(address)
    _wait(page, "The first full picture", "performance.getEntriesByName('linked-globe:highlight').length > 0")
    return page, time.perf_counter() - start


def lassos_of(page: Any, traffic: list[int], count: int) -> dict[str, float]:
    """Time lassos on the globe and on the projection in turn: to the highlight, the screen and the answer."""
    box = page.locator(".scene").bounding_box()
    answers, used = [], []
    for n in range(count):
        page.wait_for_timeout(1000)
        traffic[0] = 0
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
        used.append(traffic[0])
    durations = (
        "name => performance.getEntriesByName(`linked-globe:${name}`).slice(1).map(entry => entry.duration)"
    )
    figures = {
        f"{name}_ms": float(np.median(page.evaluate(durations, name) or [math.nan]))
        for name in ("select", "highlight")
    }
    seen = page.evaluate("ups.slice()")[-count:]
    return figures | {
        "on_screen_ms": float(np.median(seen or [math.nan])),
        "answer_ms": float(np.median(answers)),
        "lasso_socket_bytes": max(used),
    }


def click_of(page: Any, traffic: list[int]) -> dict[str, float]:
    """Time a click on the globe to the pictures of the most similar places."""
    box = page.locator(".scene").bounding_box()
    page.get_by_role("button", name="Move and click").click()
    traffic[0] = 0
    start = time.perf_counter()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    _wait(
        page,
        "The list of similar places",
        """() => document.querySelectorAll('[class*="st-key-strip-near"] button img').length >= 12""",
    )
    figures = {"click_to_similar_s": time.perf_counter() - start}
    page.wait_for_timeout(3000)
    return figures | {"click_socket_bytes": traffic[0]}


def _memory_mb(processes: list[psutil.Process]) -> float:
    """Return the memory of processes, with shared pages counted once."""
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
                figures = pool.apply(server_side, (Path(folder) / name,))
            if not args.no_browser:
                try:
                    in_browser(Path(folder), name, args.wait_s, args.lassos, figures)
                except Exception as problem:  # drawing a million points in software may fail
                    print(f"{name}: the browser part ended early: {str(problem).splitlines()[0]}")
                    failed = True
        found[name] = figures
        print(f"== {rows:,} rows{' with text' if text else ''}")
        for what, value in figures.items():
            bar = BARS.get(what) if rows <= BARRED_ROWS or what.endswith("bytes") else None
            print(
                f"  {what:24} {value:14,.1f}"
                + (f"   bar {bar:,.0f}: {'kept' if value <= bar else 'MISSED'}" if bar else "")
            )
    print(json.dumps(found))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
