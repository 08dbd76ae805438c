"""A globe beside a projection of the embeddings, with one selection on both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from core.browser.polygon import PolygonError, decode_polygon, encode_polygon
from core.errors import ExplorerError

from .news import StateNews
from .picture import local_address
from .registered import renderer

Side = Literal["globe", "plane"]
Kind = Literal["lasso", "box", "click", "none"]
MAX_IDS = 200
MAX_RINGS = 1000
OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
"""Eight colours that stay apart for colour-blind readers (Okabe and Ito 2008)."""


class GlobeError(ExplorerError):
    """Settings that the globe cannot show."""


@dataclass(frozen=True)
class Selection:
    """What was selected and where.

    side: "globe" (polygon in degrees longitude, latitude; may run past 180) or "plane" (polygon in projection
    units). kind: "lasso", "box", "click" (polygon holds the one place clicked; ids the point there, if any)
    or "none" (nothing is selected). count: points inside; ids: row numbers of at most 200 of them. Membership
    of all: `polygon.contains(polygon, ..., wraps=side == "globe")`.
    """

    side: Side
    kind: Kind
    polygon: tuple[tuple[float, float], ...] = ()
    count: int = 0
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Camera:
    """What both maps show: the Earth as "globe" or "flat" (plate carree), and the projection.

    lon, lat: the centre in degrees; x, y: the projection's centre in its own units. zoom: on the globe 0
    shows the Earth 163 px across, on the flat map 0 is 1 px a degree, and each step doubles the scale.
    plane_zoom: None shows the whole projection.
    """

    view: Literal["globe", "flat"] = "globe"
    lon: float = 10.0
    lat: float = 20.0
    zoom: float = 0.6
    x: float | None = None
    y: float | None = None
    plane_zoom: float | None = None


@dataclass(frozen=True)
class FlyTo:
    """A request to fly to a place, carried out once for each new `token`."""

    lon: float
    lat: float
    zoom: float = 4.0
    token: str = ""


@dataclass(frozen=True)
class Legend:
    """What the colours mean.

    `entries` (label, palette position) name classes, `scale` (low, high) the ends of a colour ramp, and
    `wheel` gives the colours around a disc, for colours without names. `note` is a sentence below.
    """

    title: str
    entries: tuple[tuple[str, int], ...] = ()
    scale: tuple[str, str] | None = None
    wheel: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Ring:
    """A ring around one point on both maps, such as a neighbour or the selected place."""

    id: int
    colour: str = "#ffffff"
    label: str = ""


@dataclass(frozen=True)
class Still:
    """Addresses of pictures for a browser without WebGL 2: the whole Earth as a flat map, and the projection.

    bounds: left, bottom, right and top of the projection, in its units. A click comes back as a Selection of
    kind "click" without ids.
    """

    globe_url: str | None
    plane_url: str | None
    bounds: tuple[float, float, float, float]


@dataclass(frozen=True)
class GlobeState:
    """What the user did since the globe was last drawn; None means nothing new.

    no_webgl: this browser cannot draw it, so the page must draw a picture instead. selected_on: the address
    of the points that were shown when the selection was made, whose row numbers `ids` holds. selected_about,
    camera_about: the page's name for those points.
    """

    selection: Selection | None = None
    camera: Camera | None = None
    no_webgl: bool = False
    problem: str | None = None
    selected_on: str = ""
    selected_about: str = ""
    camera_about: str = ""


def globe_news(key: str = "linked_globe") -> GlobeState:
    """Return what the user did on the globe of this key since it was last drawn.

    Call it before `linked_globe`, and pass that the selection and camera that follow from it.
    """
    selected, moved = (StateNews(key, name).news() for name in ("selection", "camera"))
    state = st.session_state.get(key)
    status = (state.get("status") if isinstance(state, dict) else None) or {}
    return GlobeState(
        selection=_selection_from_browser(selected),
        camera=_camera_from_browser(moved),
        no_webgl=status.get("webgl") is False,
        problem=status.get("problem"),
        selected_on=str((selected or {}).get("points", "")),
        selected_about=str((selected or {}).get("about", "")),
        camera_about=str((moved or {}).get("about", "")),
    )


def linked_globe(
    points_url: str,
    *,
    about: str = "",
    colours_url: str | None = None,
    palette: Sequence[str] = OKABE_ITO,
    legend: Legend | None = None,
    basemap_url: str | None = None,
    surface_url: str | None = None,
    coast_url: str | None = None,
    thumbnail_url: str | None = None,
    selection: Selection | None = None,
    camera: Camera | None = None,
    fly_to: FlyTo | None = None,
    reveal: str = "",
    rings: Sequence[Ring] = (),
    draw: Literal["auto", "points", "cells"] = "auto",
    height_px: int = 520,
    label: str = "Embeddings",
    report_camera: bool = True,
    still: Still | None = None,
    key: str = "linked_globe",
    on_change: Callable[[], None] | None = None,
) -> None:
    """Show points on the Earth and in their projection, with one selection on both.

    points_url: address on this server of `encode_points` bytes. colours_url: of `encode_colours` bytes; None
    colours by class. palette: at most 256 colours "#rrggbb". basemap_url: a plate-carree picture of the whole
    Earth. surface_url: of `encode_surface` bytes; the colours then fill the map without gaps. coast_url: of
    `encode_points` bytes with coastlines in place of points, each ended by NaN. thumbnail_url: a template
    with "{id}" for the row number, shown on hover. selection, camera: what to show, after the page has
    applied `globe_news`; without a camera both maps show all of their points. about: the page's name for the
    points, returned with each event. reveal: a changed text scrolls the page to the globe. report_camera:
    whether the page reruns 0.6 s after the camera has moved. still: what to show in a browser that reported
    `no_webgl`.

    Raises GlobeError for settings out of range and PictureError for an address on another host.
    """
    if not 1 <= len(palette) <= 256:
        raise GlobeError(f"A palette of {len(palette)} colours cannot be shown: use 1 to 256 colours.")
    if len(rings) > MAX_RINGS:
        raise GlobeError(f"{len(rings)} rings are too many: use at most {MAX_RINGS}.")
    data = {
        "points": local_address(points_url),
        "about": about,
        "colours": colours_url and local_address(colours_url),
        "palette": list(palette),
        "legend": legend
        and {
            "title": legend.title,
            "entries": legend.entries,
            "scale": legend.scale,
            "wheel": legend.wheel,
            "note": legend.note,
        },
        "basemap": basemap_url and local_address(basemap_url),
        "surface": surface_url and local_address(surface_url),
        "coast": coast_url and local_address(coast_url),
        "thumbnail": thumbnail_url and local_address(thumbnail_url),
        "selection": _selection_to_browser(selection),
        "knownSelection": StateNews(key, "selection").settle(),
        "camera": camera and _camera_to_browser(camera),
        "knownCamera": StateNews(key, "camera").settle(),
        "flyTo": fly_to
        and {"lon": fly_to.lon, "lat": fly_to.lat, "zoom": fly_to.zoom, "token": fly_to.token},
        "reveal": reveal,
        "rings": [[ring.id, ring.colour, ring.label] for ring in rings],
        "draw": draw,
        "height": height_px,
        "label": label,
        "reportCamera": report_camera,
        "still": still
        and {
            "globe": still.globe_url and local_address(still.globe_url),
            "plane": still.plane_url and local_address(still.plane_url),
            "bounds": still.bounds,
        },
    }
    callback = on_change or _nothing
    renderer("linked_globe")(
        key=key, data=data, on_selection_change=callback, on_camera_change=callback, on_status_change=callback
    )


def _nothing() -> None:
    """Do nothing: Streamlit reports a state only if it has a callback."""


def _selection_to_browser(selection: Selection | None) -> dict[str, Any] | None:
    if selection is None or selection.kind == "none":
        return None
    return {
        "side": selection.side,
        "kind": selection.kind,
        "polygon": encode_polygon(selection.polygon),
        "ids": list(selection.ids),
    }


def _selection_from_browser(value: dict[str, Any] | None) -> Selection | None:
    match value:
        case {
            "side": "globe" | "plane" as side,
            "kind": "lasso" | "box" | "click" | "none" as kind,
            "polygon": str(text),
            "count": int(count),
            "ids": list(ids),
        }:
            rows = tuple(row for row in ids[:MAX_IDS] if isinstance(row, int) and row >= 0)
            return Selection(side, kind, decode_polygon(text), count, rows)
        case None:
            return None
        case _:
            raise PolygonError(
                "The selection from the browser is invalid: reload the page and draw it again."
            )


def _camera_to_browser(camera: Camera) -> dict[str, Any]:
    return {
        "view": camera.view,
        "map": [camera.lon, camera.lat, camera.zoom],
        "plane": [camera.x, camera.y, camera.plane_zoom],
    }


def _camera_from_browser(value: dict[str, Any] | None) -> Camera | None:
    match value:
        case {"view": "globe" | "flat" as view, "map": [lon, lat, zoom], "plane": [x, y, plane_zoom]}:
            return Camera(
                view,
                float(lon),
                float(lat),
                float(zoom),
                *(None if v is None else float(v) for v in (x, y, plane_zoom)),
            )
        case _:
            return None
