"""Pictures that users upload to look at: each belongs to one session and is deleted after that session ends.

The picture's key is in the address bar. Whoever opens a copy of that address in another browser is told that
the picture is not available to them.
"""

from __future__ import annotations

from functools import partial

from streamlit.web.server.starlette.starlette_app_utils import decode_xsrf_token_string

from core.geo import TileRef, Uploads
from ui.shell.session_store import Item, SessionStore, sessions

PICTURE = "picture"


class Pictures:
    """Who owns each uploaded picture. Thread-safe; the pictures themselves are in `source`."""

    def __init__(self, source: Uploads | None = None, store: SessionStore = sessions) -> None:
        self.source = source or Uploads()
        self._store = store

    def add(
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
        delete = partial(self.source.remove, ref.key)
        self._store.put(PICTURE, ref.key, Item(session_id, cookie=cookie, delete=delete))
        for key in self._store.items(PICTURE).keys() - set(self.source.keys()):
            self._store.remove(PICTURE, key)  # it made room for this one
        return ref

    def open_to(self, key: str, session_id: str, cookie: str | None) -> bool:
        """Whether a session, or its browser, uploaded a picture. Takes over the picture of a closed tab."""
        item = self._store.get(PICTURE, key)
        if item is None or key not in set(self.source.keys()):
            return False
        if item.session_id == session_id:
            return True
        self._store.adopt(PICTURE, key, session_id, cookie)
        return item.same_browser(cookie)


def _browser(cookie: str | None) -> str:
    """The token inside a cookie, unmasked, as hex; "" if there is none."""
    token = decode_xsrf_token_string(cookie)[0] if cookie else None
    return token.hex() if token else ""


pictures = Pictures()
