"""The right to write to a run in object storage, which has no locks that end with their process.

The holder keeps an object there and replaces it every few seconds; each replacement names the version that it
replaces, so only one process can hold it. Who wants it watches: a change means that the holder is alive, and
none for LEASE_S that it has died. No clock is compared with that of another machine.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress

from ...net.object_store import ObjectStore, StoredObject, StoreError, TakenError
from .spec import EmbeddingError

LEASE = "_lease.json"
RENEW_S = 5.0
LEASE_S = 30.0
"""Without a renewal for so long, a holder is taken to be dead."""
POLL_S = 1.0


class Lease:
    """The right to write to a run, from `claimed`; `require` checks that it was not lost."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._token, self._tag = store, uuid.uuid4().hex, ""
        self._renewals = 0
        self._lost = False
        self._held_at = 0.0
        self._turn = threading.Lock()

    def require(self) -> None:
        """Raise EmbeddingError if another process has taken over, for instance while this one was paused."""
        if not self._lost and time.monotonic() - self._held_at > LEASE_S / 2:
            self._renew()
        if self._lost:
            raise EmbeddingError(
                f"Another embedding run has taken over {self._store.address}, because nothing was heard of "
                "this one: let the other finish; nothing is lost."
            )

    @contextmanager
    def claimed(self) -> Generator[None]:
        """Claim the right, keep it with a thread, and give it back at the end."""
        self._claim()
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            if not self._lost:
                with suppress(StoreError, FileNotFoundError):  # it ends by itself
                    self._store.delete([LEASE])

    def _claim(self) -> None:
        """Create the object, or replace one that is not renewed. Raises EmbeddingError if it is."""
        seen: StoredObject | None = None
        since = 0.0
        while True:
            began = time.monotonic()
            with suppress(TakenError, FileNotFoundError):
                if seen is None:
                    self._tag = self._store.create(LEASE, self._content())
                elif began - since > LEASE_S:
                    self._tag = self._store.replace(LEASE, self._content(), seen.tag)
                self._held_at = began
                if self._tag:
                    return
            try:
                now = self._store.get(LEASE)
            except FileNotFoundError:
                seen = None
                continue
            if self._token.encode() in now.data:  # created by an attempt whose answer was lost
                self._tag, self._held_at = now.tag, began
                return
            if seen is not None and now.data != seen.data:
                raise EmbeddingError(
                    f"Another embedding run (process {_holder(now.data)}) is writing to "
                    f"{self._store.address}: wait for it, stop it, or choose another folder."
                )
            if seen is None:
                seen, since = now, time.monotonic()
            time.sleep(POLL_S)

    def _keep(self, ended: threading.Event) -> None:
        while not self._lost and not ended.wait(RENEW_S):
            with suppress(StoreError):  # the next attempt may succeed; `require` reports it otherwise
                self._renew()

    def _renew(self) -> None:
        with self._turn:
            began = time.monotonic()
            self._renewals += 1
            try:
                self._tag = self._store.replace(LEASE, self._content(), self._tag)
            except TakenError:
                self._lost = not self._is_ours()
            self._held_at = began

    def _is_ours(self) -> bool:
        """Tell whether the object is ours after all: a replacement whose answer was lost is sent again."""
        try:
            now = self._store.get(LEASE)
        except FileNotFoundError:
            return False
        self._tag = now.tag
        return self._token.encode() in now.data

    def _content(self) -> bytes:
        values = {"process": os.getpid(), "host": platform.node(), "run": self._token}
        return json.dumps({**values, "renewals": self._renewals}).encode()


def _holder(data: bytes) -> str:
    """Return process and machine of the holder, as far as its object tells."""
    with suppress(ValueError, KeyError, TypeError):
        values = json.loads(data)
        return f"{values['process']} on {values['host']}"
    return "unknown"
