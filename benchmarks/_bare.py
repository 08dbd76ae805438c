"""The reference for an embedding run: the network alone, with its tensors in memory and the best batch size.

Two set-ups are compared, one process with all threads and one process per core with one thread each, both
with several batch sizes; the fastest counts. The processes are kept warm, and each computes for a fixed time,
so that none waits for another at the end. Precision is that of the engine.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from _worker import Worker

PATCHES = (800, 1600, 3200)
"""Batch sizes to try, in patches: 4, 8 and 16 tiles of 224 px with patches of 16 px."""
TRIES = 2
HIDDEN = 0.75


@dataclass(frozen=True)
class Network:
    """A network to measure.

    side: in px; None for that of its card. losses: also reconstruct hidden patches. given_back: in processes
    that return freed memory to the system, which is torch's default; the engine keeps it.
    """

    name: str
    side: int | None = None
    losses: bool = False
    given_back: bool = False


@dataclass(frozen=True)
class Rate:
    """Tiles per second of wall-clock time and per second of CPU time."""

    wall: float
    cpu: float


@lru_cache
def load_once(name: str) -> Any:
    """Load a preset once per process; the ending 224 means an input of 224 px with patches of 16 px."""
    from core.engine.loaded import load
    from core.models import create

    if not name.endswith("224"):
        return load(name)
    return create(name.removesuffix("224"), img_size=224, patch_size=16).requires_grad_(False).eval()


def bare(network: Network, patches_in_batch: int, seconds: float) -> Rate:
    """Measure how fast this process runs the network on noise, for some seconds after a warm-up call."""
    import torch

    from core.engine import device as engine

    if network.given_back:
        engine.keep_freed_memory = lambda: False
    engine.device()
    model = load_once(network.name)
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


class Reference:
    """Measures bare networks in both set-ups; all networks share the processes."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self._setups = {"one process": [Worker(cores)], "one per core": [Worker(1) for _ in range(cores)]}
        self._batch: dict[tuple[Network, str], int] = {}
        self._chosen: dict[Network, str] = {}
        self.rates: dict[Network, dict[str, list[Rate]]] = {}

    def measure(self, network: Network, seconds: float) -> Rate:
        """Measure once and return the rate of the faster set-up, or of the chosen one.

        The first call for a network also finds the best batch size of each set-up.
        """
        setups = [self._chosen[network]] if network in self._chosen else list(self._setups)
        rates = {setup: self._measure_setup(network, setup, seconds) for setup in setups}
        for setup, rate in rates.items():
            self.rates.setdefault(network, {}).setdefault(setup, []).append(rate)
        return max(rates.values(), key=lambda rate: rate.wall)

    def choose_setups(self) -> None:
        """From now on, measure only the set-up that was faster so far, which takes half the time."""
        for network, rates in self.rates.items():
            self._chosen.setdefault(
                network, max(rates, key=lambda setup: statistics.median(rate.wall for rate in rates[setup]))
            )

    def summary(self, network: Network) -> dict[str, Any]:
        """Return the median tiles per second of each set-up, and its batch size."""
        return {
            setup: {
                "tiles_per_s": statistics.median(rate.wall for rate in rates),
                "patches_in_batch": self._batch[network, setup],
            }
            for setup, rates in self.rates[network].items()
        }

    def close(self) -> None:
        """End the processes."""
        for workers in self._setups.values():
            for worker in workers:
                worker.close()

    def _measure_setup(self, network: Network, setup: str, seconds: float) -> Rate:
        if (network, setup) not in self._batch:
            trials = [
                (self._together(self._setups[setup], network, size, seconds / 2).wall, size)
                for _ in range(TRIES)
                for size in PATCHES
            ]
            self._batch[network, setup] = max(trials)[1]
        return self._together(self._setups[setup], network, self._batch[network, setup], seconds)

    @staticmethod
    def _together(workers: list[Worker], network: Network, size: int, seconds: float) -> Rate:
        for worker in workers:
            worker.submit(bare, network, size, seconds)
        rates: list[Rate] = [worker.result() for worker in workers]
        return Rate(sum(rate.wall for rate in rates), len(rates) / sum(1 / rate.cpu for rate in rates))
