"""Models on the Hugging Face hub: look one up, download its files, upload a folder.

Off like all internet access.

The library huggingface-hub connects, with its own cache, resumed downloads and login. HF_ENDPOINT names
another hub, such as a mirror in one's own network.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import online
from .online import OnlineError

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
REVISION = re.compile(r"[\w.-]{1,100}")
SPARE_BYTES = 2**30
"""Free disk space that a download must leave."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class HubModel:
    """A model on the hub: its name and revision, its files with their sizes, and its licence (empty if its
    card states none)."""

    name: str
    revision: str
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    licence: str = ""


def require_name(name: str, revision: str) -> None:
    """Raise OnlineError for what cannot be the name or the revision of a model on the hub."""
    if not REPO.fullmatch(name) or not REVISION.fullmatch(revision):
        raise OnlineError(
            f"{name[:80]!r} is not the name of a model on the hub: write hf:OWNER/NAME, or "
            "hf:OWNER/NAME@REVISION."
        )


def kept_files(name: str, revision: str, cache: Path) -> Path | None:
    """The folder of a model that was downloaded into `cache` before; None if there is none.

    Never connects.
    """
    require_name(name, revision)
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    with suppress(CacheNotFound):
        for kept in scan_cache_dir(cache).repos:
            for each in kept.revisions if kept.repo_id == name else ():
                if revision in each.refs or each.commit_hash == revision:
                    return Path(each.snapshot_path)
    return None


class Hub:
    """The hub, as far as models need it. Raises OnlineError while online access is off."""

    def __init__(self, asked: bool = False) -> None:
        if not online.is_on(asked):
            raise OnlineError(
                "The Hugging Face hub is on the internet and online access is off: start with "
                f"{online.SWITCH}=1 in the environment, or download the files elsewhere and open them."
            )
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from huggingface_hub import HfApi

        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
        if not endpoint.startswith("https://") and not online.local_allowed():
            raise OnlineError(
                f"HF_ENDPOINT is {endpoint[:80]!r}, which is not https: set {online.LOCAL_SWITCH}=1 to allow "
                "it."
            )
        self.endpoint = endpoint
        self._api: Any = HfApi(endpoint=endpoint, library_name="earth-mae-explorer")

    def look_up(self, name: str, revision: str = "main") -> HubModel:
        """The files of a model at a revision (a branch, tag or commit). Raises OnlineError."""
        require_name(name, revision)
        found = _answered(
            name, lambda: self._api.model_info(name, revision=revision, files_metadata=True, timeout=20.0)
        )
        licence = str(getattr(found.card_data, "license", None) or "") if found.card_data else ""
        sizes = {each.rfilename: int(each.size or 0) for each in found.siblings or ()}
        return HubModel(name, revision, sizes, licence[:60])

    def download(self, model: HubModel, file: str, cache: Path) -> Path:
        """Download one file into a cache folder, resuming what an earlier attempt left.

        Raises OnlineError.
        """
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if model.sizes.get(file, 0) + SPARE_BYTES > free:
            raise OnlineError(
                f"{file} of {model.name} has {model.sizes[file] / 1e9:.1f} GB, and {cache} has "
                f"{free / 1e9:.1f} GB left: free some space."
            )
        return Path(
            _answered(
                model.name,
                lambda: self._api.hf_hub_download(
                    model.name, file, revision=model.revision, cache_dir=cache, etag_timeout=20.0
                ),
            )
        )

    def upload(self, folder: Path, name: str, *, private: bool, message: str) -> str:
        """Upload a folder as one commit to a model's page, which is created if needed; returns its
        address."""
        require_name(name, "main")

        def work() -> str:
            self._api.create_repo(name, private=private, exist_ok=True)
            self._api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
            return f"{self.endpoint}/{name}"

        return _answered(name, work)


def _answered(name: str, work: Callable[[], Found]) -> Found:
    """Run a call of the library and turn its errors into one sentence each."""
    from huggingface_hub import errors

    try:
        return work()
    except errors.GatedRepoError:
        why = "is gated: accept its terms on its page, log in with `hf auth login`, and try again"
    except errors.RepositoryNotFoundError:
        why = "is not on the hub, or is private: check the name, or log in with `hf auth login`"
    except errors.RevisionNotFoundError:
        why = "has no such revision: leave it out, or check it on the model's page"
    except errors.EntryNotFoundError:
        why = "does not have this file any more: look it up again"
    except errors.HfHubHTTPError as problem:
        status = getattr(problem.response, "status_code", 0)
        if status in (401, 403):
            why = "does not let you do this: log in with `hf auth login`, with a token that may write"
        else:
            why = f"cannot be reached (the hub answers {status}): try again later"
    except ValueError as problem:
        why = f"returns something that the hub never does ({type(problem).__name__}): check HF_ENDPOINT"
    # HTTPError: that of the HTTP client which the library uses
    except (errors.HTTPError, OSError) as problem:  # pyright: ignore[reportPrivateImportUsage]
        why = f"cannot be reached ({type(problem).__name__}): check the network, then try again"
    raise OnlineError(f"{name} {why}.")
