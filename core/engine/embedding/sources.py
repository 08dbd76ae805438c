"""What a sweep embeds: every source opened once and named as people can tell it from the others, every picture with a digest of what it holds."""

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
"""Of what is larger than all of them together, so many evenly spaced pieces are hashed, and both ends."""

LISTED = 12


@dataclass(frozen=True, eq=False)
class OpenedSource:
    """A source, the local file or folder that it is, if it is one, and the `label` that rows of it carry; that of a file `alone` names its picture too."""

    source: Source
    here: Path | None
    label: str
    alone: bool

    def keys(self, only: Sequence[str]) -> list[str]:
        """List its pictures, or those of them that are wanted."""
        return [key for key in pictures_in(self.source) if not only or key in only]

    def product(self, key: str) -> str:
        """Give what a table calls one of its pictures."""
        return self.label if self.alone else key

    def file(self, key: str) -> Path | None:
        """Give the local file that a picture is read from; None for what is in a pack, a package or on the internet."""
        if self.here is None or self.source.info.kind == "pack":
            return None
        return self.here if isinstance(self.source, SingleSource) else (self.here / key).resolve()


def open_all(
    spec: EmbeddingSpec, catalogue: Catalogue | None = None, *, untrusted: bool = False
) -> tuple[OpenedSource, ...]:
    """Open what a spec names, each once. Raises GeoError for what cannot be opened, EmbeddingError for an `only` that no source holds."""
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
                f"--only {only[:80]} names no picture of the sources: choose among {choices}, or leave --only out."
            )
    return tuple(found)


def open_named(
    named: str, spec: EmbeddingSpec, catalogue: Catalogue | None = None, *, untrusted: bool = False
) -> Source:
    """Open a path or address, or take a source of that name from the catalogue."""
    if not Path(named).expanduser().exists() and "/" not in named and "\\" not in named:
        catalogue = catalogue or known_sources()
        if named in catalogue.names():
            return catalogue.source(named)
    return open_source(named, gsd_m=spec.stated_gsd_m, online=spec.online, untrusted=untrusted)


def pictures_in(source: Source) -> tuple[str, ...]:
    """List the pictures of a source; the rasters of patch embeddings that earlier runs put into its folder are none."""
    keys = source.keys()
    return tuple(key for key in keys if not key.endswith(ENDING)) if source.info.kind == "folder" else keys


def source_names(spec: EmbeddingSpec) -> tuple[str, ...]:
    """Name the sources for people and manifests: with no more folders than tell them apart, and of addresses without the query, where signatures are."""
    return told_apart(_once(spec.sources))


def told_apart(asked: Sequence[str]) -> tuple[str, ...]:
    """Give of each path, address or name the shortest end that no other has, in whole parts."""
    parts = [_parts(one) for one in asked]
    found: dict[int, str] = {}
    for depth in range(1, 1 + max(map(len, parts), default=0)):
        ends = ["/".join(one[-depth:]) for one in parts]
        count = Counter(ends)
        found |= {at: end for at, end in enumerate(ends) if at not in found and count[end] == 1}
    return tuple(found.get(at) or f"{'/'.join(parts[at][-1:])} ({at + 1})" for at in range(len(asked)))


def content_of(picture: Picture) -> str:
    """Give a digest of what a picture holds, the same for a copy of it anywhere: of small ones all, of large ones its size and evenly spaced pieces.

    Of a raster its file counts, of a picture that is decoded at once its pixels. No time and no path goes into it. Raises GeoError.
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
    """Tell whether `content_of` a picture leaves some of it out."""
    if isinstance(picture, ArrayPicture):
        return picture.pixels.nbytes > ALL_BYTES
    return (
        isinstance(picture, GeoTiff)
        and isinstance(picture.origin, Path)
        and picture.origin.stat().st_size > ALL_BYTES
    )


def written_since(files: Sequence[Path], when: float) -> list[str]:
    """Say which files that are told from others by pieces only were written to after a time: what changed between the pieces is not seen."""
    late = [file.name for file in files if file.exists() and file.stat().st_mtime > when]
    return [
        f"{name} was written to after this sweep began, and of a file that large only pieces are compared: if its pixels are others now, "
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
        )  # what was read on opening: a digest must not cost a download


def _spans(size: int, piece: int) -> list[tuple[int, int]]:
    """Give (first, last) of the pieces to hash: all in one where that is no more than the pieces would be."""
    if size <= (PIECES + 2) * piece:
        return [(0, size)]
    return [(first, first + piece) for first in np.linspace(0, size - piece, PIECES + 2).astype(int).tolist()]


def _numbers(transform: Sequence[float] | None) -> str:
    return "" if transform is None else " ".join(f"{value:.9g}" for value in transform)


def _once(asked: Sequence[str]) -> list[str]:
    """Drop what is named a second time, by whichever path."""
    first: dict[str, str] = {}
    for one in asked:
        first.setdefault(str(_path(one) or one), one)
    return list(first.values())


def named_twice(spec: EmbeddingSpec) -> list[str]:
    """Say which sources were named more than once."""
    count = Counter(str(_path(one) or one) for one in spec.sources)
    return [
        f"{_parts(one)[-1]} was named {n} times and is embedded once." for one, n in count.items() if n > 1
    ]


def _parts(one: str) -> list[str]:
    """Take a path, address or name apart at its slashes."""
    path = _path(one)
    text = plain(one) if one.lower().startswith(("http:", "https:", "stac:")) else str(path or one)
    return [part for part in text.split("/") if part] or [text]


def _path(one: str) -> Path | None:
    """Give the whole path of what is there, links followed; None for addresses and names."""
    try:
        path = Path(one).expanduser()
        return path.resolve() if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None
