"""What the Globe page shows, as one spec: which rows, coloured by what, seen from where, with what selected; to and from the address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from earth_mae_components import Camera, Selection, decode_polygon, encode_polygon

from core.errors import ExplorerError
from ui.shell import state

NOTES = ("labels", "with", "search", "groups")
"""Names under which panels may leave a short text in the address."""

SIDES = {"g": "globe", "p": "plane"}
KINDS = {"l": "lasso", "b": "box", "c": "click"}
_SIGHT, _WRITTEN, _PAST, _LED = "globe sight", "globe address", "globe past", "globe led to"
MOST_PAST = 50


@dataclass(frozen=True)
class Sight:
    """Plain values. `table` names one of the tables here ("" the first); `model` and `gsd_m` choose among its rows ("" and 0: all).

    `by` says what the colours mean: "appearance", "groups", "similar", "painted" (a panel's layer) or "column:NAME". `place` is the
    identity (unique_id) of the row in hand. `notes` are the panels' own short texts by name.
    """

    table: str = ""
    model: str = ""
    gsd_m: float = 0.0
    by: str = "appearance"
    camera: Camera | None = None
    selection: Selection | None = None
    place: str = ""
    notes: tuple[tuple[str, str], ...] = ()

    def noted(self, name: str) -> str:
        """A panel's text, or ""."""
        return dict(self.notes).get(name, "")


def sight() -> Sight:
    """What this session's Globe page shows."""
    return state.recall(_SIGHT, Sight())


def look(to: Sight, *, remember: bool = True) -> None:
    """Show something else from the next run on; what was shown can be had back with `undo`, but for a mere move of the camera."""
    now = sight()
    if to == now:
        return
    if remember and replace(now, camera=None) != replace(to, camera=None):
        state.keep(_PAST, (*state.recall(_PAST, ()), now)[-MOST_PAST:])
    state.keep(_SIGHT, to)


def undo() -> None:
    """Go back to what was shown before the last change."""
    past: tuple[Sight, ...] = state.recall(_PAST, ())
    if past:
        state.keep(_PAST, past[:-1])
        now = sight()
        state.keep(_SIGHT, replace(past[-1], camera=now.camera) if past[-1].table == now.table else past[-1])


def can_undo() -> bool:
    """Tell whether there is anything to go back to."""
    return bool(state.recall(_PAST, ()))


def restore() -> tuple[str, ...]:
    """Take over what the address says when it is news (a link, reload, back); gives a sentence for each part that was left out."""
    asked, written = state.others(state.GLOBE), state.recall(_WRITTEN, None)
    if not asked or asked == written or not state.address_is_news(written):
        return ()
    found, left_out = from_params(asked)
    state.keep(_SIGHT, found)
    state.keep(_LED, found.place if found.camera is None else "")
    state.keep(_WRITTEN, asked)  # taken over once: a run that ends early must not hear it again
    return left_out


def led_to_place() -> bool:
    """Tell, once, that a link led to the place in hand without saying where to look from."""
    led = state.recall(_LED, "")
    state.keep(_LED, "")
    return bool(led) and led == sight().place


def publish() -> None:
    """Write what is shown into the address bar."""
    params = to_params(sight())
    state.publish_others(state.GLOBE, params, written=state.recall(_WRITTEN, None))
    state.keep(_WRITTEN, params)


def to_params(shown: Sight) -> dict[str, str]:
    """Give the parameters of the address, only those that say something."""
    rows = "~".join(part for part in (shown.model, f"{shown.gsd_m:g}m" if shown.gsd_m else "") if part)
    said = {
        "table": shown.table,
        "rows": rows,
        "by": "" if shown.by == "appearance" else shown.by,
        "cam": _camera_text(shown.camera),
        "area": _area_text(shown.selection),
        "place": shown.place,
        **dict(shown.notes),
    }
    return {name: value for name, value in said.items() if value}


def from_params(params: Mapping[str, str]) -> tuple[Sight, tuple[str, ...]]:
    """Read what came from outside; what cannot be meant is left out with a sentence, and nothing raises."""
    found, left_out = (
        Sight(
            notes=tuple(
                (name, params[name][:400])
                for name in NOTES
                if params.get(name, "").isprintable() and params.get(name)
            )
        ),
        [],
    )
    readers = {"table": _table, "rows": _rows, "by": _by, "cam": _camera, "area": _area, "place": _place}
    for name, read in readers.items():
        if text := params.get(name):
            try:
                found = read(found, text)
            except (ExplorerError, ValueError, KeyError) as problem:
                why = (
                    str(problem) if isinstance(problem, ExplorerError) else "it is not what this page writes."
                )
                left_out.append(f'The "{name}" of the link was left out: {why}')
    return found, tuple(left_out)


def _camera_text(camera: Camera | None) -> str:
    if camera is None:
        return ""
    plane = ",".join(
        "" if value is None else f"{value:.4g}" for value in (camera.x, camera.y, camera.plane_zoom)
    )
    return f"{camera.view[0]},{camera.lon:.2f},{camera.lat:.2f},{camera.zoom:.2f}" + (
        f",{plane}" if plane.strip(",") else ""
    )


def _camera(found: Sight, text: str) -> Sight:
    view, *numbers = text.split(",")
    lon, lat, zoom = (float(number) for number in numbers[:3])
    x, y, plane_zoom = (*(float(number) if number else None for number in numbers[3:]), None, None, None)[:3]
    if (
        len(numbers) not in (3, 6)
        or not all(abs(n or 0) < 1e9 for n in (lon, lat, zoom, x, y, plane_zoom))
        or abs(lat) > 90
    ):
        raise ValueError(text)
    return replace(found, camera=Camera({"g": "globe", "f": "flat"}[view], lon, lat, zoom, x, y, plane_zoom))  # pyright: ignore[reportArgumentType]


def _area_text(selection: Selection | None) -> str:
    if selection is None or selection.kind in ("none", "click"):
        return ""
    return f"{selection.side[0]}{selection.kind[0]}{encode_polygon(selection.polygon)}"


def _area(found: Sight, text: str) -> Sight:
    side, kind = SIDES[text[:1]], KINDS[text[1:2]]
    return replace(found, selection=Selection(side, kind, decode_polygon(text[2:])))  # pyright: ignore[reportArgumentType]


def _table(found: Sight, text: str) -> Sight:
    if len(text) > 120 or not text.isprintable():
        raise ValueError(text)
    return replace(found, table=text)


def _rows(found: Sight, text: str) -> Sight:
    model, _, gsd = text.rpartition("~")
    if not re.fullmatch(r"[\d.e+]+m", gsd):
        model, gsd = text, ""
    if len(model) > 200 or not model.isprintable():
        raise ValueError(text)
    return replace(found, model=model, gsd_m=float(gsd[:-1]) if gsd else 0.0)


def _by(found: Sight, text: str) -> Sight:
    if not re.fullmatch(r"groups|similar|column:\w{1,60}", text):
        raise (
            ValueError(text)
            if text != "painted"
            else ExplorerError(
                "colours that a panel computed are no part of a link; switch them on in the panel."
            )
        )
    return replace(found, by=text)


def _place(found: Sight, text: str) -> Sight:
    if len(text) > 200 or not text.isprintable():
        raise ValueError(text)
    return replace(found, place=text)
