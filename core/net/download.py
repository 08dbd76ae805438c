"""Download one file through `core.net.client`, resuming where an earlier attempt stopped."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ExplorerError
from .addresses import host_of
from .client import Web
from .failures import RANGE_NOT_SATISFIABLE, ConnectionLostError, RefusedError
from .online import OnlineError

TRIES, PAUSE_S = 3, 0.2
"""Attempts per address, each resuming where the last one stopped, and the first pause between them."""


class DownloadError(ExplorerError):
    """A failed download; the part that was received is kept for the next attempt unless it is wrong."""


@dataclass(frozen=True)
class DownloadProgress:
    """`done_bytes` of `total_bytes` are on disk; `bytes_per_s` is the mean rate of this attempt."""

    done_bytes: int
    total_bytes: int
    bytes_per_s: float


def part_of(target: Path) -> Path:
    """Return the path of an unfinished download, beside its target."""
    return target.with_name(f".{target.name}.part")


def download(
    web: Web,
    urls: Sequence[str],
    target: Path,
    max_bytes: int,
    progress: Callable[[DownloadProgress], None] | None = None,
) -> Path:
    """Download from the first of `urls` that works to a part file beside `target`, and return it.

    The caller checks and renames it. A part left by an earlier attempt is resumed with a range request.
    `web` sets the limits on time, `max_bytes` the largest size. `progress` is called with every piece; an
    exception that it raises stops the download. Raises DownloadError and keeps the part.
    """
    part = part_of(target)
    reasons: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                _from_one(web, url, part, max_bytes, progress)
                return part
            except OnlineError as error:
                # What to do next (after the colon) depends on the caller here, not on the address.
                reasons.append(str(error).partition(": ")[0].removesuffix("."))
    except OSError as error:
        raise DownloadError(
            f"{target.name} cannot be written to {target.parent} ({error.strerror}): choose another folder."
        ) from error
    raise DownloadError(f"{target.name} could not be downloaded ({'; '.join(reasons)}).")


def _from_one(
    web: Web,
    url: str,
    part: Path,
    max_bytes: int,
    progress: Callable[[DownloadProgress], None] | None,
) -> None:
    """Download from one address; raises OnlineError after TRIES attempts."""
    for attempt in range(1, TRIES + 1):
        try:
            _attempt(web, url, part, max_bytes, progress)
            return
        except ConnectionLostError:
            if attempt == TRIES:
                raise
        except RefusedError as error:
            if error.status != RANGE_NOT_SATISFIABLE or not part.exists():
                raise
            part.unlink()  # the part is longer than the file, so it belongs to another version
        time.sleep(PAUSE_S * 2**attempt)
    raise OnlineError(f"{host_of(url)} does not resume the unfinished part.")


def _attempt(
    web: Web,
    url: str,
    part: Path,
    max_bytes: int,
    progress: Callable[[DownloadProgress], None] | None,
) -> None:
    with web.rest(url, part.stat().st_size if part.exists() else 0) as rest:
        if rest.total > max_bytes:
            raise OnlineError(f"{host_of(url)} offers {rest.total} bytes, more than this file has.")
        _check_room(part.parent, rest.total - rest.start)
        with part.open("r+b" if rest.start else "wb") as file:
            file.seek(rest.start)
            file.truncate()
            began, done = time.monotonic(), rest.start
            for piece in rest.pieces():
                file.write(piece)
                done += len(piece)
                if progress:
                    rate = (done - rest.start) / max(time.monotonic() - began, 1e-6)
                    progress(DownloadProgress(done, rest.total, rate))
            file.flush()
            os.fsync(file.fileno())


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.2f} GB are missing but {folder} has {free / 1e9:.2f} GB left: "
            "free some space or choose another folder."
        )
