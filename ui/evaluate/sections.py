"""Details of one result on the Evaluate page: recipe, comparison, mistakes, example masks."""

from __future__ import annotations

import re

import streamlit as st

from core.errors import ExplorerError
from core.evaluation.comparing import comparable, compare_results
from core.evaluation.protocols.averages import gains
from core.evaluation.recipes import PROTOCOL_LABELS, recipe_toml
from core.evaluation.results import IN_DECIBELS, METRIC_LABELS, Result
from core.viz.evaluation import confusion_figure, example_pictures, legend
from ui.evaluate import evaluations
from ui.evaluate.table import policy_label, value_label
from ui.shell import cached, state
from ui.shell.escaping import plain

MAX_WORD_LENGTH = 14
"""Letters of a word that fit under a small picture."""


def details(shown: tuple[Result, ...]) -> None:
    """Choose a result and show its details."""
    keys = {label(result): result for result in shown}
    chosen = keys[st.selectbox("Details of", list(keys))]
    metric = METRIC_LABELS.get(chosen.metric, chosen.metric)
    st.markdown(
        f"**{plain(metric)}: {chosen.value:.3f}**, 95 % interval {chosen.low:.3f} to "
        f"{chosen.high:.3f}, {chosen.count:,} test images"
    )
    if summary := gains(chosen):
        st.markdown(plain(summary))
    if leads := chosen.details.get("image_leads"):
        st.dataframe(
            [{"image": name, "lead over the best fill, dB": round(lead, 2)} for name, lead in leads.items()],
            hide_index=True,
        )
    if chosen.skipped:
        st.warning(f"{len(chosen.skipped)} images could not be read: {plain('; '.join(chosen.skipped[:3]))}.")
    comparison(chosen, keys)
    if chosen.metric == "miou":
        segmentation(chosen)
    else:
        mistakes(chosen)
    with st.expander("Recipe"):
        st.json(chosen.recipe.plain())
        if chosen.recipe.is_mean:
            st.caption("This is a mean over sets. To reproduce it, run the recipe of each set again.")
            return
        toml, name = recipe_toml(chosen.recipe), f"{chosen.recipe.key[:8]}.toml"
        st.download_button(
            "TOML", toml, name, "application/toml", icon=":material/download:", on_click="ignore"
        )
        st.caption(
            "To recompute this result, upload the file under Re-run a recipe, "
            "or give it to python -m core evaluate --recipe."
        )


def comparison(chosen: Result, keys: dict[str, Result]) -> None:
    """Choose a second result on the same images to compare with, or say what a comparison needs."""
    candidates = {name: result for name, result in keys.items() if comparable(chosen, result)}
    stored = evaluations.has_arrays(chosen)
    others = {
        name: result for name, result in candidates.items() if stored and evaluations.has_arrays(result)
    }
    if others:
        against = st.selectbox(
            "Compare with", list(others), index=None, placeholder="another result on the same images"
        )
        if against:
            paired(chosen, others[against])
    elif candidates and stored:
        st.caption(
            "To compare this result with another one on the same images, "
            "compute that one on this server too: choose its settings on the left and evaluate."
        )
    elif not stored:
        st.caption(
            "Mistakes and comparisons are shown once this server has computed the result itself: "
            "choose its settings on the left and evaluate."
        )


def label(result: Result) -> str:
    """Return the name of a result in a list."""
    recipe = result.recipe
    shots = f", {recipe.shots} shot{'s' * (recipe.shots > 1)}" if recipe.shots else ""
    hidden = f", {100 * recipe.ratio:g} % hidden" if recipe.ratio else ""
    return (
        f"{recipe.model} on {recipe.data}, {PROTOCOL_LABELS[recipe.protocol]}{shots}{hidden}, "
        f"{value_label(recipe.scale)}{', scaled gallery' * (recipe.gallery_label == 'scaled')}, "
        f"{policy_label(recipe)} ({recipe.key[:6]})"
    )


def paired(first: Result, second: Result) -> None:
    """Show the difference of two results, its interval and test, and how similar the embeddings are."""
    try:
        with st.spinner("Comparing the two results image by image"):
            compared = cached.result_cache("comparisons", 128).get_or_compute(
                (first.recipe.key, second.recipe.key),
                lambda: compare_results(first, second, evaluations.cache()),
            )
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    test = compared.paired
    difference = test.difference
    unit = " dB" if first.metric in IN_DECIBELS else ""
    verdict = (
        "The interval contains 0, so these images do not show which is better."
        if difference.low <= 0 <= difference.high
        else ""
    )
    st.markdown(
        f"Second minus first: **{difference.mean:+.3f}{unit}** "
        f"[{difference.low:+.3f}, {difference.high:+.3f}]. {verdict}"
    )
    if test.p_value is not None:
        st.caption(
            f"McNemar's exact test: p = {test.p_value:.2g}. "
            f"Only the first is right on {test.only_a:,} images, only the second on {test.only_b:,}."
        )
    if compared.overlap is not None:
        left, right = st.columns(2)
        left.metric(
            f"Shared among {compared.neighbours:,} nearest neighbours",
            f"{100 * compared.overlap.mean:.0f} %",
            help="Share of each test image's nearest neighbours that both embeddings agree on; "
            f"95 % interval {100 * compared.overlap.low:.1f} to {100 * compared.overlap.high:.1f} %.",
        )
        right.metric(
            "Linear CKA",
            f"{compared.cka:.2f}",
            help="1: identical up to rotation and scale; 0: nothing in common (Kornblith et al., 2019).",
        )


def mistakes(chosen: Result) -> None:
    """Show the confusion matrix and the most confident mistakes, if this server has the images."""
    wrong = evaluations.mistakes_of(chosen)
    if wrong is None:
        return
    st.plotly_chart(confusion_figure(wrong.counts, wrong.classes), key="confusion")
    st.caption("Most confident mistakes")
    with st.container(horizontal=True, gap="small"):
        for mistake, picture in wrong.mistakes:
            truth, predicted = (
                short_name(wrong.classes[number]) for number in (mistake.truth, mistake.predicted)
            )
            st.image(
                picture,
                f"{truth}, taken for {predicted}",
                width=evaluations.PICTURE_PX,
                alt=f"Image of {truth}, taken for {predicted}",
            )


def short_name(name: str) -> str:
    """Let a class name wrap between its words (CamelCase, _ and -), and shorten long words."""
    words = [word for word in re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_\s/-])", name) if word]
    return "\u200b".join(
        word if len(word) <= MAX_WORD_LENGTH else f"{word[: MAX_WORD_LENGTH - 1]}\u2026" for word in words
    )


def segmentation(chosen: Result) -> None:
    """Show the IoU of each class, and test tiles from the worst to the best: image, truth, prediction."""
    st.dataframe(
        [{"class": name, "IoU": round(value, 3)} for name, value in chosen.details["iou"].items()],
        hide_index=True,
    )
    accuracy, pixels = chosen.details["pixel_accuracy"], chosen.details["labelled_pixels"]
    summary = f"{100 * accuracy:.1f} % of {pixels:,} labelled test pixels are correct."
    if "rate" in chosen.details:  # missing in results of earlier versions
        head = f"learning rate {chosen.details['rate']:g}, class balance {chosen.details['balance']:g}"
        summary += f" The settings of the head ({head}) were chosen on held-out training tiles."
    st.caption(plain(summary))
    arrays = evaluations.cache().arrays(chosen.recipe)
    if arrays is None or "example_picture" not in arrays:
        return
    classes = tuple(str(name) for name in arrays["classes"])
    st.html(legend(classes))
    examples = example_pictures(
        arrays["example_picture"], arrays["example_truth"], arrays["example_predicted"]
    )
    st.image(
        examples,
        width=300,
        alt=[f"Test tile {n + 1}: image, truth, prediction" for n in range(len(examples))],
    )
    st.caption(
        "Test tiles from the least to the most accurate: image, truth, prediction. "
        "Pixels without colour in the truth are not labelled."
    )


def duplicates() -> None:
    """Find test images of a set that are also among its training images, on request."""
    available = evaluations.available_sets("knn")
    if not available:
        return
    with st.expander("Duplicates across the split", icon=":material/content_copy:"):
        st.caption(
            "A test image that is also a training image inflates accuracy. The search finds identical "
            "pixels and nearly identical thumbnails."
        )
        name = st.selectbox(
            "Set to search", list(available), key=state.widget("duplicates in", next(iter(available)))
        )
        searched: frozenset[str] = state.recall("duplicates asked", frozenset())
        if st.button("Find duplicates", icon=":material/search:"):
            searched = searched | {name}
            state.keep("duplicates asked", searched)
        if name not in searched:
            return
        bar = st.progress(0.0, text=f"Reading every image of {plain(name)}")
        found = cached.result_cache("duplicates", 16).get_or_compute(
            name, lambda: evaluations.find_duplicates(available[name], bar.progress)
        )
        bar.empty()
        st.markdown(
            f"**{len(found.pairs)}** of {found.tests:,} test images of {plain(name)} "
            "are also among its training images."
        )
        if found.pairs:
            rows = [
                {
                    "test": d.test,
                    "train": d.train,
                    "match": "exact" if d.exact else "near",
                    "labels": "differ" if d.test_label != d.train_label else "same",
                }
                for d in found.pairs
            ]
            st.dataframe(rows, hide_index=True, height=min(300, 60 + 35 * len(rows)))
            names = [f"{d.test} | {d.train}" for d in found.pairs[: len(found.pictures)]]
            st.image(
                list(found.pictures),
                names,
                width=200,
                alt=[f"Test and training image: {name}" for name in names],
            )
