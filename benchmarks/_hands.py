"""Persistent processes with a given number of torch threads, so that measurements exclude start-up."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any


class Hand:
    """A process that runs one task after another; `begin` lets several run at once."""

    def __init__(self, threads: int | None = None) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._here, there = spawn.Pipe()
        self._process = spawn.Process(target=_obey, args=(there, threads))
        self._process.start()
        there.close()  # so that a process that dies is an EOFError here, not a wait without end

    def begin(self, work: Callable[..., Any], *args: Any, **options: Any) -> None:
        self._here.send((work, args, options))

    def answer(self) -> Any:
        return self._here.recv()

    def do(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self.begin(work, *args, **options)
        return self.answer()

    def leave(self) -> None:
        self._here.send(None)
        self._process.join()


def _obey(orders: Any, threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    while (order := orders.recv()) is not None:
        work, args, options = order
        orders.send(work(*args, **options))
