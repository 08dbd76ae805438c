"""Zarr stores of strangers, in a folder or zipped: their documents are checked before zarr opens an array.

Only numbers and known codecs are accepted, because some codecs of numcodecs run code that is in the store.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import in_brief
from ..errors import TableError

CODECS = frozenset(
    [
        "bytes",
        "blosc",
        "zstd",
        "gzip",
        "zlib",
        "lz4",
        "crc32c",
        "sharding_indexed",
        "transpose",
        "shuffle",
        "endian",
        "delta",
        "numcodecs.zlib",
    ]
)
"""Codecs whose decoding is harmless. Others are refused: some run code that is in the store."""

MAX_DOCUMENT, MAX_GROUPS, MAX_CHUNK_BYTES = 16 * 2**20, 200, 2**31
Document = Mapping[str, Any]
_TYPES = frozenset(["int8", "int16", "int32", "int64", "uint8", "uint16", "float16", "float32", "float64"])
_V2_TYPES = frozenset(
    [
        "|i1",
        "|u1",
        "<i2",
        "<u2",
        "<i4",
        "<i8",
        "<f2",
        "<f4",
        "<f8",
        ">i2",
        ">u2",
        ">i4",
        ">i8",
        ">f2",
        ">f4",
        ">f8",
    ]
)


def is_store(path: Path) -> bool:
    """Tell whether a folder, or a zip file, holds a Zarr hierarchy."""
    if path.is_dir():
        return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata"))
    return path.suffix.lower() == ".zip" and zipfile.is_zipfile(path) and _zip_root(path) is not None


class ZarrStore:
    """The JSON documents of a store, and its arrays by path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.root = "" if path.is_dir() else (_zip_root(path) or "")
        self._documents: dict[str, Document] = {}

    def document(self, name: str) -> Document:
        """Return a JSON object of the store; empty if there is none. Raises TableError if it is damaged."""
        if name not in self._documents:
            try:
                value = json.loads(self._bytes(name) or b"{}")
            except (OSError, ValueError, RecursionError, zipfile.BadZipFile) as error:
                raise TableError(
                    f"{self.path.name} is damaged: its {name} cannot be read. Copy it again."
                ) from error
            self._documents[name] = value if isinstance(value, dict) else {}
        return self._documents[name]

    def _bytes(self, name: str) -> bytes:
        if self.path.is_dir():
            file = self.path / name
            if not file.is_file():
                return b""
            with file.open("rb") as opened:
                content = opened.read(MAX_DOCUMENT + 1)
        else:
            with zipfile.ZipFile(self.path) as archive:
                if self.root + name not in archive.namelist():
                    return b""
                with archive.open(self.root + name) as opened:
                    content = opened.read(MAX_DOCUMENT + 1)
        if len(content) > MAX_DOCUMENT:
            raise ValueError("too large")
        return content

    def children(self, group: str) -> list[str]:
        """Return the paths below a group that may be groups or arrays."""
        prefix = f"{group}/" if group else ""
        if self.path.is_dir():
            below = self.path / group
            return (
                sorted(prefix + each.name for each in below.iterdir() if each.is_dir())
                if below.is_dir()
                else []
            )
        with zipfile.ZipFile(self.path) as archive:
            inner = (
                each[len(self.root + prefix) :]
                for each in archive.namelist()
                if each.startswith(self.root + prefix)
            )
            return sorted({prefix + each.partition("/")[0] for each in inner if "/" in each})

    def attributes(self, group: str) -> Document:
        """Return the attributes of a group, of either version of Zarr."""
        prefix = f"{group}/" if group else ""
        return self.document(f"{prefix}zarr.json").get("attributes") or self.document(f"{prefix}.zattrs")

    def groups(self) -> list[str]:
        """Return the root and the groups below it, such as the UTM zones of TESSERA."""
        found = [
            child
            for child in self.children("")[: 2 * MAX_GROUPS]
            if self.document(f"{child}/zarr.json").get("node_type") == "group"
            or self.document(f"{child}/.zgroup")
        ]
        return ["", *found[:MAX_GROUPS]]

    def array_document(self, array: str) -> Document:
        """Return the metadata of an array, of either version; empty if there is none."""
        found = self.document(f"{array}/zarr.json")
        return found if found.get("node_type") == "array" else self.document(f"{array}/.zarray")

    def open(self, array: str) -> Any:
        """Open an array with zarr after its document is checked."""
        import zarr
        from zarr.storage import LocalStore, ZipStore

        self._require_harmless(array)
        store: Any = (
            LocalStore(self.path, read_only=True) if self.path.is_dir() else ZipStore(self.path, mode="r")
        )
        try:
            return zarr.open_array(store, path=self.root + array, mode="r")
        except Exception as error:  # codecs and documents raise whatever they like
            raise TableError(
                f"The array {array} of {self.path.name} cannot be opened ({one_line(error)})."
            ) from error

    def _require_harmless(self, array: str) -> None:
        document = self.array_document(array)
        for codec in _codecs(document):
            if codec not in CODECS:
                raise TableError(
                    f"{self.path.name} is compressed with {codec[:40]!r}, a codec that cannot be read here: "
                    "write it again with zstd, blosc or gzip."
                )
        kind = document.get("data_type", document.get("dtype"))
        if kind not in _TYPES | _V2_TYPES:
            raise TableError(
                f"The array {array} of {self.path.name} does not hold numbers: it cannot be read."
            )
        grid = document.get("chunk_grid")
        chunks = (
            grid.get("configuration", {}).get("chunk_shape")
            if isinstance(grid, dict)
            else document.get("chunks")
        )
        sides = [*(chunks or ()), 8]
        if not all(isinstance(side, int) and side > 0 for side in sides) or (
            math.prod(sides) > MAX_CHUNK_BYTES and "sharding_indexed" not in _codecs(document)
        ):
            raise TableError(f"The array {array} of {self.path.name} has chunks that are too large to read.")


def _codecs(document: Document) -> list[str]:
    """Return the names of all codecs of an array, those within shards included."""
    names: list[str] = []
    waiting: list[Any] = [document.get("codecs"), document.get("compressor"), document.get("filters")]
    while waiting and len(names) < 64:
        codec = waiting.pop()
        if isinstance(codec, list):
            waiting += codec
        elif isinstance(codec, dict):
            names.append(str(codec.get("name", codec.get("id"))))
            inner = codec.get("configuration")
            if isinstance(inner, dict):
                waiting += [inner.get("codecs"), inner.get("index_codecs")]
    return names


def _zip_root(path: Path) -> str | None:
    """Return the folder within a zip file that holds the store ("" for its top); None without a store."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.rpartition("/")[2] in ("zarr.json", ".zgroup")]
    except (OSError, zipfile.BadZipFile):
        return None
    top = min(names, key=lambda name: name.count("/"), default=None)
    return None if top is None or top.count("/") > 1 else top.rpartition("/")[0] + "/" * ("/" in top)


def one_line(error: Exception) -> str:
    """Return an error and its type as one short line."""
    return f"{type(error).__name__}: {in_brief(error, 140)}"
