"""One number of the Evaluate page looked into: recipe, second model on the same images, confusion, worst mistakes, examples of segmentation."""

from __future__ import annotations

import re

import streamlit as st

from core.errors import ExplorerError
from core.evaluation.comparing import comparable, compare_results
from core.evaluation.recipes import recipe_toml
from core.evaluation.results import Result
from core.viz.evaluation import confusion_figure, example_pictures, legend
from ui.evaluate import evaluations
from ui.evaluate.table import in_words, policy_in_words
from ui.shell import cached, state
from ui.shell.escaping import plain

LONGEST = 14
"""Letters of a word that fit under a small picture."""


def details(shown: tuple[Result, ...]) -> None:
    """Choose a number and look into it."""
    keys = {label(result): result for result in shown}
    chosen = keys[st.selectbox("Look into", list(keys))]
    st.markdown(
        f"**{plain(chosen.metric)} {chosen.value:.3f}**, 95 % interval {chosen.low:.3f} to {chosen.high:.3f} over {chosen.count:,} images"
    )
    if chosen.skipped:
        st.warning(f"{len(chosen.skipped)} images could not be read: {plain('; '.join(chosen.skipped[:3]))}")
    compared(chosen, keys)
    if chosen.metric == "miou":
        segmentation(chosen)
    else:
        mistakes(chosen)
    with st.expander("Recipe"):
        st.json(chosen.recipe.plain())
        if chosen.recipe.is_mean:
            st.caption("A mean over sets: the recipes of the single sets run again.")
            return
        toml, name = recipe_toml(chosen.recipe), f"{chosen.recipe.key[:8]}.toml"
        st.download_button(
            "TOML", toml, name, "application/toml", icon=":material/download:", on_click="ignore"
        )
        st.caption(
            "Laid in under Re-run a recipe, or given to python -m core evaluate --recipe, it runs this number again."
        )


def compared(chosen: Result, keys: dict[str, Result]) -> None:
    """Choose a second number on the same images, where what both were computed from is kept; else how it comes to be."""
    alike = {name: result for name, result in keys.items() if comparable(chosen, result)}
    kept = evaluations.is_kept(chosen)
    others = {name: result for name, result in alike.items() if kept and evaluations.is_kept(result)}
    if others:
        against = st.selectbox(
            "Against", list(others), index=None, placeholder="another number on the same images"
        )
        if against:
            paired(chosen, others[against])
    elif alike and kept:
        st.caption(
            "To test it against another number on the same images, let this server find that one too: choose the same on the left and evaluate."
        )
    elif not kept:
        st.caption(
            "What it got wrong, and tests against other numbers, show once this server has found it: choose the same on the left and evaluate."
        )


def label(result: Result) -> str:
    """A result's name in a list."""
    recipe = result.recipe
    shots = f", {recipe.shots} shot{'s' * (recipe.shots > 1)}" if recipe.shots else ""
    hidden = f", {100 * recipe.ratio:g} % hidden" if recipe.ratio else ""
    return f"{recipe.model} on {recipe.data}, {recipe.protocol}{shots}{hidden}, {in_words(recipe.scale)}, {policy_in_words(recipe)} ({recipe.key[:6]})"


def paired(first: Result, second: Result) -> None:
    """The difference of two numbers with its interval and test, and how alike the two models see the images."""
    try:
        with st.spinner("Comparing the two on every image"):
            found = cached.shelf("comparisons", 128).once(
                (first.recipe.key, second.recipe.key),
                lambda: compare_results(first, second, evaluations.cache()),
            )
    except ExplorerError as problem:
        st.caption(plain(problem))
        return
    apart, test = found.paired.difference, found.paired
    unit = " dB" if first.metric == "psnr" else ""
    verdict = (
        "The interval holds 0: these images do not tell which is better."
        if apart.low <= 0 <= apart.high
        else ""
    )
    st.markdown(
        f"Second minus first: **{apart.mean:+.3f}{unit}** [{apart.low:+.3f}, {apart.high:+.3f}]. {verdict}"
    )
    if test.p_value is not None:
        st.caption(
            f"McNemar's exact test: p = {test.p_value:.2g}; {test.only_a:,} images only the first got right, {test.only_b:,} only the second."
        )
    if found.overlap is not None:
        left, right = st.columns(2)
        left.metric(
            f"{found.neighbours:,} nearest neighbours shared",
            f"{100 * found.overlap.mean:.0f} %",
            help=f"Among the test images; 95 % interval {100 * found.overlap.low:.1f} to {100 * found.overlap.high:.1f} %.",
        )
        right.metric(
            "Linear CKA",
            f"{found.cka:.2f}",
            help="1: the same up to rotation and scale; 0: nothing in common (Kornblith et al., 2019).",
        )


def mistakes(chosen: Result) -> None:
    """Confusion matrix and the most confident mistakes, where the images are here."""
    found = evaluations.mistakes_of(chosen)
    if found is None:
        return
    st.plotly_chart(confusion_figure(found.counts, found.classes), key="confusion")
    st.caption("Wrong with the most confidence")
    with st.container(horizontal=True, gap="small"):
        for mistake, picture in found.mistakes:
            truth, said = (short_name(found.classes[number]) for number in (mistake.truth, mistake.predicted))
            st.image(
                picture,
                f"{truth}, taken for {said}",
                width=evaluations.PICTURE_PX,
                alt=f"Image of {truth}, taken for {said}",
            )


def short_name(name: str) -> str:
    """A class's name that may break between its words (CamelCase, _ and -), words too long for a small picture cut with an ellipsis."""
    words = [word for word in re.split(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_\s/-])", name) if word]
    return "\u200b".join(word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}\u2026" for word in words)


def segmentation(chosen: Result) -> None:
    """IoU of each class, and test pieces from the worst to the best: picture, truth, prediction."""
    st.dataframe(
        [{"class": name, "IoU": round(value, 3)} for name, value in chosen.details["iou"].items()],
        hide_index=True,
    )
    said = f"{100 * chosen.details['pixel_accuracy']:.1f} % of {chosen.details['labelled_pixels']:,} labelled test pixels are right."
    if "rate" in chosen.details:  # numbers of earlier versions do not say it
        head = f"rate {chosen.details['rate']:g}, balance {chosen.details['balance']:g}"
        said += f" The head ({head}) was chosen on training tiles that were held back."
    st.caption(plain(said))
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
        alt=[f"Test tile {n + 1}: picture, truth, prediction" for n in range(len(examples))],
    )
    st.caption(
        "Test tiles from the least to the most accurate: picture, truth, prediction. Where the truth shows the plain picture, nothing is labelled."
    )


def duplicates() -> None:
    """Test images of a set that are also among its training images, found on request."""
    here = evaluations.offered("knn")
    if not here:
        return
    with st.expander("Duplicates across the split", icon=":material/content_copy:"):
        st.caption(
            "A test image that is also a training image flatters every kNN: equal pixels, or thumbnails that nearly agree."
        )
        name = st.selectbox("In which set", list(here), key=state.widget("duplicates in", next(iter(here))))
        asked: frozenset[str] = state.recall("duplicates asked", frozenset())
        if st.button("Look for them", icon=":material/search:"):
            asked = asked | {name}
            state.keep("duplicates asked", asked)
        if name not in asked:
            return
        bar = st.progress(0.0, text=f"Reading every image of {plain(name)}")
        found = cached.shelf("duplicates", 16).once(
            name, lambda: evaluations.find_duplicates(here[name], bar.progress)
        )
        bar.empty()
        st.markdown(
            f"**{len(found.pairs)}** of {found.tests:,} test images of {plain(name)} are also among its training images."
        )
        if found.pairs:
            rows = [
                {
                    "test": d.test,
                    "train": d.train,
                    "match": "equal" if d.exact else "nearly",
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
