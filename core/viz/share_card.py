"""A picture of 1200 x 630 px for links and talks: both maps of a table, with a title."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .theme import MAP_GROUND, MAP_LEGEND

SIZE = (1200, 630)
"""What previews of links show in full (Open Graph, 1.91 : 1)."""
MARGIN, TOP, GAP = 32, 132, 16
MOST_LETTERS = 60
CREDIT = "Earth MAE Explorer · Blue Marble: NASA"


def share_card(
    title: str, lines: Sequence[str], globe: NDArray[np.uint8] | None, plane: NDArray[np.uint8]
) -> bytes:
    """Draw the maps (h, w, 3) side by side below a title and up to two lines; return a PNG.

    `globe` is the flat map of the Earth, None for a table without places; `plane` its 2-D projection.
    """
    text = MAP_LEGEND["dark"][1]
    card = Image.new("RGB", SIZE, MAP_GROUND["dark"])
    pen = ImageDraw.Draw(card)
    pen.text((MARGIN, 22), _short(title), text, ImageFont.load_default(40))
    for number, line in enumerate(lines[:2]):
        pen.text((MARGIN, 74 + 24 * number), _short(line, 2 * MOST_LETTERS), text, ImageFont.load_default(19))
    pen.text((MARGIN, SIZE[1] - 34), CREDIT, text, ImageFont.load_default(17))
    across, down = SIZE[0] - 2 * MARGIN, SIZE[1] - TOP - 52
    side = min(down, across // 3)
    wide = across - GAP - side if globe is not None else 0
    if globe is not None:
        _paste(card, globe, (MARGIN, TOP, wide, down))
    _paste(card, plane, (MARGIN + wide + (GAP if wide else 0), TOP, side if wide else across, down))
    out = io.BytesIO()
    card.save(out, "PNG", optimize=True)
    return out.getvalue()


def _paste(card: Image.Image, picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> None:
    """Fit a picture into a box (left, top, width, height), centred from top to bottom."""
    left, top, width, height = box
    share = min(width / picture.shape[1], height / picture.shape[0])
    size = round(picture.shape[1] * share), round(picture.shape[0] * share)
    fitted = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
    card.paste(fitted, (left, top + (height - size[1]) // 2))


def _short(text: str, most: int = MOST_LETTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"
