"""Three papers: what each claims, what our small runs found, and the paper's own figures beside it."""

from __future__ import annotations

import json

import streamlit as st

from core.evaluation.claims import (
    RECORDED,
    STATEMENTS,
    ArmComparison,
    Claim,
    Measured,
    Statement,
    read_claims,
)
from core.viz.claims import claim_figure, paper_figure
from ui.shell.escaping import plain
from ui.train.runs import RUNS

ICONS = {
    "ahead": ":material/trending_up:",
    "behind": ":material/trending_down:",
    "open": ":material/balance:",
}


def three_papers() -> None:
    """Show a row per paper: our result on the left, the paper's on the right; without a run, the command."""
    st.header("Three papers", anchor=False)
    st.caption(
        "Each paper's method against its baseline, at small scale: both are trained on the same number of "
        "the same images with one recipe (each encoder with the learning rate that suits it), and scored on "
        "the same test images. Intervals are 95 %, over test images (and over seeds, if there are several)."
    )
    places = {
        place: {claim.name: claim for claim in read_claims(folder)}
        for place, folder in {"Recorded": RECORDED, "This machine": RUNS / "papers"}.items()
    }
    available = [place for place, claims in places.items() if claims]
    shown = (
        st.segmented_control(
            "Runs", available, default=available[0], key="papers from", format_func=plain, required=True
        )
        if len(available) > 1
        else (available or ["Recorded"])[0]
    )
    for name, statement in STATEMENTS.items():
        with st.container(border=True):
            _paper(statement, places[shown].get(name))


def _paper(statement: Statement, claim: Claim | None) -> None:
    st.markdown(f"**{plain(statement.title)}**  \nThe claim: {plain(statement.sentence)}")
    ours, theirs = st.columns([1.35, 1], gap="large")
    with ours:
        if claim is None:
            st.info(
                "Not run yet. This command trains and scores both models; "
                "after an interruption, run it again to continue.",
                icon=":material/terminal:",
            )
            st.code(f"python -m core papers {statement.name} --minutes-per-run 20", language="bash")
        else:
            st.markdown(f"{ICONS[claim.verdict]} **{plain(claim.sentence())}**")
            st.plotly_chart(claim_figure(claim), key=f"ours {statement.name}")
            st.caption(plain(recipe(claim)))
    with theirs:
        st.markdown("The paper's own figures: :orange[another protocol]")
        st.plotly_chart(paper_figure(statement), key=f"paper {statement.name}")
        st.caption(f"{plain(statement.paper.source)}; {plain(statement.paper.protocol)}.")
    if claim is not None:
        with st.expander("Every number, and the recipe"):
            st.dataframe([_row(comparison, statement) for comparison in claim.comparisons], hide_index=True)
            st.code(claim.command, language="bash")
            st.json({"ours": claim.ours.spec, "other": claim.other.spec}, expanded=False)
            content = json.dumps(claim.to_json(), indent=1)
            st.download_button(
                plain(f"{claim.name}.json"),
                content,
                f"{claim.name}.json",
                "application/json",
                icon=":material/download:",
                on_click="ignore",
            )


def recipe(claim: Claim) -> str:
    """What was run, in one line."""
    seeds = len(claim.ours.runs)
    limit = f", at most {claim.limit} images of each class" if claim.limit else ""
    images = " and ".join(f"{row.images:,} images of {row.data}" for row in claim.headlines)
    return (
        f"{claim.pictures:,} pictures and {claim.ours.runs[0].steps:,} steps a run, "
        f"{2 * seeds} runs ({seeds} seed{'s' * (seeds > 1)}), "
        f"{60 * claim.hours:.0f} min of training in all on {claim.machine}. "
        f"Scored on {images}{limit}; "
        f"gallery: {claim.gallery}."
    )


def _row(row: ArmComparison, statement: Statement) -> dict[str, object]:
    def text(measured: Measured) -> str:
        return f"{100 * measured.value:.1f} [{100 * measured.low:.1f}, {100 * measured.high:.1f}]"

    return {
        "set": row.data,
        "protocol": row.protocol,
        "scale": "mean" if row.scale is None else f"{100 * row.scale:g} %",
        "pooling": " / ".join(dict.fromkeys(row.pooling)),
        f"{statement.ours}, %": text(row.ours),
        f"{statement.other}, %": text(row.other),
        "difference, points": text(row.difference),
        "by seed": ", ".join(f"{100 * seed:+.1f}" for seed in row.seeds),
        "colour histogram, %": None if row.floor is None else round(100 * row.floor, 1),
    }
