"""The segmentation protocol: a light head on frozen patch tokens, scored by mean IoU.

The head is trained by a `Learn` function (see core.engine.training.segment) on the train tiles and predicts
the test tiles. Its settings are chosen by mean IoU on every fourth train tile, held out for that. IoU is
computed over all labelled test pixels together; its interval resamples test images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.images import Skipped, all_skipped, area_resize
from ..data.masked_set import UNLABELLED, Classes, MaskedSet
from ..errors import FeatureError
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import DRAWS, Interval, Paired
from ..subjects import Subject
from .scoring import Scored

EXAMPLES = 8
BATCH = 16
RATES = (5e-3, 2e-2)  # initial learning rates of the head
BALANCES = (
    0.0,
    0.5,
)  # exponents b of the class weights 1 / pixels ** b: 0 is unweighted, 0.5 favours rare classes
HELD_OUT_EVERY = 4  # every fourth train tile is held out to choose between them

Tokens = NDArray[np.floating[Any]]
Segment = Callable[[Tokens], Classes]
"""From patch tokens (n, g, g, d) to classes (n, t, t)."""
Learn = Callable[[Tokens, Classes, int, float, float, int], Segment]
"""From train tokens (n, g, g, d), masks (n, t, t), number of classes, rate, balance and seed to a head."""


@dataclass(frozen=True, eq=False)
class _PatchTokens:
    tokens: Tokens  # (n, g, g, d) float16
    pieces: NDArray[np.uint8]  # (n, t, t, 3)
    classes: Classes  # (n, t, t)
    rows: NDArray[np.int64]
    skipped: tuple[Skipped, ...]


def segmentation_scores(
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet, learn: Learn
) -> Generator[int, None, Scored]:
    """Score a recipe, and yield how many tiles are embedded. Raises FeatureError for tokens not finite."""
    embedded = yield from _embed_patches(recipe, subject, data)
    train, test = data.splits[embedded.rows] == "train", data.splits[embedded.rows] == "test"
    if not (train.any() and test.any()):
        raise FeatureError(
            f"'{data.name}' has no readable train or test images left; check the files that were skipped."
        )
    tokens, masks, count = embedded.tokens[train], embedded.classes[train], len(data.classes)
    for name, here in (("train", train), ("test", test)):
        if not (embedded.classes[here] != UNLABELLED).any():
            raise FeatureError(
                f"The masks of the {name} images of '{data.name}' have no labelled pixels; label some."
            )
    held_out = _held_out_scores(tokens, masks, count, learn, recipe.seed)
    rate, balance = max(held_out, key=held_out.__getitem__) if held_out else (RATES[1], BALANCES[1])
    predicted = learn(tokens, masks, count, rate, balance, recipe.seed)(embedded.tokens[test])
    truth, groups = embedded.classes[test], data.groups[embedded.rows][test]
    each = np.stack([confusion_of(t, p, len(data.classes)) for t, p in zip(truth, predicted, strict=True)])
    confusions = np.stack([each[groups == group].sum(axis=0) for group in np.unique(groups)])
    interval = bootstrap_miou(confusions, seed=recipe.seed)
    total = confusions.sum(axis=0)
    ious = iou(total)
    details = {
        "iou": {
            name: float(value) for name, value in zip(data.classes, ious, strict=True) if not np.isnan(value)
        },
        "pixel_accuracy": float(np.trace(total) / total.sum()),
        "labelled_pixels": int(total.sum()),
        "gallery": int(train.sum()),
        "rate": rate,
        "balance": balance,
        "held_back": {
            f"rate {settings[0]:g}, balance {settings[1]:g}": value for settings, value in held_out.items()
        },
    }
    skipped = tuple(f"{s.file}: {s.reason}" for s in embedded.skipped)
    result = Result(
        recipe,
        "miou",
        interval.mean,
        interval.low,
        interval.high,
        len(confusions),
        skipped=skipped,
        details=details,
    )
    shown = _examples(each)
    arrays = {
        "confusions": confusions,
        "example_picture": embedded.pieces[test][shown],
        "example_truth": truth[shown],
        "example_predicted": predicted[shown],
        "classes": np.array(data.classes),
    }
    return Scored(result, arrays)


def _held_out_scores(
    tokens: Tokens, masks: Classes, classes: int, learn: Learn, seed: int
) -> dict[tuple[float, float], float]:
    """Return the mean IoU of every rate and balance on held-out train tiles; empty without labels."""
    held_out = np.arange(len(tokens)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    if not ((masks[held_out] != UNLABELLED).any() and (masks[~held_out] != UNLABELLED).any()):
        return {}
    scores: dict[tuple[float, float], float] = {}
    for rate, balance in product(RATES, BALANCES):
        predicted = learn(tokens[~held_out], masks[~held_out], classes, rate, balance, seed)(tokens[held_out])
        scores[rate, balance] = float(np.nanmean(iou(confusion_of(masks[held_out], predicted, classes))))
    return scores


def confusion_of(truth: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count labelled pixels: (classes, classes), true class by row, predicted class by column."""
    known = truth != UNLABELLED
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Return the IoU of every class from counts (..., c, c) as (..., c); NaN for absent classes."""
    both = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def bootstrap_miou(confusions: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Return the mean IoU of all counts (images, c, c) together, with a 95 % bootstrap interval."""
    draws = _resampled_mious(confusions, seed)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(np.nanmean(iou(confusions.sum(axis=0)))), float(low), float(high))


def compare_miou(a: NDArray[np.int64], b: NDArray[np.int64], *, seed: int = 0) -> Paired:
    """Return the mean IoU of B minus that of A, with a paired bootstrap.

    Raises FeatureError for other images.
    """
    if a.shape != b.shape or not np.array_equal(a.sum(axis=2), b.sum(axis=2)):
        raise FeatureError(
            "A paired test needs the same images; these results were scored on different ones."
        )
    apart = float(np.nanmean(iou(b.sum(axis=0))) - np.nanmean(iou(a.sum(axis=0))))
    low, high = np.nanquantile(_resampled_mious(b, seed) - _resampled_mious(a, seed), [0.025, 0.975])
    return Paired(Interval(apart, float(low), float(high)), None, None, None)


def _resampled_mious(confusions: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    count, classes = confusions.shape[0], confusions.shape[1]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    resampled = (weights @ confusions.reshape(count, -1)).reshape(DRAWS, classes, classes)
    return np.nanmean(iou(resampled), axis=1)


def _examples(each: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return test tiles from the least to the most accurate, evenly spaced."""
    right = np.trace(each, axis1=1, axis2=2) / np.maximum(each.sum(axis=(1, 2)), 1)
    order = np.argsort(right, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, EXAMPLES).round().astype(int))]


def _embed_patches(
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet
) -> Generator[int, None, _PatchTokens]:
    assert recipe.size_px is not None and recipe.scaled_px is not None
    tokens: list[Tokens] = []
    pictures: list[NDArray[np.uint8]] = []
    masks: list[Classes] = []
    rows: list[int] = []
    skipped: dict[str, Skipped] = {}
    for start in range(0, len(data.names), BATCH):
        read = {row: data.read(row) for row in range(start, min(start + BATCH, len(data.names)))}
        good = {row: piece for row, piece in read.items() if not isinstance(piece, Skipped)}
        skipped |= {piece.file: piece for piece in read.values() if isinstance(piece, Skipped)}
        if good:
            images = np.stack([piece.image for piece in good.values()])
            fed = area_resize(area_resize(images, recipe.scaled_px), recipe.size_px)
            described = subject.patches(fed, np.full(len(fed), recipe.res if recipe.res is not None else 1.0))
            if not np.isfinite(described).all():
                bad = next(
                    name
                    for name, found in zip(good.values(), described, strict=True)
                    if not np.isfinite(found).all()
                ).name
                raise FeatureError(
                    f"Model '{subject.name}' gives values that are not finite for image '{bad}'; "
                    "check its weights file."
                )
            tokens.append(described.astype(np.float16))
            pictures.append((images * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
            masks += [piece.classes for piece in good.values()]
            rows += good
        yield start + len(read)
    if not tokens:
        raise all_skipped(list(skipped.values()), data.name)
    return _PatchTokens(
        np.concatenate(tokens),
        np.concatenate(pictures),
        np.stack(masks),
        np.array(rows),
        tuple(skipped.values()),
    )
