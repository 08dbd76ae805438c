"""`python -m core papers`: test the three papers' claims at small scale, each method against its baseline."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

_EPILOG = """examples:
  python -m core papers scale_mae                      two runs of 20 minutes, then kNN at four scales
  python -m core papers tinymim --teacher mae_tiny
  python -m core papers sdmae --minutes-per-run 5      2,000 EuroSAT pictures, three seeds: six runs
  python -m core papers all --minutes-per-run 0.2 --limit 20 --out runs/try

Both arms train on the same images, as many as the slower one processes in the given minutes.
An interrupted command resumes."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "papers",
        help="test the three papers' claims at small scale: Scale-MAE, TinyMIM, SDMAE against MAE",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paper", choices=("scale_mae", "tinymim", "sdmae", "all"))
    add(
        "--minutes-per-run",
        type=float,
        default=20.0,
        metavar="M",
        help="training time of the slower arm (default 20)",
    )
    add("--pictures", type=int, metavar="N", help="images per run, instead of minutes")
    add("--batch", type=int, default=64, metavar="N", help="images per step (default 64)")
    add("--seeds", type=int, metavar="N", help="seeds (default: one; sdmae: three)")
    add(
        "--teacher",
        default="scale_mae_tiny",
        metavar="NAME|FILE",
        help="TinyMIM's teacher (default scale_mae_tiny)",
    )
    add(
        "--sets",
        type=lambda text: tuple(text.split(",")),
        metavar="A,B",
        help="sets to score on (default: eurosat,ucmerced; sdmae: eurosat)",
    )
    add(
        "--gallery",
        choices=("native", "scaled"),
        default="native",
        help="over scales, keep the gallery at full size as in the paper (default) or scale it too",
    )
    add("--limit", type=int, metavar="N", help="score on at most N images of each class and split")
    add("--data", type=Path, metavar="DIR", help="folder of packs (default: EARTH_MAE_DATA)")
    add(
        "--out",
        type=Path,
        default=Path("runs/papers"),
        metavar="DIR",
        help="folder of runs and records (default runs/papers)",
    )
    add(
        "--record",
        action="store_true",
        help="also store the result in the program, where the page and the notebook read it",
    )
    add("--json", action="store_true", help="print one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Train, score and record; progress goes to standard error."""
    from ...evaluation.claims import RECORDED, STATEMENTS, Claim, text_of, write_claim
    from ...evaluation.data.datasets import data_folders
    from ...evaluation.errors import RecipeError
    from ...papers.experiments import experiment
    from ...papers.running import run_claim

    if not args.minutes_per_run > 0 or (args.pictures is not None and args.pictures < 1) or args.batch < 2:
        raise RecipeError(
            "--minutes-per-run and --pictures must be above 0, and --batch at least 2 (contrastive losses "
            "compare images of a batch)."
        )
    names = tuple(STATEMENTS) if args.paper == "all" else (args.paper,)
    claims: list[Claim] = []
    for name in names:
        chosen = experiment(
            name,
            teacher=args.teacher,
            batch=args.batch,
            seeds=args.seeds,
            sets=args.sets,
            gallery=args.gallery,
        )
        events = run_claim(
            chosen,
            args.out,
            data_folders(args.data),
            minutes_per_run=args.minutes_per_run,
            pictures=args.pictures,
            limit=args.limit,
            command=command_of(args, name),
        )
        for event in events:
            if isinstance(event, Claim):
                claims.append(event)
                if args.record:
                    write_claim(event, RECORDED)
            else:
                print(event, file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps({"claims": [claim.to_json() for claim in claims]}, allow_nan=False))
        return 0
    print(text_of(claims))
    return 0


def command_of(args: argparse.Namespace, name: str) -> str:
    """The command line that reproduces one claim, without default options."""
    length = f"--pictures {args.pictures}" if args.pictures else f"--minutes-per-run {args.minutes_per_run:g}"
    words = [f"python -m core papers {name} {length}"]
    words += [f"--batch {args.batch}"] if args.batch != 64 else []
    words += [f"--seeds {args.seeds}"] if args.seeds is not None else []
    words += [f"--limit {args.limit}"] if args.limit is not None else []
    words += [f"--gallery {args.gallery}"] if args.gallery != "native" else []
    words += [f"--sets {','.join(args.sets)}"] if args.sets else []
    if name == "tinymim" and args.teacher != "scale_mae_tiny":
        words.append(f"--teacher {Path(args.teacher).name}")
    return " ".join(words)
