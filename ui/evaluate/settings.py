"""The settings of each evaluation protocol, as form fields that yield arguments of an `EvaluationPlan`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import streamlit as st

from core.evaluation.bounds import MAX_DRAWS, MAX_SEED, MAX_SIZE_PX
from core.evaluation.errors import RecipeError
from core.evaluation.plan import HEADS, SCALE_SERIES, EvaluationPlan
from core.evaluation.protocols.knn import KnnSpec
from core.policy import POLICIES
from ui.shell import cached
from ui.shell.escaping import plain

SCALES = {"sweep": SCALE_SERIES, "segmentation": SCALE_SERIES[1:]}
"""Default relative scales of the protocols that use several."""
CARD = "the card's"
AUTHOR_RECIPES: dict[str | None, str] = {
    None: "none",
    "author": "native size, res 1 (EuroSAT 3.5), CLS",
    "author_224": "224 px, res 1, CLS",
}
GALLERIES = {"native": "native size, as in the paper", "scaled": "scaled like the test images"}
HEAD_LABELS = {
    "linear": "linear, frozen encoder",
    "upernet": "UperNet, frozen encoder",
    "upernet-tuned": "UperNet, fine-tuned encoder",
}
NORMALISATIONS = {"card": CARD, "dataset": "the set's statistics"}


def settings(protocol: str) -> dict[str, Any]:
    """Show every setting of a protocol and return the chosen values; the defaults are the protocol's own."""
    own_settings = {
        "knn": _knn_settings,
        "sweep": _knn_settings,
        "few-shot": _few_shot_settings,
        "reconstruction": _mask_settings,
        "gsd": _mask_settings,
    }.get(protocol, dict)
    chosen: dict[str, Any] = {**own_settings(), "policies": _policies(protocol)}
    if protocol not in ("reconstruction", "gsd"):
        chosen |= _embedding_settings(protocol)
    size = st.number_input(
        "Input size, px (0: automatic)",
        0,
        MAX_SIZE_PX,
        0,
        key=f"size {protocol}",
        help="Images are resized to this side, rounded up to whole patches.",
    )
    seed = st.number_input(
        "Seed",
        0,
        MAX_SEED,
        0,
        key=f"seed {protocol}",
        help="For random splits, the images that a limit selects, masks, draws and intervals.",
    )
    return chosen | {"size_px": int(size) or None, "seed": int(seed)}


def needs_gsd(chosen: dict[str, Any], models: Iterable[str]) -> bool:
    """Return whether any model computes res from metres per pixel under the chosen policies."""
    cards = cached.cards()
    own = {cards[name].default_policy if name in cards else "native_gsd" for name in models}
    policies: set[str] = set()
    for policy in chosen["policies"]:
        policies |= own if policy is None else {policy}
    return chosen.get("author") is None and any(
        POLICIES[policy.partition("-")[0]].needs_gsd for policy in policies
    )


def _policies(protocol: str) -> tuple[str | None, ...]:
    descriptions = "; ".join(f"{name}: {policy.summary}" for name, policy in POLICIES.items())
    chosen = st.multiselect(
        "Policies",
        [CARD, *POLICIES],
        default=[CARD, "author_eval"] if protocol == "sweep" else [CARD],
        key=f"policies {protocol}",
        help=plain(f"How metres per pixel become res: {descriptions}."),
        select_all=False,
    )
    res = 1.0
    if "manual" in chosen:
        res = st.number_input(
            "Res of manual",
            0.001,
            1e6,
            res,
            format="%g",
            key=f"res {protocol}",
            help="The res passed to the positional encoding, whatever the GSD.",
        )
    return tuple(
        None if name == CARD else f"manual-{res!r}" if name == "manual" else name for name in chosen
    ) or (None,)


def _embedding_settings(protocol: str) -> dict[str, Any]:
    """Settings of the protocols that embed images."""
    percentages = _number_list(
        "Scales, %",
        [100 * scale for scale in SCALES.get(protocol, (1.0,))],
        protocol,
        "Test images are reduced to these percentages of their native size.",
    )
    gallery = st.selectbox(
        "Training images",
        list(GALLERIES),
        format_func=GALLERIES.__getitem__,
        key=f"gallery {protocol}",
        help="The Scale-MAE paper reduces only the test images, so images of different scales must match.",
    )
    feed = st.selectbox(
        "Image size",
        ("native", "input"),
        key=f"feed {protocol}",
        format_func={"native": "scaled native size", "input": "the model's input size"}.__getitem__,
        help="Native: each image at its scaled size, rounded up to whole patches. "
        "Input: each image is resized to the size that the model was trained at.",
    )
    author = st.selectbox(
        "The authors' recipe",
        list(AUTHOR_RECIPES),
        format_func=AUTHOR_RECIPES.__getitem__,
        key=f"author {protocol}",
        help="Size, res and pooling as in the evaluation by Scale-MAE's authors; it overrides the policies.",
    )
    normalisation = st.selectbox(
        "Colour normalisation",
        list(NORMALISATIONS),
        format_func=NORMALISATIONS.__getitem__,
        key=f"colours {protocol}",
        help="Mean and standard deviation from the model card, or from the set where they are published.",
    )
    chosen = {
        "scales": tuple(percentage / 100 for percentage in percentages),
        "gallery": gallery,
        "feed": feed,
        "author": author,
        "normalisation": normalisation,
    }
    if protocol == "segmentation":
        return chosen | _head_settings()
    pooling = st.selectbox(
        "Pooling",
        (CARD, "cls", "mean", "cls+mean"),
        key=f"pooling {protocol}",
        help="How the tokens are combined into one embedding per image.",
    )
    return chosen | {"pooling": None if pooling == CARD else pooling}


def _knn_settings() -> dict[str, Any]:
    k = st.number_input(
        "Neighbours k",
        1,
        1000,
        KnnSpec.k,
        help="If left at 20 and a limit makes the gallery smaller, the whole gallery votes.",
    )
    tau = st.number_input(
        "Temperature",
        0.001,
        10.0,
        KnnSpec.tau,
        format="%g",
        help="A neighbour's vote has the weight exp(similarity / temperature).",
    )
    batch = st.number_input(
        "Overwritten rows, batch size (0: off)",
        0,
        100_000,
        0,
        help="The original code writes a smaller last batch over earlier rows of the gallery. "
        "Enter its batch size to reproduce its numbers.",
    )
    return {"knn": KnnSpec(int(k), float(tau), int(batch) or None), "fit_k": int(k) == KnnSpec.k}


def _head_settings() -> dict[str, Any]:
    head = st.selectbox(
        "Head",
        list(HEADS),
        format_func=HEAD_LABELS.__getitem__,
        help="The linear head takes seconds. UperNet is the Scale-MAE paper's; "
        "fine-tuning takes a GPU or patience.",
    )
    if head == "linear":
        return {"head": head}
    steps = st.number_input(
        "Training steps", 1, 1_000_000, EvaluationPlan.steps, help="16 tiles each, at full size."
    )
    return {"head": head, "steps": int(steps)}


def _few_shot_settings() -> dict[str, Any]:
    shots = _number_list(
        "Images per class (shots)",
        EvaluationPlan.shots,
        "few-shot",
        "Training images in each class mean; one result for each number. "
        "If left unchanged, they are reduced to fit small sets.",
    )
    if any(count != round(count) for count in shots):
        raise RecipeError("Shots must be whole numbers of images; enter for example 1, 5, 10.")
    draws = st.number_input(
        "Draws", 1, MAX_DRAWS, EvaluationPlan.draws, help="How many times the images are drawn at random."
    )
    return {
        "shots": tuple(int(count) for count in shots),
        "fit_shots": shots == EvaluationPlan.shots,
        "draws": int(draws),
    }


def _mask_settings() -> dict[str, Any]:
    percentages = _number_list(
        "Masking ratios, %",
        [100 * ratio for ratio in EvaluationPlan.ratios],
        "reconstruction",
        "Percentages of patches that are hidden; one result for each.",
    )
    return {"ratios": tuple(percentage / 100 for percentage in percentages)}


def _number_list(title: str, default: Iterable[float], protocol: str, explanation: str) -> tuple[float, ...]:
    """Show a field for numbers separated by commas. Raises RecipeError for anything else."""
    text = st.text_input(
        plain(title),
        ", ".join(f"{number:g}" for number in default),
        max_chars=400,
        key=f"{title} {protocol}",
        help=plain(explanation),
    )
    sentence = (
        f"'{text:.60}' under {title} is not a list of numbers: separate them by commas, such as 12.5, 25."
    )
    try:
        numbers = tuple(float(part) for part in text.replace("%", "").split(",") if part.strip())
    except ValueError:
        raise RecipeError(sentence) from None
    if not all(map(math.isfinite, numbers)):
        raise RecipeError(sentence)
    return numbers
