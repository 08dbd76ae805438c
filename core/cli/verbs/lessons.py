"""`python -m core lessons`: list the lessons, or write their worksheets and notebooks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...errors import UsageError
from ...files import write_atomic

_EPILOG = """examples:
  python -m core lessons
  python -m core lessons --worksheets sheets/
  python -m core lessons --worksheets sheets/ --only patches shares --model mae_tiny
  python -m core lessons --notebooks notebooks/lessons

--worksheets writes two PDFs for each lesson: the sheet for pupils, and the answers, measured with the
network."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "lessons",
        help="list the lessons of the Learn page, or write worksheets and notebooks",
        description="Without options, list the lessons. Otherwise write printable worksheets or notebooks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--worksheets", type=Path, metavar="DIR", help="write worksheets and answers as PDF into this folder")
    add("--notebooks", type=Path, metavar="DIR", help="write notebooks into this folder")
    add("--only", nargs="+", default=[], metavar="LESSON", help="only these lessons, by id")
    add(
        "--model", default="scale_mae_tiny", metavar="NAME|FILE", help="the network (default: scale_mae_tiny)"
    )


def run(args: argparse.Namespace) -> int:
    """Write what was asked for; print one line for each file, or the list of lessons."""
    from ...lessons.bench import Bench
    from ...lessons.course import LESSONS, find_lesson
    from ...lessons.notebooks import notebook
    from ...lessons.worksheets import answer_key, worksheet

    if unknown := [name for name in args.only if find_lesson(name) is None]:
        raise UsageError(
            f"There is no lesson called {unknown[0]!r:.40}: choose from {', '.join(x.id for x in LESSONS)}."
        )
    chosen = [(n, lesson) for n, lesson in enumerate(LESSONS, 1) if not args.only or lesson.id in args.only]
    if args.worksheets is None and args.notebooks is None:
        for n, lesson in chosen:
            print(f"{n:2}  {lesson.id:12}  {lesson.minutes} min  {lesson.title}")
        return 0
    for folder in (args.worksheets, args.notebooks):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.model) if args.worksheets else None
    for n, lesson in chosen:
        if bench is not None and args.worksheets is not None:
            sheet, key = worksheet(lesson, n, bench), answer_key(lesson, n, bench)
            print(write_atomic(args.worksheets / f"{n:02d}_{lesson.id}.pdf", sheet))
            print(write_atomic(args.worksheets / f"{n:02d}_{lesson.id}_answers.pdf", key))
        if args.notebooks is not None:
            text = json.dumps(notebook(lesson, n), indent=1, ensure_ascii=False) + "\n"
            print(write_atomic(args.notebooks / f"{n:02d}_{lesson.id}.ipynb", text.encode()))
    return 0
