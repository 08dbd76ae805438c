"""Choose the network: a preset, a weights file from the server's data folders, or an uploaded one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import ExplorerError
from core.session import PageView
from ui.pickers import controls
from ui.shell import cached, state, weights
from ui.shell.escaping import plain

if TYPE_CHECKING:
    from core.models import ModelCard

POSITIONS = {
    "gsd": "Scaled by the GSD, as in Scale-MAE",
    "static": "Static, as in MAE, SDMAE and TinyMIM",
}
NON_COMMERCIAL = "NC"


def file_names() -> list[str]:
    """Weights files that this user may choose: those of the data folders, and this session's uploads."""
    return [*cached.weight_files(), *weights.store.names(state.session_id())]


def known_names() -> set[str]:
    """Every model name that this user's link may contain. A reloaded tab takes over its earlier uploads."""
    weights.store.adopt(
        state.address_params(("model",)).get("model", "").partition("+")[0],
        state.session_id(),
        state.cookie(),
    )
    return {
        *cached.cards(),
        *(name + ending for name in file_names() for ending in ("", *(f"+{kind}" for kind in POSITIONS))),
    }


def model_label(name: str) -> str:
    """The label of a network or a baseline in a list."""
    from core.viz.model_cards import model_title

    if weights.is_file(name, cached.weight_files()):
        return weights.title_of(name)
    return model_title(name, cached.cards())


def show_untrained(place: str) -> bool:
    """Ask whether lists offer networks with random weights too; `place` tells the lists of a page apart."""
    return st.toggle(
        "Show untrained",
        key=state.widget(f"show untrained {place}", False),
        help="Networks with random weights: architectures to train, and floors that trained networks should "
        "beat.",
    )


def preset_names(*, untrained: bool, kept: Sequence[str] = ()) -> list[str]:
    """Names of the bundled networks: trained ones, those `kept`, and on request the untrained ones."""
    return [name for name, card in cached.cards().items() if card.trained or untrained or name in kept]


def names_for(view: PageView, *, encoders: bool = False, untrained: bool = False) -> list[str]:
    """Networks that reconstruct, weights files, and the view's own; with `encoders` also trained encoders."""
    cards, names = cached.cards(), preset_names(untrained=untrained)
    decoding = [name for name in names if cards[name].reconstructs]
    others = [name for name in names if encoders and cards[name].trained and not cards[name].reconstructs]
    names = [*decoding, *others, *file_names()]
    bare = view.model.rsplit("+", 1)[0]
    names = [view.model if name == bare else name for name in names]
    return names if view.model in names else [*names, view.model]


def pick_model(view: PageView, *, encoders: bool = False) -> str:
    """Choose a network (with `encoders` also one without a decoder); show a weights file's load report."""
    untrained = state.widget_value("show untrained lab", False)
    name = st.selectbox(
        "Model",
        names_for(view, encoders=encoders, untrained=untrained),
        key=state.widget("model", view.model),
        format_func=model_label,
        help=_memory(),
    )
    show_untrained("lab")
    if name in cached.cards():
        model_card(name)
    _upload_weights(view)
    if (resolved := with_positions(name)) != name:
        _show(view, resolved)
    card = cached.card_of(name)
    if NON_COMMERCIAL in card.licence.split("-"):
        st.caption(
            f":orange[:material/gavel:] {plain(card.licence)}: these weights are for non-commercial use only."
        )
    if report := cached.report(name):
        with st.expander(
            "About this file", icon=":material/description:", expanded=state.recall("new weights", "") == name
        ):
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in report))
    return name


def model_card(name: str) -> None:
    """Show in a popover what a bundled network is, its data, licence, strengths and scores."""
    card = cached.cards()[name]
    with st.popover(f"About {plain(card.title)}", icon=":material/badge:", width="stretch"):
        st.markdown(cached.result_cache("model cards", 64).get_or_compute(name, lambda: _card_text(card)))


def _card_text(card: ModelCard) -> str:
    from core.viz.model_cards import about, good_at, score_lines, trained_on

    scores = "".join(f"\n- {plain(line)}" for line in score_lines(card))
    licence = card.weights.licence if card.weights else card.licence
    return "\n\n".join(
        [
            f"**{plain(card.title)}** (`{card.name}`)  \n{plain(card.description)}",
            f"**Good at**  \n{plain(good_at(card, cached.cards().values()))}",
            *([f"**Scores**{scores}"] if scores else []),
            f"**Data**  \n{plain(trained_on(card) or 'none')}",
            f"**Licence**  \n{plain(licence)}",
            "**Details**" + "".join(f"\n- {plain(sentence)}" for sentence in about(card)),
            f"Input of {card.input_px} px in patches of {card.patch_px} px; vectors of {card.embed_dim} "
            f"numbers. Paper: {plain(card.paper)}.",
        ]
    )


def with_positions(name: str) -> str:
    """The name of a network, with the kind of its positional encoding if the user had to choose it.

    Stops the script run until the user has chosen.
    """
    try:
        cached.card_of(name)
        return name
    except ExplorerError as problem:
        # compared by name: importing the class would import torch
        if type(problem).__name__ != "AmbiguousPositionsError":
            raise
    st.warning(
        "This file holds only an encoder, and it does not say whether its positional encoding depends on the "
        "ground sample distance. Choose the family that it comes from.",
        icon=":material/help:",
    )
    kind = st.radio(
        "Positional encoding",
        list(POSITIONS),
        index=None,
        format_func=POSITIONS.__getitem__,
        key=f"positions {name}",
    )
    if kind is None:
        st.stop()
    return f"{name}+{kind}"


def _upload_weights(view: PageView) -> None:
    """Upload weights, list and remove them.

    Loading a file closes the popover; a refused file keeps it open.
    """
    is_open = state.widget("own weights", False)
    with st.popover(
        "Upload weights", icon=":material/upload_file:", width="stretch", key=is_open, on_change="rerun"
    ):
        limit_mb = state.upload_limit_mb()
        st.caption(
            f"PyTorch (.pth, .pt, .bin, .ckpt), safetensors, or an exported network (.onnx, .pt2), up to "
            f"{limit_mb:,} MB. No Python code in the file is executed. Only this session can use it, and it "
            "is deleted soon after you close the tab."
        )
        file = st.file_uploader(
            "Weights file",
            [suffix[1:] for suffix in weights.SUFFIXES],
            key=f"weights {state.recall('weights taken', 0)}",
        )
        if (
            st.button("Load", type="primary", disabled=file is None, key="load weights", width="stretch")
            and file is not None
        ):
            _load_upload(view, file, limit_mb)
        if refused := state.recall("weights refused", ""):
            st.error(plain(refused), icon=":material/error:")
            state.keep("weights refused", "")
        for key in weights.store.names(state.session_id()):
            upload = weights.store.get(key)
            if st.button(
                f"Remove {plain(upload.title)} ({upload.size_bytes / 2**20:.1f} MB)",
                icon=":material/delete:",
                type="tertiary",
                key=f"remove {key}",
            ):
                weights.store.remove(key)
                _show(view, next(iter(cached.cards())) if view.model.startswith(key) else view.model)
        st.caption(_memory())


def _load_upload(view: PageView, file: state.Uploaded, limit_mb: int) -> None:
    """Store an uploaded file, load it and show it.

    Delete it with an error message if it is not a known network.
    """
    state.keep("weights taken", state.recall("weights taken", 0) + 1)  # the next run shows an empty field
    name = ""
    try:
        name = weights.store.add(state.session_id(), file, file.name, limit_mb * 2**20, state.cookie())
        state.release(file)
        with st.spinner("Reading and checking the file", show_time=True):
            cached.card_of(name)
    except ExplorerError as problem:
        if type(problem).__name__ != "AmbiguousPositionsError":
            weights.store.remove(name)
            state.release(file)
            state.keep("weights refused", str(problem))
            name = view.model
    state.keep("new weights", name)
    _show(view, name)


def _show(view: PageView, name: str) -> None:
    """Restart the page with another network, at its own input size and under its default policy."""
    if name == view.model:
        st.rerun()
    try:
        policy = controls.policy_of(cached.card_of(name))
    except ExplorerError:
        policy = view.policy
    state.keep("new weights", name)
    state.jump(
        replace(view, model=name, weights_hash="", policy=policy, tile=replace(view.tile, size_px=None))
    )


def _memory() -> str:
    from core.engine.loaded import model_cache

    used, limit = sum(model.size_bytes for model in model_cache().models()), model_cache().limit_bytes
    return (
        f"Models take {_size(used)} of at most {_size(limit)} in this server's memory. The least "
        "recently used one is unloaded to make room, and loaded again when it is chosen."
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
