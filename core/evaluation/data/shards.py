"""WebDataset shards: tar files that hold an image, `KEY.jpg`, and its class, `KEY.cls`, side by side.

A shard whose name contains train, val or test states the split of its images, as in
`imagenet1k-train-0042.tar`. Members are read where they lie, by their position in the tar file.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import LabelledSetError

CLASS_SUFFIX = ".cls"
MAX_CLASS_BYTES = 1_000
_SPLIT = re.compile(r"(?:^|[^a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class ShardMember:
    """Where the bytes of a file lie inside a shard."""

    shard: Path
    start: int
    size: int

    def read(self) -> bytes:
        """Return the bytes; fewer than `size` if the shard was cut off since it was listed."""
        with self.shard.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def shards_of(path: Path) -> list[Path]:
    """Return the shards that a path means: itself, or those in a folder that has no folders beside them."""
    try:
        entries = sorted(path.iterdir()) if path.is_dir() else [path]
        if any(entry.is_dir() and not entry.name.startswith(".") for entry in entries):
            return []
        return [entry for entry in entries if entry.suffix == ".tar" and entry.is_file()]
    except OSError:  # reported when the folder is listed
        return []


def members_of(shards: Sequence[Path], suffixes: frozenset[str], limit: int) -> dict[str, ShardMember]:
    """Return the images and classes of shards by `SHARD/NAME`, those with one of `suffixes`.

    Raises LabelledSetError for a file that is not an uncompressed tar or ends early, and for more than
    `limit` images.
    """
    found: dict[str, ShardMember] = {}
    images = 0
    for shard in shards:
        size = shard.stat().st_size
        try:
            with tarfile.open(shard, "r:") as archive:
                for info in archive:
                    suffix = PurePosixPath(info.name).suffix.lower()
                    if not info.isfile() or (suffix != CLASS_SUFFIX and suffix not in suffixes):
                        continue
                    images += suffix != CLASS_SUFFIX
                    if info.offset_data + info.size > size:
                        raise tarfile.ReadError("it ends early")
                    if images > limit:
                        raise LabelledSetError(
                            f"The shards beside '{shard.name}' have more than {limit:,} images: "
                            "give the folder of a single image set."
                        )
                    found[f"{shard.stem}/{info.name}"] = ShardMember(shard, info.offset_data, info.size)
                end = archive.offset
            if ShardMember(shard, end, tarfile.BLOCKSIZE).read() != tarfile.NUL * tarfile.BLOCKSIZE:
                raise tarfile.ReadError("it ends early")
        except (tarfile.TarError, OSError, ValueError) as problem:
            raise LabelledSetError(
                f"'{shard.name}' is not a readable shard ({problem!s:.80}): shards are uncompressed tar "
                "files; download or pack it again."
            ) from problem
    return found


def split_of(name: str) -> str:
    """Return "train", "val" or "test" if the name of a shard states it, else ""."""
    found = _SPLIT.search(name.split("/")[0])
    return found[1].lower() if found else ""
