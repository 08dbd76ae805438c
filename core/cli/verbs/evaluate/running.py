"""Run the verb `evaluate`: arguments become a plan, and its results are printed and written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from ....evaluation.cache import Cache, default_cache
from ....evaluation.comparing import ResultComparison, comparisons
from ....evaluation.data.datasets import DataSpec, data_folders, open_set
from ....evaluation.data.duplicates import split_duplicates
from ....evaluation.data.published import LABELLED_TABLE, RECONSTRUCTION_TABLE, SEGMENTATION_TABLE
from ....evaluation.errors import EvaluationError, RecipeError
from ....evaluation.paper import PaperRow, against_paper
from ....evaluation.plan import SCALE_SERIES, EvaluationPlan
from ....evaluation.progress import EvaluationProgress
from ....evaluation.protocols.knn import KnnSpec
from ....evaluation.recipes import EvaluationRecipe, read_recipe
from ....evaluation.rerun import explain, located, plan_of
from ....evaluation.results import Result
from ....evaluation.running import evaluate
from .arguments import SCALE_SERIES_PROTOCOLS
from .from_file import run_from_file
from .output import document, print_progress, print_status, report, result_line, write_files
from .subjects import heads, subjects_of, subjects_of_recipe


def run_evaluation(args: argparse.Namespace) -> int:
    """Evaluate with progress on standard error; finished results are kept, and a second call resumes."""
    stored = Cache(args.cache) if args.cache else default_cache()
    if args.spec:
        return run_from_file(args.spec, stored)
    recipe = read_recipe(args.recipe) if args.recipe else None
    if recipe is None and not args.sets:
        raise RecipeError("Give a data set, a folder or a zip to evaluate on (or all), or --recipe FILE.")
    if recipe and len(args.sets) > 1:
        raise RecipeError(
            "A recipe belongs to one set: give one DATA beside --recipe, or none to find it by its name."
        )
    if recipe:
        plan = plan_of(recipe, args.sets[0] if args.sets else located(recipe.data, data_folders(args.data)))
    else:
        plan = plan_from(args)
    adds_baselines = plan.protocol == "reconstruction"
    if args.compare and not recipe and not adds_baselines and args.model and len(set(args.model)) == 1:
        raise RecipeError("--compare needs two or more models; name them with --model.")
    for option, folder in (("--cache", stored.folder), ("--out", args.out)):
        if folder:
            _check_writable(option, folder)
    with TemporaryDirectory() as temporary:  # --fresh and recipes start from an empty cache
        cache = Cache(Path(temporary)) if args.fresh or recipe else stored
        _evaluate(args, plan, recipe, cache)
    return 0


def plan_from(args: argparse.Namespace) -> EvaluationPlan:
    """Return the plan that the arguments describe. Raises RecipeError for invalid settings."""
    protocol = "sweep" if args.protocol in SCALE_SERIES_PROTOCOLS else args.protocol or "knn"
    all_sets = {
        "reconstruction": RECONSTRUCTION_TABLE,
        "gsd": RECONSTRUCTION_TABLE,
        "segmentation": SEGMENTATION_TABLE,
    }.get(protocol, LABELLED_TABLE)
    sets = dict.fromkeys(name for given in args.sets for name in (all_sets if given == "all" else (given,)))
    if "all" in args.sets:
        print_status(f"all: {', '.join(all_sets)}")
    is_series = protocol == "sweep"
    return EvaluationPlan(
        protocol=protocol,
        data=tuple(sets),
        scales=args.scales or (SCALE_SERIES if is_series else (1.0,)),
        policies=args.policy or ((None, "author_eval") if is_series else (None,)),
        gallery=args.gallery,
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
        head="upernet-tuned" if args.train else args.head,
        steps=args.steps,
    )


def _check_writable(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise RecipeError(
            f"The folder of {option} cannot be written ({problem.strerror}: {folder}); give another one."
        ) from problem


def _evaluate(
    args: argparse.Namespace, plan: EvaluationPlan, recipe: EvaluationRecipe | None, cache: Cache
) -> None:
    folders = data_folders(args.data)
    duplicates = _duplicates(plan, folders) if args.duplicates else None
    if recipe and not args.model:
        subjects = subjects_of_recipe(recipe, plan)
    else:
        subjects = subjects_of(args.model, plan)
    results: list[Result] = []
    for event in evaluate(plan, subjects, folders=folders, cache=cache, **heads(plan)):
        if isinstance(event, Result):
            results.append(event)
            print_status(result_line(event))
        else:
            print_progress(event)
    if recipe:
        results = [result for result in results if result.recipe.model == results[-1].recipe.model]
        print_status(explain(recipe, results[-1].recipe))
    rows = _paper_rows(results) if args.against else None
    compared: list[ResultComparison] | None = [] if args.compare else None
    problem: EvaluationError | None = None
    try:
        if compared is not None:
            compared += comparisons(results, cache)
    except EvaluationError as error:  # reported after the results
        problem = error
    if args.json:
        print(json.dumps(document(results, rows, compared, duplicates), allow_nan=False))
    else:
        print(report(results, rows, compared))
    if problem:
        raise problem
    write_files(results, args.out, record=args.record)


def _paper_rows(results: Sequence[Result]) -> list[PaperRow]:
    from ....models.checkpoints.releases import OFFICIAL_SHA256  # imports torch

    return against_paper(results, OFFICIAL_SHA256)


def _duplicates(plan: EvaluationPlan, folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Print the duplicates of every set on standard error, and return them by set."""
    if plan.protocol in ("segmentation", "reconstruction", "gsd"):
        raise RecipeError(
            f"--duplicates searches labelled images, which {plan.protocol} does not use; leave it out."
        )
    duplicates: dict[str, list[dict[str, Any]]] = {}
    for name in plan.data:
        data = open_set(DataSpec(name, plan.limit, plan.gsd_m, plan.seed), folders)
        text = f"duplicates in {name}"
        pairs = split_duplicates(
            data,
            progress=lambda share, text=text: print_progress(EvaluationProgress(text, share, None)),
        )
        duplicates[data.name] = [
            {
                **vars(pair),
                "test_label": data.classes[pair.test_label],
                "train_label": data.classes[pair.train_label],
            }
            for pair in pairs
        ]
        print_status(
            f"{data.name}: {len(pairs)} of {len(data.rows('test'))} test images "
            "are also among the training images"
        )
        for pair in pairs:
            print_status(f"  {pair.test} {'equals' if pair.exact else 'nearly equals'} {pair.train}")
    return duplicates
