"""Object storage that speaks S3: put, get, list, delete, and writes that fail if another process was first.

A put replaces an object in one step, so readers see the old or the new bytes, never a part. Credentials and
the region come from the usual AWS_* variables, and AWS_ENDPOINT_URL names another server, such as MinIO's.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import online
from .addresses import require_allowed
from .online import OnlineError

ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?([^\x00-\x1f\x7f]*)")
CONNECT_S, WAIT_S, RETRY_S = 10.0, 60.0, 60.0
"""Seconds to connect, for one request, and for all attempts at it."""
RETRIES = 8
FULL = re.compile(r"status code: 507|QuotaExceeded|StorageFull")
STATUS = re.compile(r"status code: (\d{3})")


class StoreError(OnlineError):
    """Object storage that refuses a request or cannot be reached; what is stored stays as it was.

    `problem` and `advice` are the halves of the sentence.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}.")
        self.problem, self.advice = problem, advice


class TakenError(Exception):
    """Another process created or replaced the object first."""


@dataclass(frozen=True)
class StoredObject:
    """The bytes of an object, and the tag of this version of it."""

    data: bytes
    tag: str


def is_address(text: str | Path) -> bool:
    """Tell whether a text is the address of object storage."""
    return str(text).startswith("s3://")


class ObjectStore:
    """The objects below an address, s3://BUCKET/PREFIX, by their names relative to it.

    Nothing connects before the first request. Raises OnlineError while online access is off, and StoreError.
    """

    def __init__(self, address: str, *, asked: bool = False) -> None:
        match = ADDRESS.fullmatch(address)
        if match is None or any(part in ("", ".", "..") for part in match[2].rstrip("/").split("/")):
            raise OnlineError(
                f"{address[:80]!r} is not an address in object storage: give s3://BUCKET/FOLDER."
            )
        self.address = f"s3://{match[1]}/{match[2].rstrip('/')}"
        if not online.is_on(asked):
            raise OnlineError(f"{self.address} is on the internet and online access is off: {online.HOW}.")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            require_allowed(endpoint, online.local_allowed())
        if importlib.util.find_spec("obstore") is None:
            raise OnlineError(
                f"{self.address} needs the package obstore: pip install 'earth-mae-explorer[store]'."
            )
        self._obstore: Any = importlib.import_module("obstore")
        self._store: Any = importlib.import_module("obstore.store").S3Store(
            match[1],
            prefix=match[2].rstrip("/"),
            **({"endpoint": endpoint} if endpoint else {}),
            client_options={
                "allow_http": online.local_allowed(),
                "connect_timeout": timedelta(seconds=CONNECT_S),
                "timeout": timedelta(seconds=WAIT_S),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)},
        )

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.address.rpartition("/")[2]

    def put(self, name: str, data: bytes | Path) -> None:
        """Write or replace an object; one request, so that a killed process leaves no part of it."""
        with self._sentences():
            self._obstore.put(self._store, name, data, use_multipart=False)

    def create(self, name: str, data: bytes) -> str:
        """Write an object that must not exist yet, and return its tag. Raises TakenError."""
        return self._put_if(name, data, "create")

    def replace(self, name: str, data: bytes, tag: str) -> str:
        """Replace the version of an object that has this tag, and return the new tag. Raises TakenError."""
        return self._put_if(name, data, {"e_tag": tag})

    def get(self, name: str) -> StoredObject:
        """Read an object. Raises FileNotFoundError."""
        with self._sentences():
            found = self._obstore.get(self._store, name)
            return StoredObject(bytes(found.bytes()), found.meta["e_tag"] or "")

    def download(self, name: str, target: Path) -> None:
        """Write an object to a file, in pieces. Raises FileNotFoundError, and OSError of the disk."""
        with self._sentences():
            pieces = iter(self._obstore.get(self._store, name).stream())
        with target.open("wb") as file:
            while True:
                with self._sentences():
                    piece = next(pieces, None)
                if piece is None:
                    return
                file.write(piece)

    def exists(self, name: str) -> bool:
        """Tell whether there is an object of this name."""
        return self.modified(name) is not None

    def modified(self, name: str) -> datetime | None:
        """Return when an object was written, by the clock of the storage; None if there is none."""
        try:
            with self._sentences():
                return self._obstore.head(self._store, name)["last_modified"]
        except FileNotFoundError:
            return None

    def names(self, folder: str = "") -> list[str]:
        """Return the names of all objects, or of those in a folder, without that of the folder."""
        with self._sentences():
            pages = self._obstore.list(self._store, prefix=folder or None)
            paths = [str(each["path"]) for page in pages for each in page]
        return [path.removeprefix(f"{folder}/") for path in paths] if folder else paths

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, if they exist."""
        if names:
            with self._sentences():
                self._obstore.delete(self._store, list(names))

    def _put_if(self, name: str, data: bytes, mode: Any) -> str:
        errors = self._obstore.exceptions
        with self._sentences():
            try:
                result = self._obstore.put(self._store, name, data, mode=mode, use_multipart=False)
            except (errors.AlreadyExistsError, errors.PreconditionError, errors.NotFoundError) as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise TakenError from None
            return result["e_tag"] or ""

    @contextmanager
    def _sentences(self) -> Generator[None]:
        """Turn errors of the library into StoreError; its messages quote the answer and are not shown."""
        errors = self._obstore.exceptions
        try:
            yield
        except (errors.BaseError, FileNotFoundError, PermissionError) as error:
            raise self._told(error, str(error)) from None

    def _told(self, error: Exception, message: str) -> Exception:
        status = match[1] if (match := STATUS.search(message)) else ""
        if "NoSuchBucket" in message:
            return StoreError(f"The bucket of {self.address} does not exist", "create it, or check the name")
        if isinstance(error, FileNotFoundError):
            return FileNotFoundError(2, "No such object", self.address)
        if FULL.search(message):
            return StoreError(f"{self.address} is full", "free some space or raise the quota")
        if isinstance(error, PermissionError) or status in ("400", "401", "403"):
            return StoreError(
                f"{self.address} refuses access{f' ({status})' if status else ''}",
                "check the AWS_* variables with the key and the region, and what the key may do",
            )
        if status.startswith("3"):
            return StoreError(f"{self.address} is in another region ({status})", "set AWS_REGION")
        if status == "501":
            return StoreError(
                f"{self.address} does not support conditional writes (501)", "use a server that does"
            )
        if status:
            return StoreError(f"{self.address} is busy or failing ({status})", "wait a minute")
        return StoreError(f"{self.address} cannot be reached", "check the network and AWS_ENDPOINT_URL")
