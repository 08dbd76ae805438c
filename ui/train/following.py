"""The panel that follows training runs: selection, progress, curves and previews."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from core.engine.training.runs import ROOT, RunError, TrainingRun, TrainSpec
from core.units import duration
from core.viz.training import loss_figure, progress_figure, tile_strip
from ui.shell import cached
from ui.shell.escaping import plain
from ui.shell.ownership import NOT_YOURS, may_control
from ui.shell.page import in_a_sentence
from ui.shell.permissions import may
from ui.shell.state import keep, recall, set_widget, widget, widget_value
from ui.shell.style import FOLLOWED
from ui.train.runs import resume_run, runs, stop_run

SHOWN, SCRUBBED = "run shown", "preview step"
FILMS = {"gif": "Previews as an animation (GIF)", "mp4": "Previews as a film (MP4)"}
STRIP = 10
"""Tiles in the strip of progress; more previews are thinned out evenly."""


@st.fragment(run_every=2.0)
def follow_runs() -> None:
    """Show this server's runs, updated every two seconds without a reload."""
    with st.container(key=FOLLOWED), in_a_sentence():
        by_name = {run.folder.name: run for run in runs()}
        if not by_name:
            st.info(
                "No runs yet. Start with the smoke preset, which takes about a minute.",
                icon=":material/model_training:",
            )
            return
        names = list(by_name)
        if widget_value(SHOWN, names[0]) not in by_name:
            set_widget(SHOWN, names[0])
        shown = st.selectbox("Run", names, key=widget(SHOWN, names[0]))
        against = (
            st.multiselect(
                "Compare with", [name for name in names if name != shown], max_selections=3, select_all=False
            )
            if len(names) > 1
            else []
        )
        _follow(by_name[shown], [by_name[name] for name in against])


def show(name: str) -> None:
    """Select a run before the panel is drawn."""
    set_widget(SHOWN, name)


def _follow(run: TrainingRun, others: list[TrainingRun]) -> None:
    log, running, spec = run.log(), run.running, run.spec()
    done = bool(log) and log[-1]["step"] >= spec.steps
    failure = "" if running or done else run.failure()
    _progress(run, spec, log, running=running, failed=bool(failure))
    _buttons(run, running=running, done=done)
    if failure:
        st.error(f"The run ended early: {plain(_short(failure))}", icon=":material/error:")
    elif running and log and log[-1].get("unsaved"):
        st.warning(
            f"The last checkpoint could not be saved ({plain(_short(str(log[-1]['unsaved'])))}). "
            "Saving is retried every minute."
        )
    if log:
        _curves({one.folder.name: one.log() for one in [run, *others]})
    _previews(run)


def _progress(
    run: TrainingRun, spec: TrainSpec, log: list[dict[str, Any]], *, running: bool, failed: bool
) -> None:
    """Show the progress of a run as a bar and four numbers."""
    if not log:
        if running:
            st.info(f"Reading imagery… {plain(_short(run.last_words()))}", icon=":material/hourglass_top:")
        return
    last = log[-1]
    seconds = (spec.steps - last["step"]) * spec.batch / last["images_per_s"] if last["images_per_s"] else 0
    state = "finished" if last["step"] >= spec.steps else "ended early" if failed else "stopped"
    if running:
        state = (
            "saving, then stopping"
            if run.asked_to_stop
            else f"about {duration(seconds)} left, {_ending(seconds)}"
        )
    st.progress(
        min(1.0, last["step"] / spec.steps), text=f"step {last['step']:,} of {spec.steps:,} · {state}"
    )
    numbers = st.container(horizontal=True, horizontal_alignment="distribute")  # wraps on a narrow screen
    numbers.metric("Loss", f"{last['loss']:.3f}", width="content")
    numbers.metric("Images seen", f"{last['seen']:,}", width="content")
    numbers.metric("Images/s", f"{last['images_per_s']:.3g}", width="content")
    numbers.metric("Learning rate", f"{last.get('lr', 0):.1e}", width="content")


def _buttons(run: TrainingRun, *, running: bool, done: bool) -> None:
    buttons = st.container(horizontal=True)
    allowed, mine = may("train"), may_control(run.folder)
    if running and allowed:
        saves = "Saves a checkpoint first, from which the run can resume." if mine else NOT_YOURS
        buttons.button(
            "Stop",
            icon=":material/stop:",
            help=saves,
            disabled=not mine or run.asked_to_stop,
            on_click=_stop,
            args=(run,),
        )
    elif (
        not running
        and not done
        and allowed
        and buttons.button(
            "Resume", icon=":material/play_arrow:", help=None if mine else NOT_YOURS, disabled=not mine
        )
    ):
        with buttons, in_a_sentence():
            resume_run(run)
            st.rerun(scope="fragment")
    if (file := run.weights_file()) is not None:
        buttons.download_button(
            f"Download weights ({file.stat().st_size / 2**20:.1f} MB)",
            file.read_bytes,
            file.name,
            icon=":material/download:",
            on_click="ignore",
            help="The weights of the last checkpoint. Upload the file in any lab under Upload weights, "
            "or pass it to --model.",
        )


def _stop(run: TrainingRun) -> None:
    try:
        stop_run(run)
    except (RunError, OSError) as problem:
        st.toast(plain(problem), icon=":material/error:")


def _curves(logs: dict[str, list[dict[str, Any]]]) -> None:
    st.plotly_chart(loss_figure(logs), key="losses")
    if any("psnr" in row for rows in logs.values() for row in rows):
        st.plotly_chart(progress_figure(logs), key="progress")
        st.caption(
            "PSNR on the preview tiles below, with 75 % of patches hidden. These tiles come from the "
            "training imagery; the Evaluate page scores test images."
        )


def _previews(run: TrainingRun) -> None:
    steps = run.preview_files()
    if not steps:
        return
    from core import export

    newest = max(steps)
    if len(steps) > 1:
        _strip(steps)
        # the slider follows the newest preview until it is moved, and again once it is moved to the end
        last = recall(f"newest {run.folder.name}", newest)
        keep(f"newest {run.folder.name}", newest)
        if (chosen := widget_value(SCRUBBED, last)) == last or chosen not in steps:
            set_widget(SCRUBBED, newest)
        step = st.select_slider("Previews at step", list(steps), key=widget(SCRUBBED, newest))
    else:
        step = newest
    st.image(
        str(steps[step]), caption=export.PREVIEW_ROWS, width="stretch", alt=f"Preview tiles at step {step}"
    )
    films = st.container(horizontal=True)
    for kind, mime in export.ANIMATIONS.items():
        films.download_button(
            FILMS[kind],
            partial(export.training_animation, run, kind),
            f"{run.folder.name}.{kind}",
            mime,
            icon=":material/movie:",
            on_click="ignore",
            key=f"film {kind}",
        )


def _strip(steps: dict[int, Path]) -> None:
    """One tile as the network predicted it from the first preview to the newest."""
    every = list(steps)
    chosen = sorted({every[round(at)] for at in np.linspace(0, len(every) - 1, min(STRIP, len(every)))})
    names = tuple(str(steps[step]) for step in chosen)

    def cut() -> NDArray[np.uint8]:
        return tile_strip([np.asarray(Image.open(name).convert("RGB")) for name in names])

    picture = cached.result_cache("preview strips", 16).get_or_compute(names, cut)
    named = ", ".join(f"{step:,}" for step in chosen)
    st.image(
        picture,
        caption=f"One tile: the original, then its reconstruction at steps {named}",
        width="stretch",
        alt=f"A tile and its reconstruction at {len(chosen)} steps",
    )


def _ending(seconds: float) -> str:
    """The time of day at which something ends, in the visitor's time zone."""
    zone = st.context.timezone
    try:
        now = datetime.now(ZoneInfo(zone) if zone else UTC)
    except (ValueError, KeyError, OSError):  # an unknown time zone
        now = datetime.now(UTC)
    end = now + timedelta(seconds=seconds)
    day = "" if end.date() == now.date() else f"{end:%A} " if seconds < 6 * 86_400 else f"{end:%d %B} "
    return f"ends about {day}{end:%H:%M}{'' if zone else ' UTC'}"


def _short(text: str) -> str:
    """A process's output without this server's paths."""
    return text.replace(f"{ROOT}/", "")
