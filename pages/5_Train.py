"""Train: start, monitor, stop, resume and compare small pretraining runs."""

import streamlit as st

from core.engine.training.runs import PRESETS
from ui.learn.tour import tour
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence, page
from ui.shell.permissions import may, not_allowed
from ui.shell.state import widget
from ui.train.following import follow_runs, show
from ui.train.runs import free_name, imagery_here, missing_teacher, start_run

MAX_SPEC = 8_000
PRESET_HELP = {
    "smoke": "About a minute. Checks that training works on this machine; too short to learn anything.",
    "laptop": "About an hour on one core. The first part of the recipe of the bundled scale_mae_tiny.",
    "sdmae": "About an hour on one core. Adds SDMAE's location and contrastive losses to reconstruction.",
    "tinymim": "About an hour on one core. Distils scale_mae_tiny into an encoder half as deep, without a "
    "decoder.",
    "gpu": "The paper's ViT-L. Needs a CUDA GPU and takes days.",
}


def start_form() -> None:
    """Choose a preset, edit its spec, and start a run."""
    if not may("train"):
        st.info(not_allowed("train"), icon=":material/lock:")
        return
    preset = st.pills("Preset", [n for n in PRESET_HELP if n in PRESETS], key=widget("preset", "smoke"))
    preset = preset or "smoke"
    st.caption(PRESET_HELP[preset])
    if teacher := missing_teacher(preset):
        st.info(
            f"This preset learns from {plain(teacher)}, which is not on this server yet: "
            f"run `python -m core fetch {plain(teacher)}` once.",
            icon=":material/download:",
        )
    toml = st.text_area(
        "Spec (TOML)",
        height=300,
        max_chars=MAX_SPEC,
        key=widget(f"toml {preset}", PRESETS[preset].read_text()),
    )
    name = st.text_input(
        "Run name", free_name(preset), max_chars=40, help="Up to 40 letters, digits, - and _."
    )
    if st.button("Start training", type="primary", icon=":material/play_arrow:"):
        start_run(name, toml)
        show(name)
        st.toast(f"{plain(name)} is starting. Reading the imagery takes a few seconds.")
    st.caption(imagery_here())


with page(
    "Train",
    "Start a small pretraining run, follow its loss and previews, stop and resume it, or compare several.",
):
    tour("Train")
    left, right = st.columns([2, 3], gap="large")
    with left, in_a_sentence():
        start_form()
    with right:
        follow_runs()
