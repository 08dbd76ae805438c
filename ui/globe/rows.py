"""The imagery behind a row of a table: the tile to read, and a small picture of it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.atlas import EmbeddingTable
from core.errors import ExplorerError
from core.geo import TileRef, TileSpec
from ui.shell import cached, routes, state, uploads

SIDE_PX = 128
FIELDS = (
    "source",
    "product_id",
    "centre_lon",
    "centre_lat",
    "pixel_bbox",
    "gsd_m",
    "native_gsd_m",
    "image_size",
)


def identity_of(table: EmbeddingTable, row: int) -> str:
    """Return the unique_id by which links name a row, or the row number if the table has none."""
    unique_id = table.columns["unique_id"][int(row)].as_py()
    return str(int(row)) if unique_id is None else str(unique_id)


def source_name(stated: str | None) -> str | None:
    """Return the catalogue name of a source that a table states by name or title; None if it is not here."""
    catalogue = cached.catalogue()
    return next(
        (
            name
            for name in catalogue.names()
            if name != "upload" and stated in (name, catalogue.source(name).info.title)
        ),
        None,
    )


def spec_of(table: EmbeddingTable, row: int) -> TileSpec | None:
    """Return the tile that a row was embedded from; None if the source is not here or the row names none."""
    values: dict[str, Any] = {name: table.columns[name][int(row)].as_py() for name in FIELDS}
    source, uploaded = source_name(values["source"]), uploads.ref_in(table.folder, values["product_id"] or "")
    if (source is None and uploaded is None) or not values["product_id"]:
        return None
    ref, gsd_m, size_px = (
        uploaded or TileRef(source or "", values["product_id"]),
        values["gsd_m"],
        values["image_size"],
    )
    if values["pixel_bbox"]:
        left, top, right, bottom = values["pixel_bbox"]
        stated = (values["native_gsd_m"] or 1.0) if uploaded and values["centre_lon"] is None else None
        return TileSpec(
            ref,
            window=(left, top, max(right - left, 1), max(bottom - top, 1)),
            size_px=size_px,
            stated_gsd_m=stated,
        )
    if values["centre_lon"] is None or not gsd_m or not size_px:
        return None
    return TileSpec(ref, lonlat=(values["centre_lon"], values["centre_lat"]), gsd_m=gsd_m, size_px=size_px)


def same_ground(spec: TileSpec, side_px: int) -> TileSpec:
    """Return the same area of ground for a network whose input has `side_px` pixels a side."""
    gsd_m = spec.gsd_m * spec.size_px / side_px if spec.gsd_m and spec.size_px else spec.gsd_m
    return replace(spec, gsd_m=gsd_m, size_px=None)


def picture(table: EmbeddingTable, row: int) -> bytes:
    """Return a row's tile as a small JPEG, or a grey placeholder that says why there is none."""
    spec = spec_of(table, row)
    if spec is None:
        return placeholder("The imagery of this place is not on this machine")
    try:
        return cached.thumbnail_of(spec, SIDE_PX)
    except ExplorerError:
        return placeholder("The imagery of this place cannot be read")


@dataclass(frozen=True)
class RowPictures:
    """Pictures of a table's rows, called by the picture route; equal for the same table."""

    table: EmbeddingTable

    def __call__(self, row: int) -> bytes:
        """Return a row's picture as JPEG. Raises IndexError if there is no such row."""
        if not 0 <= row < len(self.table):
            raise IndexError(row)
        return picture(self.table, row)


def picture_url(table: EmbeddingTable, row: int) -> str:
    """Return the address of a row's picture for the browser of this session."""
    if routes.has_routes():
        return f"/pictures/{routes.share(state.session_id(), 'pictures', RowPictures(table))}/{row}.jpg"
    return f"data:image/jpeg;base64,{base64.b64encode(picture(table, row)).decode()}"


def placeholder(text: str) -> bytes:
    """Return a grey card with a text, as JPEG."""
    from PIL import Image, ImageDraw

    from core.viz.sheet import jpeg

    sheet = Image.new("RGB", (SIDE_PX, SIDE_PX), (120, 132, 138))
    words, lines = text.split(), [""]
    for word in words:
        lines = (
            [*lines[:-1], f"{lines[-1]} {word}".strip()]
            if len(lines[-1]) + len(word) < 18
            else [*lines, word]
        )
    ImageDraw.Draw(sheet).multiline_text(
        (SIDE_PX / 2, SIDE_PX / 2), "\n".join(lines), fill=(240, 244, 245), anchor="mm", align="center"
    )
    return jpeg(np.asarray(sheet), 88)
