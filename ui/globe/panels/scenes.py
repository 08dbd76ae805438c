"""Satellite scenes of a place: search, previews, a map of their outlines, and the choice of one."""

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
from core.geo.sources.scenes import SceneQuery, search
from core.geo.sources.stac_items import SatelliteScene
from core.net.client import Web
from core.units import metres
from core.viz.footprints import located, span_m
from core.viz.sheet import jpeg
from ui.globe.rows import placeholder
from ui.shell import cached, state
from ui.shell.escaping import plain

PREVIEW_PX, MAP_PX = 180, 360
FRESH_S = 600.0
"""How long an answer is cached in seconds; signed links expire after about an hour."""

_CHOSEN = "anywhere scene"


@dataclass(frozen=True)
class SceneRequest:
    """A query and when it was made, in units of FRESH_S since the epoch."""

    query: SceneQuery
    when: float

    @classmethod
    def now(cls, query: SceneQuery) -> SceneRequest:
        """Return a request made now; equal queries within ten minutes share an answer."""
        return cls(query, time.time() // FRESH_S)


def find_scenes(request: SceneRequest) -> tuple[SatelliteScene, ...]:
    """Return the scenes found in the catalogue, with previews fetched in parallel.

    Raises OnlineError and GeoError.
    """

    def fetch() -> tuple[SatelliteScene, ...]:
        web = Web()
        scenes = search(web, request.query)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda scene: preview(scene, web), scenes))
        return scenes

    return cached.result_cache("scene answers", 64).get_or_compute(request, fetch)


def preview(scene: SatelliteScene, web: Web | None = None) -> bytes:
    """Return a scene's preview as a small JPEG, re-encoded here; a grey placeholder if there is none."""

    def fetch() -> bytes:
        if scene.thumbnail is None:
            return placeholder("This scene has no preview")
        try:
            data = (web or Web()).picture(scene.thumbnail)
            pixels = decode_picture(data, "preview").pixels
        except ExplorerError:
            return placeholder("The preview could not be fetched")
        every = max(1, min(pixels.shape[1:]) // PREVIEW_PX)
        small = pixels[:, ::every, ::every].astype(np.uint8).transpose(1, 2, 0)
        return jpeg(small if small.shape[2] == 3 else np.repeat(small, 3, axis=2), 85)

    return cached.result_cache("previews", 512).get_or_compute(
        (scene.collection, scene.id, scene.thumbnail and scene.thumbnail.partition("?")[0]), fetch
    )


def choose(scenes: tuple[SatelliteScene, ...]) -> SatelliteScene:
    """Show previews of scenes with date and cloud cover; return the chosen one, at first the least cloudy."""
    chosen = next((scene for scene in scenes if scene.id == state.recall(_CHOSEN, "")), scenes[0])
    with st.container(horizontal=True, gap="small", key="scenes strip"):
        for n, scene in enumerate(scenes):
            with st.container(width=132, gap="small", key=f"scene {n}"):
                st.image(preview(scene), width="stretch", alt=f"Preview of the scene of {day(scene)}")
                st.caption(f"**{plain(day(scene))}**  \n{plain(cloud(scene))}")
                is_chosen = scene is chosen
                st.button(
                    "Shown below" if is_chosen else "Show",
                    key=f"scene {n} {scene.id}",
                    type="primary" if is_chosen else "secondary",
                    width="stretch",
                    on_click=state.keep,
                    args=(_CHOSEN, scene.id),
                )
    return chosen


def chart(scenes: tuple[SatelliteScene, ...], place: tuple[float, float], chosen: str) -> None:
    """Show the outlines of scenes on a small map, if the world basemap is installed."""
    outlines = [scene.outline for scene in scenes]
    spec = TileSpec(
        TileRef("globe", "blue_marble"), lonlat=place, gsd_m=span_m(place, outlines) / MAP_PX, size_px=MAP_PX
    )
    try:
        earth = cached.catalogue().read(spec)
    except ExplorerError:
        return
    at = next((n for n, scene in enumerate(scenes) if scene.id == chosen), None)
    st.image(
        jpeg(located(earth, outlines, place, at)),
        width="stretch",
        caption=plain(f"Outlines of the scenes; the map is {metres(MAP_PX * earth.gsd)} wide."),
        alt="Map of the scenes' outlines",
    )


def day(scene: SatelliteScene) -> str:
    """Return the acquisition date of a scene as text."""
    try:
        return f"{datetime.fromisoformat(scene.when):%-d %b %Y}"
    except ValueError:
        return "date unknown"


def cloud(scene: SatelliteScene) -> str:
    """Return the cloud cover of a scene as text."""
    return "cloud unknown" if scene.cloud_percent is None else f"{scene.cloud_percent:.3g} % cloud"
