"""The panel "My imagery": embed a raster into a table, with a preview first and a background job after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import streamlit as st

from core.atlas.schema import Precision
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
from ui.pickers.tile_picker import MAX_LISTED, UPLOAD_MB
from ui.shell import cached, jobs, state, uploads, weights
from ui.shell.escaping import plain

if TYPE_CHECKING:
    from core.engine.embedding.spec import EmbeddingSpec
    from core.models.registry import ModelCard

MAX_MODELS = 4
FROM_HERE, UPLOAD = "From this server", "Upload"
SPACINGS = {"1 tile (no overlap)": 1.0, "1/2 tile": 0.5, "1/4 tile": 0.25}
"""Distances between the centres of neighbouring tiles, as shares of a tile's side."""
COARSER = (2, 4, 8, 16)
DATA_TYPES: tuple[Precision, ...] = get_args(Precision)
ALL = "all of them"


@dataclass(frozen=True)
class ChosenImagery:
    """The chosen imagery.

    `named` is its source as an embedding run names it, `only` the picture in it ("" for all), `key` the
    picture to preview.
    """

    named: str
    only: str
    source: Source
    key: str
    title: str
    stated_gsd_m: float | None = None


def draw(context: PanelContext | None) -> None:
    """Let the user choose imagery and settings, preview and start a run; below, list their jobs.

    `context` is None without tables.
    """
    left, right = st.columns([1, 1.35], gap="large")
    with left:
        chosen = _choose()
    if chosen is None:
        with right:
            st.info(
                "Choose a picture or upload one. A preview of its tiles, their number and the time needed "
                "appear here first.",
                icon=":material/satellite:",
            )
    else:
        with left:
            title, settings = _settings(context, chosen)
        with right:
            _plan(chosen, title, settings)
    if jobs.jobs_of(state.owner()):
        state.set_owner(state.owner())
        show_jobs(state.owner())


def _choose() -> ChosenImagery | None:
    origin = st.segmented_control(
        "Imagery", [FROM_HERE, UPLOAD], key=state.widget("imagery origin", FROM_HERE), required=True
    )
    return _upload() if origin == UPLOAD else _from_here()


def _from_here() -> ChosenImagery | None:
    catalogue = cached.catalogue()
    names = [name for name in catalogue.names() if catalogue.source(name).keys() and name != "upload"]
    if not names:
        st.caption(
            "There is no imagery on this server. Upload a file, or start the app with a folder of imagery: "
            "`make app DATA=folder`."
        )
        return None
    name = st.selectbox(
        "Source",
        names,
        format_func=lambda n: catalogue.source(n).info.title,
        key=state.widget("imagery source", names[0]),
    )
    source = catalogue.source(name)
    keys = list(source.keys()[:MAX_LISTED])
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
    return ChosenImagery(
        name, only, source, only or keys[0], source.info.title if key == ALL else _label(source, key)
    )


def _label(source: Source, key: str) -> str:
    return f"All {len(source.keys()):,} pictures" if key == ALL else source.entry(key).title or key


def _upload() -> ChosenImagery | None:
    file = st.file_uploader(
        f"GeoTIFF, PNG or JPEG up to {UPLOAD_MB} MB",
        type=["tif", "tiff", "png", "jpg", "jpeg"],
        max_upload_size=UPLOAD_MB,
    )
    st.caption(
        "The file is stored on this server for your jobs only, and deleted with them or after two weeks."
    )
    if file is None:
        return None
    path = cached.result_cache("uploads", 64).get_or_compute(
        (state.owner(), file.file_id),
        lambda: uploads.store_upload(_owner(), uploads.content(file, UPLOAD_MB), file.name),
    )
    source = plans.kept_for_session(
        "uploaded sources", 16, str(path), lambda: open_source(path, untrusted=True)
    )
    stated = _state_gsd(source)
    return ChosenImagery(str(path), "", source, path.name, Path(file.name).stem[:50], stated)


def _owner() -> str:
    """Return this user's key; create it on first use."""
    if not jobs.is_owner(state.owner()):
        state.set_owner(jobs.new_owner())
    return state.owner()


def _state_gsd(source: Source) -> float | None:
    """Ask for metres per pixel if the file does not state them."""
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


def _settings(context: PanelContext | None, chosen: ChosenImagery) -> tuple[str, plans.EmbeddingSettings]:
    """Let the user choose the settings of an embedding run; the default model is that of the open table."""
    from core.models.registry import default_embedder

    of_table = "" if context is None else context.table.columns["model"][0].as_py()
    first = of_table if of_table in cached.cards() else default_embedder()
    presets = model_picker.preset_names(untrained=model_picker.show_untrained("imagery"), kept=(first,))
    names = sorted(
        [*presets, *model_picker.file_names()], key=lambda n: (n != first, n not in cached.cards())
    )
    chosen_models = st.multiselect(
        "Models",
        names,
        format_func=model_picker.model_label,
        key=state.widget("imagery models", [first]),
        max_selections=MAX_MODELS,
        help="The imagery is read once. Each model writes its own table; the Compare tab compares two.",
        select_all=False,
    )
    models = tuple(model_picker.with_positions(name) for name in chosen_models or [first])
    cards = [cached.card_of(name) for name in models]
    gsd_m = _scales(chosen)
    spacing = st.selectbox(
        "Tile spacing",
        list(SPACINGS),
        key=state.widget("imagery spacing", next(iter(SPACINGS))),
        help="Tiles closer than their own side overlap, which gives a finer map and takes longer.",
    )
    losses = all(card.reconstructs for card in cards) and st.toggle(
        "Also reconstruct each tile and store its loss",
        key=state.widget("imagery losses", False),
        help="Stores the reconstruction loss for low and high frequencies, which finds outliers. "
        "Takes about twice as long.",
    )
    free = _free_title(chosen.title)
    with st.expander("More", icon=":material/tune:"):
        sizes, usual = _sizes(cards)
        tile_px = st.selectbox(
            "Tile size in network input pixels", sizes, key=state.widget(f"imagery side {models}", usual)
        )
        least = st.slider(
            "Skip tiles with less valid data than",
            0,
            100,
            format="%d %%",
            key=state.widget("imagery valid", 50),
        )
        data_type = st.selectbox(
            "Vector data type", DATA_TYPES, key=state.widget("imagery type", DATA_TYPES[0])
        )
        title = st.text_input(
            "Name of the table", max_chars=50, key=state.widget(f"imagery title {free}", free)
        )
    stride_px = max(1, round(tile_px * SPACINGS[spacing]))
    return title, plans.EmbeddingSettings(
        models, gsd_m, tile_px, stride_px, bool(losses), least / 100, data_type
    )


def _sizes(cards: list[ModelCard]) -> tuple[list[int], int]:
    """Return the tile sizes in pixels that all networks accept, and the default.

    Raises EmbeddingError if there is none.
    """
    from core.engine.inputs import input_sizes

    sizes_of_each = [{*input_sizes(card.patch_px, card.input_px), card.input_px} for card in cards]
    sizes = sorted(set.intersection(*sizes_of_each))
    if not sizes:
        raise EmbeddingError(
            f"{' and '.join(card.name for card in cards)} accept no common tile size. "
            "Choose fewer models at a time."
        )
    return sizes, next((card.input_px for card in cards if card.input_px in sizes), sizes[-1])


def _scales(chosen: ChosenImagery) -> tuple[float, ...]:
    """Return the GSDs to embed at; () means the picture's own."""
    try:
        native = chosen.stated_gsd_m or chosen.source.native_gsd_m(chosen.key)
    except ExplorerError:
        return ()
    options = ["native", *(metres(native * n) for n in COARSER)]
    scales = st.multiselect(
        "Ground sample distance",
        options,
        default=["native"],
        accept_new_options=True,
        key=f"imagery scales {chosen.key}",
        help="Metres per pixel of the network input. Several scales go into one table. "
        f"This picture has {metres(native)}. You can type other values.",
        select_all=False,
    )
    return (
        ()
        if scales in ([], ["native"])
        else tuple(sorted({native if text == "native" else plans.metres_of(text) for text in scales}))
    )


def _free_title(wish: str) -> str:
    taken = {job.title for job in jobs.jobs_of(state.owner())}
    return next(name for n in range(1, 1000) if (name := wish if n == 1 else f"{wish} {n}") not in taken)


def _plan(chosen: ChosenImagery, title: str, settings: plans.EmbeddingSettings) -> None:
    """Show the preview, and the button that starts the run."""
    spec = settings.spec(chosen.named, (chosen.only,) if chosen.only else (), chosen.stated_gsd_m)
    try:
        plan = plans.plan_of(spec, settings.tile_px)
    except TooManyTilesError as problem:
        st.warning(f"{plain(problem)} The command below has no such limit.")
        _command(spec, chosen, settings)
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
            1 / cached.pace(name, settings.tile_px, settings.losses, state.session_id())
            for name in settings.models
        )
    plans.numbers(plan, settings, rate)
    if st.button("Start embedding", type="primary", icon=":material/play_arrow:", width="stretch"):
        _start(title, spec, settings.models)
        st.rerun(scope="app")
    _command(spec, chosen, settings)


def _command(spec: EmbeddingSpec, chosen: ChosenImagery, settings: plans.EmbeddingSettings) -> None:
    with st.expander("Command line", icon=":material/terminal:"):
        st.code(
            plans.command(spec, chosen.title, tuple(map(model_outside, settings.models))),
            language="bash",
            wrap_lines=True,
        )


def _start(title: str, spec: EmbeddingSpec, names: Sequence[str]) -> None:
    """Start a job.

    It outlives the session, so uploaded weights are copied; a refused job leaves no copies.
    """
    owner = _owner()
    jobs.check_new(owner, title)
    with uploads.weights_for_a_job(owner) as copy:
        models = [_model_for_a_job(name, copy) for name in names]
        jobs.start(owner, title, replace(spec, model=models[0]), models)


def _model_for_a_job(name: str, copy: Callable[[Path], Path]) -> str:
    """Return a model name or path that the job's process can load."""
    found = weights.resolve(name, cached.weight_files())
    if not name.startswith(UPLOADED_WEIGHTS):
        return str(found)
    return str(copy(weights.store.get(name.partition("+")[0]).path).with_name(Path(found).name))
