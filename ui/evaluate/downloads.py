"""Download a published set from the page: one at a time in the background, only where the internet is on."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import streamlit as st

from core.errors import ExplorerError
from core.evaluation.data.datasets import data_folders, is_available
from core.evaluation.data.fetching import fetch_set
from core.evaluation.data.published import SPACENET
from core.evaluation.data.releases import DATASET_RELEASES, UNVERIFIED, DatasetRelease
from core.evaluation.data.spacenet import spacenet_path
from core.net import online
from core.net.download import DownloadProgress
from ui.shell import permissions
from ui.shell.escaping import plain

SECONDS_BETWEEN_LOOKS = 1.0
_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The download was stopped by the user."""


@dataclass
class Download:
    """A download: its thread writes, pages read. What was received is kept when it stops."""

    release: DatasetRelease
    progress: DownloadProgress | None = None
    problem: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    done: bool = False

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            fetch_set(self.release, progress=self._report)
        except _StoppedError:
            self.problem = "Stopped. The next download continues from there."
        except ExplorerError as problem:
            self.problem = str(problem)
        except Exception as problem:
            _log.exception("The download of %s failed unexpectedly", self.release.name)
            self.problem = (
                f"The download failed unexpectedly ({type(problem).__name__}); see the server's log."
            )
        finally:
            self.done = True

    def _report(self, progress: DownloadProgress) -> None:
        self.progress = progress
        if self.stop.is_set():
            raise _StoppedError


_lock = threading.Lock()
_current: list[Download] = []


def download_form() -> None:
    """Offer sets to download, or show the running download. Nothing while the internet is off."""
    if not online.is_on() or not permissions.may("train"):
        return
    with st.expander("Download a labelled set", icon=":material/download:"):
        running = bool(_current) and not _current[0].done
        st.fragment(_show, run_every=SECONDS_BETWEEN_LOOKS if running else None)(running)
        missing = {name: release for name, release in DATASET_RELEASES.items() if _is_missing(release)}
        if running or not missing:
            return
        name = st.selectbox("Set to download", list(missing), format_func=lambda n: plain(missing[n].title))
        release = missing[name]
        st.caption(plain(f"{release.size}; licence: {release.licence}; {UNVERIFIED}. Page: {release.page}"))
        if st.button("Download", icon=":material/download:"):
            _start(release)
            st.rerun()


def _start(release: DatasetRelease) -> None:
    with _lock:
        if _current and not _current[0].done:
            return
        _current[:] = [Download(release)]
        _current[0].thread.start()


def _show(watched: bool) -> None:
    if not _current:
        return
    download = _current[0]
    if watched and download.done:
        st.rerun()
    title = plain(download.release.title)
    if download.problem:
        st.error(plain(download.problem), icon=":material/error:")
    elif download.done:
        st.success(f"{title} is here: choose it under Sets.", icon=":material/check:")
    else:
        now = download.progress
        share = now.done_bytes / max(1, now.total_bytes) if now else 0.0
        left = (now.total_bytes - now.done_bytes) / max(1.0, now.bytes_per_s) if now else None
        text = f"{title}: connecting" if left is None or now is None else (
            f"{title}: {now.done_bytes / 1e6:,.0f} of {now.total_bytes / 1e6:,.0f} MB, "
            f"about {left:,.0f} s left"
        )  # fmt: skip
        st.progress(min(1.0, share), text=text)
        if st.button("Stop the download", icon=":material/stop:", help="What was received is kept."):
            download.stop.set()


def _is_missing(release: DatasetRelease) -> bool:
    if not release.archives:
        return False
    if release.name == SPACENET:
        return spacenet_path(SPACENET, data_folders()) is None
    return not is_available(release.name, data_folders())
