"""Download one file over HTTP, resuming where an earlier attempt stopped."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from ipaddress import ip_address
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ..errors import ExplorerError

CHUNK_BYTES = 2**20
TRIES, PAUSE_S = 3, 0.2
"""Attempts per address, each resuming where the last one stopped, and the first pause between them."""


class DownloadError(ExplorerError):
    """A failed download; the part that was received is kept for the next attempt unless it is wrong."""


class _NextAddressError(Exception):
    """The file cannot be downloaded from this address; the message says why."""


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
    urls: Sequence[str],
    target: Path,
    max_bytes: int,
    *,
    timeout_s: float = 30.0,
    progress: Callable[[DownloadProgress], None] | None = None,
) -> Path:
    """Download from the first of `urls` that works to a part file beside `target`, and return it.

    The caller checks and renames it. A part left by an earlier attempt is resumed with a Range request.
    `timeout_s` limits every wait for the network, `max_bytes` the size. Raises DownloadError and keeps the
    part.
    """
    part = part_of(target)
    reasons: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                _from_one(url, part, max_bytes, timeout_s, progress)
                return part
            except _NextAddressError as why:
                reasons.append(f"{urlsplit(url).hostname}: {why}")
    except OSError as problem:
        raise DownloadError(
            f"{target.name} cannot be written to {target.parent} ({problem.strerror}): "
            "choose another folder with --to."
        ) from problem
    raise DownloadError(f"{target.name} could not be downloaded ({'; '.join(reasons)}).")


def _from_one(
    url: str,
    part: Path,
    max_bytes: int,
    timeout_s: float,
    progress: Callable[[DownloadProgress], None] | None,
) -> None:
    why = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_S * 2**attempt)
        before = part.stat().st_size if part.exists() else 0
        try:
            with _open(url, before, timeout_s) as response:
                start, total = _placed(response, before, max_bytes)
                _check_room(part.parent, total - start)
                with part.open("r+b" if start else "wb") as file:
                    file.seek(start)
                    file.truncate()
                    for step in _copied(response, file, start, total):
                        if progress:
                            progress(step)
                    file.flush()
                    os.fsync(file.fileno())
            if part.stat().st_size == total:
                return
            why = f"the connection broke after {part.stat().st_size} of {total} bytes"
        except urllib.error.HTTPError as problem:
            if problem.code == 416 and before:
                part.unlink()
                why = "it did not resume the unfinished part"
                continue
            raise _NextAddressError(f"answered {problem.code} {problem.reason}") from problem
        except (urllib.error.URLError, TimeoutError, ConnectionError, HTTPException) as problem:
            why = f"no answer ({getattr(problem, 'reason', problem) or type(problem).__name__})"
    raise _NextAddressError(why)


def _open(url: str, start: int, timeout_s: float) -> HTTPResponse:
    if not _trusted(url):
        raise _NextAddressError("only https addresses are fetched")
    request = urllib.request.Request(
        url, headers={"User-Agent": "earth-mae-explorer", "Accept-Encoding": "identity"}
    )
    if start:
        request.add_header("Range", f"bytes={start}-")
    response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout_s)
    if not _trusted(response.url):
        response.close()
        raise _NextAddressError("it led to an address that is not https")
    return response


def _trusted(url: str) -> bool:
    """Return whether an address is https, or plain http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _placed(response: HTTPResponse, asked_from: int, max_bytes: int) -> tuple[int, int]:
    """Return the offset of the response in the file, and the size of the file."""
    length = response.headers.get("Content-Length", "")
    if not length.isdigit():
        raise _NextAddressError("it does not state the size of the file")
    start = (
        asked_from
        if response.status == 206
        and response.headers.get("Content-Range", "").startswith(f"bytes {asked_from}-")
        else 0
    )
    if response.status == 206 and not start:
        raise _NextAddressError("it returned a different part than requested")
    if start + int(length) > max_bytes:
        raise _NextAddressError(f"it offers {start + int(length)} bytes, more than this file has")
    return start, start + int(length)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.2f} GB are missing but {folder} has {free / 1e9:.2f} GB left: "
            "free some space or choose another folder with --to."
        )


def _copied(response: HTTPResponse, file: IO[bytes], start: int, total: int) -> Iterator[DownloadProgress]:
    began, done = time.monotonic(), start
    while chunk := response.read(min(CHUNK_BYTES, total - done)):
        file.write(chunk)
        done += len(chunk)
        yield DownloadProgress(done, total, (done - start) / max(time.monotonic() - began, 1e-6))
