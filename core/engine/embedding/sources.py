"""The sources of an embedding run: opened once, and named so that people can tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ...atlas.formats.patch_raster import ENDING
from ...geo.catalogue import Catalogue, known_sources
from ...geo.sources import Source, open_source
from ...geo.sources.listed import plain
from ...geo.sources.online import NAME as ONLINE
from ...geo.sources.opening import SingleSource
from .spec import EmbeddingError, EmbeddingSpec

MOST_CHOICES = 12


@dataclass(frozen=True, eq=False)
class OpenedSource:
    """An open source: as `named` in the spec, its local `path` if it has one, and the `label` of its rows.

    The label of a file that is `alone` also names its picture.
    """

    source: Source
    named: str
    path: Path | None
    label: str
    alone: bool

    def keys(self, only: Sequence[str]) -> list[str]:
        """List its pictures, or those of them named in `only`.

        Leaves out patch rasters that earlier runs wrote to a folder of pictures.
        """
        is_folder = self.source.info.kind == "folder"
        return [
            key
            for key in self.source.keys()  # noqa: SIM118 (not a dict)
            if (not only or key in only) and not (is_folder and key.endswith(ENDING))
        ]

    def product(self, key: str) -> str:
        """Return the name of one of its pictures in a table."""
        return self.label if self.alone else key

    def file(self, key: str) -> Path | None:
        """Return the local file of a picture; None for pictures in packs, in packages and on the internet."""
        if self.path is None or self.source.info.kind == "pack":
            return None
        return self.path if isinstance(self.source, SingleSource) else (self.path / key).resolve()


def open_all(
    spec: EmbeddingSpec, catalogue: Catalogue | None = None, *, untrusted: bool = False
) -> tuple[OpenedSource, ...]:
    """Open the sources of a spec, each once.

    Raises GeoError if one cannot be opened, and EmbeddingError if `spec.only` names an unknown picture.
    """
    names = _distinct(spec.sources)
    sources = [_open(name, spec, catalogue, untrusted=untrusted) for name in names]
    titles = [source.name if source.info.kind == "pack" else source.info.title for source in sources]
    count = Counter(titles)
    opened: list[OpenedSource] = []
    for source, name, title, unique in zip(sources, names, titles, unique_names(names), strict=True):
        shared = count[title] > 1 and source.info.kind != ONLINE  # the key of an online raster is its address
        alone = shared and isinstance(source, SingleSource)
        opened.append(OpenedSource(source, name, _path(name), unique if shared else title, alone))
    keys = list(chain.from_iterable(one.source.keys() for one in opened)) if spec.only else []
    for only in spec.only:
        if only not in keys:
            choices = f"{', '.join(keys[:MOST_CHOICES])}{' and others' if len(keys) > MOST_CHOICES else ''}"
            raise EmbeddingError(
                f"--only {only[:80]} is not a picture of the sources: "
                f"choose one of {choices}, or leave out --only."
            )
    return tuple(opened)


def source_names(spec: EmbeddingSpec) -> tuple[str, ...]:
    """Name the sources for people and manifests, with few folders and without the query of an address."""
    return unique_names(_distinct(spec.sources))


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Shorten each path, address or name to its shortest unique tail, in whole parts."""
    parts = [_parts(name) for name in names]
    short: dict[int, str] = {}
    for depth in range(1, 1 + max(map(len, parts), default=0)):
        tails = ["/".join(each[-depth:]) for each in parts]
        count = Counter(tails)
        short |= {i: tail for i, tail in enumerate(tails) if i not in short and count[tail] == 1}
    return tuple(short.get(i) or f"{'/'.join(parts[i][-1:])} ({i + 1})" for i in range(len(names)))


def repeated_sources(spec: EmbeddingSpec) -> list[str]:
    """Return a note for each source that is given more than once."""
    count = Counter(str(_path(name) or name) for name in spec.sources)
    return [
        f"{_parts(name)[-1]} is given {n} times and is embedded once." for name, n in count.items() if n > 1
    ]


def _open(name: str, spec: EmbeddingSpec, catalogue: Catalogue | None, *, untrusted: bool) -> Source:
    """Open a path or an address, or the source of that name from the catalogue."""
    if not Path(name).expanduser().exists() and "/" not in name and "\\" not in name:
        catalogue = catalogue or known_sources()
        if name in catalogue.names():
            return catalogue.source(name)
    return open_source(name, gsd_m=spec.stated_gsd_m, online=spec.online, untrusted=untrusted)


def _distinct(names: Sequence[str]) -> list[str]:
    """Drop sources that are given twice, also by different paths."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(str(_path(name) or name), name)
    return list(first.values())


def _parts(name: str) -> list[str]:
    """Split a path, address or name at its slashes."""
    path = _path(name)
    text = plain(name) if name.lower().startswith(("http:", "https:", "stac:")) else str(path or name)
    return [part for part in text.split("/") if part] or [text]


def _path(name: str) -> Path | None:
    """Resolve the path of an existing file or folder; None for addresses and names."""
    try:
        path = Path(name).expanduser()
        return path.resolve() if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None
