"""The papers' published tables, and our results beside them with every difference of protocol."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from .data.published import PUBLISHED
from .recipes import EvaluationRecipe
from .results import Result

# Scale-MAE, ICCV 2023, Table 1: kNN accuracy in %, mean over relative GSDs, ViT-L.
SCALE_MAE_KNN: dict[str, dict[str, float]] = {
    "airound": {"Scale-MAE": 63.2, "SatMAE": 57.8, "ConvMAE": 59.7},
    "cvbrct": {"Scale-MAE": 69.7, "SatMAE": 66.2, "ConvMAE": 68.4},
    "eurosat": {"Scale-MAE": 86.7, "SatMAE": 84.4, "ConvMAE": 88.8},
    "mlrsnet": {"Scale-MAE": 81.7, "SatMAE": 75.0, "ConvMAE": 79.5},
    "optimal31": {"Scale-MAE": 65.5, "SatMAE": 55.7, "ConvMAE": 61.7},
    "resisc45": {"Scale-MAE": 70.0, "SatMAE": 61.0, "ConvMAE": 67.0},
    "ucmerced": {"Scale-MAE": 75.0, "SatMAE": 69.8, "ConvMAE": 70.0},
    "whu_rs19": {"Scale-MAE": 79.5, "SatMAE": 78.5, "ConvMAE": 77.0},
}
# Scale-MAE, Table 4: SpaceNet v1 building segmentation, mIoU in %: (method, backbone, head, mIoU).
SCALE_MAE_SPACENET: tuple[tuple[str, str, str, float], ...] = (
    ("scratch", "ResNet50", "PSANet", 75.6),
    ("GASSL", "ResNet50", "PSANet", 78.5),
    ("scratch", "ViT-L", "PSANet", 74.7),
    ("SatMAE", "ViT-L", "PSANet", 78.1),
    ("scratch", "ViT-L", "UperNet", 71.6),
    ("MAE", "ViT-L", "UperNet", 77.9),
    ("SatMAE", "ViT-L", "UperNet", 78.0),
    ("ConvMAE", "ViT-L", "UperNet", 77.6),
    ("Scale-MAE", "ViT-L", "UperNet", 78.9),
)
# TinyMIM, official README: (method, size, ImageNet-1K top-1, ADE20K mIoU, ImageNet-A, ImageNet-R in %,
# ImageNet-C mean corruption error, lower is better). None where the README has no value.
TINYMIM: tuple[tuple[str, str, float, float, float | None, float | None, float | None], ...] = (
    ("MAE", "Ti", 71.6, 37.6, 7.0, 36.5, 55.2),
    ("TinyMIM", "Ti", 75.8, 44.0, 11.0, 39.8, 50.1),
    ("TinyMIM*", "Ti", 79.6, 45.0, None, None, None),
    ("MAE", "S", 80.6, 42.8, 20.1, 45.6, 40.6),
    ("TinyMIM", "S", 83.0, 48.4, 27.5, 48.8, 35.8),
    ("MAE", "B", 83.6, 48.1, 33.6, 50.0, 37.8),
    ("TinyMIM", "B", 85.0, 52.2, 43.0, 54.6, 32.7),
)
# CMAE, the preprint in which SDMAE's authors introduced the method (arXiv 2205.10546), abstract:
# Tiny-ImageNet top-1 in %, ViT-B. MAE's value is CMAE's minus the stated lead of 2.89.
# No public table of SDMAE was found.
CMAE: tuple[tuple[str, float], ...] = (("CMAE", 65.84), ("MAE", 62.95))
FULL_GALLERY = {"eurosat": 21_600, "resisc45": 25_200, "mlrsnet": 87_150, "airound": 8_995}
PAPER_SCALES = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class PaperRow:
    """A model on a set: our mean over scales, the paper's values, and differences of protocol.

    Values are in %; `difference` is ours minus Scale-MAE's.
    """

    data: str
    model: str
    policy: str | None
    ours: float
    paper: dict[str, float]
    difference: float
    differences: tuple[str, ...] = field(default=())


def against_paper(results: Sequence[Result], official: Collection[str] = ()) -> list[PaperRow]:
    """Return a row for every model, set and policy on a set that the Scale-MAE paper reports.

    `official` are the SHA-256 of the paper's own weights (core.models.checkpoints.releases).
    """
    groups: dict[tuple[str, str, str | None], list[Result]] = defaultdict(list)
    for result in results:
        if result.metric == "accuracy" and result.recipe.k and result.recipe.data in SCALE_MAE_KNN:
            groups[result.recipe.data, result.recipe.model, result.recipe.policy].append(result)
    rows: list[PaperRow] = []
    for (data, model, policy), members in groups.items():
        ours = 100 * sum(result.value for result in members) / len(members)
        paper = SCALE_MAE_KNN[data]
        differences = tuple(_differences(data, members, official))
        rows.append(PaperRow(data, model, policy, ours, paper, ours - paper["Scale-MAE"], differences))
    return rows


def paper_text(rows: Sequence[PaperRow]) -> str:
    """Return the comparison as text, followed by the papers' tables of other protocols."""
    lines = ["kNN, mean over relative scales, % (paper: Scale-MAE, ICCV 2023, Table 1, ViT-L)"]
    for row in rows:
        theirs = ", ".join(f"{name} {value:.1f}" for name, value in row.paper.items())
        lines.append(
            f"  {PUBLISHED[row.data].title}: {row.model} ({row.policy or 'no GSD'}) {row.ours:.1f}; "
            f"paper: {theirs}; difference from Scale-MAE {row.difference:+.1f}"
        )
        lines += [f"    differs: {difference}" for difference in row.differences]
    if not rows:
        lines.append("  none of these results is on a set that the paper reports")
    lines.append(
        "SpaceNet v1 segmentation, mIoU % (another protocol: fine-tuned UperNet or PSANet, not run here)"
    )
    lines += [
        f"  {method}, {backbone}, {head}: {miou:.1f}" for method, backbone, head, miou in SCALE_MAE_SPACENET
    ]
    lines.append(
        "ImageNet-1K top-1 / ADE20K mIoU / IN-A / IN-R % / IN-C, lower is better "
        "(TinyMIM; another protocol: fine-tuned on ImageNet, not run here)"
    )
    lines += [
        f"  {method}-{size}: {' / '.join('-' if score is None else f'{score:.1f}' for score in scores)}"
        for method, size, *scores in TINYMIM
    ]
    return "\n".join(lines)


def _differences(data: str, members: Sequence[Result], official: Collection[str]) -> list[str]:
    recipe = members[0].recipe
    differences = (
        [] if recipe.weights in official else ["our network is not the paper's ViT-L trained on fMoW"]
    )
    scales = sorted({result.recipe.scale for result in members})
    if tuple(scales) != PAPER_SCALES:
        differences.append(
            f"scales {', '.join(f'{100 * s:g} %' for s in scales)} instead of 12.5, 25, 50 and 100 %"
        )
    if any(result.recipe.scale < 1 and result.recipe.gallery is None for result in members):
        differences.append(
            "gallery and test images are both downsampled; the paper says only the test images"
        )
    gallery = int(members[0].details.get("gallery", 0))
    if data in FULL_GALLERY and gallery != FULL_GALLERY[data]:
        differences.append(f"a gallery of {gallery:,} images instead of {FULL_GALLERY[data]:,}")
    elif data not in FULL_GALLERY:
        differences.append(f"split: {recipe.split}; the paper's is random 90/10")
    if recipe.limit is not None:
        differences.append(f"at most {recipe.limit} images per class and split")
    if recipe.pooling not in (None, "cls"):
        differences.append(f"pooling {recipe.pooling}; the paper uses the class token")
    if recipe.normalisation != "dataset":
        differences.append(
            "colours normalised by the model's card; the authors' code uses each set's statistics"
        )
    if (recipe.k, recipe.tau) != (20, 0.07):
        differences.append(f"k {recipe.k} and temperature {recipe.tau} instead of 20 and 0.07")
    if not all(_has_authors_res(result.recipe) for result in members):
        differences.append(
            f"res by the policy {recipe.policy}; the authors' code uses 224 / input size, or 1"
        )
    if recipe.overwrite_batch is None:
        differences.append(
            "exact gallery; the authors' code loses rows of the last batch (see --overwrite-batch)"
        )
    return differences


def _has_authors_res(recipe: EvaluationRecipe) -> bool:
    """Return whether res is that of the authors' code, 224 / input size or 1, or not used by the model."""
    return (
        recipe.res is None
        or recipe.size_px is None
        or any(math.isclose(recipe.res, res) for res in (1.0, 224 / recipe.size_px))
    )
