"""Evaluate: start evaluations, read their numbers with intervals, compare two models, see where one goes wrong."""

import streamlit as st

from core.evaluation.floors import COLOUR_HISTOGRAM
from core.evaluation.plan import SWEEP, Plan
from core.evaluation.recipes import PROTOCOLS
from core.evaluation.results import Result, to_csv, to_latex
from core.viz.evaluation import scale_chart
from ui import cached, evaluations
from ui.claims import three_papers
from ui.number_sections import details, duplicates
from ui.page import in_a_sentence, page
from ui.state import widget

HELP = {
    "knn": "Weighted kNN: k 20, cosine, exp(similarity / 0.07).",
    "probe": "Logistic regression on frozen vectors, its strength chosen on held-out training images.",
    "few-shot": "Nearest mean of 1, 5 and 10 images a class, 20 draws.",
    "sweep": "kNN at 12.5, 25, 50 and 100 % of the native size, under the card's policy and author_eval.",
    "reconstruction": "Hidden pixels of test images against four fills that need no network.",
    "segmentation": "A class for every pixel: a linear head over frozen patch tokens, mean IoU at 25, 50 and 100 %.",
}


FILTERS = {"Set": "data", "Model": "model", "Protocol": "protocol", "Scale": "scale", "Policy": "policy"}


def in_words(value: str | float | None) -> str:
    """A setting as a list shows it: a scale in per cent, a model without policy in words."""
    return "no GSD" if value is None else value if isinstance(value, str) else f"{100 * value:g} %"


def start_form() -> None:
    """Choose what to evaluate on what, and start."""
    trained = [name for name, card in cached.cards().items() if card.trained]
    protocol = st.selectbox("Protocol", PROTOCOLS, index=1, format_func=lambda name: name.replace("knn", "kNN"), key="protocol")
    st.caption(HELP[protocol])
    here = list(evaluations.sets_here(protocol))
    if not here:
        st.info("No labelled set is here: put EuroSAT or another set into a folder and name it in EARTH_MAE_DATA.", icon=":material/folder_off:")
        return
    with st.form("evaluate", border=False):
        models = st.multiselect("Models", [*cached.cards(), *cached.weight_files(), COLOUR_HISTOGRAM], default=trained or [COLOUR_HISTOGRAM])
        sets = st.multiselect("Sets", here, default=here[:1])
        limit = st.number_input(
            "Images a class and split (0: all)", 0, 10_000, 50, help="A small limit answers quickly; its interval says how sure it is."
        )
        if st.form_submit_button("Evaluate", type="primary", icon=":material/play_arrow:") and models and sets:
            plan = Plan(
                protocol=protocol,
                data=tuple(sets),
                scales={"sweep": SWEEP, "segmentation": SWEEP[1:]}.get(protocol, (1.0,)),
                policies=(None, "author_eval") if protocol == "sweep" else (None,),
                limit=int(limit) or None,
            )
            evaluations.start(plan, tuple(models))
            st.rerun()


def follow(watched: bool) -> None:
    """The evaluation under way, with the time left and a way to stop it; where it is `watched` and ends, the whole page runs again."""
    job = evaluations.current()
    if job is None:
        return
    if watched and job.over:
        st.rerun()
    if job.problem:
        st.error(job.problem, icon=":material/error:")
    if job.over:
        numbers = f"{job.finished} number{'s' * (job.finished != 1)}"
        st.caption(f"Stopped after {numbers}; they are kept." if job.stop.is_set() else f"Done: {numbers}.")
        return
    told = job.progress
    left = f", about {told.seconds_left:.0f} s left" if told and told.seconds_left is not None else ""
    st.progress(told.share if told else 0.0, text=f"{told.text if told else 'reading the images'}{left} · {job.finished} numbers so far")
    if st.button("Stop", icon=":material/stop:", help="Finished numbers are kept; the next start goes on from there."):
        job.stop.set()


def table(place: str, results: tuple[Result, ...]) -> tuple[Result, ...]:
    """The numbers of one place, filtered and sortable; gives the rows that are shown."""
    shown = results
    for column, (title, name) in zip(st.columns(len(FILTERS)), FILTERS.items(), strict=True):
        values = sorted({getattr(result.recipe, name) for result in results}, key=str)
        chosen = column.multiselect(title, values, key=widget(f"filter {place} {name}", []), format_func=in_words, placeholder="all")
        shown = tuple(result for result in shown if not chosen or getattr(result.recipe, name) in chosen)
    rows = [{**r.row(), "hidden": r.recipe.ratio, "shots": r.recipe.shots, "limit": r.recipe.limit, "recipe": r.recipe.key[:8]} for r in shown]
    digits = {name: st.column_config.NumberColumn(format="%.3f") for name in ("value", "low", "high")}
    shares = {name: st.column_config.NumberColumn(format="percent") for name in ("scale", "hidden")}
    st.dataframe(rows, hide_index=True, height=min(420, 60 + 35 * len(rows)), column_config=digits | shares)
    buttons = st.columns([1, 1, 4])
    buttons[0].download_button("CSV", to_csv(shown), "evaluation.csv", "text/csv", icon=":material/download:", on_click="ignore")
    buttons[1].download_button("LaTeX", to_latex(shown), "evaluation.tex", "text/plain", icon=":material/download:", on_click="ignore")
    return shown


with page("Evaluate", "Numbers one can trust: every one with its interval, its recipe, and the images it got wrong."):
    left, right = st.columns([1, 2.4], gap="large")
    with left, in_a_sentence():
        start_form()
        watched = evaluations.under_way()
        st.fragment(follow, run_every=1.0 if watched else None)(watched)  # runs that change nothing would hold back the table's first drawing
    with right, in_a_sentence():
        held = evaluations.numbers()
        places = list(held)
        place = st.segmented_control("Numbers", places, default=places[0], key="numbers from", required=True) if len(places) > 1 else "".join(places)
        if not place:
            st.info("No numbers yet. Start with the colour histogram on the left: every network should beat it.", icon=":material/leaderboard:")
        elif shown := table(place, held[place]):
            for kind in ("knn", "sweep", "segmentation"):
                swept = [r for r in shown if r.recipe.protocol == kind]
                swept = [r for r in swept if r.recipe.data == swept[0].recipe.data]
                if len({r.recipe.scale for r in swept}) > 1:
                    st.markdown(f"**{swept[0].recipe.data} over scales** (the first set shown: choose another under Set)")
                    st.plotly_chart(scale_chart(swept), key=f"over scales {kind}")
            details(shown)
        duplicates()
    st.divider()
    three_papers()
