"""The sources of an embedding run: opened once, named so that people can tell them apart, with content digests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from ...atlas.store.patch_rasters import ENDING
from ...geo.catalogue import Catalogue, known_sources
from ...geo.picture import ArrayPicture, Picture
from ...geo.sources import Source, open_source
from ...geo.sources.listed import plain
from ...geo.sources.online import NAME as ONLINE
from ...geo.sources.opening import SingleSource
from ...geo.sources.raster import GeoTiff
from ...geo.tile import GeoError
from .spec import EmbeddingError, EmbeddingSpec

PIECES, PIECE_BYTES = 64, 65_536
ALL_BYTES = (PIECES + 2) * PIECE_BYTES
"""Of a file larger than this, evenly spaced pieces and both ends are hashed."""

LISTED = 12


@dataclass(frozen=True, eq=False)
class OpenedSource:
    """An open source with its local file or folder `here` (None if it has none) and the `label` that its rows carry.

    The label of a file that is `alone` also names its picture.
    """

    source: Source
    here: Path | None
    label: str
    alone: bool

    def keys(self, only: Sequence[str]) -> list[str]:
        """List its pictures, or those of them named in `only`."""
        return [key for key in pictures_in(self.source) if not only or key in only]

    def product(self, key: str) -> str:
        """Give the name of one of its pictures in a table."""
        return self.label if self.alone else key

    def file(self, key: str) -> Path | None:
        """Give the local file of a picture; None for pictures in packs, in packages and on the internet."""
        if self.here is None or self.source.info.kind == "pack":
            return None
        return self.here if isinstance(self.source, SingleSource) else (self.here / key).resolve()


def open_all(
    spec: EmbeddingSpec, catalogue: Catalogue | None = None, *, untrusted: bool = False
) -> tuple[OpenedSource, ...]:
    """Open the sources of a spec, each once. Raises GeoError if one cannot be opened, EmbeddingError for unknown `only`."""
    asked = _once(spec.sources)
    sources = [open_named(one, spec, catalogue, untrusted=untrusted) for one in asked]
    titles = [source.name if source.info.kind == "pack" else source.info.title for source in sources]
    shared, names = Counter(titles), told_apart(asked)
    found: list[OpenedSource] = []
    for source, one, title, name in zip(sources, asked, titles, names, strict=True):
        same = shared[title] > 1 and source.info.kind != ONLINE  # of an online raster the key is an address
        found.append(
            OpenedSource(
                source, _path(one), name if same else title, same and isinstance(source, SingleSource)
            )
        )
    keys = list(chain.from_iterable(one.source.keys() for one in found)) if spec.only else []
    for only in spec.only:
        if only not in keys:
            choices = f"{', '.join(keys[:LISTED])}{' and others' if len(keys) > LISTED else ''}"
            raise EmbeddingError(
                f"--only {only[:80]} is not a picture of the sources: choose one of {choices}, or leave out --only."
            )
    return tuple(found)


def open_named(
    named: str, spec: EmbeddingSpec, catalogue: Catalogue | None = None, *, untrusted: bool = False
) -> Source:
    """Open a path or an address, or the source of that name from the catalogue."""
    if not Path(named).expanduser().exists() and "/" not in named and "\\" not in named:
        catalogue = catalogue or known_sources()
        if named in catalogue.names():
            return catalogue.source(named)
    return open_source(named, gsd_m=spec.stated_gsd_m, online=spec.online, untrusted=untrusted)


def pictures_in(source: Source) -> tuple[str, ...]:
    """List the pictures of a source, without rasters of patch embeddings that earlier runs wrote to its folder."""
    keys = source.keys()
    return tuple(key for key in keys if not key.endswith(ENDING)) if source.info.kind == "folder" else keys


def source_names(spec: EmbeddingSpec) -> tuple[str, ...]:
    """Name the sources for people and manifests, with as few folders as needed; addresses without their query."""
    return told_apart(_once(spec.sources))


def told_apart(asked: Sequence[str]) -> tuple[str, ...]:
    """Shorten each path, address or name to its shortest unique tail, in whole parts."""
    parts = [_parts(one) for one in asked]
    found: dict[int, str] = {}
    for depth in range(1, 1 + max(map(len, parts), default=0)):
        ends = ["/".join(one[-depth:]) for one in parts]
        count = Counter(ends)
        found |= {at: end for at, end in enumerate(ends) if at not in found and count[end] == 1}
    return tuple(found.get(at) or f"{'/'.join(parts[at][-1:])} ({at + 1})" for at in range(len(asked)))


def content_of(picture: Picture) -> str:
    """Hash the content of a picture, independently of times and paths.

    Hashes the file of a raster, or the pixels of a picture that is decoded as a whole; for large ones the size and
    evenly spaced pieces. Raises GeoError if it cannot be read.
    """
    digest = hashlib.sha256(
        f"{picture.header.width} {picture.header.height} {_numbers(picture.header.transform)}".encode()
    )
    if isinstance(picture, ArrayPicture):
        raw = picture.read(0, (0, 0, picture.header.width, picture.header.height))
        rows = max(1, PIECE_BYTES // max(1, raw.pixels[:, 0].nbytes))
        for top, bottom in _spans(picture.header.height, rows):
            digest.update(raw.pixels[:, top:bottom].tobytes())
            digest.update(raw.valid[top:bottom].tobytes())
    elif isinstance(picture, GeoTiff):
        _hash_raster(digest, picture)
    return digest.hexdigest()


def only_sampled(picture: Picture) -> bool:
    """Tell whether `content_of` hashes only parts of a picture."""
    if isinstance(picture, ArrayPicture):
        return picture.pixels.nbytes > ALL_BYTES
    return (
        isinstance(picture, GeoTiff)
        and isinstance(picture.origin, Path)
        and picture.origin.stat().st_size > ALL_BYTES
    )


def written_since(files: Sequence[Path], when: float) -> list[str]:
    """Warn about files that were only partly hashed and have been modified since a time."""
    late = [file.name for file in files if file.exists() and file.stat().st_mtime > when]
    return [
        f"{name} was modified after this run started, and only parts of a file that large are compared: if its pixels have changed, "
        "embed it into another folder." for name in late[:3]
    ]  # fmt: skip


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
                f"'{origin.name}' cannot be read ({error.strerror}): check its disk and permissions, or copy it again."
            ) from error
    else:
        digest.update(
            f"{origin.size_bytes}".encode() + origin.head(512)
        )  # already read on opening, so no download is needed


def _spans(size: int, piece: int) -> list[tuple[int, int]]:
    """Give (first, last) of the pieces to hash; a single one if the pieces would cover everything."""
    if size <= (PIECES + 2) * piece:
        return [(0, size)]
    return [(first, first + piece) for first in np.linspace(0, size - piece, PIECES + 2).astype(int).tolist()]


def _numbers(transform: Sequence[float] | None) -> str:
    return "" if transform is None else " ".join(f"{value:.9g}" for value in transform)


def _once(asked: Sequence[str]) -> list[str]:
    """Drop sources that are given twice, also by different paths."""
    first: dict[str, str] = {}
    for one in asked:
        first.setdefault(str(_path(one) or one), one)
    return list(first.values())


def named_twice(spec: EmbeddingSpec) -> list[str]:
    """Give a note for each source that is given more than once."""
    count = Counter(str(_path(one) or one) for one in spec.sources)
    return [
        f"{_parts(one)[-1]} is given {n} times and is embedded once." for one, n in count.items() if n > 1
    ]


def _parts(one: str) -> list[str]:
    """Split a path, address or name at its slashes."""
    path = _path(one)
    text = plain(one) if one.lower().startswith(("http:", "https:", "stac:")) else str(path or one)
    return [part for part in text.split("/") if part] or [text]


def _path(one: str) -> Path | None:
    """Resolve the path of an existing file or folder; None for addresses and names."""
    try:
        path = Path(one).expanduser()
        return path.resolve() if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None
