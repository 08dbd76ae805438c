"""Digests that identify what is embedded: the content of a picture, and the row of a window."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...geo.picture import ArrayPicture, Picture
from ...geo.sources.raster import GeoTiff
from ...geo.tile import GeoError

PIECES, PIECE_BYTES = 64, 65_536
ALL_BYTES = (PIECES + 2) * PIECE_BYTES
"""Of a file larger than this, evenly spaced pieces and both ends are hashed."""


def row_id(*parts: object) -> str:
    """Return the `unique_id` of a row from everything that determines its vector."""
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:20]


def content_digest(picture: Picture) -> str:
    """Hash the content of a picture, independently of times and paths.

    Hashes the file of a raster, or the pixels of a picture that is decoded as a whole; for large ones the
    size and evenly spaced pieces. Raises GeoError if it cannot be read.
    """
    header = picture.header
    transform = "" if header.transform is None else " ".join(f"{value:.9g}" for value in header.transform)
    digest = hashlib.sha256(f"{header.width} {header.height} {transform}".encode())
    if isinstance(picture, ArrayPicture):
        raw = picture.read(0, (0, 0, header.width, header.height))
        rows = max(1, PIECE_BYTES // max(1, raw.pixels[:, 0].nbytes))
        for top, bottom in _spans(header.height, rows):
            digest.update(raw.pixels[:, top:bottom].tobytes())
            digest.update(raw.valid[top:bottom].tobytes())
    elif isinstance(picture, GeoTiff):
        _hash_raster(digest, picture)
    return digest.hexdigest()


def is_sampled(picture: Picture) -> bool:
    """Tell whether `content_digest` hashes only parts of a picture."""
    if isinstance(picture, ArrayPicture):
        return picture.pixels.nbytes > ALL_BYTES
    return (
        isinstance(picture, GeoTiff)
        and isinstance(picture.origin, Path)
        and picture.origin.stat().st_size > ALL_BYTES
    )


def modified_since(files: Sequence[Path], start: float) -> list[str]:
    """Warn about files that were only partly hashed and have been modified since a time."""
    names = [file.name for file in files if file.exists() and file.stat().st_mtime > start]
    return [
        f"{name} was modified after this run started, and only parts of a file that large are compared: "
        "if its pixels have changed, embed it into another folder."
        for name in names[:3]
    ]


def _hash_raster(digest: hashlib._Hash, picture: GeoTiff) -> None:
    origin = picture.origin
    if isinstance(origin, bytes):
        digest.update(f"{len(origin)}".encode())
        for first, last in _spans(len(origin), PIECE_BYTES):
            digest.update(origin[first:last])
    elif isinstance(origin, Path):
        try:
            with origin.open("rb") as stream:
                size = stream.seek(0, 2)
                digest.update(f"{size}".encode())
                for first, last in _spans(size, PIECE_BYTES):
                    stream.seek(first)
                    digest.update(stream.read(last - first))
        except OSError as error:
            raise GeoError(
                f"'{origin.name}' cannot be read ({error.strerror}): "
                "check its disk and permissions, or copy it again."
            ) from error
    else:  # the start of a remote file was read on opening, so no download is needed
        digest.update(f"{origin.size_bytes}".encode() + origin.head(512))


def _spans(size: int, piece: int) -> list[tuple[int, int]]:
    """Return (first, last) of the pieces to hash; a single one if the pieces would cover everything."""
    if size <= (PIECES + 2) * piece:
        return [(0, size)]
    starts = np.linspace(0, size - piece, PIECES + 2).astype(int).tolist()
    return [(first, first + piece) for first in starts]
