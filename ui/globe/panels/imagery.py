"""The panel "My imagery": a raster of one's own becomes a table; the plan first, then a job in the background, then the map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.engine.embedding.count import TooManyTilesError
from core.engine.embedding.spec import EmbeddingError
from core.errors import ExplorerError
from core.geo import Source, open_source
from core.session import UPLOADED_WEIGHTS, model_outside
from core.units import metres
from ui.globe.panel_api import PanelContext
from ui.globe.panels import plans
from ui.globe.panels.job_list import show_jobs
from ui.pickers import model_picker
from ui.pickers.tile_picker import MOST_LISTED, UPLOAD_MB
from ui.shell import cached, jobs, state, uploads, weights
from ui.shell.escaping import plain

if TYPE_CHECKING:
    from core.engine.embedding.spec import EmbeddingSpec
    from core.models.registry import ModelCard

MOST_MODELS = 4
FROM_HERE, UPLOAD = "From this server", "Upload"
STEPS = {"edge to edge": 1.0, "half overlapping": 0.5, "three quarters overlapping": 0.25}
COARSER = (2, 4, 8, 16)
ALL = "all of them"


@dataclass(frozen=True)
class Chosen:
    """What the user points at: the source as a sweep names it, the picture in it ("" for all), and the first one to look at."""

    named: str
    only: str
    source: Source
    key: str
    title: str
    stated_gsd_m: float | None = None


def draw(context: PanelContext | None) -> None:
    """Choose imagery and settings, see the plan, start; below, this user's jobs. Without a context, no table is here yet."""
    left, right = st.columns([1, 1.35], gap="large")
    with left:
        chosen = _choose()
    if chosen is None:
        with right:
            st.info("Choose a picture or upload your own: where its tiles will lie, how many and how long it takes is shown here first.",
                    icon=":material/satellite:")  # fmt: skip
    else:
        with left:
            title, wanted = _settings(context, chosen)
        with right:
            _plan(chosen, title, wanted)
    if jobs.jobs_of(state.owner()):
        state.own(state.owner())
        show_jobs(state.owner())


def _choose() -> Chosen | None:
    origin = st.segmented_control(
        "Imagery", [FROM_HERE, UPLOAD], key=state.widget("imagery origin", FROM_HERE), required=True
    )
    return _upload() if origin == UPLOAD else _from_here()


def _from_here() -> Chosen | None:
    catalogue = cached.catalogue()
    names = [name for name in catalogue.names() if catalogue.source(name).keys() and name != "upload"]
    if not names:
        st.caption(
            "No imagery is on this server: upload your own, or start with a folder of it: `make app DATA=folder`."
        )
        return None
    name = st.selectbox(
        "Source",
        names,
        format_func=lambda n: catalogue.source(n).info.title,
        key=state.widget("imagery source", names[0]),
    )
    source = catalogue.source(name)
    keys = list(source.keys()[:MOST_LISTED])
    options = keys if len(keys) == 1 else [*keys, ALL]
    key = st.selectbox(
        "Picture",
        options,
        format_func=lambda k: _label(source, k),
        key=state.widget(f"imagery of {name}", keys[0]),
    )
    only = "" if key == ALL else key
    entry = source.entry(only or keys[0])
    st.caption(
        plain(
            " · ".join(
                filter(None, (entry.credit or source.info.credit, entry.licence or source.info.licence))
            )
        )
    )
    return Chosen(
        name, only, source, only or keys[0], source.info.title if key == ALL else _label(source, key)
    )


def _label(source: Source, key: str) -> str:
    return f"All {len(source.keys()):,} pictures" if key == ALL else source.entry(key).title or key


def _upload() -> Chosen | None:
    file = st.file_uploader(
        f"GeoTIFF, PNG or JPEG up to {UPLOAD_MB} MB",
        type=["tif", "tiff", "png", "jpg", "jpeg"],
        max_upload_size=UPLOAD_MB,
    )
    st.caption("It is kept on this server for your jobs only, and deleted with them or after two weeks.")
    if file is None:
        return None
    path = cached.shelf("laid in", 64).once(
        (state.owner(), file.file_id),
        lambda: uploads.lay_in(_owner(), uploads.content(file, UPLOAD_MB), file.name),
    )
    source = cached.shelf("laid in sources", 16).once(str(path), lambda: open_source(path, untrusted=True))
    stated = _state_gsd(source)
    return Chosen(str(path), "", source, path.name, Path(file.name).stem[:50], stated)


def _owner() -> str:
    """This user's key; made when the first thing is kept."""
    if not jobs.is_owner(state.owner()):
        state.own(jobs.new_owner())
    return state.owner()


def _state_gsd(source: Source) -> float | None:
    """Metres per pixel, asked for only where the file does not know."""
    try:
        source.native_gsd_m(source.keys()[0])
    except ExplorerError:
        return st.number_input(
            "Metres per pixel (the file does not say)",
            0.01,
            1e5,
            value=None,
            placeholder="not stated",
            format="%.3f",
        )
    return None


def _settings(context: PanelContext | None, chosen: Chosen) -> tuple[str, plans.Wanted]:
    """The settings of a sweep; the model begins as that of the open table, so that both can be searched with one another."""
    from core.models.registry import default_embedder

    open_with = "" if context is None else context.table.columns["model"][0].as_py()
    first = open_with if open_with in cached.cards() else default_embedder()
    names = sorted(
        [*cached.cards(), *model_picker.file_names()], key=lambda n: (n != first, n not in cached.cards())
    )
    said = st.multiselect(
        "Models", names, format_func=model_picker.model_label, key=state.widget("imagery models", [first]), max_selections=MOST_MODELS,
        help="The imagery is read once; each model writes a table of its own, and two of them can be compared place by place.", select_all=False,
    )  # fmt: skip
    models = tuple(model_picker.settled(name) for name in said or [first])
    cards = [cached.card_of(name) for name in models]
    gsd_m = _scales(chosen)
    step = st.selectbox(
        "Tiles lie",
        list(STEPS),
        key=state.widget("imagery step", next(iter(STEPS))),
        help="Overlap gives a finer map and takes longer.",
    )
    losses = all(card.reconstructs for card in cards) and st.toggle(
        "Reconstruct each tile too, and keep its losses", key=state.widget("imagery losses", False),
        help="How well the network imagines what is hidden, for the low and the high band: finds what is strange. Takes about twice as long.",
    )  # fmt: skip
    free = _free_title(chosen.title)
    with st.expander("More", icon=":material/tune:"):
        sizes, usual = _sizes(cards)
        tile_px = st.selectbox(
            "Side of a tile in pixels as fed", sizes, key=state.widget(f"imagery side {models}", usual)
        )
        least = st.slider(
            "Leave out tiles with less data than",
            0,
            100,
            format="%d %%",
            key=state.widget("imagery valid", 50),
        )
        kind = st.selectbox(
            "Vectors are kept as", ["float32", "float16", "int8"], key=state.widget("imagery type", "float32")
        )
        title = st.text_input(
            "Name of the table", max_chars=50, key=state.widget(f"imagery title {free}", free)
        )
    stride_px = max(1, round(tile_px * STEPS[step]))
    return title, plans.Wanted(models, gsd_m, tile_px, stride_px, bool(losses), least / 100, kind)


def _sizes(cards: list[ModelCard]) -> tuple[list[int], int]:
    """The sides in pixels that all these networks take, and the usual one. Raises EmbeddingError where there is none."""
    from core.engine.inputs import input_sizes

    each = [{*input_sizes(card.patch_px, card.input_px), card.input_px} for card in cards]
    sizes = sorted(set.intersection(*each))
    if not sizes:
        raise EmbeddingError(
            f"{' and '.join(card.name for card in cards)} take no tile of one size: choose fewer of them at a time."
        )
    return sizes, next((card.input_px for card in cards if card.input_px in sizes), sizes[-1])


def _scales(chosen: Chosen) -> tuple[float, ...]:
    """The GSDs to feed; none is the picture's own."""
    try:
        native = chosen.stated_gsd_m or chosen.source.native_gsd_m(chosen.key)
    except ExplorerError:
        return ()
    options = ["native", *(metres(native * n) for n in COARSER)]
    said = st.multiselect(
        "Ground sample distance", options, default=["native"], accept_new_options=True, key=f"imagery scales {chosen.key}",
        help=f"Metres per pixel as the network is fed; several scales go into one table. This picture: {metres(native)}. Type any other.", select_all=False,
    )  # fmt: skip
    return (
        ()
        if said in ([], ["native"])
        else tuple(sorted({native if text == "native" else plans.metres_of(text) for text in said}))
    )


def _free_title(wish: str) -> str:
    taken = {job.title for job in jobs.jobs_of(state.owner())}
    return next(name for n in range(1, 1000) if (name := wish if n == 1 else f"{wish} {n}") not in taken)


def _plan(chosen: Chosen, title: str, wanted: plans.Wanted) -> None:
    """Show what would be done, and the button that does it."""
    spec = wanted.spec(chosen.named, (chosen.only,) if chosen.only else (), chosen.stated_gsd_m)
    try:
        plan = plans.plan_of(spec, wanted.tile_px)
    except TooManyTilesError as problem:
        st.warning(f"{plain(problem)} The command line below has no such limit.")
        _command(spec, chosen, wanted)
        return
    st.image(
        plans.picture(chosen.source, chosen.key, plan),
        width="stretch",
        alt="The picture with the tiles of this plan",
    )
    plans.legend(plan)
    for sentence in plan.notes[:3]:
        st.caption(f":orange[:material/info:] {plain(sentence)}")
    with st.spinner("Measuring how fast this device is", show_time=True):
        rate = 1 / sum(
            1 / cached.pace(name, wanted.tile_px, wanted.losses, state.session_id()) for name in wanted.models
        )
    plans.numbers(plan, wanted, rate)
    if st.button("Embed it", type="primary", icon=":material/play_arrow:", width="stretch"):
        _start(title, spec, wanted.models)
        st.rerun(scope="app")
    _command(spec, chosen, wanted)


def _command(spec: EmbeddingSpec, chosen: Chosen, wanted: plans.Wanted) -> None:
    with st.expander("The same on the command line", icon=":material/terminal:"):
        st.code(
            plans.command(spec, chosen.title, tuple(map(model_outside, wanted.models))),
            language="bash",
            wrap_lines=True,
        )


def _start(title: str, spec: EmbeddingSpec, names: Sequence[str]) -> None:
    """Start a job. It outlives the session, so it gets copies of uploaded weights; one that is refused leaves none."""
    owner = _owner()
    jobs.admit(owner, title)
    with uploads.weights_for_a_job(owner) as copy:
        models = [_model_for_a_job(name, copy) for name in names]
        jobs.start(owner, title, replace(spec, model=models[0]), models)


def _model_for_a_job(name: str, copy: Callable[[Path], Path]) -> str:
    """A network as the job's own process finds it."""
    found = weights.located(name, cached.weight_files())
    if not name.startswith(UPLOADED_WEIGHTS):
        return str(found)
    return str(copy(weights.store.get(name.partition("+")[0]).path).with_name(Path(found).name))
