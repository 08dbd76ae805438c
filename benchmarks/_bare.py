"""The reference for an embedding run: the speed of the network alone, with its tensors in memory and the best batch size.

Two set-ups are compared, one process with all threads and one process per core with one thread each, both with
several batch sizes; the fastest counts. The processes are kept warm, and each computes for a fixed time, so that none
waits for another at the end. Precision is that of the engine.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from _hands import Hand

PATCHES = (800, 1600, 3200)
"""How many patches the batches hold that are tried: at 224 px and patches of 16 px that is 4, 8 and 16 tiles."""
TRIES = 2
HIDDEN = 0.75


@dataclass(frozen=True)
class Network:
    """What is measured: a model at a side in px (None: its card's), with a reconstruction of hidden patches as well if `losses`; if
    `given_back`, in processes that return freed memory to the system, as torch leaves it, where the engine keeps it."""

    name: str
    side: int | None = None
    losses: bool = False
    given_back: bool = False


@dataclass(frozen=True)
class Rate:
    """Tiles per second of wall-clock time and per second of the processors' time."""

    wall: float
    cpu: float


@lru_cache
def kept(name: str) -> Any:
    """A preset, or with the ending 224 the tiny encoder with patches of 16 at 224 px that the bars speak of; once a process."""
    from core.engine.loaded import load
    from core.models import create

    if not name.endswith("224"):
        return load(name)
    return create(name.removesuffix("224"), img_size=224, patch_size=16).requires_grad_(False).eval()


def bare(network: Network, patches_in_batch: int, seconds: float) -> Rate:
    """How fast this process runs the network on noise, for so many seconds after one call that warms up."""
    import torch

    from core.engine import device as engine

    if network.given_back:
        engine.keep_freed_memory = lambda: False
    engine.device()
    model = kept(network.name)
    side = network.side or model.card.input_px
    patches = (side // model.patch_size) ** 2
    batch = max(1, patches_in_batch // patches)
    images, res = torch.rand(batch, 3, side, side), torch.ones(batch)
    visible = torch.arange(round(patches * (1 - HIDDEN))).expand(batch, -1)

    def once() -> None:
        model.encode(images, res)
        if network.losses:
            model.reconstruct(images, res, visible)

    with torch.inference_mode(), engine.precision(engine.device()):
        once()
        start, cpu, done = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - start < seconds:
            once()
            done += batch
        return Rate(done / (time.perf_counter() - start), done / (time.process_time() - cpu))


class Yardstick:
    """The bare network in both ways; the processes are shared by all networks that are asked for."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self._ways = {"one process": [Hand(cores)], "one a core": [Hand(1) for _ in range(cores)]}
        self._batch: dict[tuple[Network, str], int] = {}
        self._faster: dict[Network, str] = {}
        self.found: dict[Network, dict[str, list[Rate]]] = {}

    def measure(self, network: Network, seconds: float) -> Rate:
        """Measure once and give the faster of both ways, or the way that was settled on; the first time, find each way's best batch before."""
        ways = [self._faster[network]] if network in self._faster else list(self._ways)
        rates = {way: self._way(network, way, seconds) for way in ways}
        for way, rate in rates.items():
            self.found.setdefault(network, {}).setdefault(way, []).append(rate)
        return max(rates.values(), key=lambda rate: rate.wall)

    def settle(self) -> None:
        """From now on measure only the way that was the faster so far, which halves the time between a sweep and its yardstick."""
        for network, rates in self.found.items():
            self._faster.setdefault(
                network, max(rates, key=lambda way: statistics.median(rate.wall for rate in rates[way]))
            )

    def said(self, network: Network) -> dict[str, Any]:
        """Median tiles per second of each way, and the batch that it was measured with."""
        return {
            way: {
                "tiles_per_s": statistics.median(rate.wall for rate in rates),
                "patches_in_batch": self._batch[network, way],
            }
            for way, rates in self.found[network].items()
        }

    def leave(self) -> None:
        for hands in self._ways.values():
            for hand in hands:
                hand.leave()

    def _way(self, network: Network, way: str, seconds: float) -> Rate:
        if (network, way) not in self._batch:
            tried = [
                (self._together(self._ways[way], network, size, seconds / 2).wall, size)
                for _ in range(TRIES)
                for size in PATCHES
            ]
            self._batch[network, way] = max(tried)[1]
        return self._together(self._ways[way], network, self._batch[network, way], seconds)

    @staticmethod
    def _together(hands: list[Hand], network: Network, size: int, seconds: float) -> Rate:
        for hand in hands:
            hand.begin(bare, network, size, seconds)
        rates: list[Rate] = [hand.answer() for hand in hands]
        return Rate(sum(rate.wall for rate in rates), len(rates) / sum(1 / rate.cpu for rate in rates))
