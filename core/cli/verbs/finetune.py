"""`python -m core finetune`: fine-tune a copy of any encoder as a classifier, and score it on the test
split."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...engine.training.finetune import FineTuneStep

SAY_SECONDS = 5.0
CANCELLED = 130
_EPILOG = """examples:
  python -m core finetune eurosat --model mae_tiny --steps 500
  python -m core finetune eurosat --model tinymim_tiny --recipe tinymim --steps 2000
  python -m core finetune ucmerced --model runs/my_run/weights/sdmae_tiny.safetensors --limit 45

Distillation leaves the last layers of a TinyMIM student untrained; fine-tuning trains them with the rest."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "finetune",
        help="fine-tune an encoder as a classifier, and score it",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "set",
        metavar="DATA",
        help="labelled set: a name (eurosat, ucmerced, ...), folder, or zip with index.csv",
    )
    add("--model", default="mae_tiny", metavar="NAME|FILE", help="pretrained encoder (default mae_tiny)")
    add(
        "--untrained",
        action="store_true",
        help="start from random weights of the same shape, to measure what pretraining contributes",
    )
    add("--steps", type=int, default=500, metavar="N", help="optimiser steps (default 500)")
    add("--epochs", type=int, metavar="N", help="passes over the training images, in place of --steps")
    add("--batch", type=int, default=64, metavar="N", help="images per step (default 64)")
    add(
        "--recipe",
        default="plain",
        choices=("plain", "mae", "sdmae", "tinymim"),
        help="settings to start from: ours, or those of a paper's published command with RandAugment, random "
        "erasing, drop path, layer decay and, for mae and tinymim, mixup and CutMix (default plain)",
    )
    _add_settings(parser.add_argument_group("settings that replace the recipe's"))
    add(
        "--size",
        type=int,
        metavar="PX",
        help="input size (default: native, at most the model's input), rounded up to whole patches",
    )
    add("--limit", type=int, metavar="N", help="at most N images of each class and split")
    add("--gsd-m", type=float, metavar="M", help="metres per native pixel, if the set does not state it")
    add("--seed", type=int, default=0, help="seed of batches, rotations and the head (default 0)")
    add("--data", type=Path, metavar="DIR", help="folder of sets (default: EARTH_MAE_DATA)")
    add(
        "--run",
        dest="run_folder",
        type=Path,
        metavar="DIR",
        help="keep a checkpoint in this folder; the same command resumes from it",
    )
    add("--out", type=Path, metavar="FILE.json", help="also write the result to this file")
    add("--json", action="store_true", help="print one JSON object on standard output")


def _add_settings(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--lr",
        type=float,
        metavar="R",
        help="learning rate of the head per 256 images (plain: 4e-3)",
    )
    add("--layer-decay", type=float, metavar="F", help="rate of a layer over that of the one above (0.75)")
    add("--weight-decay", type=float, metavar="W", help="weight decay of AdamW, for matrices (0.05)")
    add("--drop-path", type=float, metavar="P", help="chance that the last block's branches are skipped (0)")
    add("--label-smoothing", type=float, metavar="E", help="label smoothing (0.1)")
    add("--mixup", type=float, metavar="A", help="alpha of mixup, 0 for none (0)")
    add("--cutmix", type=float, metavar="A", help="alpha of CutMix, 0 for none (0)")
    add("--erasing", type=float, metavar="P", help="chance of random erasing (0)")
    add("--rand-augment", type=int, metavar="M", help="magnitude of RandAugment, 0 for none (0)")
    add("--orientations", choices=("all", "flip", "none"), help="all eight, left-right flips or none (all)")
    add("--pooling", choices=("mean", "cls"), help="mean of the patch tokens, or CLS (mean)")


SETTINGS = (
    "lr", "layer_decay", "weight_decay", "drop_path", "label_smoothing", "mixup", "cutmix", "erasing",
    "rand_augment", "orientations", "pooling",
)  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Fine-tune, with progress on standard error, then print accuracy and its interval."""
    import numpy as np

    from ...engine.candidates import candidate, untrained
    from ...engine.training.finetune import classify, fine_tune_recipe, finetune
    from ...engine.training.stop_signals import StopSignals
    from ...evaluation.bounds import check_settings
    from ...evaluation.data.datasets import DataSpec, data_folders, native_gsd, open_set
    from ...evaluation.data.images import StreamedImages
    from ...evaluation.errors import RecipeError
    from ...evaluation.plan import resolve_res, whole_patches
    from ...evaluation.stats.intervals import accuracy_interval
    from ...files import write_atomic

    if min(args.steps, args.batch, 1 if args.epochs is None else args.epochs) < 1:
        raise RecipeError("--steps, --epochs and --batch must be at least 1.")
    check_settings(seed=args.seed, size_px=args.size, gsd_m=args.gsd_m)
    subject = candidate(args.model)
    if args.untrained:
        subject = untrained(subject, args.seed)
    data = open_set(DataSpec(args.set, args.limit, args.gsd_m, args.seed), data_folders(args.data))
    size = whole_patches(args.size or min(data.native_px, subject.input_px), subject.patch_px)
    gsd_m = native_gsd(data) * data.native_px / size
    policy = subject.default_policy or "native_gsd"
    res = resolve_res(
        subject, policy, gsd_m=gsd_m, native_gsd_m=native_gsd(data), ratio=data.native_px / size,
        input_px=size, data=data.name,
    )  # fmt: skip
    train, test = (
        StreamedImages(data.store, data.files, data.rows(name), size) for name in ("train", "test")
    )
    steps = math.ceil(args.epochs * len(train) / args.batch) if args.epochs else args.steps
    spec = fine_tune_recipe(
        args.recipe,
        steps=steps,
        batch=args.batch,
        warmup_steps=max(1, steps // 20),
        seed=args.seed,
        **{name: value for name in SETTINGS if (value := getattr(args, name)) is not None},
    )
    truth = data.labels[data.rows("test")]
    print(
        f"{len(train):,} training images, {len(test):,} test images, {size} px, res {res:.3g}",
        file=sys.stderr,
    )
    began = time.monotonic()
    labels, res_each = data.labels[data.rows("train")], np.full(len(train), res, np.float32)
    checkpoint: Path | None = args.run_folder and args.run_folder / "finetune.pt"
    with StopSignals() if checkpoint else nullcontext() as signals:
        steps_of_it = finetune(
            subject.model, train, labels, res_each, spec, checkpoint=checkpoint,
            asked_to_stop=lambda: signals is not None and signals.asked,
        )  # fmt: skip
        (step,) = deque(_with_progress(steps_of_it, args.batch), maxlen=1)
    if step.step < step.steps:
        print(f"core: stopped and saved at step {step.step}: the same command resumes it.", file=sys.stderr)
        return CANCELLED
    scores, rows = classify(step.classifier, test, np.full(len(test), res, np.float32))
    right = scores.argmax(1) == truth[rows]
    found = accuracy_interval(right, seed=args.seed)
    skipped = [*train.skipped.values(), *test.skipped.values()]
    for each in skipped:
        print(f"skipped {each.file}: {each.reason}", file=sys.stderr)
    report = {
        "data": data.name, "data_hash": data.fingerprint, "model": subject.name, "weights": subject.weights,
        "protocol": "finetune",
        "accuracy": found.mean, "low": found.low, "high": found.high, "count": len(right),
        "gallery": len(train), "skipped": [each.file for each in skipped], "size_px": size, "res": res,
        "recipe": args.recipe, **asdict(spec), "limit": args.limit, "loss": step.loss,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    if args.out:
        write_atomic(args.out, json.dumps(report, indent=1).encode() + b"\n")
    print(
        json.dumps(report)
        if args.json
        else f"{subject.name} fine-tuned on {data.name}: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    )
    return 0


def _with_progress(steps: Iterator[FineTuneStep], batch: int) -> Iterator[FineTuneStep]:
    """Print the loss, the pace and the time left now and then, on standard error."""
    began = printed_at = time.monotonic()
    for number, step in enumerate(steps, start=1):
        now = time.monotonic()
        if now - printed_at > SAY_SECONDS or step.saved or step.step == step.steps:
            printed_at, pace = now, number / max(now - began, 1e-9)
            print(
                f"{step.step}/{step.steps}  loss {step.loss:.4f}  {pace * batch:.0f} images/s  "
                f"{(step.steps - step.step) / pace:.0f} s left{'  saved' * step.saved}",
                file=sys.stderr,
                flush=True,
            )
        yield step
