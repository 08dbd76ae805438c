"""What a row of a table looks like: where its ground is to be had, and a small picture of it."""

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
    """The unique_id of a row, by which links name it; of a table without identities, its number."""
    found = table.columns["unique_id"][int(row)].as_py()
    return str(int(row)) if found is None else str(found)


def source_name(said: str | None) -> str | None:
    """The catalogue's name of what a table calls its source (name or title); None where it is not here."""
    catalogue = cached.catalogue()
    return next(
        (
            name
            for name in catalogue.names()
            if name != "upload" and said in (name, catalogue.source(name).info.title)
        ),
        None,
    )


def spec_of(table: EmbeddingTable, row: int) -> TileSpec | None:
    """The ground that a row was embedded from, at the row's scale; None where its source is not here or the row does not say."""
    values: dict[str, Any] = {name: table.columns[name][int(row)].as_py() for name in FIELDS}
    source, laid_in = source_name(values["source"]), uploads.ref_in(table.folder, values["product_id"] or "")
    if (source is None and laid_in is None) or not values["product_id"]:
        return None
    ref, gsd_m, size_px = (
        laid_in or TileRef(source or "", values["product_id"]),
        values["gsd_m"],
        values["image_size"],
    )
    if values["pixel_bbox"]:
        left, top, right, bottom = values["pixel_bbox"]
        stated = (values["native_gsd_m"] or 1.0) if laid_in and values["centre_lon"] is None else None
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
    """A row's ground for a network fed with `side_px` pixels: no more and no less of it."""
    gsd_m = spec.gsd_m * spec.size_px / side_px if spec.gsd_m and spec.size_px else spec.gsd_m
    return replace(spec, gsd_m=gsd_m, size_px=None)


def picture(table: EmbeddingTable, row: int) -> bytes:
    """A row's tile as a small JPEG; a grey card that says so where it cannot be had."""
    spec = spec_of(table, row)
    if spec is None:
        return card("The picture of this place is not on this machine")
    try:
        return cached.thumbnail_of(spec, SIDE_PX)
    except ExplorerError:
        return card("The picture of this place cannot be read")


@dataclass(frozen=True)
class RowPictures:
    """The pictures of a table's rows, as the route of pictures calls them; two of the same table are the same."""

    table: EmbeddingTable

    def __call__(self, row: int) -> bytes:
        """A row's picture as JPEG. Raises IndexError for a row that is not there."""
        if not 0 <= row < len(self.table):
            raise IndexError(row)
        return picture(self.table, row)


def address(table: EmbeddingTable, row: int) -> str:
    """Where the browser of this session finds a row's picture."""
    if routes.served():
        return f"/pictures/{routes.share(state.session_id(), 'pictures', RowPictures(table))}/{row}.jpg"
    return f"data:image/jpeg;base64,{base64.b64encode(picture(table, row)).decode()}"


def card(text: str) -> bytes:
    """A grey card with a sentence, as JPEG."""
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
