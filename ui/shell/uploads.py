"""Imagery that users upload for their jobs: on disk, under unguessable keys, deleted when it expires."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from streamlit.runtime.uploaded_file_manager import UploadedFile as Uploaded

from core.errors import ExplorerError
from core.files import write_atomic
from core.geo import Source, SourceInfo, TileRef, open_source
from core.geo.picture import Picture
from core.geo.sources import Entry
from core.geo.sources.base import missing_key
from core.geo.sources.sniffing import load_picture, sniff
from ui.shell import jobs, state
from ui.shell.pictures import pictures
from ui.shell.session_store import Item, SessionStore, sessions

SOURCE = "imagery"
MAX_BYTES = 500 * 2**20
SUFFIXES = {"raster": ".tif", "picture": ".png"}


class UploadError(ExplorerError):
    """A file that cannot be stored."""


def content(file: Uploaded, most_mb: int) -> bytes:
    """The bytes of an upload. Raises UploadError above `most_mb`, which is below the server's own limit."""
    if file.size > most_mb * 2**20:
        raise UploadError(
            f"The file is larger than {most_mb} MB: crop it, or ask the owner to start the server "
            "with the folder that contains it."
        )
    return file.getvalue()


class UploadedImagery(Source):
    """The source of uploaded imagery. Whoever has a file's key may read that file.

    Decoded pictures are kept until the session that opened them has closed; one of 64 million pixels holds
    170 MB.
    """

    def __init__(self, store: SessionStore = sessions) -> None:
        super().__init__(SOURCE, SourceInfo("Uploaded imagery", "upload", 0))
        self._store = store

    def keys(self) -> tuple[str, ...]:
        """Return no keys: a key gives access."""
        return ()

    def entry(self, key: str) -> Entry:
        """The entry of one file."""
        file = file_of(key)
        if file is None:
            raise missing_key(self.info.title, key)
        return Entry(key, file.stem.rpartition("-")[0] or file.stem)

    def _open(self, key: str) -> Picture:
        file = file_of(key)
        if file is None:
            raise missing_key(self.info.title, key)
        session_id = state.session_id()
        self._store.put("opened imagery", session_id, Item(session_id, delete=self._picture.cache_clear))
        return load_picture(file, untrusted=True)


def store_upload(owner: str, data: bytes, name: str) -> Path:
    """Store an upload on disk for its owner's jobs under a generated name; equal files are stored once.

    Raises UploadError if the owner's uploads are full, and GeoError if it is not a readable picture.
    """
    kind = sniff(data[:64], name[:80])
    open_source(data, name=name[:80])
    digest = hashlib.sha256(owner.encode() + data).hexdigest()
    folder = jobs.JOBS / owner / jobs.UPLOADS / digest[:32]
    file = folder / f"{_safe_stem(name)}-{digest[:6]}{SUFFIXES[kind]}"
    if not file.is_file():
        stored = sum(other.stat().st_size for other in folder.parent.glob("*/*"))
        if stored + len(data) > MAX_BYTES:
            raise UploadError(
                f"Your uploads already take {stored // 2**20} of {MAX_BYTES // 2**20} MB: "
                "delete a table made from one, then try again."
            )
        jobs.require_room(owner, len(data))
        write_atomic(file, data)
        folder.parent.parent.chmod(0o700)
    os.utime(folder)
    return file


@contextmanager
def weights_for_a_job(owner: str) -> Generator[Callable[[Path], Path]]:
    """Copy a session's uploaded weights for a job, which outlives the session; deleted with the job.

    If the job is not started after all, its copies are deleted.
    """
    copies: list[Path] = []

    def copy(path: Path) -> Path:
        jobs.require_room(owner, path.stat().st_size)
        target = jobs.JOBS / owner / jobs.UPLOADS / secrets.token_hex(16) / path.name
        target.parent.mkdir(parents=True)
        copies.append(target)
        (jobs.JOBS / owner).chmod(0o700)
        shutil.copyfile(path, target)
        return target

    try:
        yield copy
    except BaseException:
        for target in copies:
            shutil.rmtree(target.parent, ignore_errors=True)
        raise


def file_of(key: str) -> Path | None:
    """The file of a key, or None."""
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        return None
    return next(
        (file for file in jobs.JOBS.glob(f"*/{jobs.UPLOADS}/{key}/*") if file.suffix in SUFFIXES.values()),
        None,
    )


def ref_of(path: str | Path) -> TileRef | None:
    """The reference of a picture in an uploaded file; None for other files."""
    key = Path(path).parent.name
    return TileRef(SOURCE, key) if file_of(key) == Path(path) else None


def ref_in(table: Path | None, name: str) -> TileRef | None:
    """The picture that a job's table was made from, by name or end of path; None for another source."""
    job = jobs.job_of_table(table) if table is not None else None
    of_that_name = (
        source
        for source in (job.spec.sources if job else ())
        if f"/{Path(source).as_posix()}".endswith(f"/{name}")
    )
    return next((ref_of(source) for source in of_that_name), None)


def access_problem(ref: TileRef) -> str:
    """Why this session may not see a picture: another user's upload, or deleted. "" if it may."""
    if ref.source == pictures.source.name and not pictures.open_to(
        ref.key, state.session_id(), state.cookie()
    ):
        return (
            "it is a picture that somebody uploaded, and only their browser may see it "
            "while its tab is open: upload yours here."
        )
    if ref.source == SOURCE and not belongs_to(state.owner(), ref.key):
        return (
            "it is imagery that somebody uploaded for their own tables: "
            "upload yours in the Globe's My imagery."
        )
    return ""


def belongs_to(owner: str, key: str) -> bool:
    """Whether a file uploaded for jobs belongs to an owner."""
    file = file_of(key)
    return file is not None and file.is_relative_to(jobs.JOBS / owner) and jobs.is_owner(owner)


def _safe_stem(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(name).stem).strip("-")[:40] or "picture"
