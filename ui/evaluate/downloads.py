"""Download a published set from the page: one at a time in the background, only where the internet is on."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from core.evaluation.data.datasets import data_folders, is_available
from core.evaluation.data.fetch_process import FetchRequest, FetchRun
from core.evaluation.data.fetching import FetchSetError
from core.evaluation.data.published import SPACENET
from core.evaluation.data.releases import (
    DATASET_RELEASES,
    FETCHED_FOLDER,
    UNVERIFIED,
    DatasetRelease,
    dataset_release,
)
from core.evaluation.data.spacenet import spacenet_path
from core.net import online
from core.units import duration
from ui.evaluate import evaluations
from ui.shell import permissions
from ui.shell.escaping import plain
from ui.shell.ownership import NOT_YOURS, may_control, record_starter
from ui.shell.page import in_a_sentence

SECONDS_BETWEEN_LOOKS = 1.0
FOLDER = "downloading"
"""Folder in the cache of the download that runs, or ran last."""


def run() -> FetchRun:
    """Return this server's download, running or ended; `exists` is False before the first."""
    return FetchRun(evaluations.cache().folder / FOLDER)


def download_form() -> None:
    """Offer sets to download, or show the running download. Nothing while the internet is off."""
    if not online.is_on() or not permissions.may("train"):
        return
    with st.expander("Download a labelled set", icon=":material/download:"):
        running = run().running
        st.fragment(_show, run_every=SECONDS_BETWEEN_LOOKS if running else None)(running)
        missing = {name: release for name, release in DATASET_RELEASES.items() if _is_missing(release)}
        if running or not missing:
            return
        name = st.selectbox(
            "Set to download", list(missing), _first(missing), format_func=lambda n: plain(missing[n].title)
        )
        release = missing[name]
        st.caption(plain(f"{release.size}; licence: {release.licence}; {UNVERIFIED}. Page: {release.page}"))
        if st.button("Download", icon=":material/download:"):
            with in_a_sentence():
                run().start(FetchRequest(name, str(FETCHED_FOLDER.resolve())))
                record_starter(run().folder)
                st.rerun()


def _first(missing: dict[str, DatasetRelease]) -> int:
    """Index of the set to offer first: the one whose download ended early, if any."""
    last = _last_release()
    return list(missing).index(last.name) if last and last.name in missing else 0


def _last_release() -> DatasetRelease | None:
    """The set that is being downloaded, or was last; None before the first and for an unreadable request."""
    with suppress(FetchSetError):
        return dataset_release(run().request.name)
    return None


def _show(watched: bool) -> None:
    release, download = _last_release(), run()
    if release is None:
        return
    title = plain(release.title)
    if download.running:
        _progress(download, title)
    elif watched:
        st.rerun()
    elif download.problem:
        st.error(plain(download.problem), icon=":material/error:")
    elif not _is_missing(release):
        st.success(f"{title} is here: choose it under Sets.", icon=":material/check:")
    elif download.stop_requested:
        st.info(f"{title}: stopped. Download it again to resume.", icon=":material/stop:")


def _progress(download: FetchRun, title: str) -> None:
    now, mine = download.status.progress, may_control(download.folder)
    if now is None:
        share, text = 0.0, f"{title}: connecting"
    elif now.done_bytes >= now.total_bytes:
        share, text = 1.0, f"{title}: checking the file"
    else:
        left = (now.total_bytes - now.done_bytes) / max(1.0, now.bytes_per_s)
        share = now.done_bytes / now.total_bytes
        text = (
            f"{title}: {now.done_bytes / 1e6:,.0f} of {now.total_bytes / 1e6:,.0f} MB, "
            f"about {duration(left)} left"
        )
    st.progress(share, text=text)
    st.button(
        "Stop the download",
        icon=":material/stop:",
        help="What was received is kept." if mine else NOT_YOURS,
        disabled=not mine or download.stop_requested,
        on_click=download.stop,
    )


def _is_missing(release: DatasetRelease) -> bool:
    if not release.archives:
        return False
    if release.name == SPACENET:
        return spacenet_path(SPACENET, data_folders()) is None
    return not is_available(release.name, data_folders())
