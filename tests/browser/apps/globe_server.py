"""Streamlit with the routes the globe's test page fetches from."""

import numpy as np
import streamlit as st
from earth_mae_components import encode_colours, encode_points, encode_surface
from globe_points import earth, table, thumbnail
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def points(request: Request) -> Response:
    lonlat, xy, classes = table(int(request.query_params.get("n", 3000)))
    return Response(
        encode_points(lonlat=lonlat, xy=xy, classes=classes), media_type="application/octet-stream"
    )


def colours(request: Request) -> Response:
    _, xy, _ = table(int(request.query_params.get("n", 3000)))
    values = np.uint8(255 * (xy - xy.min(0)) / np.ptp(xy, axis=0))
    rgb = np.column_stack([values, 255 - values[:, 0]])
    return Response(encode_colours(rgb), media_type="application/octet-stream")


def surface(_: Request) -> Response:
    """Row 1 in the western half of the Earth, row 2 in the eastern."""
    rows = np.ones((90, 180), np.int32)
    rows[:, 90:] = 2
    return Response(encode_surface(rows), media_type="application/octet-stream")


app = st.App(
    "globe.py",
    routes=[
        Route("/test/points", points),
        Route("/test/colours", colours),
        Route("/test/surface", surface),
        Route("/test/earth.jpg", lambda _: Response(earth(), media_type="image/jpeg")),
        Route(
            "/test/thumb/{row:int}",
            lambda request: Response(thumbnail(request.path_params["row"]), media_type="image/png"),
        ),
    ],
)
