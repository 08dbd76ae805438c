"""A series of reconstructions, one row of panels each: as a contact sheet, as frames, as GIF and as MP4."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from PIL import Image

from ..engine.results import Reconstruction
from ..judge import band_errors, judge
from ..units import decibels
from .pictures import Panel, Pixels
from .publication import CAPTION_PT, FONTS, MM_PER_INCH, WIDTHS_MM, draw_panel, wrapped
from .scales import look_of, row_panels
from .theme import PRINT_TEXT

FRAME_PX = (960, 340)
_FRAME_DPI = 120


@dataclass(frozen=True, eq=False)
class Row:
    """One step of a series: its label, its panels from left to right, and its recipe and credit."""

    label: str
    panels: tuple[Panel, ...]
    caption: str = ""


def rows_of(results: Sequence[Reconstruction], own: int = 0) -> tuple[Row, ...]:
    """Draw one row per reconstruction, all with the contrast of reconstruction `own`.

    A row shows the visible patches, both bands, the reconstruction and its error. Labels hold the GSD as fed,
    the mask ratio and the PSNR over hidden pixels.
    """
    look, rows = look_of(results[own]), []
    for n, result in enumerate(results):
        recipe, errors, scores = result.recipe, band_errors(result), judge(result, ()).model
        rows.append(
            Row(
                f"{recipe.ground} per pixel · {recipe.hidden_share:.0%} hidden · {decibels(scores.psnr, 1)}",
                row_panels(result, look, str(n), errors["combined"] if errors else None),
                " · ".join(filter(None, (recipe.caption(), recipe.credit))),
            )
        )
    return tuple(rows)


def contact_sheet(rows: Sequence[Row], caption: str = "", *, width_mm: float = WIDTHS_MM["page"]) -> Figure:
    """Draw all rows below one another in one figure for print, with `caption` at the bottom."""
    columns = max(len(row.panels) for row in rows)
    width = width_mm / MM_PER_INCH
    height = (width / columns + 0.32) * len(rows) + 0.5
    figure = Figure(figsize=(width, height), layout="constrained")
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for n, (strip, row) in enumerate(zip(strips, rows, strict=True)):
        strip.suptitle(row.label, fontsize=7.5, x=0.01, ha="left")
        _draw_row(strip, row, columns, width_mm / columns, titled=n == 0)
    if caption:
        figure.supxlabel(wrapped(caption, width_mm, CAPTION_PT), fontsize=CAPTION_PT, color=PRINT_TEXT)
    return figure


def frames(rows: Sequence[Row], size_px: tuple[int, int] = FRAME_PX) -> tuple[Pixels, ...]:
    """Draw each row as a picture for an animation, `size_px` (width, height), in order."""
    frames = []
    size = (size_px[0] / _FRAME_DPI, size_px[1] / _FRAME_DPI)
    width_mm = size[0] * MM_PER_INCH
    with rc_context(FONTS):
        for row in rows:
            figure = Figure(figsize=size, dpi=_FRAME_DPI, layout="constrained")
            figure.suptitle(row.label, fontsize=11)
            _draw_row(figure, row, len(row.panels), width_mm / len(row.panels))
            text = wrapped(row.caption, width_mm, CAPTION_PT)
            figure.supxlabel(text, fontsize=CAPTION_PT, color=PRINT_TEXT)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return tuple(frames)


def _draw_row(figure: FigureBase, row: Row, columns: int, panel_mm: float, *, titled: bool = True) -> None:
    axes = np.atleast_1d(figure.subplots(1, columns))
    for ax, panel in zip(axes, row.panels, strict=False):
        draw_panel(ax, panel, panel_mm, titled=titled)
    for ax in axes[len(row.panels) :]:
        ax.set_axis_off()


def gif(pictures: Sequence[Pixels], seconds: float = 0.8, comment: str = "") -> bytes:
    """Encode pictures of one size (h, w, 3) as a GIF that repeats, each shown for `seconds`."""
    out = io.BytesIO()
    first, *rest = (Image.fromarray(picture) for picture in pictures)
    first.save(
        out, "GIF", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0,
        comment=comment.encode(),
    )  # fmt: skip
    return out.getvalue()


def mp4(pictures: Sequence[Pixels], seconds: float = 0.8, comment: str = "") -> bytes:
    """Encode pictures of one size (h, w, 3) as an MP4 film (H.264, 4:2:0), each shown for `seconds`.

    Browsers, QuickTime, PowerPoint and VLC play it. Sides must be even. Raises ImportError where
    imageio-ffmpeg, which brings the encoder, is not installed.
    """
    from imageio_ffmpeg import write_frames

    per_second: Any = 1 / seconds  # may be a fraction, although the default of `fps` is an integer
    height, width = pictures[0].shape[:2]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "series.mp4"
        film = write_frames(
            str(path), (width, height), fps=per_second, codec="libx264", quality=7, macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart", "-metadata", f"comment={comment}"],
        )  # fmt: skip
        film.send(None)
        for picture in pictures:
            film.send(np.ascontiguousarray(picture))
        film.close()
        return path.read_bytes()
