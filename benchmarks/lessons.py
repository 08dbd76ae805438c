"""Response times of the Learn page for a class: each learner is a session over a real websocket, without a
browser.

    python benchmarks/lessons.py [--people 30] [--rounds 3] [--settle 200] [--anyway]

Every learner opens lesson 2, commits a prediction, moves the slider, and asks for the answer. Printed are p50
and p95 of each step, learners who got no answer, and the memory of the server before and after the class.
Exits with 1 if a learner was lost or the memory did not return to within 10 %.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import defaultdict
from urllib.parse import urlsplit

import numpy as np
import psutil
from _app import serving
from _quiet import load_or_leave
from _visitor import Visitor, VisitorError, click, slide, write

BACK_WITHIN = 0.10
PAGE, LESSON = "Learn", "shares"
STEPS = ("open", "commit", "move", "answer")


class Class:
    """Measurements of the learners: seconds by step, and failures."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.lost: list[str] = []
        self._lock = threading.Lock()

    def note(self, step: str, seconds: float) -> None:
        """Add a measurement."""
        with self._lock:
            self.seconds[step].append(seconds)

    def lose(self, why: str) -> None:
        """Note that a learner was lost."""
        with self._lock:
            self.lost.append(why)


def learn(port: int, number: int, rounds: int, code: str, group: Class) -> None:
    """Do the lesson `rounds` times, with pauses for reading."""
    chance = random.Random(number)
    query = f"lesson={LESSON}&class={code}"
    try:
        start = time.monotonic()
        with Visitor(port, PAGE, query) as learner:
            learner.run()
            group.note("open", time.monotonic() - start)
            for _ in range(rounds):
                time.sleep(chance.uniform(0.5, 3))
                prediction = write(
                    learner.find("text_input", "Your prediction"), str(chance.randrange(1, 100))
                )
                group.note("commit", learner.run(prediction, click(learner.find("button", "Commit"))))
                time.sleep(chance.uniform(0.5, 3))
                share = 5.0 + 10 * chance.randrange(10)
                group.note("move", learner.run(slide(learner.find("slider", "Hidden share"), share)))
                time.sleep(chance.uniform(0.5, 3))
                group.note("answer", learner.run(click(learner.find("button", "Show the answer"))))
                if "measured:" not in (messages := learner.said()):
                    group.lose(f"no answer: {messages[:120]}")
                learner.run(click(learner.find("button", "Predict again")))
    except (VisitorError, OSError) as problem:
        group.lose(f"{type(problem).__name__}: {problem}")


def open_class(port: int) -> str:
    """Open a class as a teacher and return its code."""
    with Visitor(port, PAGE, "") as teacher:
        teacher.run()
        teacher.run(click(teacher.find("button", "Open a class")))
        shown = " ".join(one.body for one in teacher.all("markdown"))
    return shown.split("Its code: **")[1].split("**")[0]


def memory_mb(server: psutil.Process) -> float:
    """Memory of the server and its children."""
    return sum(one.memory_info().rss for one in [server, *server.children(recursive=True)]) / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settle", type=float, default=200, help="seconds to wait after the class has left")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    with serving() as (address, _):
        port = urlsplit(address).port or 0
        server = next(one for one in psutil.Process().children() if "streamlit" in " ".join(one.cmdline()))
        code = open_class(port)
        learn(port, 0, 1, code, Class())  # the network is loaded, and the answer measured
        before, group = memory_mb(server), Class()
        learners = [
            threading.Thread(target=learn, args=(port, n + 1, args.rounds, code, group))
            for n in range(args.people)
        ]
        for thread in learners:
            thread.start()
        for thread in learners:
            thread.join()
        full = memory_mb(server)
        for step in STEPS:
            took = group.seconds[step]
            if took:
                p50, p95 = np.percentile(took, (50, 95))
                print(f"{step:8} p50 {p50:6.2f} s   p95 {p95:6.2f} s   n {len(took)}")
        print(f"learners lost: {len(group.lost)}" + "".join(f"\n  {why}" for why in group.lost[:5]))
        time.sleep(args.settle)
        after = memory_mb(server)
        print(f"memory: {before:.0f} MB before, {full:.0f} MB with the class, {after:.0f} MB after")
    return int(bool(group.lost) or after > before * (1 + BACK_WITHIN))


if __name__ == "__main__":
    sys.exit(main())
