"""A download of a data set in a process of its own, which outlives the server that started it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...background import BackgroundRun, BackgroundStatus
from ...net.download import DownloadProgress
from .fetching import FetchSetError, fetch_set
from .releases import dataset_release


@dataclass(frozen=True)
class FetchRequest:
    """Name of a published set, and the folder to download it to."""

    name: str
    folder: str


@dataclass(frozen=True)
class FetchStatus(BackgroundStatus):
    """How much of the archive that is being downloaded is on disk, None before the first bytes."""

    progress: DownloadProgress | None = None


class FetchRun(BackgroundRun[FetchRequest, FetchStatus]):
    """The folder of a download. The bytes received so far lie beside the archive's target."""

    verb, title, resuming = "fetch", "download", "download the set again to resume it."
    request_type, status_type, error = FetchRequest, FetchStatus, FetchSetError


class _StopRequestedError(Exception):
    """Somebody asked the download to stop."""


def fetch_from_file(file: Path) -> None:
    """Download the set that a request file names, and write the status beside the file.

    Raises FetchSetError for an invalid file, and the errors of `fetch_set`.
    """
    run, status = FetchRun(file.parent), FetchStatus()

    def report(progress: DownloadProgress) -> None:
        nonlocal status
        status = FetchStatus(progress)
        run.write(status, now=progress.done_bytes >= progress.total_bytes)
        if run.stop_requested:
            raise _StopRequestedError

    problem = ""
    try:
        request = run.read_request(file)
        release = dataset_release(request.name)
        if release is None:
            raise FetchSetError(f"There is no published set called {request.name!r:.40}: correct the name.")
        fetch_set(release, Path(request.folder), report)
    except _StopRequestedError:
        pass
    except Exception as error:
        problem = run.reason(error)
        raise
    finally:
        run.write(FetchStatus(status.progress, problem=problem, ended=True), now=True)
