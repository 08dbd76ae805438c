"""Train: start, watch, stop, resume and compare small pretraining runs of your own."""

import streamlit as st

from core.engine.training.runs import PRESETS, Run, RunError
from core.viz.training import loss_figure, progress_figure
from ui.pickers.controls import duration
from ui.shell.page import page
from ui.shell.permissions import may, not_allowed
from ui.shell.state import keep, recall, widget
from ui.train.runs import data_folder, free_name, resume_run, runs, start_run

MAX_SPEC = 20_000
PRESET_HELP = {
    "smoke": "Under a minute: proves that everything is connected, teaches nothing.",
    "laptop": "An hour and a half on one core: the recipe of the weights that come with this app.",
    "sdmae": "Minutes: SDMAE's location and contrastive tasks beside hidden pixels, with our changes for satellite tiles.",
    "tinymim": "Minutes: a student half as deep copies how the patches of scale_mae_tiny relate. It paints nothing.",
    "gpu": "The paper's ViT-L. Needs CUDA and days.",
}


def start_form() -> None:
    """Choose a preset, edit its spec, start."""
    if not may("train"):
        st.info(not_allowed("train"), icon=":material/lock:")
        return
    preset = st.pills("Preset", [n for n in PRESET_HELP if n in PRESETS], key=widget("preset", "smoke"))
    preset = preset or "smoke"
    st.caption(PRESET_HELP[preset])
    toml = st.text_area("Spec (TOML)", height=300, max_chars=MAX_SPEC, key=widget(f"toml {preset}", PRESETS[preset].read_text()))
    name = st.text_input("Name of the run", free_name(preset), max_chars=40, help="Letters, digits, - and _")
    if st.button("Start training", type="primary", icon=":material/play_arrow:"):
        start_run(name, toml)
        keep("run shown", name)
        st.toast(f"{name} is starting: reading imagery takes some seconds.")
        st.rerun()
    st.caption(f"Imagery is read from the folder `{data_folder().name}`; packs that are not there are left out and named in the run's output.")


@st.fragment(run_every=2.0)
def follow(run: Run, others: list[Run]) -> None:
    """Progress, curves and pictures of one run, as they come."""
    log, running = run.log(), run.running
    try:
        spec = run.spec()
    except RunError:
        st.info(f"Reading imagery… {run.last_words()}", icon=":material/hourglass_top:")
        return
    last = log[-1] if log else {"step": 0, "seen": 0, "loss": float("nan"), "images_per_s": 0.0}
    seconds = (spec.steps - last["step"]) * spec.batch / last["images_per_s"] if last["images_per_s"] else 0
    done = last["step"] >= spec.steps
    state = "finished" if done else f"running, about {duration(seconds)} left" if running else "stopped"
    st.progress(min(1.0, last["step"] / spec.steps), text=f"step {last['step']:,} of {spec.steps:,} · {state}")
    cells = st.columns(4)
    cells[0].metric("Loss", f"{last['loss']:.3f}")
    cells[1].metric("Pictures seen", f"{last['seen']:,}")
    cells[2].metric("Pictures/s", f"{last['images_per_s']:.0f}")
    cells[3].metric("Learning rate", f"{last.get('lr', 0):.1e}")
    buttons = st.container(horizontal=True)
    if running and may("train") and buttons.button("Stop", icon=":material/stop:", help="Saves first; resume goes on from there."):
        run.ask_to_stop()
    if not running and not done and may("train") and buttons.button("Resume", icon=":material/play_arrow:"):
        resume_run(run)
    if (file := run.weights_file()) is not None:
        buttons.download_button(
            f"Take the weights away ({file.stat().st_size / 2**20:.1f} MB)",
            file.read_bytes,
            file.name,
            icon=":material/download:",
            on_click="ignore",
            help="As of the last checkpoint. Any lab takes the file in under Weights of your own, and so does every command's --model.",
        )
    if not running and not done and run.last_words():
        st.caption(f"Last words: {run.last_words()}")
    if log:
        logs = {r.folder.name: r.log() for r in [run, *others]}
        st.plotly_chart(loss_figure(logs), key="losses")
        if any("psnr" in row for rows in logs.values() for row in rows):
            st.plotly_chart(progress_figure(logs), key="progress")
            st.caption("The fixed tiles below, 75 % hidden; they come from the imagery trained on. Scores on test images are on the page Evaluate.")
    previews = sorted(run.previews.glob("*.png"))
    if previews:
        steps = {int(path.stem): path for path in previews}
        step = st.select_slider("Fixed tiles at step", list(steps), value=max(steps)) if len(steps) > 1 else max(steps)
        st.image(str(steps[step]), caption="Rows: truth, what is visible, prediction, prediction with true pixels pasted", width="stretch")


with page("Train", "A small pretraining run of your own: start it, watch it learn, stop and resume it, compare two."):
    left, right = st.columns([2, 3], gap="large")
    with left:
        start_form()
    with right:
        found = {run.folder.name: run for run in runs()}
        if not found:
            st.info("No run yet. Start the smoke preset on the left: it takes less than a minute.", icon=":material/model_training:")
        else:
            names = list(found)
            wanted = recall("run shown", names[0])
            shown = st.selectbox("Run", names, index=names.index(wanted) if wanted in names else 0)
            against = st.multiselect("Compare with", [n for n in names if n != shown], max_selections=3)
            follow(found[shown], [found[n] for n in against])
