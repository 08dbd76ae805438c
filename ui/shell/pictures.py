"""Pictures that users upload to look at: each belongs to one session and is deleted after that session ends.

The picture's key is in the address bar. Whoever opens a copy of that address in another browser is told that the picture is not
available to them. A reloaded tab finds it again for `GRACE_S`, identified by the browser's cookie.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string, validate_xsrf_token

from core.geo import TileRef, Uploads
from ui.shell.routes import connected

GRACE_S, SWEEP_S = 120.0, 15.0


@dataclass(eq=False)
class _Owned:
    session_id: str
    cookie: str | None
    seen: float


class Pictures:
    """Who owns each upload. Thread-safe; the pictures themselves are in `source`."""

    def __init__(
        self,
        source: Uploads | None = None,
        alive: Callable[[str], bool] = connected,
        *,
        grace_s: float = GRACE_S,
        sweep_s: float | None = SWEEP_S,
    ) -> None:
        self.source = source or Uploads()
        self._alive, self._grace_s, self._sweep_s = alive, grace_s, sweep_s
        self._lock = threading.Lock()
        self._owned: dict[str, _Owned] = {}
        self._sweeper: threading.Thread | None = None

    def take_in(
        self,
        session_id: str,
        data: bytes,
        name: str,
        *,
        gsd_m: float | None = None,
        cookie: str | None = None,
    ) -> TileRef:
        """Store a picture for a session and return its reference. Raises GeoError if it cannot be stored."""
        ref = self.source.add(data, name, gsd_m=gsd_m, owner=_browser(cookie) or session_id)
        with self._lock:
            held = set(self.source.keys())
            self._owned = {key: one for key, one in self._owned.items() if key in held}
            self._owned[ref.key] = _Owned(session_id, cookie, time.monotonic())
            if self._sweep_s is not None and self._sweeper is None:
                self._sweeper = threading.Thread(
                    target=self._sweep_on, args=(self._sweep_s,), name="clean-up of pictures", daemon=True
                )
                self._sweeper.start()
        return ref

    def open_to(self, key: str, session_id: str, cookie: str | None) -> bool:
        """Whether a session, or its browser, uploaded a picture. Takes over the picture of a closed tab."""
        with self._lock:
            one = self._owned.get(key)
            if one is None or key not in set(self.source.keys()):
                return False
            if one.session_id == session_id:
                return True
            if not one.cookie or not validate_xsrf_token(one.cookie, cookie):
                return False
            if not self._alive(one.session_id):
                one.session_id, one.seen = session_id, time.monotonic()
            return True

    def sweep(self) -> None:
        """Delete the pictures of sessions that closed longer ago than the grace time."""
        with self._lock:
            now = time.monotonic()
            for one in self._owned.values():
                one.seen = now if self._alive(one.session_id) else one.seen
            gone = [key for key, one in self._owned.items() if now - one.seen > self._grace_s]
            for key in gone:
                del self._owned[key]
        for key in gone:
            self.source.remove(key)

    def _sweep_on(self, every_s: float) -> None:
        while True:
            time.sleep(every_s)
            self.sweep()


def _browser(cookie: str | None) -> str:
    """The token inside a cookie, unmasked, as hex; "" if there is none."""
    token = decode_xsrf_token_string(cookie)[0] if cookie else None
    return token.hex() if token else ""


pictures = Pictures()
