"""Whether people can keep working during attacks: each person moves a slider while attacks take turns.

    python benchmarks/soak.py [--people 25] [--minutes 10] [--pause 2] [--settle 200]
                              [--rounds 1] [--anyway]

Printed are, for each attack, its outcome and the p95 from a move to its picture meanwhile; at the end the
lost sessions (closed, silent for minutes, an exception on the page, or a view that belongs to somebody else),
the p95 over all moves, the memory of the server and its children before and after, and the load average. A
further round starts from the memory after the one before. The exit status is 1 if a session was lost, an
attack missed its target, the p95 is 3 s or more, or the memory did not come back within 10 % of that before
the last round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from _app import serving
from _attacks import ATTACKS, PATIENCE_S, MissedError, table_files
from _quiet import load_or_leave
from _visitor import Visitor
from load import Person, connect_to
from websockets.exceptions import ConnectionClosed

MOST_P95_S = 3.0
BACK_WITHIN = 0.10
WARM_UP_S = 180.0
"""Until the caches of results are full: they are bounded, and ordinary work fills them."""
PAGES = ("Scale_Lab", "Globe", "Evaluate", "Train", "Learn")
"""Pages beside the Mask Lab; what each imports and opens stays in memory from its first visit on."""


@dataclass
class Soak:
    """Results so far: moves as (when, seconds), reasons for lost sessions, and attacks that missed."""

    moves: list[tuple[float, float]] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def p95(self, since: float = 0.0) -> float:
        """Return the p95 of the moves that ended since then."""
        took = [seconds for when, seconds in list(self.moves) if when >= since]
        return float(np.percentile(took, 95)) if took else float("nan")


async def people(url: str, count: int, is_running: Callable[[], bool], pause_s: float, soak: Soak) -> None:
    """Let `count` people work while `going_on` is set."""
    await asyncio.gather(*(_work(url, number, is_running, pause_s, soak) for number in range(count)))


async def _work(url: str, number: int, is_running: Callable[[], bool], pause_s: float, soak: Soak) -> None:
    chance = random.Random(number)
    seed = f"s{number + 1}"
    try:
        async with await connect_to(url) as link:
            person = Person(link, query=f"mask=random-75-{seed}")
            await person.open()
            percent = chance.randrange(20, 90)
            while is_running():
                percent = 20 + (percent - 20 + chance.randrange(1, 60)) % 70
                took = await person.move(percent)
                soak.moves.append((time.monotonic(), took))
                await asyncio.sleep(pause_s * (0.5 + chance.random()))
            if person.errors:
                soak.lost[number] = person.errors[0]
            elif seed not in person.query:
                soak.lost[number] = f"the view is not this person's any more: {person.query:.80}"
    except (ConnectionClosed, TimeoutError, OSError) as problem:
        soak.lost[number] = f"{type(problem).__name__}: {problem}"


def attack(port: int, start: float, seconds: float, soak: Soak) -> None:
    """Run the attacks in turn, evenly spread over some seconds; print the outcome of each."""
    for turn, one in enumerate(ATTACKS):
        time.sleep(max(0.0, start + turn * seconds / len(ATTACKS) - time.monotonic()))
        began = time.monotonic()
        try:
            outcome = one(port)
        except MissedError as problem:
            outcome = str(problem)
            soak.missed.append(one.__name__)
        except Exception as problem:  # refused, or the server is gone, which shows in the sessions
            outcome = f"{type(problem).__name__}: {problem}"
        took = time.monotonic() - began
        time.sleep(max(0.0, start + (turn + 1) * seconds / len(ATTACKS) - time.monotonic()))
        print(f"{one.__name__:18} {took:6.1f} s   p95 {soak.p95(began):5.2f} s   {outcome}", flush=True)


def memory_mb(server: psutil.Process) -> float:
    """Memory of the server and its children, without running embedding jobs."""
    held = 0
    for process in (server, *server.children(recursive=True)):
        try:
            if not any(part.startswith("--spec=") for part in process.cmdline()):
                held += process.memory_info().rss
        except psutil.Error:
            continue
    return held / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=25)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--pause",
        type=float,
        default=2.0,
        help="mean seconds that a person looks at a picture; each pause is 0.5 to 1.5 times as long",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=200.0,
        help="seconds until the memory is read again; closed sessions are deleted after 150",
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="a second one shows whether memory grows with each round"
    )
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    with tempfile.TemporaryDirectory() as folder:
        tables = Path(folder, "tables")
        tables.mkdir()
        for name, content in table_files().items():
            (tables / name).write_bytes(content)
        others = filter(None, os.environ.get("EARTH_MAE_DATA", "").split(os.pathsep))
        os.environ |= {
            "EARTH_MAE_DATA": os.pathsep.join([*others, str(tables)]),
            "EARTH_MAE_JOBS": f"{folder}/jobs",
            "EARTH_MAE_RUNS": f"{folder}/runs",
            "EARTH_MAE_ALLOW": "",
        }
        with serving() as (address, _):
            sys.exit(run(address, args))


def run(address: str, args: argparse.Namespace) -> int:
    """Warm up, soak, settle; return the exit status."""
    url, port = address.replace("http", "ws") + "/_stcore/stream", int(address.rpartition(":")[2])
    server = next(child for child in psutil.Process().children() if "streamlit" in " ".join(child.cmdline()))
    for page in PAGES:
        with Visitor(port, page, wait_s=PATIENCE_S) as visitor:
            visitor.run()
    warm = time.monotonic() + WARM_UP_S
    asyncio.run(people(url, args.people, lambda: time.monotonic() < warm, args.pause, Soak()))
    memory = [memory_mb(server)]
    print(f"{args.people} people, {memory[0]:.0f} MB after a warm-up of {WARM_UP_S:.0f} s", flush=True)
    kept = True
    for _ in range(args.rounds):
        kept &= soak_once(url, port, args)
        time.sleep(args.settle)
        memory.append(memory_mb(server))
        print(f"memory {memory[-2]:.0f} MB before, {memory[-1]:.0f} MB after", flush=True)
    grown = memory[-1] / memory[-2] - 1
    print(f"memory in the last round {grown:+.0%}")
    return int(not kept or grown > BACK_WITHIN)


def soak_once(url: str, port: int, args: argparse.Namespace) -> bool:
    """Run each attack once beside people's work; return whether nobody lost anything or waited too long."""
    soak, start = Soak(), time.monotonic()
    attacker = threading.Thread(target=attack, args=(port, start, 60 * args.minutes, soak), daemon=True)
    attacker.start()
    asyncio.run(people(url, args.people, attacker.is_alive, args.pause, soak))
    for name in soak.missed:
        print(f"missed: {name} did not reach what it attacks")
    for number, why in soak.lost.items():
        print(f"lost: person {number + 1}, {why}")
    print(
        f"{len(soak.lost)} of {args.people} sessions lost   p95 {soak.p95():.2f} s over "
        f"{len(soak.moves)} moves   load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return not soak.lost and not soak.missed and soak.p95() < MOST_P95_S


if __name__ == "__main__":
    main()
