"""Threads of an embedding run: one reads ahead, the others run the network.

On a CPU one thread per core runs the network, each on a single core, so that no core waits for another inside
a layer; otherwise there is one thread per accelerator. Whichever thread is free takes the next batch. Each
result is saved under the number of its batch, so it does not matter which thread computed it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .. import device
from .read import TileBatch


class NetworkThreads:
    """Context with the running threads; an error in one of them is raised by `finished`."""

    def __init__(
        self,
        batches: Iterable[TileBatch],
        work: Callable[[TileBatch, int, Callable[[str], None]], None],
        most: int,
    ) -> None:
        """Prepare at most `most` threads that call `work` with a batch, their own number, and a `report`."""
        self._batches, self._work = batches, work
        self._threads_before = device.use_threads()
        self._count = max(1, min(network_threads(), most))
        # A longer queue would push the network out of the caches.
        self._queue: queue.Queue[TileBatch | None] = queue.Queue(maxsize=self._count)
        self._results: queue.Queue[tuple[int, NDArray[np.uint8]] | BaseException | None] = queue.Queue()
        self._stop = threading.Event()
        self._notes: list[str] = []
        targets = [self._read, *(partial(self._run_network, number) for number in range(self._count))]
        self._threads = [
            threading.Thread(target=self._guarded, args=(target,), daemon=True) for target in targets
        ]

    def __enter__(self) -> NetworkThreads:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            while thread.is_alive():
                with suppress(queue.Empty):
                    while True:
                        self._queue.get_nowait()
                thread.join(0.05)
        device.use_threads(self._threads_before)

    def stop(self) -> None:
        """Let every thread end after its current batch."""
        self._stop.set()

    def notes(self) -> str:
        """Return the notes reported since the last call."""
        notes, self._notes = self._notes, []
        return " ".join(notes)

    def finished(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield the number and the states of each batch once `work` has returned."""
        running = self._count
        while running:
            item = self._results.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                self.stop()
                raise item
            else:
                yield item

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # raised again by `finished`, in the thread that iterates
            self._results.put(error)

    def _read(self) -> None:
        for batch in self._batches:
            if not self._put(batch):
                return
        for _ in range(self._count):
            self._put(None)

    def _put(self, batch: TileBatch | None) -> bool:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._queue.put(batch, timeout=0.1)
                return True
        return False

    def _run_network(self, number: int) -> None:
        if device.device().torch.type == "cpu":
            device.use_threads(1)
        while not self._stop.is_set():
            try:
                batch = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            if batch is None:
                break
            self._work(batch, number, self._notes.append)
            self._results.put((batch.index, batch.state))
        self._results.put(None)


def network_threads() -> int:
    """Return how many threads run the network: one per core on the CPU, otherwise one per accelerator."""
    return len(device.devices()) * (device.use_threads() if device.device().torch.type == "cpu" else 1)
