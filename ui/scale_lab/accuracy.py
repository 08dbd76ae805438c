"""kNN accuracy over scale: the network on a labelled set at four relative scales, computed on request."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from core.evaluation.cache import Cache
from core.evaluation.data.published import PUBLISHED
from core.evaluation.plan import SCALE_SERIES, EvaluationPlan
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.policy import policy_to_text
from core.session import PageView
from core.viz.evaluation import scale_chart
from ui.evaluate import evaluations
from ui.evaluate.own_sets import states_gsd
from ui.shell import cached, state, weights
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence, labs

FEW, IN_ALL = 10, 200
"""Images of each split: FEW per class, or IN_ALL over all classes if that is more.

Enough to see a trend in seconds.
"""


def accuracy(view: PageView) -> None:
    """Choose a labelled set and compute accuracy over relative scales; shares the Evaluate page's cache."""
    st.markdown("**kNN over scales**")
    # relative scales need the set's GSD
    names = [name for name in evaluations.published_sets("knn") if states_gsd(name)]
    if not names:
        st.info(
            "No labelled set with a known ground sample distance is available. Put EuroSAT or another set "
            "into a folder and "
            "name the folder in EARTH_MAE_DATA.",
            icon=":material/folder_off:",
        )
        return
    own = next((name for name in names if _is_of(view, name)), names[0])
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.selectbox(
        "Labelled set",
        names,
        names.index(own),
        format_func=lambda known: PUBLISHED[known].title,
        key=f"accuracy on {own}",
    )
    request = (view.model, name, view.policy)
    requested: frozenset[object] = state.recall("accuracy asked", frozenset())
    if right.button(
        "Compute",
        icon=":material/play_arrow:",
        disabled=request in requested,
        width="stretch",
        help="Four scales, a few seconds each.",
    ):
        requested = requested | {request}
        state.keep("accuracy asked", requested)
    if request in requested:
        with in_a_sentence():
            results = cached.result_cache("accuracy over scales", 64).get_or_compute(
                request, lambda: _computed(view, name)
            )
            st.plotly_chart(scale_chart(results), key="accuracy by scale")
            st.caption(
                f"Weighted kNN on {results[0].count:,} test images, downsampled; the gallery stays at native "
                "size. Bars are 95 % intervals. "
                "At 12.5 %, small images contain only a few whole patches."
            )
    if "Evaluate" in labs():
        st.page_link(
            labs()["Evaluate"], label="More images, models and protocols", icon=":material/leaderboard:"
        )


def _computed(view: PageView, name: str) -> tuple[Result, ...]:
    """Evaluate with a progress bar; results are cached on disk."""
    from core.engine.candidates import candidate

    policy = policy_to_text(view.policy)
    plan = EvaluationPlan(
        protocol="sweep",
        data=(name,),
        scales=SCALE_SERIES,
        policies=(policy,),
        limit=max(FEW, IN_ALL // (PUBLISHED[name].classes or 1)),
    )
    bar, results = st.progress(0.0), []
    # the results of an uploaded file belong to its session
    shared = view.model in {*cached.cards(), *cached.weight_files()}
    subject = candidate(weights.resolve(view.model, cached.weight_files()))
    with nullcontext() if shared else TemporaryDirectory() as folder:
        cache = evaluations.cache() if folder is None else Cache(Path(folder))
        for event in evaluate(plan, [subject], cache=cache):
            if isinstance(event, Result):
                results.append(event)
            else:
                bar.progress(event.share, plain(event.text))
    bar.empty()
    return tuple(results)


def _is_of(view: PageView, name: str) -> bool:
    """Whether the view's tile comes from this set."""
    source = view.tile.ref.source
    return any(place.split(".")[0].lower() == source.lower() for place in PUBLISHED[name].found_as)
