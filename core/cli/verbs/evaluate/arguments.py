"""Arguments of the verb `evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ....evaluation.data.published import LABELLED_TABLE, RECONSTRUCTION_TABLE, SEGMENTATION_TABLE
from ....evaluation.plan import GALLERIES, EvaluationPlan

T = TypeVar("T")

SCALE_SERIES_PROTOCOLS = ("scale-series", "scales", "sweep")
"""Names on the command line of the protocol that recipes and results call `sweep`."""

_EPILOG = """examples:
  python -m core evaluate eurosat                         weighted kNN of every shipped model and baseline
  python -m core evaluate all --protocol scale-series     kNN: 3 sets x 4 scales x 2 policies
  python -m core evaluate all --protocol reconstruction   hidden pixels, beside four baselines
  python -m core evaluate gallery --protocol reconstruction
                                                          the same on the tiles that the app opens with
  python -m core evaluate all --protocol gsd              PSNR under the right GSD and one 4x off
  python -m core evaluate all --protocol segmentation --scales 25,50,100
  python -m core evaluate resisc45 whu_rs19 ucmerced eurosat airound cvbrct mlrsnet optimal31 \\
      --protocol scales --against paper --model scalemae-vitlarge-800.pth
                                                          Table 1 of the Scale-MAE paper
  python -m core evaluate spacenet --protocol segmentation --train --scales 50,75,100
                                                          UperNet, trained at 100 %, tested coarser
  python -m core evaluate folder/ --gsd-m 0.5 --model mae_tiny --protocol probe
  python -m core evaluate eurosat --model scalemae-vitlarge-800.pth \\
      --author author_224 --normalisation dataset
                                                          the authors' evaluation of Scale-MAE: 0.960
  python -m core evaluate --recipe out/recipes/3f0a.toml --data sets/
                                                          reproduce one result

A run that was stopped resumes from the results in the cache."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its arguments."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score models: reconstruction, GSD sensitivity, kNN, linear probe, few-shot, scale series, "
        "segmentation",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_subject_arguments(parser)
    _add_image_arguments(parser.add_argument_group("images"))
    _add_protocol_arguments(parser.add_argument_group("protocol settings"))
    _add_output_arguments(parser.add_argument_group("output"))


def _add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "sets",
        nargs="*",
        metavar="DATA",
        help="name (eurosat, resisc45, ...), folder, zip with index.csv, or all: "
        f"{', '.join(LABELLED_TABLE)} (reconstruction: {', '.join(RECONSTRUCTION_TABLE)}; "
        f"segmentation: {', '.join(SEGMENTATION_TABLE)})",
    )
    add(
        "--protocol",
        choices=(
            "reconstruction", "gsd", "knn", "probe", "few-shot", *SCALE_SERIES_PROTOCOLS, "segmentation",
        ),
        help="default: knn; scales and sweep are other names of scale-series",
    )  # fmt: skip
    add(
        "--model",
        nargs="+",
        action="extend",
        metavar="NAME|FILE",
        help="default: every shipped model that fits, and for embeddings the baselines colour_histogram, "
        "untrained_scale_mae_tiny and, where it was fetched, the teacher efficientnet_lite0",
    )
    add("--data", type=Path, metavar="DIR", help="folder of image sets (default: EARTH_MAE_DATA)")
    add(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="recompute the result of a recipe file and compare; DATA gives the location of its set",
    )
    add(
        "--spec",
        type=Path,
        metavar="FILE",
        help="run the request in a JSON file, as the Evaluate page does: it holds plans, models and all "
        "settings; status.json beside it says how far it is",
    )


def _add_image_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--limit",
        type=int,
        metavar="N",
        help="at most N images per class and split (reconstruction and gsd: 20)",
    )
    add(
        "--scales",
        type=_scales,
        metavar="PCT,...",
        help="relative scales in %% (default: 100; scale-series: 12.5,25,50,100)",
    )
    add(
        "--gallery",
        choices=GALLERIES,
        default="native",
        help="learn classes from train images at full size, as in the Scale-MAE paper (default), "
        "or scaled like the test images",
    )
    add("--gsd-m", type=float, metavar="M", help="metres per native pixel, for sets that do not state it")
    add(
        "--feed",
        choices=("native", "input"),
        default="native",
        help="feed images at their (scaled) native size or at the model's input size",
    )
    add(
        "--size", type=int, metavar="PX", help="feed images at this size instead, rounded up to whole patches"
    )
    add(
        "--normalisation",
        choices=("card", "dataset"),
        default="card",
        help="colour statistics of the model card or of the set",
    )


def _add_protocol_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--policy",
        type=_policies,
        metavar="NAME,...",
        help="how GSD becomes res (default: the card's; scale-series: the card's and author_eval)",
    )
    add(
        "--author",
        choices=("author", "author_224"),
        help="use the size, res and pooling of the authors' evaluation of each set",
    )
    add("--pooling", choices=("cls", "mean", "cls+mean", "vector"), help="default: the card's")
    add(
        "--k",
        type=int,
        help="neighbours of kNN (default: 20, or the whole gallery if --limit makes it smaller)",
    )
    add("--tau", type=float, default=0.07, help="temperature of kNN votes (default: 0.07)")
    add(
        "--overwrite-batch",
        type=int,
        metavar="N",
        help="overwrite gallery rows as the original code does with batches of N",
    )
    add(
        "--shots",
        type=_numbers(int),
        metavar="N,...",
        help="images per class in few-shot (default: 1,5,10, reduced for small sets)",
    )
    add(
        "--ratios",
        type=_numbers(float, "0.75,0.5"),
        default=(0.75, 0.5),
        metavar="R,...",
        help="mask ratios of reconstruction and gsd (default: 0.75,0.5)",
    )
    add(
        "--head",
        choices=("linear", "upernet"),
        default="linear",
        help="segmentation head on the frozen encoder (default: linear)",
    )
    add(
        "--train",
        action="store_true",
        help="segmentation: fine-tune the encoder with a UperNet head, once at full size for all --scales",
    )
    add(
        "--steps",
        type=int,
        default=EvaluationPlan.steps,
        metavar="N",
        help=f"training steps of UperNet, 16 tiles each (default: {EvaluationPlan.steps:,})",
    )
    add("--seed", type=int, default=0, help="seed of splits, masks, draws and intervals (default: 0)")


def _add_output_arguments(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--against", choices=("paper",), help="print the papers' tables beside these results")
    add(
        "--compare",
        action="store_true",
        help="compare every model with the first on the same images: difference, shared neighbours, CKA",
    )
    add(
        "--duplicates",
        action="store_true",
        help="first list test images that are also among the training images",
    )
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of the cache (default: EARTH_MAE_CACHE or cache/evaluation)",
    )
    add("--fresh", action="store_true", help="recompute everything without the cache")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="write results.json, results.csv, results.tex and recipes/ there",
    )
    add(
        "--record",
        action="store_true",
        help="also add the results to those recorded with the program, which the Evaluate page shows",
    )
    add("--json", action="store_true", help="print one JSON object on standard output")


def _scales(text: str) -> tuple[float, ...]:
    return tuple(percentage / 100 for percentage in _numbers(float, "25,50,100")(text))


def _policies(text: str) -> tuple[str | None, ...]:
    return tuple(part.strip() or None for part in text.split(","))


def _numbers(kind: Callable[[str], T], example: str = "1,5") -> Callable[[str], tuple[T, ...]]:
    """Return a parser of numbers separated by commas."""

    def parse(text: str) -> tuple[T, ...]:
        try:
            return tuple(kind(part) for part in text.replace("%", "").split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a list of numbers; give for example {example}"
            ) from None

    return parse
