"""kNN along the scale axis, under the Scale Lab's curves: the network on a labelled set at four relative scales, computed when asked."""

from __future__ import annotations

import streamlit as st

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
"""Images of each split: FEW a class, or as many as make IN_ALL: enough to see a trend, and an answer in seconds."""


def accuracy(view: PageView) -> None:
    """Choose a labelled set, start, see accuracy with intervals over relative scales; numbers are kept with those of the page Evaluate."""
    st.markdown("**kNN over scales**")
    here = [
        name for name in evaluations.published_sets("knn") if states_gsd(name)
    ]  # without a scale nothing says what relative scales are heard as
    if not here:
        st.info(
            "No labelled set that states its metres per pixel is here: put EuroSAT or another into a folder and name it in EARTH_MAE_DATA.",
            icon=":material/folder_off:",
        )
        return
    own = next((name for name in here if _is_of(view, name)), here[0])
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    name = left.selectbox(
        "Labelled set",
        here,
        here.index(own),
        format_func=lambda known: PUBLISHED[known].title,
        key=f"accuracy on {own}",
    )
    wish = (view.model, name, view.policy)
    asked: frozenset[object] = state.recall("accuracy asked", frozenset())
    if right.button(
        "Compute",
        icon=":material/play_arrow:",
        disabled=wish in asked,
        width="stretch",
        help="Four scales, some seconds each.",
    ):
        asked = asked | {wish}
        state.keep("accuracy asked", asked)
    if wish in asked:
        with in_a_sentence():
            results = cached.shelf("accuracy over scales", 64).once(wish, lambda: _computed(view, name))
            st.plotly_chart(scale_chart(results), key="accuracy by scale")
            st.caption(
                f"Weighted kNN on {results[0].count:,} test images, gallery and test images both downsampled; bars are 95 % intervals. "
                "At 12.5 % small pictures leave few whole patches."
            )
    if "Evaluate" in labs():
        st.page_link(
            labs()["Evaluate"], label="More images, models and protocols", icon=":material/leaderboard:"
        )


def _computed(view: PageView, name: str) -> tuple[Result, ...]:
    """Run, telling progress; a second asker is answered from the cache on disk."""
    from core.engine.candidates import candidate

    policy = policy_to_text(view.policy)
    plan = EvaluationPlan(
        protocol="sweep",
        data=(name,),
        scales=SCALE_SERIES,
        policies=(policy,),
        limit=max(FEW, IN_ALL // (PUBLISHED[name].classes or 1)),
    )
    bar, found = st.progress(0.0), []
    kept = (
        evaluations.cache() if view.model in {*cached.cards(), *cached.weight_files()} else None
    )  # an uploaded file is its session's alone
    for event in evaluate(plan, [candidate(weights.located(view.model, cached.weight_files()))], cache=kept):
        if isinstance(event, Result):
            found.append(event)
        else:
            bar.progress(event.share, plain(event.text))
    bar.empty()
    return tuple(found)


def _is_of(view: PageView, name: str) -> bool:
    """Whether the view's tile is of this set."""
    source = view.tile.ref.source
    return any(place.split(".")[0].lower() == source.lower() for place in PUBLISHED[name].found_as)
