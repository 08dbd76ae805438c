"""Malicious and broken files, written when needed: name -> bytes, by the kind that they claim to be."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

SHORT, LONG, DOUBLE = 3, 4, 12
_FORMAT = {SHORT: "H", LONG: "I", DOUBLE: "d"}


def tiff(tags: dict[int, tuple[int, Any]], data: bytes = bytes(4096), *, following: int = 0) -> bytes:
    """A little-endian TIFF of one directory; pixel data begins at byte 8, `following` is where the next
    directory claims to be."""
    entries, extra, base = b"", b"", 8 + len(data)
    end = base + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        values = value if isinstance(value, list | tuple) else [value]
        content = (
            value if isinstance(value, bytes) else struct.pack(f"<{len(values)}{_FORMAT[kind]}", *values)
        )
        count = len(content) if isinstance(value, bytes) else len(values)
        where = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<I", end + len(extra))
        extra += content if len(content) > 4 else b""
        entries += struct.pack("<HHI", tag, kind, count) + where
    return (
        b"II*\0"
        + struct.pack("<I", base)
        + data
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", following)
        + extra
    )


def grey(width: int = 64, height: int = 64, *, data: bytes | None = None, **more: tuple[int, Any]) -> bytes:
    """A plain grey TIFF whose tags may be overridden: tNNN=(type, value)."""
    data = bytes(64 * 64) if data is None else data
    tags: dict[int, tuple[int, Any]] = {
        256: (LONG, width), 257: (LONG, height), 258: (SHORT, 8), 259: (SHORT, 1), 262: (SHORT, 1),
        273: (LONG, 8),
        277: (SHORT, 1), 278: (LONG, height), 279: (LONG, len(data)), 33550: (DOUBLE, [10.0, 10.0, 0.0]),
        33922: (DOUBLE, [0.0, 0.0, 0.0, 500_000.0, 5_760_000.0, 0.0]),
        34735: (SHORT, [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32631]),
    }  # fmt: skip
    return tiff(tags | {int(name[1:]): value for name, value in more.items()}, data)


def jpeg(side: int = 512, *, mode: str = "L", **options: Any) -> bytes:
    """A JPEG of noise."""
    from PIL import Image

    out = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 255, (side, side), np.uint8)
    Image.fromarray(values).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def many_scans(count: int, side: int = 512, *, flat: bool = False) -> bytes:
    """A progressive JPEG whose last scan comes `count` times; those of a flat one take a few bytes each."""
    data = jpeg(side, progressive=True, quality=1 if flat else 30)
    last = data.rindex(b"\xff\xda")
    return data[:last] + (data[last:-2]) * count + b"\xff\xd9"


def png(
    width: int = 32,
    height: int = 32,
    *,
    chunks: bytes = b"",
    rows: bytes | None = None,
    depth: int = 8,
    colour: int = 0,
) -> bytes:
    """A grey PNG, with additional chunks before the pixels."""
    raw = zlib.compress(bytes((1 + width) * height) if rows is None else rows, 1)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", raw) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def safetensors(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def torch_zip(payload: bytes, **files: bytes) -> bytes:
    return zipped(
        {
            "archive/data.pkl": payload,
            "archive/version": b"3\n",
            **{f"archive/{name}": content for name, content in files.items()},
        }
    )


class _Call:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def called(module: str, name: str, argument: bytes = b"X\x01\x00\x00\x00x") -> bytes:
    """A pickle that calls a function of Python with one argument."""
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n" + argument + b"\x85R."


VRT = """<VRTDataset rasterXSize="60" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="0">{}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"""
PAIRS = b")q\x01" + b"".join(b"h\x01h\x01\x86q\x01" for _ in range(60))
BILLION = (
    "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY a{n} '{'&a' + str(n - 1) + ';' if n else '&a;'}'>" for n in range(9))
    + "]>"
)

CALLS = [
    ("os", "system"), ("posix", "system"), ("subprocess", "Popen"), ("builtins", "eval"),
    ("builtins", "exec"), ("builtins", "open"),
    ("builtins", "getattr"), ("builtins", "__import__"), ("importlib", "import_module"),
    ("runpy", "run_path"), ("shutil", "rmtree"),
    ("pickle", "loads"), ("torch", "load"), ("torch.hub", "load"), ("torch.serialization", "load"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("functools", "partial"), ("operator", "attrgetter"), ("socket", "create_connection"), ("ctypes", "CDLL"),
    ("webbrowser", "open"),
    ("torch.nn.modules.linear", "Linear"), ("torch.jit", "load"), ("types", "CodeType"),
    ("copyreg", "_reconstructor"),
]  # fmt: skip


def weights() -> dict[str, bytes]:
    """Files of weights."""
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    found = {f"a call of {module}.{name}": torch_zip(called(module, name)) for module, name in CALLS}
    found |= {f"a bare pickle, protocol {n}": pickle.dumps(_Call(print, ("ran",)), n) for n in range(6)}
    return found | {
        "pairs of pairs as a key": torch_zip(b"\x80\x02}" + PAIRS + b"K\x01s."),
        "pairs of pairs in a set": torch_zip(b"\x80\x04\x8f(" + PAIRS + b"\x90."),
        "colliding numbers as keys": torch_zip(
            b"\x80\x02}(" + b"".join(b"\x8a\x10" + (n * (2**61 - 1)).to_bytes(16,
            "little") + b"K\x00" for n in range(5_000)) + b"u."
        ),
        "a memo of 60 doublings": torch_zip(
            b"\x80\x02]q\x00" + b"".join(b"(h\x00h\x00lq\x00" for _ in range(60)) + b"."
        ),
        "marks without end": torch_zip(b"\x80\x02" + b"(" * 200_000 + b"."),
        "lists without end": torch_zip(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
        "a text of 2 GB that is not there": torch_zip(b"\x80\x02X\xff\xff\xff\x7fabc."),
        "bytes of 8 EB": torch_zip(b"\x80\x05\x8e" + b"\xff" * 7 + b"\x7f."),
        "an integer of 5,000 digits": torch_zip(b"\x80\x02I" + b"9" * 5000 + b"\n."),
        "a pickle inside a pickle": torch_zip(called("pickle", "loads", b"C\x02N.")),
        "an empty stack": torch_zip(b"\x80\x02."),
        "no end": torch_zip(b"\x80\x02}" * 50),
        "an unknown memo": torch_zip(b"\x80\x02h\x07."),
        "an extension code": torch_zip(b"\x80\x02\x82\x01."),
        "a persistent id of nothing": torch_zip(b"\x80\x02NQ."),
        "bytearray of 64 GB": torch_zip(called("builtins", "bytearray", b"\x8a\x05\x00\x00\x00\x00\x10")),
        "no pickle at all": zipped({"archive/version": b"3"}),
        "two pickles": zipped({"a/data.pkl": b"\x80\x02}.", "b/data.pkl": b"\x80\x02}."}),
        "a zip bomb": zipped({"archive/data.pkl": b"\x80\x02}.", "archive/data/0": bytes(64 * 2**20)},
        zipfile.ZIP_DEFLATED),
        "paths that lead out": zipped({"../../etc/passwd": b"x", "/etc/shadow": b"x"}),
        "forty thousand members": zipped(
            {f"archive/data/{n}": b"" for n in range(40_001)} | {"archive/data.pkl": b"\x80\x02}."}
        ),
        "a zip that is cut": torch_zip(b"\x80\x02}.")[:-30],
        "a zip whose directory lies": torch_zip(b"\x80\x02}.").replace(b"PK\x01\x02", b"PK\x01\x03"),
        "a zip with a PNG before it": png() + torch_zip(b"\x80\x02}."),
        "torch's old magic alone": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        "torch's old magic and a bomb": (
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19." + b"\x80\x02M\xe9\x03." + b"\x80\x02}.\x80\x02}"
            + PAIRS + b"K\x01s."
        ),
        "a header of 4 EB": safetensors(b'{"a":1}', length=2**62),
        "a header beyond the file": safetensors(b'{"a":1}', length=100),
        "a header of brackets": safetensors(b'{"a":' * 20_000),
        "a header of one list": safetensors(b"{" + b"[" * 100_000),
        "a header that is no table": safetensors(b'{"a": 3}'),
        "a header of numbers": safetensors({"a": entry | {"shape": [10**30]}}, bytes(8)),
        "negative offsets": safetensors({"a": entry | {"data_offsets": [-8, 0]}}, bytes(8)),
        "offsets that run backwards": safetensors({"a": entry | {"data_offsets": [8, 0]}}, bytes(8)),
        "a tensor of terabytes": safetensors({"a": entry | {"shape": [2**40], "data_offsets": [0, 2**42]}},
        bytes(8)),
        "tensors one upon another": safetensors({"a": entry, "b": entry}, bytes(8)),
        "a hole between tensors": safetensors({"a": entry, "b": entry | {"data_offsets": [16, 24]}},
        bytes(24)),
        "an unknown type": safetensors({"a": entry | {"dtype": "F3"}}, bytes(8)),
        "a shape of a million sides": safetensors({"a": entry | {"shape": [1] * 1_000_000}}, bytes(8)),
        "a size that is no number": safetensors(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}',
        bytes(8)),
        "metadata that is no text": safetensors({"__metadata__": {"a": [1]}, "a": entry}, bytes(8)),
        "numbers that are none": safetensors({"cls_token": entry}, b"\xff" * 8),
        "a TIFF": grey(), "a JPEG": jpeg(32), "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "text": b"weights, honestly " * 20,
        "Git LFS": b"version https://git-lfs.github.com/spec/v1\n" + bytes(60),
        "a web page": b"<!DOCTYPE html>" + bytes(60),
        "one byte": b"\x80", "nothing": b"",
    }  # fmt: skip


def imagery() -> dict[str, bytes]:
    """Rasters and pictures that cannot be shown."""
    whole = grey()
    found = {f"a TIFF cut after {n} bytes": whole[:n] for n in (3, 8, 9, 100, 4000, 4150)}
    found |= {f"a PNG cut after {n} bytes": png()[:n] for n in (7, 8, 20, 40)} | {
        f"a JPEG cut after {n} bytes": jpeg(64)[:n] for n in (3, 20, 200)
    }
    return found | {
        "virtual raster": VRT.format("/etc/passwd").encode(),
        "virtual raster behind space": b" \n" + VRT.format("/vsicurl/http://127.0.0.1/").encode(),
        "WMS": b"<GDAL_WMS><Service name='WMS'/></GDAL_WMS>",
        "billion laughs": ("<?xml version='1.0'?>" + BILLION).encode(),
        "a directory that follows itself": tiff({256: (LONG, 64), 257: (LONG, 64)}, following=4104),
        "no directory": b"II*\0" + struct.pack("<I", 2**31) + bytes(100),
        "a directory at zero": b"II*\0" + bytes(60),
        "BigTIFF of nothing": b"II+\0\x08\0\0\0" + b"\xff" * 8 + bytes(60),
        "BigTIFF with a wrong width of offsets": b"II+\0\x10\0\0\0" + bytes(100),
        "2 to the 31 pixels a side": grey(2**31 - 1, 2**31 - 1), "no width": grey(0, 64),
        "no height": grey(64, 0),
        "a strip of 4 GB": grey(65_000, 65_000, t278=(LONG, 65_000)),
        "65,535 bands": grey(t277=(SHORT, 65_535), t258=(SHORT, [8] * 100)),
        "600 bands": grey(t277=(SHORT, 600), t284=(SHORT, 2), t258=(SHORT, [8] * 600), t273=(LONG, [8] * 600),
        t279=(LONG, [4096] * 600)),
        "a strip beyond the file": grey(t273=(LONG, 2**31), t279=(LONG, 4096)),
        "an unknown compression": grey(t259=(SHORT, 65_000)),
        "deflate that is none": grey(t259=(SHORT, 8), data=b"\x01" * 4096),
        "LZW that is none": grey(t259=(SHORT, 5), data=b"\xff" * 4096),
        "ZSTD that is none": grey(t259=(SHORT, 50_000), data=b"\xff" * 4096),
        "LERC that is none": grey(t259=(SHORT, 34_887), data=b"Lerc2 " + b"\xff" * 4090),
        "deflate of another size": grey(256, 256, t259=(SHORT, 8), data=zlib.compress(bytes(10))),
        "JPEG that is none": grey(t259=(SHORT, 7), data=b"\xff\xd8" + b"\xff" * 400),
        "0 bits a sample": grey(t258=(SHORT, 0)),
        "500 bits a sample": grey(t258=(SHORT, 500)),
        "complex": grey(t258=(SHORT, 64), t339=(SHORT, 6), data=bytes(64 * 64 * 8)),
        "tiles of no width": grey(t322=(LONG, 0), t323=(LONG, 0), t324=(LONG, 8), t325=(LONG, 4096)),
        "tiles of 2 to the 30": grey(t322=(LONG, 2**30), t323=(LONG, 2**30), t324=(LONG, 8),
        t325=(LONG, 4096)),
        "a JPEG of 300 scans": many_scans(300, 64), "a JPEG of 30,000 scans": many_scans(30_000, 16),
        "a JPEG of 65,500 px a side": jpeg(64).replace(struct.pack(">HH", 64, 64),
        struct.pack(">HH", 65_500, 65_500)),
        "a PNG of 2 to the 31 px a side": png(2**31 - 1, 2**31 - 1, rows=b""), "a PNG of 9,000 px a side "
                                                                               "that is not there": png(9000,
                                                                               9000, rows=b""),
        "a PNG bomb of 64 million px": png(8001, 8001, rows=b""), "a PNG of no px": png(0, 0),
        "a PNG with 200 MB of text": png(chunks=chunk(b"zTXt",
        b"a\0\0" + zlib.compress(bytes(200_000_000), 9))),
        "a PNG with text in ten thousand parts": png(chunks=b"".join(chunk(b"zTXt",
        b"k\0\0" + zlib.compress(bytes(500_000), 9)) for _ in range(200))),
        "a PNG with a profile of 200 MB": png(chunks=chunk(b"iCCP",
        b"a\0\0" + zlib.compress(bytes(200_000_000), 9)), rows=b""),
        "a PNG with a wrong checksum": png()[:29] + b"\0\0\0\0" + png()[33:],
        "a PNG of unknown colours": png(colour=5), "a PNG of 3 bits": png(depth=3),
        "a PNG with a chunk of 4 GB": png()[:33] + b"\xff\xff\xff\xffIDAT" + bytes(20),
        "PDF": b"%PDF-1.4" + bytes(100), "GIF": b"GIF89a" + bytes(100),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100), "a pickle": b"\x80\x04\x95" + bytes(60),
        "a zip": zipped({"a.png": png()}), "a zip that leads out": zipped({"../../a.png": png()}),
        "nothing": b"", "one byte": b"I",
        "NetCDF": b"CDF\x01" + bytes(100), "GRIB": b"GRIB" + bytes(100),
        "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "RIFF": b"RIFF" + bytes(100),
    }  # fmt: skip


def odd_imagery() -> dict[str, bytes]:
    """Rasters that lie about something that does not matter: each may be shown or refused."""
    return {
        "a strip of another size": grey(t279=(LONG, 2**32 - 1)),
        "no strips": grey(t273=(LONG, 0), t279=(LONG, 0)),
        "no room on Earth": grey(t33922=(DOUBLE, [0.0, 0.0, 0.0, 1e300, -1e300, 0.0])),
        "NaN pixels": grey(t33550=(DOUBLE, [float("nan")] * 3)),
        "pixels of no size": grey(t33550=(DOUBLE, [0.0, 0.0, 0.0])),
        "pixels of 1e308 m": grey(t33550=(DOUBLE, [1e308, 1e308, 0.0])),
        "an unknown projection": grey(t34735=(SHORT, [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 65_535])),
        "keys without end": grey(t34735=(SHORT, [1, 1, 0, 65_535])),
        "a directory that follows the first": grey() + bytes(4),
        "nodata that is no number": grey(t42113=(2, b"not a number\0")),
        "metadata of 3 MB": grey(t42112=(2, b"<GDALMetadata>" + b"<Item/>" * 400_000 + b"\0")),
        "a GIF, a zip and a TIFF in one": grey() + zipped({"a.png": png()}),
        "a JPEG with a zip behind it": jpeg(64) + zipped({"a": b"x"}),
        "a palette of one colour": grey(t262=(SHORT, 3), t320=(SHORT, [0] * 768)),
        "eleven scans": many_scans(5, 64),
        "flat JPEG scans inside a TIFF": grey(256, 256, t259=(SHORT, 7),
        data=many_scans(150, 256, flat=True)),
    }  # fmt: skip


def texts() -> dict[str, bytes]:
    """Recipes and training specs."""
    return {
        "brackets.toml": b"[" * 5000, "list.toml": b"a = " + b"[" * 20_000,
        "digits.toml": b"a = " + b"9" * 5000,
        "hundred digits.toml": b"a = " + b"9" * 100,
        "inline.toml": b"a = " + b"{b=" * 3000 + b"1" + b"}" * 3000,
        "dotted.toml": ".".join(["a"] * 5000).encode() + b"=1", "many.toml": b"a = [" + b"1," * 40_000 + b"]",
        "headers.toml": b"\n".join(f"[{'.'.join('a' * n)}]".encode() for n in range(1, 300)),
        "large.toml": b"#" * 200_000,
        "date.toml": b"a = 1979-05-27", "null.toml": b"a = \x00", "latin.toml": b"a = '\xff\xfe'",
        "nan.toml": b"tau = nan", "nothing.toml": b"",
        "twice.toml": b"a = 1\na = 2", "brackets.json": b"[" * 100_000, "tables.json": b'{"a":' * 20_000,
        "digits.json": b'{"a":' + b"9" * 5000 + b"}",
        "infinity.json": b'{"tau": Infinity}', "text.json": b'"' + b"a" * 1000 + b'"', "null.json": b"null",
        "cut.json": b'{"a": ',
        "binary.json": bytes(range(256)), "large.json": b"[" + b"{}," * 100_000 + b"{}]",
        "surrogate.json": b'{"\\ud800": "\\udfff"}',
    }  # fmt: skip


def links() -> Iterator[dict[str, str]]:
    """Link parameters."""
    for name in (
        "model",
        "weights",
        "tile",
        "win",
        "at",
        "gsd",
        "size",
        "rgb",
        "stated",
        "policy",
        "mask",
        "sel",
    ):
        for text in (
            "9" * 5000,
            "-" * 100,
            "1e999",
            "nan",
            "\x00",
            "../" * 50,
            "٣",
            "[" * 3000,
            "a" * 100_000,
            "1," * 50_000,
            "<script>",
            "%s%n",
            "upload/x",
        ):
            yield {name: text}
