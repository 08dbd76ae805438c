"""The smallest page with a linked globe: it holds the selection and checks every count against its own."""

import json
import time

import streamlit as st
from earth_mae_components import (
    OKABE_ITO,
    Camera,
    FlyTo,
    Legend,
    Ring,
    Selection,
    contains,
    globe_news,
    linked_globe,
)
from globe_points import table

st.set_page_config(layout="wide")
time.sleep(float(st.query_params.get("slow", 0)))
count = int(st.query_params.get("n", 3000))
lonlat, xy, classes = table(count)
painted = st.toggle("colours of the projection")
held = st.session_state
held.setdefault("selection", None)
held.setdefault(
    "camera",
    Camera(*("globe", *map(float, st.query_params["at"].split(","))), zoom=1.6)
    if "at" in st.query_params
    else None,
)
if st.button("select Fiji"):
    held.selection = Selection("globe", "box", ((160, -40), (200, -40), (200, 0), (160, 0)))
fly = FlyTo(10, 48, 2.5, "europe") if st.button("fly to Europe") else None
if st.button("fly to Fiji"):
    fly = FlyTo(178, -17, 2.5, "fiji")
if fly:
    held.fly = fly
state = globe_news("g")
if state.selection is not None:
    held.selection = state.selection
if state.camera is not None:
    held.camera = state.camera
linked_globe(
    "/test/missing" if "missing" in st.query_params else f"/test/points?n={count}",
    colours_url=f"/test/colours?n={count}" if painted else None,
    palette=OKABE_ITO,
    legend=Legend("Class", tuple((f"Class {i}", i) for i in range(6))),
    basemap_url="/test/earth.jpg",
    surface_url="/test/surface" if "surface" in st.query_params else None,
    thumbnail_url="/test/thumb/{id}",
    selection=held.selection,
    camera=held.camera,
    fly_to=held.get("fly"),
    rings=[Ring(0, "#ffffff", "alone")],
    draw=st.query_params.get("draw", "auto"),
    key="g",
)
chosen = held.selection
if chosen is not None and chosen.kind in {"lasso", "box"}:
    a, b = (lonlat if chosen.side == "globe" else xy).T
    inside = contains(chosen.polygon, a, b, wraps=chosen.side == "globe")
    own, ids_agree = int(inside.sum()), inside.nonzero()[0][:200].tolist() == list(chosen.ids)
else:
    own, ids_agree = (0 if chosen is None else len(chosen.ids)), True
shown = {
    "kind": chosen and chosen.kind,
    "side": chosen and chosen.side,
    "count": chosen and chosen.count,
    "own": own,
    "ids": chosen and chosen.ids[:3],
    "ids_agree": ids_agree,
    "vertices": chosen and len(chosen.polygon),
    "first": chosen and chosen.polygon[:1],
    "polygon": chosen and chosen.polygon,
    "camera": held.camera and [held.camera.view, held.camera.lon, held.camera.lat, held.camera.zoom],
    "plane": held.camera and [held.camera.x, held.camera.y, held.camera.plane_zoom],
    "no_webgl": state.no_webgl,
    "problem": state.problem,
}
st.code(json.dumps(shown))
