"""`python -m core finetune`: fine-tune a copy of any encoder as a classifier, and score it on the test
split."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...engine.candidates import Candidate
    from ...evaluation.data.datasets import LabelledSet

SAY_SECONDS = 5.0
_EPILOG = """examples:
  python -m core finetune eurosat --model mae_tiny --steps 500
  python -m core finetune ucmerced --model runs/papers/sdmae/sdmae_tiny-0/weights/sdmae_tiny.safetensors --limit 45

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
    add("--batch", type=int, default=64, metavar="N", help="images per step (default 64)")
    add(
        "--lr",
        type=float,
        default=1e-3,
        metavar="R",
        help="learning rate of the head; each layer below gets 0.75 times the rate of the one above (default 1e-3)",
    )
    add(
        "--size",
        type=int,
        metavar="PX",
        help="input size (default: native, at most the model's input), rounded up to whole patches",
    )
    add("--limit", type=int, metavar="N", help="at most N images of each class and split")
    add("--gsd-m", type=float, metavar="M", help="metres per native pixel, where the set does not say")
    add("--seed", type=int, default=0, help="seed of batches, rotations and the head (default 0)")
    add("--data", type=Path, metavar="DIR", help="folder of sets (default: EARTH_MAE_DATA)")
    add("--out", type=Path, metavar="FILE.json", help="also write the result to this file")
    add("--json", action="store_true", help="print one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Fine-tune, with progress on standard error, then print accuracy and its interval."""
    import numpy as np

    from ...engine.training.finetune import FineTune, classify, finetune
    from ...evaluation.bounds import check_settings
    from ...evaluation.data.datasets import DataSpec, data_folders, native_gsd, open_set
    from ...evaluation.errors import RecipeError
    from ...evaluation.plan import resolve_res, whole_patches
    from ...evaluation.stats.intervals import accuracy_interval
    from ...files import write_atomic

    if args.steps < 1 or args.batch < 1 or not 0 < args.lr < math.inf:
        raise RecipeError("--steps and --batch must be at least 1, and --lr above 0.")
    check_settings(seed=args.seed, size_px=args.size, gsd_m=args.gsd_m)
    subject = _subject(args.model, args.untrained)
    data = open_set(DataSpec(args.set, args.limit, args.gsd_m, args.seed), data_folders(args.data))
    size = whole_patches(args.size or min(data.native_px, subject.input_px), subject.patch_px)
    gsd_m = native_gsd(data) * data.native_px / size
    policy = subject.default_policy or "native_gsd"
    res = resolve_res(
        subject, policy, gsd_m=gsd_m, native_gsd_m=native_gsd(data), ratio=data.native_px / size,
        input_px=size, data=data.name,
    )  # fmt: skip
    train, test = (_pictures(data, split, size) for split in ("train", "test"))
    print(
        f"{len(train[1]):,} training images, {len(test[1]):,} test images, {size} px, res {res:.3g}",
        file=sys.stderr,
    )
    spec = FineTune(
        steps=args.steps, batch=args.batch, lr=args.lr, warmup_steps=max(1, args.steps // 20), seed=args.seed
    )
    began = said = time.monotonic()
    step = None
    for step in finetune(subject.model, train[0], train[1], np.full(len(train[1]), res, np.float32), spec):
        now = time.monotonic()
        if now - said > SAY_SECONDS or step.step == step.steps:
            said, left = now, (now - began) / step.step * (step.steps - step.step)
            print(
                f"{step.step}/{step.steps}  loss {step.loss:.4f}  {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
    assert step is not None
    right = classify(step.classifier, test[0], np.full(len(test[1]), res, np.float32)).argmax(1) == test[1]
    found = accuracy_interval(right, seed=args.seed)
    told = {
        "data": data.name, "data_hash": data.fingerprint, "model": subject.name, "weights": subject.weights, "protocol": "finetune",
        "accuracy": found.mean, "low": found.low, "high": found.high, "count": len(right), "gallery": len(train[1]), "size_px": size, "res": res,
        "steps": args.steps, "batch": args.batch, "lr": args.lr, "limit": args.limit, "seed": args.seed, "loss": step.loss,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    if args.out:
        write_atomic(args.out, json.dumps(told, indent=1).encode() + b"\n")
    print(
        json.dumps(told)
        if args.json
        else f"{subject.name} fine-tuned on {data.name}: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    )
    return 0


def _subject(name: str, untrained: bool) -> Candidate:
    from dataclasses import replace

    from ...engine.candidates import candidate
    from ...models import create

    found = candidate(name)
    if not untrained:
        return found
    card = found.model.card
    return replace(found, model=create(card.family, trained=False, **card.sizes), weights="untrained")


def _pictures(data: LabelledSet, split: str, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pictures (n, 3, size, size) in 0..1 and classes of one split, those that can be read.

    Raises LabelledSetError where none can.
    """
    import numpy as np

    from ...evaluation.data.images import all_skipped, batches

    found = list(batches(data.store, data.files, data.rows(split), size, 256))
    images = np.concatenate([batch.images for batch in found])
    if not len(images):
        raise all_skipped([skipped for batch in found for skipped in batch.skipped], data.name)
    return images, data.labels[np.concatenate([batch.rows for batch in found])]
