"""What the Globe page shows, as one value, and how it is written to and read from the page's address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from earth_mae_components import Camera, Selection, decode_polygon, encode_polygon

from core.errors import ExplorerError
from ui.shell import state

PANEL_PARAMS = ("labels", "with", "search", "groups")
"""Names of the address parameters in which panels may keep a short text."""
MAX_PARAM_CHARS = 400

PROJECTIONS: dict[str, Literal["globe", "flat"]] = {"g": "globe", "f": "flat"}
SIDES: dict[str, Literal["globe", "plane"]] = {"g": "globe", "p": "plane"}
KINDS: dict[str, Literal["lasso", "box", "click"]] = {"l": "lasso", "b": "box", "c": "click"}
MAX_UNDO_STEPS = 50
_VIEW, _WRITTEN, _HISTORY, _LINKED_PLACE = (
    "globe view",
    "globe address",
    "globe history",
    "globe linked place",
)


@dataclass(frozen=True)
class GlobePageView:
    """What the Globe page shows, in plain values.

    `table` is the name of the open table ("": the first one). `model` and `gsd_m` choose among its rows (""
    and 0: all rows). `by` says what the colours show: "appearance", "groups", "similar", "painted" (a panel's
    layer) or "column:NAME". `place` is the unique_id of the selected place. `land_only` leaves out the
    sea (None: only in the table that comes with the app). `panel_params` holds the panels'
    short texts as (name, text) pairs.
    """

    table: str = ""
    model: str = ""
    gsd_m: float = 0.0
    by: str = "appearance"
    camera: Camera | None = None
    selection: Selection | None = None
    place: str = ""
    land_only: bool | None = None
    panel_params: tuple[tuple[str, str], ...] = ()

    def panel_param(self, name: str) -> str:
        """Return a panel's text, or "" if it has none."""
        return dict(self.panel_params).get(name, "")


def globe_view() -> GlobePageView:
    """Return what the Globe page shows in this session."""
    return state.recall(_VIEW, GlobePageView())


def set_globe_view(view: GlobePageView, *, remember: bool = True) -> None:
    """Show `view` from the next run on. `undo` returns to the previous one, unless only the camera moved."""
    current = globe_view()
    if view == current:
        return
    if remember and replace(current, camera=None) != replace(view, camera=None):
        state.keep(_HISTORY, (*state.recall(_HISTORY, ()), current)[-MAX_UNDO_STEPS:])
    state.keep(_VIEW, view)


def undo() -> None:
    """Return to what was shown before the last change; the camera stays, unless the table changes."""
    history: tuple[GlobePageView, ...] = state.recall(_HISTORY, ())
    if history:
        state.keep(_HISTORY, history[:-1])
        current, previous = globe_view(), history[-1]
        same_table = previous.table == current.table
        state.keep(_VIEW, replace(previous, camera=current.camera) if same_table else previous)


def can_undo() -> bool:
    """Tell whether there is a change to undo."""
    return bool(state.recall(_HISTORY, ()))


def restore() -> tuple[str, ...]:
    """Apply the address after a link, a reload or the back button; return sentences on ignored parts."""
    params, written = state.address_params(state.GLOBE_PARAMS), state.recall(_WRITTEN, None)
    if not params or params == written or not state.follows_address(written):
        return ()
    view, ignored = from_params(params)
    state.keep(_VIEW, view)
    state.keep(_LINKED_PLACE, view.place if view.camera is None else "")
    state.keep(_WRITTEN, params)  # apply an address only once, even if this run ends early
    return ignored


def opened_by_link() -> bool:
    """Tell, once, whether a link selected the current place without giving a camera position."""
    linked = state.recall(_LINKED_PLACE, "")
    state.keep(_LINKED_PLACE, "")
    return bool(linked) and linked == globe_view().place


def publish() -> None:
    """Write what is shown into the address bar."""
    params = to_params(globe_view())
    state.publish_params(state.GLOBE_PARAMS, params, written=state.recall(_WRITTEN, None))
    state.keep(_WRITTEN, params)


def to_params(view: GlobePageView) -> dict[str, str]:
    """Return the address parameters of a view; defaults are left out."""
    rows = "~".join(part for part in (view.model, f"{view.gsd_m:g}m" if view.gsd_m else "") if part)
    params = {
        "table": view.table,
        "rows": rows,
        "by": "" if view.by == "appearance" else view.by,
        "cam": _camera_text(view.camera),
        "area": _area_text(view.selection),
        "place": view.place,
        "land": "" if view.land_only is None else str(int(view.land_only)),
        **dict(view.panel_params),
    }
    return {name: value for name, value in params.items() if value}


def from_params(params: Mapping[str, str]) -> tuple[GlobePageView, tuple[str, ...]]:
    """Read untrusted address parameters.

    Invalid ones are ignored and reported in a sentence each; nothing raises.
    """
    texts = {name: params.get(name, "") for name in PANEL_PARAMS}
    view = GlobePageView(
        panel_params=tuple(
            (name, text[:MAX_PARAM_CHARS]) for name, text in texts.items() if text and text.isprintable()
        )
    )
    ignored: list[str] = []
    readers = {
        "table": _table,
        "rows": _rows,
        "by": _by,
        "cam": _camera,
        "area": _area,
        "place": _place,
        "land": _land,
    }
    for name, read in readers.items():
        if text := params.get(name):
            try:
                view = read(view, text)
            except (ExplorerError, ValueError, KeyError) as problem:
                reason = str(problem) if isinstance(problem, ExplorerError) else "Its value is invalid."
                ignored.append(f'"{name}" in the link was ignored. {reason}')
    return view, tuple(ignored)


def _camera_text(camera: Camera | None) -> str:
    if camera is None:
        return ""
    plane = ",".join(
        "" if value is None else f"{value:.4g}" for value in (camera.x, camera.y, camera.plane_zoom)
    )
    return f"{camera.view[0]},{camera.lon:.2f},{camera.lat:.2f},{camera.zoom:.2f}" + (
        f",{plane}" if plane.strip(",") else ""
    )


def _camera(view: GlobePageView, text: str) -> GlobePageView:
    projection, *numbers = text.split(",")
    lon, lat, zoom = (float(number) for number in numbers[:3])
    x, y, plane_zoom = (*(float(number) if number else None for number in numbers[3:]), None, None, None)[:3]
    if (
        len(numbers) not in (3, 6)
        or not all(abs(n or 0) < 1e9 for n in (lon, lat, zoom, x, y, plane_zoom))
        or abs(lat) > 90
    ):
        raise ValueError(text)
    return replace(view, camera=Camera(PROJECTIONS[projection], lon, lat, zoom, x, y, plane_zoom))


def _area_text(selection: Selection | None) -> str:
    if selection is None or selection.kind in ("none", "click"):
        return ""
    return f"{selection.side[0]}{selection.kind[0]}{encode_polygon(selection.polygon)}"


def _area(view: GlobePageView, text: str) -> GlobePageView:
    side, kind = SIDES[text[:1]], KINDS[text[1:2]]
    return replace(view, selection=Selection(side, kind, decode_polygon(text[2:])))


def _table(view: GlobePageView, text: str) -> GlobePageView:
    if len(text) > 120 or not text.isprintable():
        raise ValueError(text)
    return replace(view, table=text)


def _rows(view: GlobePageView, text: str) -> GlobePageView:
    model, _, gsd = text.rpartition("~")
    if not re.fullmatch(r"[\d.e+]+m", gsd):
        model, gsd = text, ""
    if len(model) > 200 or not model.isprintable():
        raise ValueError(text)
    return replace(view, model=model, gsd_m=float(gsd[:-1]) if gsd else 0.0)


def _by(view: GlobePageView, text: str) -> GlobePageView:
    if not re.fullmatch(r"groups|similar|column:\w{1,60}", text):
        raise (
            ValueError(text)
            if text != "painted"
            else ExplorerError(
                "Colours computed by a panel are not part of a link. Switch them on in the panel."
            )
        )
    return replace(view, by=text)


def _land(view: GlobePageView, text: str) -> GlobePageView:
    if text not in ("0", "1"):
        raise ValueError(text)
    return replace(view, land_only=text == "1")


def _place(view: GlobePageView, text: str) -> GlobePageView:
    if len(text) > 200 or not text.isprintable():
        raise ValueError(text)
    return replace(view, place=text)
