"""Worker processes with a given number of torch threads, kept alive so that measurements exclude start-up."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any


class Worker:
    """A process that runs one task after another; with `submit`, several workers run at once."""

    def __init__(self, threads: int | None = None) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, remote = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(remote, threads))
        self._process.start()
        remote.close()  # so that a dead process is an EOFError here instead of an endless wait

    def submit(self, work: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Start a task; `result` waits for it."""
        self._connection.send((work, args, options))

    def result(self) -> Any:
        """Return the result of the submitted task."""
        return self._connection.recv()

    def run(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run a task and return its result."""
        self.submit(work, *args, **options)
        return self.result()

    def close(self) -> None:
        """End the process."""
        self._connection.send(None)
        self._process.join()


def _serve(connection: Any, threads: int | None) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    while (task := connection.recv()) is not None:
        work, args, options = task
        connection.send(work(*args, **options))
