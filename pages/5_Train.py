"""Train: start, watch, stop, resume and compare small pretraining runs of your own."""

import streamlit as st

from core.engine.training.runs import PRESETS
from ui.shell.escaping import plain
from ui.shell.page import in_a_sentence, page
from ui.shell.permissions import may, not_allowed
from ui.shell.state import widget
from ui.train.following import follow_runs, show
from ui.train.runs import free_name, imagery_here, start_run

MAX_SPEC = 8_000
PRESET_HELP = {
    "smoke": "A minute: proves that everything is connected, teaches nothing.",
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
    toml = st.text_area(
        "Spec (TOML)",
        height=300,
        max_chars=MAX_SPEC,
        key=widget(f"toml {preset}", PRESETS[preset].read_text()),
    )
    name = st.text_input("Name of the run", free_name(preset), max_chars=40, help="Letters, digits, - and _")
    if st.button("Start training", type="primary", icon=":material/play_arrow:"):
        start_run(name, toml)
        show(name)
        st.toast(f"{plain(name)} is starting: reading imagery takes some seconds.")
    st.caption(imagery_here())


with page(
    "Train", "A small pretraining run of your own: start it, watch it learn, stop and resume it, compare two."
):
    left, right = st.columns([2, 3], gap="large")
    with left, in_a_sentence():
        start_form()
    with right:
        follow_runs()
