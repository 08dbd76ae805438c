"""Evaluate: start evaluations, read results with intervals, compare models, look at mistakes."""

import streamlit as st

from core.evaluation.results import Result
from core.viz.evaluation import scale_chart
from ui.evaluate import evaluations
from ui.evaluate.following import follow_evaluation
from ui.evaluate.form import start_form
from ui.evaluate.sections import details, duplicates
from ui.evaluate.table import table
from ui.evaluate.which_model import which_model_section
from ui.learn.tour import tour
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence, page
from ui.train.claims import three_papers

MODELS_STYLE = "<style>[data-testid=stMultiSelect] div[role=group]{max-height:24rem}</style>"
"""Shows every selected model without scrolling."""


def scale_charts(shown: tuple[Result, ...]) -> None:
    """Draw a chart over scales for each protocol that was run at several."""
    for protocol in ("knn", "sweep", "segmentation"):
        results = [result for result in shown if result.recipe.protocol == protocol]
        results = [result for result in results if result.recipe.data == results[0].recipe.data]
        if len({result.recipe.scale for result in results}) > 1:
            st.markdown(
                f"**{plain(results[0].recipe.data)} over scales** "
                "(the first set in the table; choose another under Set)"
            )
            st.plotly_chart(scale_chart(results), key=f"over scales {protocol}")


with page(
    "Evaluate",
    "Benchmarks with confidence intervals, the recipes behind them, and the mistakes.",
):
    tour("Evaluate")
    st.html(MODELS_STYLE)
    with in_a_sentence():
        which_model_section(tuple(r for found in evaluations.numbers().values() for r in found))
    left, right = st.columns([1, 3.7], gap="small")
    with left, in_a_sentence():
        st.fragment(start_form)()
        watched = evaluations.run().running
        # An idle timer would delay the first drawing of the table.
        st.fragment(follow_evaluation, run_every=1.0 if watched else None)(watched)
    with right, in_a_sentence():
        results = evaluations.numbers()
        origins = list(results)
        origin = (
            st.segmented_control("Results", origins, default=origins[0], key="numbers from", required=True)
            if len(origins) > 1
            else "".join(origins)
        )
        if not origin:
            st.info(
                "No results yet. Start with the colour histogram on the left: every network should beat it.",
                icon=":material/leaderboard:",
            )
        elif shown := table(origin, results[origin]):
            scale_charts(shown)
            details(shown)
    st.divider()
    three_papers()
    with in_a_sentence():
        duplicates()  # opening it moves nothing below
