"""`python -m core evaluate`: score models on sets of images, with intervals, recipes and a cache that resumes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ...evaluation.cache import Cache
    from ...evaluation.paper import PaperRow
    from ...evaluation.plan import EvaluationPlan
    from ...evaluation.protocols.segmentation import Learn
    from ...evaluation.recipes import EvaluationRecipe
    from ...evaluation.results import Result
    from ...evaluation.subjects import Subject

T = TypeVar("T")
_RETURN = "\r" if sys.stderr.isatty() else ""
_EPILOG = """examples:
  python -m core evaluate eurosat                                  every shipped model, weighted kNN
  python -m core evaluate all --protocol sweep                     3 sets x 4 scales x 2 policies, resumes where it stopped
  python -m core evaluate all --protocol reconstruction            hidden pixels against four fills
  python -m core evaluate all --protocol segmentation --scales 25,50,100    or a folder of images/ and masks/
  python -m core evaluate folder/ --gsd-m 0.5 --model mae_tiny --protocol probe
  python -m core evaluate eurosat --model scalemae-vitlarge-800.pth --author author_224 --normalisation dataset     # Scale-MAE: 0.960
  python -m core evaluate --recipe out/recipes/3f0a.toml --data sets/      run one number again: the set is found by its name, or give it"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the verb."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score models: reconstruction, kNN, linear probe, few-shot, sweep over scales, segmentation",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sets",
        nargs="*",
        metavar="DATA",
        help="name (eurosat, ucmerced, harvey, ...), folder, zip with index.csv, or all",
    )
    add(
        "--protocol",
        default=None,
        choices=("reconstruction", "knn", "probe", "few-shot", "sweep", "segmentation"),
        help="default: knn",
    )
    add(
        "--model",
        nargs="+",
        action="extend",
        metavar="NAME|FILE",
        help="default: every shipped model that fits; colour_histogram is the floor",
    )
    add(
        "--scales",
        type=_shares,
        metavar="PCT,...",
        help="relative scales in %% (default 100; sweep: 12.5,25,50,100)",
    )
    add(
        "--policy",
        type=_texts,
        metavar="NAME,...",
        help="how GSD becomes res (default: the card's; sweep: the card's and author_eval)",
    )
    add(
        "--limit", type=int, metavar="N", help="at most N images of each class and split (reconstruction: 20)"
    )
    add("--data", type=Path, metavar="DIR", help="folder of sets (default: EARTH_MAE_DATA)")
    add("--gsd-m", type=float, metavar="M", help="metres per native pixel, where the set does not say")
    add(
        "--feed",
        choices=("native", "input"),
        default="native",
        help="feed pictures at their (scaled) native size or at the model's input size",
    )
    add("--size", type=int, metavar="PX", help="feed pictures at this size instead, up to whole patches")
    add(
        "--author",
        choices=("author", "author_224"),
        help="use the authors' size, res and pooling for each set",
    )
    add(
        "--normalisation",
        choices=("card", "dataset"),
        default="card",
        help="colour statistics of the model's card or of the set",
    )
    add("--pooling", choices=("cls", "mean", "cls+mean"), help="default: the card's")
    add(
        "--k",
        type=int,
        help="neighbours of kNN (default 20, or the whole gallery where --limit leaves fewer)",
    )
    add("--tau", type=float, default=0.07, help="temperature of kNN votes (default 0.07)")
    add(
        "--overwrite-batch",
        type=int,
        metavar="N",
        help="lose gallery rows as the original code does with batches of N",
    )
    add(
        "--shots",
        type=_numbers(int),
        metavar="N,...",
        help="images of each class in few-shot (default 1,5,10, or as many as there are)",
    )
    add(
        "--ratios",
        type=_numbers(float, "0.75,0.5"),
        default=(0.75, 0.5),
        metavar="R,...",
        help="hidden shares in reconstruction (default 0.75,0.5)",
    )
    add("--seed", type=int, default=0, help="seed of splits, masks, draws and intervals (default 0)")
    add(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="run the number of a recipe file again and compare; DATA says where its set lies",
    )
    add("--against", choices=("paper",), help="print the papers' tables beside these results")
    add(
        "--compare",
        action="store_true",
        help="test every model against the first one on the same images: difference, neighbours shared, CKA",
    )
    add(
        "--duplicates",
        action="store_true",
        help="list images that stand on both sides of the split, before anything is scored",
    )
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of the cache (default: EARTH_MAE_CACHE or cache/evaluation)",
    )
    add("--fresh", action="store_true", help="compute everything again")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="write results.json, results.csv, results.tex and recipes/ there",
    )
    add(
        "--record",
        action="store_true",
        help="also keep the numbers with the program, where page Evaluate looks",
    )
    add("--json", action="store_true", help="print one JSON object on standard output")


def run(args: argparse.Namespace) -> int:
    """Evaluate, telling progress on standard error; every finished number is kept, so that a second call resumes."""
    from ...evaluation.cache import Cache, default_cache
    from ...evaluation.data.datasets import data_folders
    from ...evaluation.errors import RecipeError
    from ...evaluation.recipes import read_recipe
    from ...evaluation.rerun import located, plan_of

    recipe = read_recipe(args.recipe) if args.recipe else None
    if recipe is None and not args.sets:
        raise RecipeError(
            "Name a data set, a folder or a zip to evaluate on (or all), or give --recipe FILE."
        )
    if recipe and len(args.sets) > 1:
        raise RecipeError(
            "A recipe is of one set: give one DATA beside --recipe, or none to have it found by its name."
        )
    if recipe:
        plan = plan_of(recipe, args.sets[0] if args.sets else located(recipe.data, data_folders(args.data)))
    else:
        plan = _plan(args)
    if (
        args.compare
        and not recipe
        and plan.protocol != "reconstruction"
        and args.model
        and len(set(args.model)) == 1
    ):
        raise RecipeError("There is one model and nothing to compare it with; name two or more with --model.")
    kept = Cache(args.cache) if args.cache else default_cache()
    for option, folder in (("--cache", kept.folder), ("--out", args.out)):
        if folder:
            _check_writable(option, folder)
    with TemporaryDirectory() as passing:  # a number asked for anew is compared with what is computed now
        return _evaluated(args, plan, recipe, Cache(Path(passing)) if args.fresh or recipe else kept)


def _check_writable(option: str, folder: Path) -> None:
    from ...evaluation.errors import RecipeError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise RecipeError(
            f"The folder of {option} cannot be written ({problem.strerror}: {folder}); give another one."
        ) from problem


def _evaluated(
    args: argparse.Namespace, plan: EvaluationPlan, recipe: EvaluationRecipe | None, cache: Cache
) -> int:
    from ...evaluation.comparing import comparisons
    from ...evaluation.data.datasets import data_folders
    from ...evaluation.errors import EvaluationError
    from ...evaluation.paper import paper_text
    from ...evaluation.rerun import explain
    from ...evaluation.results import Result
    from ...evaluation.running import evaluate

    folders = data_folders(args.data)
    twice = _duplicates(plan, folders) if args.duplicates else None
    subjects = _subject_of(recipe, plan) if recipe and not args.model else _subjects(args.model, plan)
    results: list[Result] = []
    for event in evaluate(plan, subjects, folders=folders, cache=cache, learn=_head(plan)):
        if isinstance(event, Result):
            results.append(event)
            _say(_line(event), end="\n")
        elif event.notice:
            _say(event.text, end="\n")
        else:
            left = "" if event.seconds_left is None else f", {_duration(event.seconds_left)} left"
            _say(f"{100 * event.share:5.1f} %{left}  {event.text}", end=_RETURN)
    if recipe:
        results = [result for result in results if result.recipe.model == results[-1].recipe.model]
        _say(explain(recipe, results[-1].recipe), end="\n")
    rows = _paper_rows(results) if args.against else None
    pairs, problem = [], None
    try:
        pairs = list(comparisons(results, cache)) if args.compare else []
    except EvaluationError as unlike:  # said after the numbers
        problem = unlike
    if args.json:
        more = {"comparisons": [pair.to_json() for pair in pairs]} if args.compare else {}
        print(
            json.dumps(
                _document(results, rows) | more | ({} if twice is None else {"duplicates": twice}),
                allow_nan=False,
            )
        )
    else:
        print(
            "\n".join(
                [
                    _table(results),
                    *(pair.sentence() for pair in pairs),
                    *([paper_text(rows)] if rows is not None else []),
                ]
            )
        )
    if problem:
        raise problem
    _write(args, results)
    return 0


def _write(args: argparse.Namespace, results: list[Result]) -> None:
    """Write what was asked for to disk, after it was printed: a full disk loses no number."""
    from ...evaluation.errors import RecipeError
    from ...evaluation.recorded_numbers import record_numbers

    try:
        if args.out:
            write_results(results, args.out)
        if args.record:
            record_numbers(results)
    except OSError as problem:
        raise RecipeError(
            f"The numbers above cannot be written ({problem.strerror}): free some space, and give the same command again."
        ) from problem


def _paper_rows(results: list[Result]) -> list[PaperRow]:
    from ...evaluation.paper import against_paper
    from ...models.checkpoints.releases import OFFICIAL_SHA256

    return against_paper(results, OFFICIAL_SHA256)


def _duplicates(plan: EvaluationPlan, folders: Sequence[Path]) -> dict[str, list[dict[str, object]]]:
    """Duplicates of every set of the plan, told one a line on standard error: set -> files, exact or nearly, labels."""
    from ...evaluation.data.datasets import DataSpec, open_set
    from ...evaluation.data.duplicates import split_duplicates
    from ...evaluation.errors import RecipeError

    if plan.protocol in ("segmentation", "reconstruction"):
        raise RecipeError(
            f"Duplicates are looked for among labelled images, which {plan.protocol} does not use; leave --duplicates out."
        )

    found: dict[str, list[dict[str, object]]] = {}
    for name in plan.data:
        data = open_set(DataSpec(name, plan.limit, plan.gsd_m, plan.seed), folders)
        listed = split_duplicates(
            data,
            progress=lambda share, name=name: _say(
                f"{100 * share:5.1f} %  duplicates in {name}", end=_RETURN
            ),
        )
        found[data.name] = [
            {
                **vars(one),
                "test_label": data.classes[one.test_label],
                "train_label": data.classes[one.train_label],
            }
            for one in listed
        ]
        _say(
            f"{data.name}: {len(listed)} of {len(data.rows('test'))} test images are also among the training images",
            end="\n",
        )
        for one in listed:
            _say(f"  {one.test} {'is' if one.exact else 'is nearly'} {one.train}", end="\n")
    return found


def write_results(results: list[Result], folder: Path) -> None:
    """Write results.json, results.csv, results.tex and one recipe file for every number."""
    from ...evaluation.recipes import write_recipe
    from ...evaluation.results import to_csv, to_latex
    from ...files import write_atomic

    write_atomic(folder / "results.json", json.dumps(_document(results, None), indent=1).encode())
    write_atomic(folder / "results.csv", to_csv(results).encode())
    write_atomic(folder / "results.tex", to_latex(results).encode())
    for result in results:
        write_recipe(result.recipe, folder / "recipes" / f"{result.recipe.key}.toml")


def _plan(args: argparse.Namespace) -> EvaluationPlan:
    from ...evaluation.data.published import LABELLED_TABLE, RECONSTRUCTION_TABLE, SEGMENTATION_TABLE
    from ...evaluation.plan import SCALE_SERIES, EvaluationPlan
    from ...evaluation.protocols.knn import KnnSpec

    protocol = args.protocol or "knn"
    table = {"reconstruction": RECONSTRUCTION_TABLE, "segmentation": SEGMENTATION_TABLE}.get(
        protocol, LABELLED_TABLE
    )
    sets = dict.fromkeys(name for given in args.sets for name in (table if given == "all" else (given,)))
    sweep = protocol == "sweep"
    return EvaluationPlan(
        protocol=protocol,
        data=tuple(sets),
        scales=args.scales or (SCALE_SERIES if sweep else (1.0,)),
        policies=args.policy or ((None, "author_eval") if sweep else (None,)),
        feed=args.feed,
        author=args.author,
        normalisation=args.normalisation,
        pooling=args.pooling,
        limit=args.limit,
        gsd_m=args.gsd_m,
        seed=args.seed,
        knn=KnnSpec(args.k if args.k is not None else KnnSpec.k, args.tau, args.overwrite_batch),
        fit_k=args.k is None,
        shots=args.shots or EvaluationPlan.shots,
        fit_shots=args.shots is None,
        ratios=args.ratios,
        size_px=args.size,
    )


def _subjects(names: list[str] | None, plan: EvaluationPlan) -> list[Subject]:
    from ...evaluation.baselines.colours import COLOUR_HISTOGRAM
    from ...evaluation.subjects import ColourHistogram

    if names == [COLOUR_HISTOGRAM]:
        return [ColourHistogram()]
    from ...engine.candidates import candidate, shipped

    found = [
        ColourHistogram() if name == COLOUR_HISTOGRAM else candidate(name) for name in names or shipped()
    ]
    if names is None and plan.protocol == "reconstruction":
        return [subject for subject in found if subject.reconstructs]
    return list(found)


def _subject_of(recipe: EvaluationRecipe, plan: EvaluationPlan) -> list[Subject]:
    """The fill, preset or file of weights in this folder that a recipe names."""
    from ...evaluation.baselines.colours import COLOUR_HISTOGRAM
    from ...evaluation.errors import RecipeError
    from ...evaluation.rerun import fill_of
    from ...models.registry import cards

    if fill := fill_of(recipe):
        return [fill]
    if recipe.model not in (COLOUR_HISTOGRAM, *cards()) and recipe.model not in {
        path.name for path in Path().iterdir()
    }:
        raise RecipeError(
            f"The recipe's model '{recipe.model:.80}' is neither a preset nor a file in this folder: give its file of weights with --model."
        )
    return _subjects([recipe.model], plan)


def _head(plan: EvaluationPlan) -> Learn | None:
    if plan.protocol != "segmentation":
        return None
    from ...engine.training.segment import train_head

    return train_head


def _document(results: list[Result], rows: list[PaperRow] | None) -> dict[str, object]:
    document: dict[str, object] = {"results": [result.to_json() for result in results]}
    if rows is not None:
        document["paper"] = [vars(row) for row in rows]
    return document


def _line(result: Result) -> str:
    digits = 2 if result.metric == "psnr" else 3
    value, low, high = (f"{number:.{digits}f}" for number in (result.value, result.low, result.high))
    recipe = result.recipe
    what = f"{100 * recipe.ratio:g} % hidden" if recipe.ratio is not None else f"{100 * recipe.scale:g} %"
    skipped = f", {len(result.skipped)} unreadable: {'; '.join(result.skipped[:3])}" if result.skipped else ""
    shots = f", {recipe.shots} shots" if recipe.shots else ""
    return f"{recipe.data}, {recipe.model}, {recipe.policy or 'no GSD'}, {what}{shots}: {result.metric} {value} [{low}, {high}]{skipped}"


def _table(results: list[Result]) -> str:
    lines = [_line(result) for result in results]
    for result in results:
        if "lead_over_best_fill" in result.details:
            lead, best = result.details["lead_over_best_fill"]["mean"], result.details["best_fill"]
            lines.append(
                f"  {result.recipe.model} on {result.recipe.data}, {100 * (result.recipe.ratio or 0):g} %: {lead:+.2f} dB against {best}"
            )
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def _say(text: str, end: str) -> None:
    if end:
        print(
            f"{text:<110}" if end == "\r" else f"{text:<110}".rstrip(), end=end, file=sys.stderr, flush=True
        )


def _shares(text: str) -> tuple[float, ...]:
    return tuple(number / 100 for number in _numbers(float, "25,50,100")(text))


def _texts(text: str) -> tuple[str | None, ...]:
    return tuple(part.strip() or None for part in text.split(","))


def _numbers(kind: Callable[[str], T], example: str = "") -> Callable[[str], tuple[T, ...]]:
    def parse(text: str) -> tuple[T, ...]:
        parts: Iterable[str] = text.replace("%", "").split(",")
        try:
            return tuple(kind(part) for part in parts)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{text!r} is no list of numbers; give for example {example or '1,5'}"
            ) from None

    return parse
