"""The segmentation protocol: a light head over frozen patch tokens, scored by mean IoU at the mask's own pixels.

The head is learnt elsewhere (`Learn`; core.engine.training.segment has one) from the train pieces, and answers for the test pieces. Its settings are
chosen by mean IoU on every fourth train piece, held back for that; test pieces are never asked. IoU is taken over all labelled test pixels
together; its interval resamples test images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.images import Skipped, all_skipped, area_resize
from ..data.masked import UNLABELLED, Classes, MaskedSet
from ..errors import FeatureError
from ..recipes import EvaluationRecipe
from ..results import Result
from ..stats.intervals import DRAWS, Interval, Paired
from ..subjects import Subject
from .scoring import Scored

EXAMPLES = 8
BATCH = 16
RATES = (5e-3, 2e-2)  # of the head's optimiser, at its start
BALANCES = (
    0.0,
    0.5,
)  # a class weighs 1 / its pixels to this power: 0 all alike, 0.5 does not give a rare one up
HELD_BACK = 4  # every fourth train piece chooses between them

Tokens = NDArray[np.floating[Any]]
Segment = Callable[[Tokens], Classes]
"""From patch tokens (n, g, g, d) to classes (n, t, t)."""
Learn = Callable[[Tokens, Classes, int, float, float, int], Segment]
"""From train tokens (n, g, g, d), their masks (n, t, t), the number of classes, rate, balance and a seed to a head."""


@dataclass(frozen=True, eq=False)
class _Described:
    tokens: Tokens  # (n, g, g, d) float16
    pieces: NDArray[np.uint8]  # (n, t, t, 3)
    classes: Classes  # (n, t, t)
    rows: NDArray[np.int64]
    skipped: tuple[Skipped, ...]


def segmentation_scores(
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet, learn: Learn
) -> Generator[int, None, Scored]:
    """Score one recipe, yielding how many pieces are described. Raises FeatureError for tokens that are not finite."""
    found = yield from _described(recipe, subject, data)
    train, test = data.splits[found.rows] == "train", data.splits[found.rows] == "test"
    if not (train.any() and test.any()):
        raise FeatureError(
            f"'{data.name}' has no readable train or test images left; check the files that were skipped."
        )
    tokens, masks, count = found.tokens[train], found.classes[train], len(data.classes)
    for name, here in (("train", train), ("test", test)):
        if not (found.classes[here] != UNLABELLED).any():
            raise FeatureError(
                f"The masks of the {name} images of '{data.name}' hold no labelled pixel; add some that do."
            )
    held_back = _held_back(tokens, masks, count, learn, recipe.seed)
    rate, balance = max(held_back, key=held_back.__getitem__) if held_back else (RATES[1], BALANCES[1])
    predicted = learn(tokens, masks, count, rate, balance, recipe.seed)(found.tokens[test])
    truth, groups = found.classes[test], data.groups[found.rows][test]
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
            f"rate {settings[0]:g}, balance {settings[1]:g}": value for settings, value in held_back.items()
        },
    }
    skipped = tuple(f"{s.file}: {s.reason}" for s in found.skipped)
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
        "example_picture": found.pieces[test][shown],
        "example_truth": truth[shown],
        "example_predicted": predicted[shown],
        "classes": np.array(data.classes),
    }
    return Scored(result, arrays)


def _held_back(
    tokens: Tokens, masks: Classes, classes: int, learn: Learn, seed: int
) -> dict[tuple[float, float], float]:
    """Mean IoU of every rate and balance on the train pieces held back; none where they hold no label."""
    back = np.arange(len(tokens)) % HELD_BACK == HELD_BACK - 1
    if not ((masks[back] != UNLABELLED).any() and (masks[~back] != UNLABELLED).any()):
        return {}
    found: dict[tuple[float, float], float] = {}
    for rate, balance in product(RATES, BALANCES):
        predicted = learn(tokens[~back], masks[~back], classes, rate, balance, seed)(tokens[back])
        found[rate, balance] = float(np.nanmean(iou(confusion_of(masks[back], predicted, classes))))
    return found


def confusion_of(truth: Classes, predicted: Classes, classes: int) -> NDArray[np.int64]:
    """Count labelled pixels: (classes, classes), true class down, predicted class across."""
    known = truth != UNLABELLED
    pairs = truth[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of every class from counts (..., c, c): (..., c), NaN for classes that are neither there nor predicted."""
    both = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(axis=-1) + confusion.sum(axis=-2) - both
    return np.where(union > 0, both / np.maximum(union, 1), np.nan)


def bootstrap_miou(confusions: NDArray[np.int64], *, seed: int = 0) -> Interval:
    """Mean IoU of all counts (images, c, c) together, with its 95 % interval over images drawn anew."""
    draws = _drawn(confusions, seed)
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Interval(float(np.nanmean(iou(confusions.sum(axis=0)))), float(low), float(high))


def compare_miou(a: NDArray[np.int64], b: NDArray[np.int64], *, seed: int = 0) -> Paired:
    """Mean IoU of B minus that of A on the same images, the same ones drawn for both. Raises FeatureError for other images."""
    if a.shape != b.shape or not np.array_equal(a.sum(axis=2), b.sum(axis=2)):
        raise FeatureError("A paired test needs the same images; the two were scored on others.")
    apart = float(np.nanmean(iou(b.sum(axis=0))) - np.nanmean(iou(a.sum(axis=0))))
    low, high = np.nanquantile(_drawn(b, seed) - _drawn(a, seed), [0.025, 0.975])
    return Paired(Interval(apart, float(low), float(high)), None, None, None)


def _drawn(confusions: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    count, classes = confusions.shape[0], confusions.shape[1]
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    drawn = (weights @ confusions.reshape(count, -1)).reshape(DRAWS, classes, classes)
    return np.nanmean(iou(drawn), axis=1)


def _examples(each: NDArray[np.int64]) -> NDArray[np.int64]:
    """Test pieces from the least to the most accurate, evenly spread."""
    right = np.trace(each, axis1=1, axis2=2) / np.maximum(each.sum(axis=(1, 2)), 1)
    order = np.argsort(right, kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, EXAMPLES).round().astype(int))]


def _described(
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet
) -> Generator[int, None, _Described]:
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
                    f"Model '{subject.name}' gives values that are not finite for image '{bad}'; check its weights file."
                )
            tokens.append(described.astype(np.float16))
            pictures.append((images * 255).round().astype(np.uint8).transpose(0, 2, 3, 1))
            masks += [piece.classes for piece in good.values()]
            rows += good
        yield start + len(read)
    if not tokens:
        raise all_skipped(list(skipped.values()), data.name)
    return _Described(
        np.concatenate(tokens),
        np.concatenate(pictures),
        np.stack(masks),
        np.array(rows),
        tuple(skipped.values()),
    )
