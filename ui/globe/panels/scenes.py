"""Satellite scenes of a place on the page: asked for, shown with their previews and where they lie, one of them chosen."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import streamlit as st

from core.errors import ExplorerError
from core.geo import TileRef, TileSpec
from core.geo.sources.picture_file import decode_picture
from core.geo.sources.scenes import SatelliteScene, SceneQuery, search
from core.net.client import Web
from core.units import metres
from core.viz.footprints import located, span_m
from core.viz.sheet import jpeg
from ui.globe.rows import card
from ui.shell import cached, state
from ui.shell.escaping import plain

PREVIEW_PX, MAP_PX = 180, 360
FRESH_S = 600.0
"""How long an answer is kept: signed links live about an hour."""

_CHOSEN = "anywhere scene"


@dataclass(frozen=True)
class Asked:
    """A question and when it was asked, in spans of FRESH_S since the epoch."""

    query: SceneQuery
    when: float

    @classmethod
    def now(cls, query: SceneQuery) -> Asked:
        """Ask now; the same question within ten minutes has the same answer."""
        return cls(query, time.time() // FRESH_S)


def answer(asked: Asked) -> tuple[SatelliteScene, ...]:
    """The scenes that a catalogue names, with their previews fetched side by side. Raises OnlineError and GeoError."""

    def ask() -> tuple[SatelliteScene, ...]:
        web = Web()
        scenes = search(web, asked.query)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda scene: preview(scene, web), scenes))
        return scenes

    return cached.shelf("scene answers", 64).once(asked, ask)


def preview(scene: SatelliteScene, web: Web | None = None) -> bytes:
    """A scene's preview as a small JPEG, decoded here before it goes to a browser; a grey card where it cannot be had."""

    def fetch() -> bytes:
        if scene.thumbnail is None:
            return card("This scene has no preview")
        try:
            data = (web or Web()).picture(scene.thumbnail)
            pixels = decode_picture(data, "preview").pixels
        except ExplorerError:
            return card("The preview could not be fetched")
        every = max(1, min(pixels.shape[1:]) // PREVIEW_PX)
        small = pixels[:, ::every, ::every].astype(np.uint8).transpose(1, 2, 0)
        return jpeg(small if small.shape[2] == 3 else np.repeat(small, 3, axis=2), 85)

    return cached.shelf("previews", 512).once(
        (scene.collection, scene.id, scene.thumbnail and scene.thumbnail.partition("?")[0]), fetch
    )


def choose(scenes: tuple[SatelliteScene, ...]) -> SatelliteScene:
    """Show scenes as a strip of previews with date, cloud and a button each; gives the one chosen, the least cloudy at first."""
    chosen = next((scene for scene in scenes if scene.id == state.recall(_CHOSEN, "")), scenes[0])
    with st.container(horizontal=True, gap="small", key="scenes strip"):
        for n, scene in enumerate(scenes):
            with st.container(width=132, gap="small", key=f"scene {n}"):
                st.image(preview(scene), width="stretch", alt=f"Preview of the scene of {day(scene)}")
                st.caption(f"**{plain(day(scene))}**  \n{plain(cloud(scene))}")
                here = scene is chosen
                st.button(
                    "Shown below" if here else "Show", key=f"scene {n} {scene.id}", type="primary" if here else "secondary", width="stretch",
                    on_click=state.keep, args=(_CHOSEN, scene.id),
                )  # fmt: skip
    return chosen


def chart(scenes: tuple[SatelliteScene, ...], place: tuple[float, float], chosen: str) -> None:
    """Where the scenes lie, on a small map; nothing where the Earth's picture is not installed."""
    outlines = [scene.outline for scene in scenes]
    spec = TileSpec(
        TileRef("globe", "blue_marble"), lonlat=place, gsd_m=span_m(place, outlines) / MAP_PX, size_px=MAP_PX
    )
    try:
        earth = cached.catalogue().read(spec)
    except ExplorerError:
        return
    at = next((n for n, scene in enumerate(scenes) if scene.id == chosen), None)
    wide = f"Outlines of the scenes; the map is {metres(MAP_PX * earth.gsd)} wide."
    st.image(
        jpeg(located(earth, outlines, place, at)),
        width="stretch",
        caption=wide,
        alt="Map of the scenes' outlines",
    )


def day(scene: SatelliteScene) -> str:
    """When a scene was taken, as a date."""
    try:
        return f"{datetime.fromisoformat(scene.when):%-d %b %Y}"
    except ValueError:
        return "date unknown"


def cloud(scene: SatelliteScene) -> str:
    """How cloudy a scene is, in words."""
    return "cloud unknown" if scene.cloud_percent is None else f"{scene.cloud_percent:.3g} % cloud"
