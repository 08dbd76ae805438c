"""Remote files read by range requests, so that a window of a cloud-optimised GeoTIFF costs little more
than its bytes.

GDAL could read addresses itself (/vsicurl/), but passing it a Python object is safer. GDAL never sees an
address, so an address cannot carry options, select another driver, or lead its HTTP client to a file, socket
or internal host. Every byte comes through `core.net.client`, with its checks, limits and error messages
(/vsicurl/ only reports "not recognised"). No credentials are looked up in the environment or in instance
metadata, and bytes are counted, which a test checks. The price is one Python call per read: GDAL requests all
blocks of a window at once, and they are fetched in parallel.
"""

from __future__ import annotations

import io
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ...net.online import OnlineError
from ..tile import GeoError

if TYPE_CHECKING:
    from ...net.client import Web

CHUNK_BYTES = 2**14
AHEAD_CHUNKS = 4
"""The fewest chunks to fetch for GDAL's own reads: it reads the list of blocks in many small pieces."""

KEPT_BYTES = 48 * 2**20
AT_ONCE_BYTES = 160 * 2**20
RUN_CHUNKS = 512
LINES = 6

MAX_SIDE_PX = 400_000
SMALL_PX = 4096
"""Rasters up to this length on the longer side need no overviews."""


class RemoteFile:
    """A remote file with a least-recently-used cache of its chunks. Safe to share between threads.

    The start of the file is requested at once; raises OnlineError if the server fails. It is also an opener
    for rasterio: a container with exactly one file, under an unguessable name.
    """

    def __init__(self, web: Web, address: str) -> None:
        self._web, self.address = web, address
        self.name = name_of(address)
        self._lock = threading.Lock()
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._here = threading.local()
        first = web.part(address, 0, CHUNK_BYTES * AHEAD_CHUNKS)
        self.size_bytes, self._tag = first.total, first.tag
        self.fetched_bytes = 0
        self._put(0, first.data)

    def head(self, count: int) -> bytes:
        """The first bytes of the file."""
        return self.parts([(0, min(count, self.size_bytes))])[0]

    def parts(self, spans: Sequence[tuple[int, int]], *, ahead: int = 1) -> list[bytes]:
        """Return the bytes of (first, count) spans, fetching missing chunks in runs of neighbours, several
        at a time."""
        spans = [(first, max(0, min(count, self.size_bytes - first))) for first, count in spans]
        if sum(count for _, count in spans) > AT_ONCE_BYTES:
            raise OnlineError(
                f"'{self.name}' needs more than {AT_ONCE_BYTES // 2**20} MiB for one window: "
                "choose a smaller window or a coarser GSD."
            )
        numbers = sorted(
            {
                n
                for first, count in spans
                if count
                for n in range(first // CHUNK_BYTES, (first + count - 1) // CHUNK_BYTES + 1)
            }
        )
        with self._lock:
            have = {n: self._chunks[n] for n in numbers if n in self._chunks}
            for n in have:
                self._chunks.move_to_end(n)
        runs = self._runs([n for n in numbers if n not in have], ahead)
        if len(runs) > 1:
            with ThreadPoolExecutor(min(LINES, len(runs)), thread_name_prefix="remote") as pool:
                fetched = list(pool.map(self._fetch, runs))
        else:
            fetched = [self._fetch(run) for run in runs]
        for chunks in fetched:
            have |= chunks
        return [self._cut(have, first, count) for first, count in spans]

    def _runs(self, missing: list[int], ahead: int) -> list[tuple[int, int]]:
        """Join neighbouring chunks into (first, count) runs of at most RUN_CHUNKS."""
        last = -(-self.size_bytes // CHUNK_BYTES)
        runs: list[tuple[int, int]] = []
        for n in missing:
            start, count = runs[-1] if runs else (n, 0)
            if runs and n < start + count:
                continue
            if runs and n == start + count and count < RUN_CHUNKS:
                runs[-1] = (start, count + 1)
            else:
                runs.append((n, min(ahead, last - n)))
        return runs

    def _fetch(self, run: tuple[int, int]) -> dict[int, bytes]:
        first, count = run
        part = self._web.part(self.address, first * CHUNK_BYTES, count * CHUNK_BYTES)
        if part.total != self.size_bytes or part.tag != self._tag:
            raise OnlineError(f"'{self.name}' changed on the server while it was read: open it again.")
        return self._put(first, part.data)

    def _put(self, first: int, data: bytes) -> dict[int, bytes]:
        chunks = {
            first + i: data[at : at + CHUNK_BYTES] for i, at in enumerate(range(0, len(data), CHUNK_BYTES))
        }
        with self._lock:
            self.fetched_bytes += len(data)
            self._chunks |= chunks
            while len(self._chunks) > KEPT_BYTES // CHUNK_BYTES:
                self._chunks.popitem(last=False)
        return chunks

    @staticmethod
    def _cut(chunks: dict[int, bytes], first: int, count: int) -> bytes:
        if not count:
            return b""
        start = first // CHUNK_BYTES
        joined = b"".join(chunks[n] for n in range(start, (first + count - 1) // CHUNK_BYTES + 1))
        return joined[first - start * CHUNK_BYTES :][:count]

    def pseudonym(self) -> str:
        """Return a one-time name for GDAL to open this file by; clears earlier errors of this thread."""
        from rasterio.abc import MultiByteRangeResourceContainer

        MultiByteRangeResourceContainer.register(RemoteFile)
        self._here.problem, self._here.name = None, f"{secrets.token_hex(8)}.tif"
        return self._here.name

    def note(self, problem: OnlineError) -> None:
        """Store why a read of this thread failed, as GDAL only reports that it did."""
        self._here.problem = problem

    def raise_problem(self) -> None:
        """Raise the network error of the last read of this thread, if any."""
        problem, self._here.problem = getattr(self._here, "problem", None), None
        if problem is not None:
            raise problem

    def open(self, path: str, mode: str = "rb", **_: Any) -> RemoteStream:
        """Open the only file; raises FileNotFoundError for sidecar files that GDAL looks for."""
        if mode not in ("r", "rb") or not self.isfile(path):
            raise FileNotFoundError(path)
        return RemoteStream(self)

    def isfile(self, path: str) -> bool:
        """Return whether a path is that of the only file."""
        return path.rsplit("/", 1)[-1] == getattr(self._here, "name", None)

    def isdir(self, path: str) -> bool:  # noqa: ARG002 (rasterio gives it)
        """Return False: there are no folders."""
        return False

    def ls(self, path: str) -> list[str]:  # noqa: ARG002
        """Return an empty list."""
        return []

    def mtime(self, path: str) -> int:  # noqa: ARG002
        """Return 0: the time is unknown."""
        return 0

    def size(self, path: str) -> int:
        """Return the size of the only file in bytes."""
        if not self.isfile(path):
            raise FileNotFoundError(path)
        return self.size_bytes


class RemoteStream(io.RawIOBase):
    """A reader with its own position in a remote file.

    Errors are stored and appear to GDAL as the end of the file.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file, self._at = file, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        self._at = max(0, offset + (0, self._at, self._file.size_bytes)[whence])
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes."""
        count = self._file.size_bytes - self._at if size < 0 else size
        data = self._tried([(self._at, count)], AHEAD_CHUNKS)[0]
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Sequence[int], sizes: Sequence[int]) -> list[bytes]:
        """Read several pieces at once, such as the blocks of a window."""
        return self._tried(list(zip(offsets, sizes, strict=True)), 1)

    def _tried(self, spans: list[tuple[int, int]], ahead: int) -> list[bytes]:
        try:
            return self._file.parts(spans, ahead=ahead)
        except OnlineError as problem:
            self._file.note(problem)
            return [b""] * len(spans)


def name_of(address: str) -> str:
    """Return the file name in an address, without its query, which may contain signatures."""
    return unquote(urlsplit(address).path.rstrip("/").rsplit("/", 1)[-1])[:120] or "remote"


def require_cloud_optimised(dataset: Any, name: str) -> None:
    """Raise GeoError for a remote raster that is stored in strips, large without overviews, or too large."""
    width, height = dataset.width, dataset.height
    if max(width, height) > MAX_SIDE_PX:
        raise GeoError(
            f"'{name}' declares {width:,} x {height:,} px, above the limit for remote rasters: "
            "download the part that you need."
        )
    if max(width, height) <= min(1024, SMALL_PX):
        return
    if dataset.block_shapes[0][1] >= width or (max(width, height) > SMALL_PX and not dataset.overviews(1)):
        raise GeoError(
            f"'{name}' is a GeoTIFF but not cloud-optimised (tiled, with overviews), so it cannot be read "
            "by window: download it, or convert it with `gdal_translate -of COG`."
        )
