"""Parquet files whose footer or page headers contradict their content.

The metadata of Parquet is written in Thrift's compact protocol: a struct is a list of (field number, type,
value). `changed` decodes it, lets a function change it, and writes it back; the data stays where it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

Struct = dict[int, list[Any]]
"""Field number -> [type, value]; the value of a struct is a Struct, of a list [element type, values]."""

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
MAGIC = b"PAR1"


class _Reader:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            one = self.byte()
            value |= (one & 0x7F) << shift
            shift += 7
            if not one & 0x80:
                return value

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind: int) -> Any:
        if kind in (TRUE, FALSE):
            return kind == TRUE
        if kind == BYTE:
            return self.byte()
        if kind in (I16, I32, I64):
            return self.integer()
        if kind == DOUBLE:
            self.at += 8
            return struct.unpack("<d", self.data[self.at - 8 : self.at])[0]
        if kind == BINARY:
            length = self.varint()
            self.at += length
            return self.data[self.at - length : self.at]
        if kind in (LIST, SET):
            head = self.byte()
            count = head >> 4 if head >> 4 < 15 else self.varint()
            return [head & 15, [self.value(head & 15) for _ in range(count)]]
        assert kind == STRUCT
        return self.struct()

    def struct(self) -> Struct:
        fields: Struct = {}
        number = 0
        while (head := self.byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self.integer()
            fields[number] = [head & 15, self.value(head & 15)]
        return fields


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _integer(value: int) -> bytes:
    return _varint(value * 2 if value >= 0 else -value * 2 - 1)


def _value(kind: int, value: Any) -> bytes:
    if kind in (TRUE, FALSE):
        return b""
    if kind == BYTE:
        return bytes([value])
    if kind in (I16, I32, I64):
        return _integer(value)
    if kind == DOUBLE:
        return struct.pack("<d", value)
    if kind == BINARY:
        return _varint(len(value)) + value
    if kind in (LIST, SET):
        of, values = value
        head = (
            bytes([len(values) << 4 | of]) if len(values) < 15 else bytes([0xF0 | of]) + _varint(len(values))
        )
        return head + b"".join(_value(of, one) for one in values)
    return _struct(value)


def _struct(fields: Struct) -> bytes:
    found, last = b"", 0
    for number, (kind, value) in sorted(fields.items()):
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        step = number - last
        found += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + _integer(number)
        found += _value(kind, value)
        last = number
    return found + b"\0"


def footer_of(data: bytes) -> Struct:
    """Decode the footer (FileMetaData) of a Parquet file."""
    length = struct.unpack("<I", data[-8:-4])[0]
    return _Reader(data, len(data) - 8 - length).struct()


def with_footer(data: bytes, footer: Struct) -> bytes:
    """Replace the footer of a Parquet file."""
    length = struct.unpack("<I", data[-8:-4])[0]
    text = _struct(footer)
    return data[: len(data) - 8 - length] + text + struct.pack("<I", len(text)) + MAGIC


def changed(data: bytes, change: Callable[[Struct], object]) -> bytes:
    """Change the footer of a Parquet file."""
    footer = footer_of(data)
    change(footer)
    return with_footer(data, footer)


def column(footer: Struct, name: str) -> Struct:
    """The ColumnMetaData of a leaf column in the first row group, by the last part of its path."""
    return chunk(footer, name)[3][1]


def chunk(footer: Struct, name: str) -> Struct:
    """The ColumnChunk of a leaf column in the first row group."""
    chunks = footer[4][1][1][0][1][1][1]
    return next(one for one in chunks if name.encode() in one[3][1][3][1][1])


def element(footer: Struct, name: str) -> Struct:
    """The SchemaElement of a name."""
    return next(one for one in footer[2][1][1] if one[4][1] == name.encode())


def with_page(
    data: bytes, name: str, change: Callable[[Struct], object], *, dictionary: bool = False
) -> bytes:
    """Change the header of a column's first data page, or of its dictionary page.

    The page is written again at the end of the data, so that no other offset changes.
    """
    footer = footer_of(data)
    meta = column(footer, name)
    field = 11 if dictionary else 9
    at, length = meta[field][1], struct.unpack("<I", data[-8:-4])[0]
    reader = _Reader(data, at)
    header = reader.struct()
    body = data[reader.at : reader.at + header[3][1]]
    change(header)
    end = len(data) - 8 - length
    pages = _struct(header) + body
    if dictionary:
        rest = data[meta[9][1] : meta[9][1] + meta[7][1] - (meta[9][1] - at)]
        meta[9][1] = end + len(pages)
        pages += rest
    meta[field][1] = end
    meta[7][1] = len(pages)
    text = _struct(footer)
    return data[:end] + pages + text + struct.pack("<I", len(text)) + MAGIC
