"""Panels as one block of HTML: pictures with titles and captions, three in a row or two on a phone."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape

import cv2
import numpy as np

from .pictures import Panel, Pixels
from .theme import PLACEHOLDER

QUALITY = 95


class Html(str):
    """HTML to be shown as it is, by a notebook and by `st.html`.

    Streamlit looks for common indentation in other text. For the pictures of one page that takes longer than
    any other step of drawing it.
    """

    def _repr_html_(self) -> str:
        return str(self)


_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fill,minmax(max({least}px,{share}%),1fr));"
    "gap:14px 14px;margin:0"
)
_LARGE = "display:grid;grid-template-columns:repeat({count},1fr);gap:14px;margin:0 0 14px"
_IMAGE = (
    "width:100%;aspect-ratio:1;display:block;border-radius:8px;image-rendering:{rendering};background:"
    + PLACEHOLDER
)
_TITLE = "font-weight:600;font-size:.92rem;line-height:1.3;margin-top:6px"
_NOTE = "font-size:.8rem;line-height:1.3;opacity:.66"


def jpeg(pixels: Pixels, quality: int = QUALITY) -> bytes:
    """Encode pixels (h, w, 3) as JPEG without chroma subsampling, for display; downloads are PNG."""
    done, encoded = cv2.imencode(
        ".jpg",
        np.ascontiguousarray(pixels[..., ::-1]),
        (
            cv2.IMWRITE_JPEG_QUALITY,
            quality,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ),
    )
    assert done
    return encoded.tobytes()


def data_url(_: str, picture: bytes) -> str:
    """Return a JPEG as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def sheet(
    panels: Sequence[Panel],
    *,
    abreast: int = 3,
    least_px: int = 138,
    large: int = 0,
    place: str = "",
    smooth: bool = False,
    address: Callable[[str, bytes], str] = data_url,
) -> Html:
    """Lay out panels as HTML, at most `abreast` in a row and each at least `least_px` wide.

    The first `large` panels share a row of their own above the others. `place` names the ground that the
    panels show: the loupe points at the same place in all sheets with that name, and within each sheet
    without one. `address` returns the URL of a panel's picture, given the panel's name and its JPEG.
    """
    grid = _GRID.format(least=least_px, share=round(100 / abreast - 3, 1))
    figures = [_figure(panel, smooth, address(panel.name, jpeg(panel.pixels))) for panel in panels]
    rows = [f'<div style="{_LARGE.format(count=large)}">{"".join(figures[:large])}</div>'] if large else []
    if figures[large:]:
        rows.append(f'<div style="{grid}">{"".join(figures[large:])}</div>')
    return Html(f'<div class="sheet" data-place="{escape(place)}">{"".join(rows)}</div>')


def blank_sheet(count: int, *, abreast: int = 3, least_px: int = 138) -> str:
    """Return placeholders for `count` panels, so that the page does not move when they arrive."""
    grid = _GRID.format(least=least_px, share=round(100 / abreast - 3, 1))
    image = _IMAGE.format(rendering="auto")
    line = f'<figcaption><div style="{_TITLE}">&nbsp;</div><div style="{_NOTE}">&nbsp;</div></figcaption>'
    figure = f'<figure style="margin:0"><div style="{image}"></div>{line}</figure>'
    return f'<div style="{grid}">{figure * count}</div>'


def _figure(panel: Panel, smooth: bool, source: str) -> str:
    image = _IMAGE.format(rendering="auto" if smooth else "pixelated")
    return (
        f'<figure data-panel="{escape(panel.name)}" style="margin:0">'
        f'<img src="{source}" alt="{escape(f"{panel.title}: {panel.note}")}" style="{image}">'
        f'<figcaption><div style="{_TITLE}">{escape(panel.title)}</div>'
        f'<div style="{_NOTE}">{escape(panel.note)}</div></figcaption></figure>'
    )
