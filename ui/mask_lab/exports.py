"""The tab Export of the Mask Lab: downloads of a view, a figure for print, and series of it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core import export
from core.engine.results import Reconstruction
from core.judge import Verdict
from core.session import PageView
from core.viz.publication import WIDTHS_MM, latex_figure
from ui.shell import cached, state
from ui.shell.escaping import plain

FIGURE_NAMES = {"png": "PNG", "svg": "SVG", "pdf": "PDF", "tex": "LaTeX code for the PDF"}
SERIES_NAMES = {
    "gif": "Animation (GIF)",
    "mp4": "Film (MP4)",
    "png": "Contact sheet (PNG)",
    "svg": "Contact sheet (SVG)",
    "pdf": "Contact sheet (PDF)",
}


def _figure(files: Callable[[], tuple[Reconstruction, Verdict]]) -> None:
    """The figure for print, as a picture or as LaTeX code."""
    kind_at, width_at, dpi_at, get = st.columns(4, vertical_alignment="bottom")
    kind = kind_at.selectbox(
        "Figure for publication", [*export.FIGURES, "tex"], format_func=FIGURE_NAMES.__getitem__, key="figure"
    )
    width = width_at.selectbox(
        "Width",
        list(WIDTHS_MM),
        format_func=lambda name: f"{name.replace('-', ' ')}, {WIDTHS_MM[name]:g} mm",
        key="figure width",
        help="Widths of one column and of the whole page in journals. Fonts are embedded.",
    )
    dpi = dpi_at.number_input("dpi", 50, 1200, 300, step=50, key="dpi", disabled=kind != "png")

    def make() -> bytes:
        if kind == "tex":
            return latex_figure(*files(), "reconstruction.pdf", page_wide=width.endswith("page")).encode()
        return export.figure(*files(), kind, dpi=int(dpi), width_mm=WIDTHS_MM[width])

    get.download_button(
        "Figure",
        make,
        f"reconstruction.{kind}",
        export.FIGURES.get(kind, "application/x-tex"),
        on_click="ignore",
        width="stretch",
        icon=":material/print:",
    )


def _series(view: PageView) -> None:
    """This view at several mask ratios or scales, as an animation or a contact sheet."""
    over_at, kind_at, steps_at, get = st.columns(4, vertical_alignment="bottom")
    over = over_at.selectbox(
        "Series over", list(export.SERIES), format_func=export.SERIES.__getitem__, key="over"
    )
    kinds = [*export.ANIMATIONS, *export.FIGURES]
    kind = kind_at.selectbox("As", kinds, format_func=SERIES_NAMES.__getitem__, key="series as")
    steps = steps_at.number_input("Steps", 2, 16, 8, key="series steps")

    def make() -> bytes:
        card = cached.card_of(view.model)
        views = export.series_views(view, over, int(steps), card, cached.catalogue())
        results = [cached.exported(each, state.session_id())[0] for each in views]
        return (
            export.animation(results, kind)
            if kind in export.ANIMATIONS
            else export.series_sheet(results, kind)
        )

    get.download_button(
        "Series",
        make,
        f"{over}-series.{kind}",
        export.ANIMATIONS.get(kind) or export.FIGURES[kind],
        on_click="ignore",
        width="stretch",
        icon=":material/movie:",
    )


def exports(view: PageView, result: Reconstruction) -> None:
    """Downloads, and the same reconstruction as a notebook cell and as a command."""
    asker = state.session_id()

    def files() -> tuple[Reconstruction, Verdict]:
        return cached.exported(view, asker)

    left, middle, right = st.columns(3)
    left.download_button(
        "Pictures (PNG)",
        lambda: export.pictures_zip(*files()),
        "reconstruction.zip",
        "application/zip",
        on_click="ignore",
        width="stretch",
    )
    middle.download_button(
        "GeoTIFF",
        lambda: export.geotiff(files()[0]),
        "reconstruction.tif",
        "image/tiff",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        "Recipe (JSON)",
        lambda: export.recipe_json(*files()),
        "recipe.json",
        "application/json",
        on_click="ignore",
        width="stretch",
    )
    _figure(files)
    _series(view)
    st.caption(
        "The GeoTIFF is georeferenced if the tile is. Every file holds the recipe. To share this view, "
        "copy the page's address."
    )
    if view.lives_here:
        st.info(
            "Your upload exists in this session only, so the link to this view will not find it elsewhere. "
            "Send the file along, or use the cell or command below.",
            icon=":material/link_off:",
        )
    st.markdown("**As a notebook cell**")
    st.code(view.to_python(), "python")
    st.markdown("**As a command**")
    st.code(view.to_command(), "bash", wrap_lines=True)
    if result.recipe.notices:
        st.warning(plain(" ".join(result.recipe.notices)), icon=":material/gavel:")
