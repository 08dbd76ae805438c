"""Throughput of the HTTP service with many clients at once, compared with one client.

    python benchmarks/service.py [--clients 50] [--requests 6] [--anyway]

Each client embeds an image and reconstructs one, in turn. Printed for one client and for all of them:
requests per second, p50 and p95 in seconds, errors, and the ratio of the two rates.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from _quiet import load_or_leave
from PIL import Image

from core.service.client import Client, ServiceError

ROOT = Path(__file__).parents[1]
SIDE = 224


def images(count: int) -> list[bytes]:
    """Smooth pictures with some texture, as PNG."""
    out: list[bytes] = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        small = generator.integers(0, 255, (14, 14, 3), np.uint8)
        picture = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        out.append(stream.getvalue())
    return out


def ask(address: str, clients: int, requests: int) -> tuple[list[float], int, float]:
    """Return the seconds of every request, the number of errors, and the total seconds."""
    pictures, seconds, errors = images(clients), [], 0
    lock = threading.Lock()

    def one(number: int) -> None:
        nonlocal errors
        client = Client(address)
        for turn in range(requests):
            start, failed = time.perf_counter(), 0
            try:
                if turn % 2:
                    client.reconstruct(pictures[number], gsd_m=10.0, mask=f"random-75-s{turn}")
                else:
                    client.embed([pictures[number]], gsd_m=10.0)
            except ServiceError as error:
                failed = 1
                print(error, file=sys.stderr)
            with lock:
                seconds.append(time.perf_counter() - start)
                errors += failed

    start = time.perf_counter()
    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return seconds, errors, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=6, help="requests of each client (default: 6)")
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine")
    args = parser.parse_args()
    load_or_leave(args.anyway)
    command = [sys.executable, "-m", "core", "serve", "--port", "0", "--requests-per-minute", "0"]
    service = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert service.stderr is not None
        address = service.stderr.readline().split()[2].rstrip(",;")
        time.sleep(1)
        ask(address, 2, 2)  # networks are loaded, and the child process has started
        rates: list[float] = []
        for clients, requests in ((1, 4 * args.requests), (args.clients, args.requests)):
            seconds, errors, wall_s = ask(address, clients, requests)
            p50, p95 = np.percentile(seconds, (50, 95))
            rates.append(len(seconds) / wall_s)
            print(
                f"{clients:3} clients   {rates[-1]:6.2f} requests/s   p50 {p50:5.2f} s   p95 {p95:5.2f} s   "
                f"{errors} errors   load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        print(f"{args.clients} clients together are {rates[1] / rates[0]:.2f} times as fast as one by one")
    finally:
        service.terminate()
        service.wait(20)


if __name__ == "__main__":
    main()
