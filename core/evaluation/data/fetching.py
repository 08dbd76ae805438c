"""Download published data sets: archives are resumed, compared with their hash, and unpacked where needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ...errors import ExplorerError
from ...files import file_sha256, write_atomic
from ...net.client import RequestLimits, Web
from ...net.download import DownloadError, DownloadProgress, download
from .published import PUBLISHED
from .releases import FETCHED_FOLDER, DatasetRelease, SetArchive

TIMEOUT_S = 30.0
MAX_MEMBERS, MAX_UNPACKED_BYTES = 200_000, 40 * 10**9


class FetchSetError(ExplorerError):
    """A set that could not be downloaded; the message says how to get it by hand."""


def fetch_set(
    release: DatasetRelease,
    folder: Path = FETCHED_FOLDER,
    progress: Callable[[DownloadProgress], None] | None = None,
) -> Path:
    """Download a set into a folder, unless it is there, and return the path of its archive or folder.

    An interrupted download resumes. An archive with another hash than the published one is deleted. Raises
    FetchSetError.
    """
    if not release.archives:
        raise FetchSetError(
            f"No stable address of an archive of {release.title} is known. {_by_hand(release, folder)}"
        )
    if release.unpack_to and (folder / release.unpack_to).is_dir():
        return folder / release.unpack_to
    paths = [_archive(release, archive, folder, progress) for archive in release.archives]
    if not release.unpack_to:
        return paths[0]
    unpacked = _unpacked(release, paths, folder)
    for path in paths:
        path.unlink()
    return unpacked


def _archive(
    release: DatasetRelease,
    archive: SetArchive,
    folder: Path,
    progress: Callable[[DownloadProgress], None] | None,
) -> Path:
    target = folder / archive.file
    if target.is_file():
        if wrong := _wrong(archive, target):
            raise FetchSetError(
                f"{target} is not the published file ({wrong}): delete it, then fetch the set again."
            )
        return target
    try:
        web = Web(asked=True, limits=RequestLimits(wait_s=TIMEOUT_S))
        part = download(web, (archive.url,), target, archive.max_bytes, progress)
    except DownloadError as problem:
        raise FetchSetError(f"{problem} {_by_hand(release, folder)}") from problem
    if wrong := _wrong(archive, part):
        part.unlink()
        raise FetchSetError(
            f"{archive.file} is not the published file ({wrong}) and was deleted. {_by_hand(release, folder)}"
        )
    sha256 = file_sha256(part)
    os.replace(part, target)
    write_atomic(target.with_name(f"{target.name}.sha256"), f"{sha256}  {target.name}\n".encode())
    return target


def _wrong(archive: SetArchive, path: Path) -> str:
    """Return what is wrong with a downloaded archive, "" if nothing."""
    kind, _, expected = archive.digest.partition(":")
    if expected:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, kind).hexdigest()
        return "" if found == expected else f"its {kind.upper()} is {found}, not {expected}"
    is_archive = zipfile.is_zipfile if archive.file.endswith(".zip") else tarfile.is_tarfile
    return "" if is_archive(path) else "it is not an archive"


def _unpacked(release: DatasetRelease, paths: list[Path], folder: Path) -> Path:
    """Unpack the plain files of tar archives into one folder, which appears only when it is complete."""
    target, scratch = folder / release.unpack_to, folder / f".{release.unpack_to}.unpacking"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        for path in paths:
            with tarfile.open(path) as archive:
                size = 0
                for number, member in enumerate(archive):
                    size += member.size
                    if number >= MAX_MEMBERS or size > MAX_UNPACKED_BYTES:
                        raise FetchSetError(
                            f"{path.name} unpacks to more than {MAX_MEMBERS:,} files or "
                            f"{MAX_UNPACKED_BYTES / 1e9:.0f} GB: it is not the published file."
                        )
                    if member.isfile():
                        archive.extract(member, scratch, filter="data")
        os.replace(scratch, target)
    except (tarfile.TarError, OSError, EOFError) as problem:
        raise FetchSetError(
            f"{paths[0].name} cannot be unpacked to {folder} ({problem}): "
            "free some space, or delete the archive and fetch it again."
        ) from problem
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _by_hand(release: DatasetRelease, folder: Path) -> str:
    known = PUBLISHED.get(release.name)
    into = release.unpack_to or (known.found_as[0] if known else release.archives[0].file)
    urls = " and ".join(archive.url for archive in release.archives)
    return (
        f"By hand: download it from {urls or release.page}, and put it into {folder} as {into} "
        "or into any folder that you give with --data."
    )
