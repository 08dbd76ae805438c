"""Malicious and broken zips: links to other files, members outside the folder, bombs, false sizes."""

from __future__ import annotations

import io
import struct
import zipfile

from tests.hostile_files import grey, jpeg, png

LINK, FOLDER = 0o120777 << 16, 0o040755 << 16
SECRET = "/etc/passwd"


def member(
    name: str, content: bytes, *, mode: int = 0o100644 << 16, packed: bool = False
) -> tuple[zipfile.ZipInfo, bytes]:
    """A member with a Unix file mode: LINK makes it a symbolic link whose target is its content."""
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system = mode, 3
    info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    return info, content


def zipped(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return out.getvalue()


def pack(index: str, *members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip whose index lists these lines."""
    return zipped(member("index.csv", index.encode()), *members)


def one(name: str, content: bytes, **more: object) -> bytes:
    """A pack of one picture in two classes, which readers of packs and of labelled sets both accept."""
    index = f"file,gsd_m,label,split\n{name},1.0,a,train\n{name},1.0,b,test\n"
    return pack(index, member(name, content, **more))  # pyright: ignore[reportArgumentType]


def lying(data: bytes, name: bytes, *, size: int | None = None, **fields: int) -> bytes:
    """A zip whose central directory gives a member another size, method, flags, checksum or offset."""
    changed = bytearray(data)
    at = changed.rindex(b"PK\x01\x02", 0, changed.rindex(name))
    places = {
        "flags": (8, "<H"),
        "method": (10, "<H"),
        "crc": (16, "<I"),
        "packed": (20, "<I"),
        "offset": (42, "<I"),
    }
    for field, value in fields.items():
        where, form = places[field]
        struct.pack_into(form, changed, at + where, value)
    if size is not None:
        struct.pack_into("<I", changed, at + 24, size)
    return bytes(changed)


def bomb(name: str = "a.png", size: int = 700 * 2**20) -> bytes:
    """A member of many megabytes of zeros, in less than one."""
    return one(name, bytes(size), packed=True)


def packs() -> dict[str, bytes]:
    """Zips whose pictures cannot be read."""
    good = one("a.png", png())
    large = bomb()
    return {
        "a link to a file": one("a.png", SECRET.encode(), mode=LINK),
        "a link as the index": zipped(
            member("index.csv", SECRET.encode(), mode=LINK), member("a.png", png())
        ),
        "a link to the folder of a picture": pack("file\nx/passwd\n", member("x", b"/etc", mode=LINK)),
        "a link in the middle of a path": pack(
            "file,label\nx/passwd,a\n", member("x", b"/etc", mode=LINK), member("x/passwd", b"root")
        ),
        "a link to itself": one("a.png", b"a.png", mode=LINK),
        "a member that leaves": one(f"../../../../..{SECRET}", b"root:x:0:0"),
        "a member with a full path": one(SECRET, b"root:x:0:0"),
        "a file that leaves and is not there": pack(f"file,label\n../../../..{SECRET},a\n{SECRET},b\n"),
        "a member of a drive": pack("file,label\nC:\\windows\\a.png,a\n"),
        "its own index": pack("file,label\nindex.csv,a\n"),
        "a zip in a zip": one("a.png", good),
        "a folder as a picture": one("a.png", b"", mode=FOLDER),
        "700 MB of zeros": large,
        "700 MB of zeros said to be 10": lying(large, b"a.png", size=10),
        "a picture said to have 4 GB": lying(good, b"a.png", size=2**32 - 2),
        "a password": lying(good, b"a.png", flags=1),
        "an unknown method": lying(good, b"a.png", method=99),
        "a wrong checksum": lying(good, b"a.png", crc=1),
        "a member in the directory": lying(good, b"a.png", offset=len(good) - 40),
        "a member beyond the end": lying(good, b"a.png", offset=2**31),
        **{f"cut after {n} bytes": good[:n] for n in (4, 30, len(good) // 2, len(good) - 1)},
        "no index": zipped(member("a.png", png())),
        "an index of nothing": pack(""),
        "an index without files": pack("label\na\n"),
        "an index of 70 MB": zipped(member("index.csv", b"file\n" + b"a.png\n" * (12 * 2**20), packed=True)),
        "an index of one line": pack("file\n" + "a" * 3_000_000),
        "an index of zeros": zipped(member("index.csv", bytes(10_000))),
        "an index of other letters": zipped(member("index.csv", b"\xff\xfef\0i\0l\0e\0")),
        "an index of quotes": pack('file\n"' + "a,\n" * 100_000),
        "many columns": pack(",".join(["file"] * 100_000) + "\na.png\n"),
        "a truncated picture": one("a.png", png()[:40]),
        "text for a picture": one("a.png", b"a picture, honestly"),
        "a PNG of 2 to the 31 px a side": one("a.png", png(2**31 - 1, 2**31 - 1, rows=b"")),
        "a TIFF of 2 to the 31 px a side": one("a.tif", grey(2**31 - 1, 2**31 - 1)),
        "a cut JPEG": one("a.jpg", jpeg(64)[:200]),
        "a name of 60 kB": one("a" * 60_000 + ".png", b"x"),
        "a name of no letters": one("\x00\x01\x02.png", b"x"),
    }
