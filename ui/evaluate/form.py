"""Forms that start an evaluation: models, sets and protocol, or an uploaded recipe to run again."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.evaluation.baselines.colours import UNTRAINED
from core.evaluation.errors import RecipeError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.recipes import PROTOCOL_LABELS, PROTOCOLS
from ui.evaluate import evaluations
from ui.evaluate.downloads import download_form
from ui.evaluate.own_sets import states_gsd
from ui.evaluate.settings import needs_gsd, settings
from ui.pickers import model_picker
from ui.shell import cached, state
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence
from ui.shell.uploads import content

HELP = {
    "knn": "Weighted kNN: k = 20, cosine similarity, votes weighted by exp(similarity / 0.07).",
    "probe": "Logistic regression on frozen embeddings, regularised as held-out training images suggest.",
    "few-shot": "Nearest class mean from 1, 5 and 10 images per class, averaged over 20 draws.",
    "sweep": "kNN over scales: test images at 12.5, 25, 50 and 100 % of their native size, "
    "the gallery at native size, under two policies.",
    "reconstruction": "PSNR over hidden pixels of test images, beside four baselines without a network. "
    "The set gallery has the tiles that the app opens with.",
    "gsd": "PSNR over hidden pixels under the right GSD, minus that under one wrong by a factor of four.",
    "segmentation": "A class for every pixel: linear head on frozen patch tokens, mean IoU at 25, 50, 100 %.",
}


def start_form() -> None:
    """Show the form that starts an evaluation, and below it the form that runs a recipe again."""
    with in_a_sentence():
        protocol = st.selectbox(
            "Protocol to run",
            PROTOCOLS,
            index=PROTOCOLS.index("knn"),
            format_func=PROTOCOL_LABELS.__getitem__,
            key="protocol",
        )
        st.caption(HELP[protocol])
        available = evaluations.available_sets(protocol)
        if available:
            _choices(protocol, available)
        else:
            st.info(
                "No labelled set was found: put EuroSAT or another set into a folder, "
                "and give that folder in EARTH_MAE_DATA.",
                icon=":material/folder_off:",
            )
    download_form()
    rerun_form()


def _choices(protocol: str, available: dict[str, str]) -> None:
    """Show models, sets, settings and the start button. Raises RecipeError for invalid settings."""
    baselines = [] if protocol in ("reconstruction", "gsd") else evaluations.baselines()
    untrained = state.widget_value("show untrained evaluate", False)
    models = st.multiselect(
        "Models",
        [*model_picker.preset_names(untrained=untrained), *cached.weight_files(), *baselines],
        default=[*default_models(protocol), *baselines],
        select_all=False,
        key=f"models {protocol}",
        format_func=model_picker.model_label,
        help="Floors (the colour histogram, an untrained network) are what every trained network should "
        "beat. EfficientNet-Lite0 is the teacher of Scale-MAE Tiny, offered where it was fetched.",
    )
    model_picker.show_untrained("evaluate")
    sets = st.multiselect("Sets", list(available), default=list(available)[:1], select_all=False)
    limit = st.number_input(
        "Images per class and split (0: all)",
        0,
        10_000,
        50,
        help="A small limit gives a quick result; its interval shows how certain that is.",
    )
    without_gsd = [name for name in sets if not states_gsd(available[name])]
    with st.container():  # always present, so that fields that come and go in it leave the settings open
        gsds = {name: _gsd_field(name) if name in without_gsd else None for name in sets}
    with st.expander("Protocol settings", icon=":material/tune:"):
        chosen = settings(protocol)
    if not st.button("Evaluate", type="primary", icon=":material/play_arrow:") or not models or not sets:
        return
    unknown = [name for name in without_gsd if gsds[name] is None]
    if unknown and needs_gsd(chosen, set(models) - (set(baselines) - {UNTRAINED})):
        raise RecipeError(
            f"The GSD of {unknown[0]} is unknown, and res is computed from it: enter its metres per pixel, "
            "or choose the policy training_range or author_eval under Protocol settings."
        )
    common = {"protocol": protocol, "limit": int(limit) or None, **chosen}
    evaluations.start(
        plans(common, {available[name]: gsd_m for name, gsd_m in gsds.items()}),
        tuple(models),
    )
    st.rerun()


def default_models(protocol: str) -> list[str]:
    """Return the trained models that a protocol can score."""
    trained = {name: card for name, card in cached.cards().items() if card.trained}
    if protocol == "gsd":
        return [name for name, card in trained.items() if card.reconstructs and card.gsd_aware]
    return [name for name, card in trained.items() if card.reconstructs or protocol != "reconstruction"]


def _gsd_field(name: str) -> float | None:
    """Ask for the ground sample distance of a set that does not state one."""
    return st.number_input(
        f"Metres per pixel of {plain(name)}",
        0.001,
        100_000.0,
        None,
        format="%g",
        placeholder="not stated by the set",
        key=f"metres {name}",
        help="The ground sample distance of the images at native size. "
        "The policy computes from it the res that the positional encoding receives.",
    )


def plans(common: dict[str, Any], gsds: dict[str, float | None]) -> tuple[EvaluationPlan, ...]:
    """Return one plan for each given GSD, because a plan's GSD overrides what its sets state.

    `gsds` maps the path or name of each set to its metres per pixel, None where the set states its own.
    """
    return tuple(
        EvaluationPlan(
            data=tuple(place for place, value in gsds.items() if value == gsd_m), gsd_m=gsd_m, **common
        )
        for gsd_m in dict.fromkeys(gsds.values())
    )


def rerun_form() -> None:
    """Upload a recipe file, show its settings, and run it again."""
    with st.expander("Re-run a recipe", icon=":material/replay:"), in_a_sentence():
        uploaded = st.file_uploader(
            "Recipe (TOML or JSON)",
            ["toml", "json"],
            max_upload_size=1,
            help="From the section Recipe of a result, or from a folder written by the command's --out.",
        )
        if uploaded is None:
            return
        recipe, plan = evaluations.read_recipe_upload(uploaded.name, content(uploaded, 1))
        values = {**recipe.plain(), "weights": recipe.weights[:12], "data_hash": recipe.data_hash[:12]}
        st.markdown(
            f"**{plain(recipe.model)}** on **{plain(recipe.data)}**, "
            f"{plain(PROTOCOL_LABELS[recipe.protocol])} at {100 * recipe.scale:g} %"
        )
        st.dataframe(
            [{"setting": name, "value": str(value)} for name, value in values.items()],
            hide_index=True,
            height=220,
        )
        if st.button(
            "Run it again",
            icon=":material/replay:",
            help="Recomputed without the cache, then compared with the recipe.",
        ):
            evaluations.start((plan,), (recipe.model,), recipe)
            st.rerun()
