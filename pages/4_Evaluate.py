"""Evaluate: start evaluations, read their numbers with intervals, compare two models, see where one goes wrong."""

import streamlit as st

from core.evaluation.floors import COLOUR_HISTOGRAM
from core.evaluation.intervals import compare
from core.evaluation.plan import SWEEP, Plan
from core.evaluation.recipes import PROTOCOLS
from core.evaluation.results import Result, to_csv, to_latex
from core.viz.evaluation import confusion_figure, scale_chart
from ui import cached, evaluations
from ui.claims import three_papers
from ui.page import in_a_sentence, page
from ui.state import widget

HELP = {
    "knn": "Weighted kNN: k 20, cosine, exp(similarity / 0.07).",
    "probe": "Logistic regression on frozen vectors, its strength chosen on held-out training images.",
    "few-shot": "Nearest mean of 1, 5 and 10 images a class, 20 draws.",
    "sweep": "kNN at 12.5, 25, 50 and 100 % of the native size, under the card's policy and author_eval.",
    "reconstruction": "Hidden pixels of test images against four fills that need no network.",
}


def start_form() -> None:
    """Choose what to evaluate on what, and start."""
    trained = [name for name, card in cached.cards().items() if card.trained]
    here = list(evaluations.sets_here())
    if not here:
        st.info("No labelled set is here: put EuroSAT or another set into a folder and name it in EARTH_MAE_DATA.", icon=":material/folder_off:")
        return
    with st.form("evaluate", border=False):
        protocol = st.selectbox("Protocol", PROTOCOLS, index=1, format_func=lambda name: f"{name}: {HELP[name]}")
        models = st.multiselect("Models", [*cached.cards(), COLOUR_HISTOGRAM], default=trained or [COLOUR_HISTOGRAM])
        sets = st.multiselect("Sets", here, default=here[:1])
        limit = st.number_input(
            "Images a class and split (0: all)", 0, 10_000, 50, help="A small limit answers quickly; its interval says how sure it is."
        )
        if st.form_submit_button("Evaluate", type="primary", icon=":material/play_arrow:") and models and sets:
            sweep = protocol == "sweep"
            plan = Plan(
                protocol=protocol,
                data=tuple(sets),
                scales=SWEEP if sweep else (1.0,),
                policies=(None, "author_eval") if sweep else (None,),
                limit=int(limit) or None,
            )
            evaluations.start(plan, tuple(models))
            st.rerun()


@st.fragment(run_every=1.0)
def follow() -> None:
    """The evaluation under way, with the time left and a way to stop it."""
    job = evaluations.current()
    if job is None:
        return
    if job.problem:
        st.error(job.problem, icon=":material/error:")
    if job.over:
        st.caption(f"Done: {job.finished} numbers." if not job.stop.is_set() else f"Stopped after {job.finished} numbers; they are kept.")
        return
    told = job.progress
    left = f", about {told.seconds_left:.0f} s left" if told and told.seconds_left is not None else ""
    st.progress(told.share if told else 0.0, text=f"{told.text if told else 'reading the images'}{left} · {job.finished} numbers so far")
    if st.button("Stop", icon=":material/stop:", help="Finished numbers are kept; the next start goes on from there."):
        job.stop.set()


def table(results: tuple[Result, ...]) -> tuple[Result, ...]:
    """The stored numbers, filtered and sortable; gives the rows that are shown."""
    names = {"Set": "data", "Model": "model", "Protocol": "protocol"}
    columns = st.columns(3)
    shown = results
    for column, (title, name) in zip(columns, names.items(), strict=True):
        chosen = column.multiselect(title, sorted({getattr(result.recipe, name) for result in results}), key=widget(f"filter {name}", []))
        shown = tuple(result for result in shown if not chosen or getattr(result.recipe, name) in chosen)
    rows = [{**r.row(), "hidden": r.recipe.ratio, "shots": r.recipe.shots, "limit": r.recipe.limit, "recipe": r.recipe.key[:8]} for r in shown]
    st.dataframe(rows, hide_index=True, height=min(420, 60 + 35 * len(rows)))
    buttons = st.columns([1, 1, 4])
    buttons[0].download_button("CSV", to_csv(shown), "evaluation.csv", "text/csv", icon=":material/download:")
    buttons[1].download_button("LaTeX", to_latex(shown), "evaluation.tex", "text/plain", icon=":material/download:")
    return shown


def details(shown: tuple[Result, ...]) -> None:
    """One number looked into: its recipe, the confusion matrix, the worst mistakes, and a second model on the same images."""
    keys = {label(result): result for result in shown}
    chosen = keys[st.selectbox("Look into", list(keys))]
    st.markdown(f"**{chosen.metric} {chosen.value:.3f}**, 95 % interval {chosen.low:.3f} to {chosen.high:.3f} over {chosen.count:,} images")
    if chosen.skipped:
        st.warning(f"{len(chosen.skipped)} images could not be read: {'; '.join(chosen.skipped[:3])}")
    others = {name: r for name, r in keys.items() if r is not chosen and r.recipe.data_hash == chosen.recipe.data_hash and r.metric == chosen.metric}
    against = st.selectbox("Against", list(others), index=None, placeholder="another number on the same images") if others else None
    if against:
        paired(chosen, others[against])
    if (found := evaluations.wrong(chosen)) is not None:
        left, right = st.columns([3, 2])
        left.plotly_chart(confusion_figure(found.counts, found.classes))
        with right:
            st.caption("Wrong with the most confidence")
            st.image(
                [picture for _, picture in found.mistakes],
                [f"{found.classes[m.truth]}, taken for {found.classes[m.predicted]}" for m, _ in found.mistakes],
                width=96,
            )
    with st.expander("Recipe"):
        st.json(chosen.recipe.plain())


def label(result: Result) -> str:
    """A result's name in a list."""
    recipe = result.recipe
    return f"{recipe.model} on {recipe.data}, {recipe.protocol}, {100 * recipe.scale:g} %, {recipe.policy or 'no GSD'} ({recipe.key[:6]})"


def paired(first: Result, second: Result) -> None:
    """The difference of two numbers on the same images, with its interval and McNemar's test."""
    key = "psnr" if first.metric == "psnr" else "right"
    a, b = (evaluations.cache().arrays(result.recipe) for result in (first, second))
    if a is None or b is None or a[key].shape != b[key].shape:
        st.caption("The two were not scored on the same images one by one.")
        return
    found = compare(a[key], b[key])
    test = f"; McNemar p = {found.p_value:.2g} ({found.only_a} only the first, {found.only_b} only the second)" if found.p_value is not None else ""
    st.markdown(f"Second minus first: **{found.difference.mean:+.3f}** [{found.difference.low:+.3f}, {found.difference.high:+.3f}]{test}")


with page("Evaluate", "Numbers one can trust: every one with its interval, its recipe, and the images it got wrong."):
    left, right = st.columns([1, 2.4], gap="large")
    with left, in_a_sentence():
        start_form()
        follow()
    with right:
        stored = evaluations.cache().results()
        if not stored:
            st.info("No numbers yet. Start with the colour histogram on the left: every network should beat it.", icon=":material/leaderboard:")
        elif shown := table(stored):
            swept = [r for r in shown if r.recipe.protocol == "knn"]
            if len({r.recipe.scale for r in swept}) > 1:
                st.plotly_chart(scale_chart(swept))
            details(shown)
    st.divider()
    three_papers()
