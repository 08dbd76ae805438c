"""This user's jobs: progress, rate and time left; cancel, resume, explore, download, delete."""

from __future__ import annotations

import io
import zipfile
from functools import partial
from pathlib import Path
from typing import Literal

import streamlit as st

from core.units import duration
from ui.globe import panel_api as api
from ui.shell import job_queue, jobs
from ui.shell.escaping import plain
from ui.shell.jobs import Job, State
from ui.shell.page import in_a_sentence
from ui.shell.state import how_to_return

EVERY_S = 1.0
BADGES: dict[State, tuple[str, str, Literal["gray", "blue", "orange", "green", "red"]]] = {
    "waiting": ("waiting", ":material/hourglass_top:", "gray"),
    "running": ("running", ":material/play_arrow:", "blue"),
    "stopping": ("stopping", ":material/hourglass_bottom:", "orange"),
    "finished": ("finished", ":material/check:", "green"),
    "cancelled": ("cancelled", ":material/stop:", "gray"),
    "stopped": ("ended early", ":material/error:", "red"),
}
ACTIVE = ("waiting", "running", "stopping")


def show_jobs(owner: str) -> None:
    """Show an owner's jobs, and refresh them while one is active."""
    st.divider()
    st.markdown("**Your tables**")
    active = any(job.state in ACTIVE for job in jobs.jobs_of(owner))
    job_queue.start_queue()
    st.fragment(_jobs, run_every=EVERY_S if active else None)(owner, active)
    st.caption(f"Jobs continue when you close this page. {how_to_return()}")


def _jobs(owner: str, was_active: bool) -> None:
    owned = jobs.jobs_of(owner)
    for job in owned:
        with st.container(border=True), in_a_sentence():
            _job(job)
    if api.take_rerun_request() or was_active != any(job.state in ACTIVE for job in owned):
        st.rerun(scope="app")  # the list of tables grows, or polling starts or ends


def _job(job: Job) -> None:
    state, progress = job.state, job.progress
    words, icon, colour = BADGES[state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{plain(job.title)}**")
        st.badge(plain(words), icon=icon, color=colour)
        st.caption(plain(", ".join(Path(model).name for model in job.models)))
    if state == "waiting":
        ahead = job_queue.jobs_ahead(job)
        st.caption(f"{ahead:,} job{'s' * (ahead != 1)} ahead of yours" if ahead else "It starts shortly.")
    elif progress is None:
        st.caption(
            "Loading the network and planning the tiles…" if state in ACTIVE else plain(job.last_output)
        )
    else:
        st.progress(min(1.0, progress.done / max(progress.total, 1)), text=_progress_text(job))
    if state == "stopped" and progress is not None:
        st.caption(
            f"Last message: {plain(job.last_output)}"
            if job.last_output
            else "Its process has ended. Resume it to continue."
        )
    _buttons(job)


def _progress_text(job: Job) -> str:
    progress, state = job.progress, job.state
    assert progress is not None
    parts = [f"{progress.done:,} of {progress.total:,} tiles"]
    if progress.rate and state == "running":
        parts += (
            [f"{progress.rate:.1f} tiles/s", f"{duration(progress.seconds_left)} left"]
            if progress.seconds_left is not None
            else []
        )
    if progress.unreadable:
        parts.append(f"{progress.unreadable:,} unreadable")
    return " · ".join(parts)


def _buttons(job: Job) -> None:
    state = job.state
    with st.container(horizontal=True):
        for title, table in job.tables.items() if state == "finished" else ():
            words = "Explore" if len(job.models) == 1 else f"Explore {table.name}"
            if st.button(
                plain(words), type="primary", icon=":material/public:", key=f"explore {job.key} {table.name}"
            ):
                api.add_table(title, table, show=True)
        if state in ("waiting", "running"):
            st.button(
                "Cancel",
                icon=":material/stop:",
                key=f"cancel {job.key}",
                on_click=jobs.cancel,
                args=(job,),
                help="Finished tiles are kept; you can resume later.",
            )
        if state in ("cancelled", "stopped") and st.button(
            "Resume", type="primary", icon=":material/play_arrow:", key=f"resume {job.key}"
        ):
            jobs.resume(job)
            st.rerun(scope="app")
        if state == "finished":
            st.download_button(
                "Download",
                partial(_zipped, job),
                f"{job.title}.zip",
                "application/zip",
                icon=":material/download:",
                key=f"download {job.key}",
                on_click="ignore",
                help="GeoParquet: opens in QGIS, DuckDB and GeoPandas",
            )
        if state in ("finished", "cancelled", "stopped") and st.button(
            "", icon=":material/delete:", key=f"delete {job.key}", help="Delete this table"
        ):
            jobs.remove(job)
            st.rerun(scope="app")


def _zipped(job: Job) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for table in job.tables.values():
            for file in sorted([*table.glob("*.parquet"), *table.glob("*.json")]):
                archive.write(file, f"{job.key}/{file.relative_to(job.table)}")
    return out.getvalue()
