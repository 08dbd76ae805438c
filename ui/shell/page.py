"""The frame of every page: title, sidebar with the way to the other pages, the device, and errors as one sentence."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from core.errors import ExplorerError
from core.net import online
from ui.shell import state
from ui.shell.escaping import plain
from ui.shell.style import CONTROLS, DRAWN, STYLE

ROOT = Path(__file__).parents[2]
NAME = "Earth MAE Explorer"
ICONS = {
    "Mask Lab": ":material/grid_view:",
    "Scale Lab": ":material/zoom_out_map:",
    "Globe": ":material/public:",
    "Evaluate": ":material/leaderboard:",
    "Train": ":material/model_training:",
}
PURPOSES = {
    "Mask Lab": "Hide patches of a satellite tile and see what a network imagines there.",
    "Scale Lab": "One place at many ground sample distances, side by side.",
    "Globe": "Embeddings of the whole Earth, linked with their projection.",
    "Evaluate": "Numbers one can trust: kNN, probes and reconstruction, with intervals.",
    "Train": "Start, watch and resume a small pretraining run of your own.",
}


class Page:
    """A page that has begun. Used with `with`, it shows what goes wrong as one sentence and closes with the device's box."""

    def __init__(self, device_box: st.delta_generator.DeltaGenerator) -> None:
        self._device_box = device_box

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        said = _say(problem)
        with self._device_box:
            if problem is None or said:
                _device()
            if not isinstance(problem, RerunException):
                st.html(f"<span class='{DRAWN}'></span>")
        return said


@contextmanager
def in_a_sentence() -> Generator[None]:
    """Show what goes wrong inside as one sentence: for fragments, which run again without their page."""
    try:
        yield
    except ExplorerError as problem:
        _say(problem)


def _say(problem: BaseException | None) -> bool:
    """Show an ExplorerError; a wish that a newer one replaced is passed over, for that one's run is under way."""
    if isinstance(problem, ExplorerError) and type(problem).__name__ != "Superseded":
        st.error(plain(problem), icon=":material/error:")
    return isinstance(problem, ExplorerError)


def page(title: str, lead: str = "", *, linked: bool = False) -> Page:
    """Begin a page: its configuration, heading, one line under it, and the shared sidebar.

    A page that is not `linked` reads nothing from its address, and says so to whoever followed a link with parameters.
    """
    state.enter(title)
    st.set_page_config(
        page_title=f"{title} · {NAME}" if title != NAME else NAME, page_icon="🛰️", layout="wide"
    )
    st.html(STYLE)
    box = _sidebar()  # before the page, which would move aside for it
    st.title(title, anchor=False)
    if lead:
        st.caption(lead)
    if not linked:
        for sentence in state.ignored_parameters():
            st.warning(plain(sentence), icon=":material/link_off:")
    return Page(box)


def pictures_and_controls() -> tuple[st.delta_generator.DeltaGenerator, st.delta_generator.DeltaGenerator]:
    """The two columns of a lab: pictures, and beside them (on a narrow screen below, where a link leads) what they are made with."""
    pictures, inspector = st.columns([2.7, 1], gap="large")
    pictures.markdown(f"[:material/tune: To the controls](#{CONTROLS})")
    inspector.html(f"<span id='{CONTROLS}'></span>")
    return pictures, inspector


def labs() -> dict[str, str]:
    """The labs that exist, by name: the path of each page's file."""
    return {
        path.stem.partition("_")[2].replace("_", " "): f"pages/{path.name}"
        for path in sorted((ROOT / "pages").glob("[0-9]_*.py"))
    }


def _sidebar() -> st.delta_generator.DeltaGenerator:
    with st.sidebar:
        st.markdown(f"**:material/satellite_alt: {NAME}**")
        st.page_link("app.py", label="Home", icon=":material/home:")
        for name, path in labs().items():
            st.page_link(path, label=name, icon=ICONS.get(name, ":material/science:"))
        st.space("small")
        if online.is_on():
            st.badge("Online access is on", icon=":material/cloud:", color="orange")
        else:
            st.badge("Offline: nothing leaves this machine", icon=":material/cloud_off:", color="gray")
        return st.container()


def _device() -> None:
    """Where the networks run; said only once torch is in memory, for it must not hold a page back."""
    if "core.engine.loaded" not in sys.modules:
        return
    from core.engine.device import device, memory
    from core.engine.loaded import model_cache
    from core.engine.turns import turns
    from ui.shell.weights import store

    on = device()
    used = memory(on)
    held = model_cache().models()
    models = (
        ", ".join("an upload" if one.path and store.holds(one.path) else one.name for one in held)
        or "none yet"
    )
    taken = f"{sum(one.size_bytes for one in held) / 2**30:.1f} of {model_cache().limit_bytes / 2**30:.1f} GB"
    st.caption(
        f"**{plain(on.name)}**, {on.precision}  \n"
        f"App {used.process / 2**30:.1f} GB · memory {used.used / 2**30:.1f} of {used.total / 2**30:.0f} GB  \n"
        f"Models in memory ({taken}): {plain(models)}"
    )
    if waiting := turns(on.kind).waiting():
        st.caption(f"{waiting:,} call{'s' * (waiting > 1)} before the device")
