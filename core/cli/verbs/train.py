"""`python -m core train`: start or resume a training run, and publish what it made."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...engine.training.runs import TrainStep

DATA_FOLDER = Path(os.environ.get("EARTH_MAE_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on imagery of known GSD; resumes where it stopped",
        epilog="On several GPUs: python -m torch.distributed.run --nproc-per-node 4 -m -- core train SPEC (the two dashes keep its options from torchrun).",
    )
    parser.add_argument("spec", type=Path, help="a TOML file, or a preset: laptop, gpu, smoke, sdmae, tinymim, tinymim_decoder, ...")
    parser.add_argument("--run", dest="run_folder", type=Path, metavar="DIR", help="folder of the run (default: runs/NAME); a run found there goes on")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="folder of packs (default: EARTH_MAE_DATA)")
    parser.add_argument("--folder", type=Path, help="train on the pictures of this folder instead, with --gsd-m")
    parser.add_argument("--gsd-m", type=float, help="metres per pixel of the pictures in --folder")
    said = "copy the run's weights to the app, with these metrics in their card"
    parser.add_argument("--publish", type=Path, metavar="METRICS.json", help=said)
    parser.add_argument("--json", action="store_true", help="print one JSON object about the finished run")


def run(args: argparse.Namespace) -> int:
    """Train until the spec's last step, Ctrl-C or a stop request; every end leaves a checkpoint."""
    from ...engine.training.publish import publish
    from ...engine.training.runs import Run, read_spec
    from ...engine.training.train import train
    from ...geo.crops import FoundImagery, find_imagery, folder_imagery
    from ...geo.tile import require_gsd

    spec = read_spec(args.spec)
    folder: Path = args.run_folder or Path("runs") / spec.name
    if args.publish:
        print(publish(Run(folder), json.loads(args.publish.read_text())), file=sys.stderr)
        return 0
    if args.folder:
        found = FoundImagery((folder_imagery(args.folder, require_gsd(args.gsd_m) or 1.0),), ())
    else:
        found = find_imagery(args.data, spec.data, Path("cache") / "crops")
    spec = replace(spec, data=tuple(kind.name for kind in found.imagery))
    for kind in found.imagery:
        skipped = f", {len(kind.skipped)} unreadable: {', '.join(kind.skipped[:5])}" if kind.skipped else ""
        print(f"{kind.name}: {len(kind.pictures)} pictures{skipped}", file=sys.stderr)
    if found.lacking:
        print(f"not here: {', '.join(found.lacking)}; the run goes on without", file=sys.stderr)
    last = None
    for last in train(spec, folder, found.imagery):
        if last.step % 50 == 0 or last.saved:
            _tell(last)
    if args.json and last:
        print(json.dumps({"run": str(folder), "step": last.step, "seen": last.seen, "loss": last.loss, "losses": last.losses}))
    return 0


def _tell(step: TrainStep) -> None:
    minutes = step.seconds_left / 60
    losses = " ".join(f"{name} {value:.4f}" for name, value in step.losses.items())
    saved = "  saved" if step.saved else ""
    print(f"{step.step}/{step.steps}  {losses}  {step.images_per_s:.0f} pictures/s  {minutes:.0f} min left{saved}", file=sys.stderr, flush=True)
