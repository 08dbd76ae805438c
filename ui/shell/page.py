"""The frame of every page: title, sidebar with navigation and device status, and errors as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import RerunException

from core.errors import ExplorerError
from core.net import online
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.style import CONTROLS, DRAWN, SIDEBAR_PX, STYLE

ROOT = Path(__file__).parents[2]
NAME = "Earth MAE Explorer"
ICONS = {
    "Mask Lab": ":material/grid_view:",
    "Scale Lab": ":material/zoom_out_map:",
    "Globe": ":material/public:",
    "Evaluate": ":material/leaderboard:",
    "Train": ":material/model_training:",
    "Learn": ":material/school:",
}
PURPOSES = {
    "Mask Lab": "Hide patches of a satellite tile and see how a network reconstructs them.",
    "Scale Lab": "One place at several ground sample distances, side by side.",
    "Globe": "Embeddings of the whole Earth on a map, linked to their 2-D projection.",
    "Evaluate": "Benchmarks with confidence intervals: kNN, linear probes, segmentation, reconstruction.",
    "Train": "Start, monitor and resume small pretraining runs.",
    "Learn": "Lessons with a live network: predict first, then see whether you were right.",
}


class Page:
    """Wrap a page's content: show an ExplorerError as one sentence below the title, and finally the device
    status."""

    def __init__(self, device_box: DeltaGenerator, problem_box: DeltaGenerator) -> None:
        self._device_box = device_box
        self._problem_box = problem_box

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with self._problem_box:
            shown = _show(problem)
        with self._device_box:
            if problem is None or shown:
                _device()
            if not isinstance(problem, RerunException):
                st.html(f"<span class='{DRAWN}'></span>")
        return shown


@contextmanager
def in_a_sentence() -> Generator[None]:
    """Show an ExplorerError raised inside as one sentence. For fragments, which rerun without their page."""
    try:
        yield
    except ExplorerError as problem:
        _show(problem)


def _show(problem: BaseException | None) -> bool:
    """Show an ExplorerError, except Superseded: the newer request is already running."""
    if isinstance(problem, ExplorerError) and type(problem).__name__ != "Superseded":
        st.error(plain(problem), icon=":material/error:")
    return isinstance(problem, ExplorerError)


def page(title: str, lead: str = "", *, linked: bool = False) -> Page:
    """Start a page: configuration, title, one line below it, and the sidebar.

    A page that is not `linked` reads no parameters from its address and warns if there are any.
    """
    state.start_page(title)
    st.set_page_config(
        page_title=f"{title} · {NAME}" if title != NAME else NAME,
        page_icon="🛰️",
        layout="wide",
        initial_sidebar_state=SIDEBAR_PX,
    )
    # dialogs and popovers lie outside the element that Streamlit gives the theme's colour scheme
    scheme = st.context.theme.type
    st.html(STYLE + (f"<style>:root {{ color-scheme: {scheme} }}</style>" if scheme else ""))
    device_box = _sidebar()  # before the content, which would otherwise move when the sidebar appears
    st.title(title, anchor=False)
    if lead:
        st.caption(lead)
    if not linked:
        for sentence in state.ignored_parameters():
            st.warning(plain(sentence), icon=":material/link_off:")
    return Page(device_box, problem_box=st.container())


def pictures_and_controls() -> tuple[DeltaGenerator, DeltaGenerator]:
    """The columns of a lab, pictures and controls; on a narrow screen a link leads to the controls below."""
    pictures, inspector = st.columns([3, 1], gap="medium")
    pictures.markdown(f"[:material/tune: To the controls](#{CONTROLS})")
    inspector.html(f"<span id='{CONTROLS}'></span>")
    return pictures, inspector


def labs() -> dict[str, str]:
    """The pages in `pages/`: name to path."""
    return {
        path.stem.partition("_")[2].replace("_", " "): f"pages/{path.name}"
        for path in sorted((ROOT / "pages").glob("[0-9]_*.py"))
    }


def _sidebar() -> DeltaGenerator:
    with st.sidebar:
        st.markdown(f"**:material/satellite_alt: {NAME}**")
        st.page_link("app.py", label="Home", icon=":material/home:")
        for name, path in labs().items():
            st.page_link(path, label=name, icon=ICONS.get(name, ":material/science:"))
        st.space("small")
        if online.is_on():
            st.badge("Online access is on", icon=":material/cloud:", color="orange")
        else:
            st.badge("Offline: no internet access", icon=":material/cloud_off:", color="gray")
        return st.container()


def _device() -> None:
    """Show the device and memory use, once torch is loaded (importing it here would delay the page)."""
    if "core.engine.loaded" not in sys.modules:
        return
    from core.engine.device import device, memory
    from core.engine.loaded import model_cache
    from core.engine.turns import turns
    from ui.shell.weights import store

    current = device()
    used = memory(current)
    loaded = model_cache().models()
    names = ["an upload" if model.path and store.holds(model.path) else model.name for model in loaded]
    gigabytes = sum(model.size_bytes for model in loaded) / 2**30
    taken = f"{gigabytes:.2f} of {model_cache().limit_bytes / 2**30:.1f} GB"
    st.caption(
        f"**{plain(current.name)}**  \n{current.precision} · app {used.process / 2**30:.1f} GB  \n"
        f"Memory {used.used / 2**30:.1f} of {used.total / 2**30:.0f} GB  \n"
        f"Models {taken}: {plain(', '.join(names) or 'none')}"
    )
    if waiting := turns(current.kind).waiting():
        st.caption(f"{waiting:,} request{'s' * (waiting > 1)} in the device's queue")
