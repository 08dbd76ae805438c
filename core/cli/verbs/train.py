"""`python -m core train`: start, resume or stop a training run, and publish its weights."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError

if TYPE_CHECKING:
    from ...engine.training.runs import TrainingRun, TrainSpec, TrainStep
    from ...geo.imagery import FoundImagery, Imagery

CANCELLED = 130


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on imagery of known GSD; an interrupted run resumes",
        epilog="On several GPUs: python -m torch.distributed.run --nproc-per-node 4 -m -- core train SPEC "
        "(the two dashes keep its options from torchrun).",
    )
    parser.add_argument(
        "spec",
        type=Path,
        help="a TOML file, or a preset: laptop, gpu, smoke, sdmae, tinymim, tinymim_decoder, ...",
    )
    parser.add_argument(
        "--run",
        dest="run_folder",
        type=Path,
        metavar="DIR",
        help="folder of the run (default: runs/NAME); a run in that folder is resumed",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of packs, or of labelled sets for --set (default: EARTH_MAE_DATA; if it holds none, the "
        "program's sample rasters)",
    )
    parser.add_argument(
        "--folder", type=Path, help="train on the images in this folder instead; needs --gsd-m"
    )
    parser.add_argument(
        "--set",
        dest="labelled",
        metavar="DATA",
        help="train on the train images of a labelled set instead (cifar10, a folder with one sub-folder per "
        "class, ...): whole images, resized, neither rotated nor flipped",
    )
    parser.add_argument("--gsd-m", type=float, help="metres per pixel of the images in --folder or --set")
    parser.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="train for N passes over the images of --set instead of the spec's steps; the warm-up keeps its "
        "share",
    )
    parser.add_argument(
        "--hours",
        type=float,
        metavar="H",
        help="save and stop after H hours; the same command resumes the run",
    )
    parser.add_argument(
        "--stop", action="store_true", help="make the process that trains in this run's folder save and stop"
    )
    parser.add_argument(
        "--publish",
        type=Path,
        metavar="METRICS.json",
        help="copy the run's weights into the program, with these metrics in their card",
    )
    parser.add_argument(
        "--animate",
        type=Path,
        metavar="FILE",
        help="write the previews of the run in its folder as an animation: a .gif or an .mp4",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object about the finished run")


def run(args: argparse.Namespace) -> int:
    """Train until the last step, a signal or a stop request; a checkpoint is saved in every case."""
    from ...engine.training.publish import publish
    from ...engine.training.runs import RunError, TrainingRun, read_spec

    spec = read_spec(args.spec)
    folder: Path = args.run_folder or Path("runs") / spec.name
    if args.hours is not None and not 0 < args.hours < math.inf:
        raise RunError("--hours must be above 0.")
    if args.stop:
        return _stop(TrainingRun(folder))
    if args.publish:
        print(publish(TrainingRun(folder), _metrics(args.publish)), file=sys.stderr)
        return 0
    if args.animate:
        return _animate(TrainingRun(folder), args.animate)
    return _train(args, spec, folder)


def _train(args: argparse.Namespace, spec: TrainSpec, folder: Path) -> int:
    from ...engine.training.stop_signals import StopSignals
    from ...engine.training.train import train

    found = _imagery(args, spec, folder)
    spec = _with_epochs(spec, args, found)
    spec = replace(spec, data=tuple(kind.name for kind in found.imagery))
    until = time.monotonic() + 3600 * (args.hours or math.inf)
    last = None
    reported: set[str] = set()
    with StopSignals() as signals:
        for last in train(
            spec, folder, found.imagery, asked_to_stop=lambda: signals.asked or time.monotonic() > until
        ):
            if last.step % 50 == 0 or last.saved or last.unsaved:
                _print(last)
                _print_unreadable(found, reported)
    if args.json and last:
        print(
            json.dumps(
                {
                    "run": str(folder),
                    "step": last.step,
                    "seen": last.seen,
                    "loss": last.loss,
                    "losses": last.losses,
                }
            )
        )
    if signals.asked and last and last.step < last.steps:
        print(
            f"core: stopped and saved at step {last.step}: the same command resumes the run.",
            file=sys.stderr,
        )
        return CANCELLED
    if last and last.step < last.steps and time.monotonic() > until:
        print(
            f"core: stopped after {args.hours:g} h and saved at step {last.step}: "
            "the same command resumes the run.",
            file=sys.stderr,
        )
    return 0


def _imagery(args: argparse.Namespace, spec: TrainSpec, folder: Path) -> FoundImagery:
    """Find the training imagery: a folder of images, packs, or the sample rasters.

    A resumed run keeps its own.
    """
    from ...engine.training.runs import TrainingRun
    from ...geo.catalogue import SHARED_DATA
    from ...geo.imagery import FoundImagery, folder_imagery
    from ...geo.imagery_packs import find_imagery
    from ...geo.sample_imagery import GLOBE, SAMPLES, packs_folder, sample_imagery
    from ...geo.tile import require_gsd

    names = spec.data or (TrainingRun(folder).spec().data if TrainingRun(folder).spec_file.is_file() else ())
    packs: Path | None = args.data or packs_folder()
    if args.labelled:
        found = FoundImagery((_of_labelled_set(args, spec),), ())
    elif args.folder:
        found = FoundImagery((folder_imagery(args.folder, require_gsd(args.gsd_m) or 1.0),), ())
    elif names and set(names) <= {SAMPLES, GLOBE}:
        found = sample_imagery(names)
    elif packs is None and not names:
        print(
            "No imagery packs found: training on the sample rasters that come with the program.",
            file=sys.stderr,
        )
        found = sample_imagery()
    else:
        found = find_imagery(packs or SHARED_DATA, names, Path("cache") / "crops")
    for kind in found.imagery:
        skipped = f", {len(kind.skipped)} unreadable: {', '.join(kind.skipped[:5])}" if kind.skipped else ""
        print(f"{kind.name}: {len(kind.pictures)} pictures{skipped}", file=sys.stderr)
    if found.lacking:
        print(f"not found: {', '.join(found.lacking)}; training without them", file=sys.stderr)
    return found


def _of_labelled_set(args: argparse.Namespace, spec: TrainSpec) -> Imagery:
    """The train images of a labelled set, at the size that the spec's largest target has."""
    from ...evaluation.data.datasets import DataSpec, data_folders
    from ...evaluation.data.training import training_imagery
    from ...models.registry import families, find_family

    objective = families()[find_family(spec.model)[0].name].objective
    enlarge = int(getattr(objective, "target_scale", 1))
    side_px = max(spec.targets_px or [side * enlarge for side in spec.sides_px])
    return training_imagery(DataSpec(args.labelled, gsd_m=args.gsd_m), data_folders(args.data), side_px)


def _with_epochs(spec: TrainSpec, args: argparse.Namespace, found: FoundImagery) -> TrainSpec:
    from ...engine.training.runs import RunError

    if args.epochs is None:
        return spec
    if not args.labelled or args.epochs < 1:
        raise RunError("--epochs counts passes over the images of --set, from 1: give both, or neither.")
    steps = math.ceil(args.epochs * len(found.imagery[0].pictures) / spec.batch)
    return replace(spec, steps=steps, warmup_steps=round(steps * spec.warmup_steps / spec.steps))


def _metrics(file: Path) -> dict[str, Any]:
    from ...engine.training.runs import RunError

    try:
        metrics = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as problem:
        raise RunError(
            f"The metrics in {file} cannot be read ({problem!s:.200}): give a JSON file."
        ) from problem
    if not isinstance(metrics, dict):
        raise RunError(f'{file} must hold a JSON object of metrics, such as {{"psnr_75": 24.1}}.')
    return metrics


def _animate(run: TrainingRun, file: Path) -> int:
    from ...export import training_animation
    from ...files import write_atomic

    content = training_animation(run, file.suffix.removeprefix(".").lower())
    try:
        print(write_atomic(file, content))
    except OSError as problem:
        raise UsageError(f"{file} cannot be written ({problem.strerror}): name another file.") from problem
    return 0


def _stop(run: TrainingRun) -> int:
    from ...engine.training.runs import RunError

    if not run.running:
        raise RunError(f"No process is training in {run.folder}, so there is nothing to stop: check --run.")
    run.ask_to_stop()
    print(f"{run.folder} will save and stop after the current step.", file=sys.stderr)
    return 0


def _print_unreadable(found: FoundImagery, reported: set[str]) -> None:
    """Name the files of a folder that could not be decoded when they were drawn, each once."""
    from ...geo.imagery import LazyPictures

    for kind in found.imagery:
        failed = kind.pictures.failed if isinstance(kind.pictures, LazyPictures) else set[str]()
        for name in sorted(failed - reported):
            print(f"{kind.name}: {name} cannot be decoded and is skipped", file=sys.stderr)
        reported |= failed


def _print(step: TrainStep) -> None:
    minutes = step.seconds_left / 60
    losses = " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())
    saved = (
        "  saved"
        if step.saved
        else f"  not saved ({step.unsaved}), trying again in a minute"
        if step.unsaved
        else ""
    )
    print(
        f"{step.step}/{step.steps}  {losses}  {step.images_per_s:.0f} pictures/s  {minutes:.0f} min "
        f"left{saved}",
        file=sys.stderr,
        flush=True,
    )
