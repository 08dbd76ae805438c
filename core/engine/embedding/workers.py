"""Threads of an embedding run: one reads ahead, the others run the network: on a CPU one core each, so that no core waits for another inside a layer;
on accelerators one each. Batches go to whichever thread is free; each is put on disk under its number, so the table does not know who made it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .. import device
from .read import TileBatch


class Workers:
    """Threads that read and threads that run the network; the first error of any of them is raised where the results are awaited."""

    def __init__(
        self,
        read: Iterable[TileBatch],
        work: Callable[[TileBatch, int, Callable[[str], None]], None],
        most: int,
    ) -> None:
        """Join what reads batches with the `work` that runs the network on one and puts it on disk, given the number of its thread; `most`
        threads do any good."""
        self._source, self._work = read, work
        self._threads_before = device.use_threads()
        self._count = max(1, min(network_threads(), most))
        self._read: queue.Queue[TileBatch | None] = queue.Queue(
            maxsize=self._count
        )  # more of them push the network out of the caches
        self._done: queue.Queue[tuple[int, NDArray[np.uint8]] | BaseException | None] = queue.Queue()
        self._stop = threading.Event()
        self._sayings: list[str] = []
        works = [self._reading, *(partial(self._network, number) for number in range(self._count))]
        self._threads = [threading.Thread(target=self._guarded, args=(one,), daemon=True) for one in works]

    def __enter__(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            while thread.is_alive():
                _drain(self._read)
                thread.join(0.05)
        device.use_threads(self._threads_before)

    def stop(self) -> None:
        """Let every thread end after the batch in hand."""
        self._stop.set()

    def said(self) -> str:
        """Give the sentences that the device said since the last time."""
        sentences, self._sayings = self._sayings, []
        return " ".join(sentences)

    def finished(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Give the number and the states of batches as they are finished and on disk."""
        running = self._count
        while running:
            item = self._done.get()
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                self.stop()
                raise item
            else:
                yield item

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised again by `finished`, in the thread of whoever iterates
            self._done.put(error)

    def _reading(self) -> None:
        for batch in self._source:
            if not self._put(batch):
                return
        for _ in range(self._count):
            self._put(None)

    def _put(self, batch: TileBatch | None) -> bool:
        while not self._stop.is_set():
            try:
                self._read.put(batch, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _network(self, number: int) -> None:
        if device.device().torch.type == "cpu":
            device.use_threads(1)
        while not self._stop.is_set():
            try:
                batch = self._read.get(timeout=0.1)
            except queue.Empty:
                continue
            if batch is None:
                break
            self._work(batch, number, self._sayings.append)
            self._done.put((batch.index, batch.state))
        self._done.put(None)


def network_threads() -> int:
    """How many threads run the network: one a core on the CPU, one on each accelerator."""
    return len(device.devices()) * (device.use_threads() if device.device().torch.type == "cpu" else 1)


def _drain(waiting: queue.Queue[TileBatch | None]) -> None:
    try:
        while True:
            waiting.get_nowait()
    except queue.Empty:
        return
