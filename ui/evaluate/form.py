"""Start an evaluation from the page: what on what, every setting of its protocol, or a recipe file again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import streamlit as st

from core.evaluation.baselines.colours import COLOUR_HISTOGRAM
from core.evaluation.bounds import MAX_DRAWS, MAX_SEED, MAX_SIZE_PX
from core.evaluation.errors import RecipeError
from core.evaluation.plan import SCALE_SERIES, EvaluationPlan
from core.evaluation.protocols.knn import KnnSpec
from core.evaluation.recipes import PROTOCOLS
from core.policy import POLICIES
from ui.evaluate import evaluations
from ui.evaluate.own_sets import states_gsd
from ui.shell import cached
from ui.shell.escaping import plain
from ui.shell.ownership import visitor
from ui.shell.page import in_a_sentence
from ui.shell.uploads import content

HELP = {
    "knn": "Weighted kNN: k 20, cosine, exp(similarity / 0.07).",
    "probe": "Logistic regression on frozen vectors, its strength chosen on held-out training images.",
    "few-shot": "Nearest mean of 1, 5 and 10 images a class, 20 draws.",
    "sweep": "kNN at 12.5, 25, 50 and 100 % of the native size, under the card's policy and author_eval.",
    "reconstruction": "Hidden pixels of test images against four fills that need no network.",
    "segmentation": "A class for every pixel: a linear head over frozen patch tokens, mean IoU at 25, 50 and 100 %.",
}
SCALES = {"sweep": SCALE_SERIES, "segmentation": SCALE_SERIES[1:]}
CARD = "the card's"
AUTHORS: dict[str | None, str] = {
    None: "none",
    "author": "native size, res 1 (EuroSAT 3.5), CLS",
    "author_224": "224 px, res 1, CLS",
}
COLOURS = {"card": CARD, "dataset": "the set's statistics"}
BLIND = {"author_eval", "manual"}
"""Policies whose res does not follow from metres per pixel."""


def start_form() -> None:
    """Choose what to evaluate on what, and start; or lay in a recipe."""
    with in_a_sentence():
        protocol = st.selectbox(
            "Protocol to run",
            PROTOCOLS,
            index=1,
            format_func=lambda name: name.replace("knn", "kNN"),
            key="protocol",
        )
        st.caption(HELP[protocol])
        here = evaluations.offered(protocol)
        if here:
            _choices(protocol, here)
        else:
            st.info(
                "No labelled set is here: put EuroSAT or another set into a folder and name it in EARTH_MAE_DATA.",
                icon=":material/folder_off:",
            )
    rerun_form()


def _choices(protocol: str, here: dict[str, str]) -> None:
    """Models, sets and settings, and the button that starts them. Raises RecipeError for what cannot be meant."""
    trained = [name for name, card in cached.cards().items() if card.trained]
    models = st.multiselect(
        "Models",
        [*cached.cards(), *cached.weight_files(), COLOUR_HISTOGRAM],
        default=trained or [COLOUR_HISTOGRAM],
        select_all=False,
    )
    sets = st.multiselect("Sets", list(here), default=list(here)[:1], select_all=False)
    limit = st.number_input(
        "Images a class and split (0: all)",
        0,
        10_000,
        50,
        help="A small limit answers quickly; its interval says how sure it is.",
    )
    silent = [name for name in sets if not states_gsd(here[name])]
    with st.container():  # always there: what comes and goes inside does not close the settings below
        measures = {name: metres(name) if name in silent else None for name in sets}
    with st.expander("Protocol settings", icon=":material/tune:"):
        chosen = settings(protocol)
    if not st.button("Evaluate", type="primary", icon=":material/play_arrow:") or not models or not sets:
        return
    unknown = [name for name in silent if measures[name] is None]
    if unknown and set(models) != {COLOUR_HISTOGRAM} and needs_gsd(chosen):
        raise RecipeError(
            f"Say how many metres a pixel of {unknown[0]} measures: what a network's positions hear (res) follows from it. "
            "Or choose the policy author_eval under Protocol settings."
        )
    common = {"protocol": protocol, "limit": int(limit) or None, **chosen}
    evaluations.start(
        plans(common, {here[name]: value for name, value in measures.items()}),
        tuple(models),
        started_by=visitor(),
    )
    st.rerun()


def metres(name: str) -> float | None:
    """Ask for the ground sample distance that a set does not state."""
    return st.number_input(
        f"Metres per pixel of {plain(name)}", 0.001, 100_000.0, None, format="%g", placeholder="it states none", key=f"metres {name}",
        help="The ground sample distance of the pictures as they are. A network's positions hear res, which the policy makes of it.",
    )  # fmt: skip


def plans(common: dict[str, Any], measures: dict[str, float | None]) -> tuple[EvaluationPlan, ...]:
    """One plan for all sets of the same stated metres per pixel: a plan's number would overrule what other sets state."""
    return tuple(
        EvaluationPlan(
            data=tuple(place for place, value in measures.items() if value == gsd_m), gsd_m=gsd_m, **common
        )
        for gsd_m in dict.fromkeys(measures.values())
    )


def needs_gsd(chosen: dict[str, Any]) -> bool:
    """Whether some policy of these settings makes res of metres per pixel; a card's does."""
    policies: Iterable[str | None] = chosen["policies"]
    return chosen.get("author") is None and any(
        policy is None or policy.partition("-")[0] not in BLIND for policy in policies
    )


def settings(protocol: str) -> dict[str, Any]:
    """Every setting of a protocol, as a plan takes it; untouched they are the protocol's own."""
    own = {"knn": _neighbours, "sweep": _neighbours, "few-shot": _shots, "reconstruction": _hidden}.get(
        protocol, dict
    )()
    chosen: dict[str, Any] = {**own, "policies": _policies(protocol)}
    if protocol != "reconstruction":
        chosen |= _vectors(protocol)
    size = st.number_input(
        "Side fed to the network, px (0: by itself)",
        0,
        MAX_SIZE_PX,
        0,
        key=f"size {protocol}",
        help="Pictures are resized to it, up to whole patches.",
    )
    seed = st.number_input(
        "Seed",
        0,
        MAX_SEED,
        0,
        key=f"seed {protocol}",
        help="Of random splits, of which images a limit keeps, of masks, draws and intervals.",
    )
    return chosen | {"size_px": int(size) or None, "seed": int(seed)}


def _policies(protocol: str) -> tuple[str | None, ...]:
    default = [CARD, "author_eval"] if protocol == "sweep" else [CARD]
    said = (
        "How metres per pixel become res: "
        + "; ".join(f"{name}: {text}" for name, text in POLICIES.items())
        + "."
    )
    chosen = st.multiselect(
        "Policies",
        [CARD, *POLICIES],
        default=default,
        key=f"policies {protocol}",
        help=plain(said),
        select_all=False,
    )
    res = 1.0
    if "manual" in chosen:
        heard = "The number that positions hear, whatever the ground."
        res = st.number_input(
            "Res of manual", 0.001, 1e6, res, format="%g", key=f"res {protocol}", help=heard
        )
    return tuple(
        None if name == CARD else f"manual-{res!r}" if name == "manual" else name for name in chosen
    ) or (None,)


def _vectors(protocol: str) -> dict[str, Any]:
    """Settings of every protocol that looks at vectors."""
    usual = [100 * scale for scale in SCALES.get(protocol, (1.0,))]
    scales = _numbers(
        "Scales, %", usual, protocol, "Pictures are shrunk to these shares of their native size."
    )
    feed = st.selectbox(
        "Fed at", ("native", "input"), key=f"feed {protocol}", format_func=lambda name: f"their {name} size" if name == "native" else "the network's input size",
        help="Native: at its scaled size, up to whole patches. Input: every picture is resized to what the network was trained with.",
    )  # fmt: skip
    author = st.selectbox(
        "The authors' recipe", list(AUTHORS), format_func=AUTHORS.__getitem__, key=f"author {protocol}",
        help="Size, res and pooling as Scale-MAE's authors evaluate; it overrules the policies.",
    )  # fmt: skip
    colours = st.selectbox(
        "Colours normalised by", list(COLOURS), format_func=COLOURS.__getitem__, key=f"colours {protocol}",
        help="Means and deviations of the network's card, or the set's where they are published.",
    )  # fmt: skip
    chosen = {
        "scales": tuple(share / 100 for share in scales),
        "feed": feed,
        "author": author,
        "normalisation": colours,
    }
    if protocol == "segmentation":
        return chosen
    pooling = st.selectbox(
        "Pooling",
        (CARD, "cls", "mean", "cls+mean"),
        key=f"pooling {protocol}",
        help="What of the patch tokens becomes a picture's vector.",
    )
    return chosen | {"pooling": None if pooling == CARD else pooling}


def _neighbours() -> dict[str, Any]:
    k = st.number_input(
        "Neighbours k",
        1,
        1000,
        KnnSpec.k,
        help="Left at 20, a gallery that the limit makes smaller votes as a whole.",
    )
    tau = st.number_input(
        "Temperature",
        0.001,
        10.0,
        KnnSpec.tau,
        format="%g",
        help="A neighbour votes with exp(similarity / temperature).",
    )
    batch = st.number_input(
        "Rows overwritten, batch of (0: none)", 0, 100_000, 0,
        help="The original's code writes a smaller last batch over earlier rows of its gallery; its batch size here repeats its numbers.",
    )  # fmt: skip
    return {"knn": KnnSpec(int(k), float(tau), int(batch) or None), "fit_k": int(k) == KnnSpec.k}


def _shots() -> dict[str, Any]:
    shots = _numbers(
        "Images a class (shots)",
        EvaluationPlan.shots,
        "few-shot",
        "Images that a class's mean is taken of, a number each. Left as they are, they fit small sets.",
    )
    if any(count != round(count) for count in shots):
        raise RecipeError("Shots are whole numbers of images; give for example 1, 5, 10.")
    draws = st.number_input(
        "Draws", 1, MAX_DRAWS, EvaluationPlan.draws, help="How often the images are drawn anew."
    )
    return {
        "shots": tuple(int(count) for count in shots),
        "fit_shots": shots == EvaluationPlan.shots,
        "draws": int(draws),
    }


def _hidden() -> dict[str, Any]:
    usual = [100 * share for share in EvaluationPlan.ratios]
    shares = _numbers(
        "Hidden, %",
        usual,
        "reconstruction",
        "Shares of the patches that are hidden; one number comes of each.",
    )
    return {"ratios": tuple(share / 100 for share in shares)}


def _numbers(title: str, default: Iterable[float], protocol: str, said: str) -> tuple[float, ...]:
    """Finite numbers apart by commas. Raises RecipeError for anything else."""
    text = st.text_input(
        plain(title),
        ", ".join(f"{number:g}" for number in default),
        key=f"{title} {protocol}",
        help=plain(said),
    )
    sentence = f"'{text:.60}' under {title} are no numbers: write them apart by commas, such as 12.5, 25."
    try:
        found = tuple(float(part) for part in text.replace("%", "").split(",") if part.strip())
    except ValueError:
        raise RecipeError(sentence) from None
    if not all(map(math.isfinite, found)):
        raise RecipeError(sentence)
    return found


def rerun_form() -> None:
    """Lay in a recipe file, see what it asks for, and run it again."""
    with st.expander("Re-run a recipe", icon=":material/replay:"), in_a_sentence():
        told = "As the section Recipe of a number gives it, or a command's --out."
        laid = st.file_uploader("Recipe (TOML or JSON)", ["toml", "json"], max_upload_size=1, help=told)
        if laid is None:
            return
        asked, plan = evaluations.read_asked(laid.name, content(laid, 1))
        what = {**asked.plain(), "weights": asked.weights[:12], "data_hash": asked.data_hash[:12]}
        st.markdown(
            f"**{plain(asked.model)}** on **{plain(asked.data)}**, {plain(asked.protocol)} at {100 * asked.scale:g} %"
        )
        st.dataframe(
            [{"setting": name, "value": str(value)} for name, value in what.items()],
            hide_index=True,
            height=220,
        )
        if st.button(
            "Run it again",
            icon=":material/replay:",
            help="Computed anew, whatever is kept, and compared with the recipe.",
        ):
            evaluations.start((plan,), (asked.model,), asked, started_by=visitor())
            st.rerun()
