"""The segmentation protocol: a head on patch tokens, frozen or fine-tuned, scored by mean IoU.

The head is trained once on train tiles at full size (or, with the gallery "scaled", at the scale of the test
tiles). A linear head is trained by a `Learn` function (core.engine.training.segment); its settings are chosen
by mean IoU on every fourth train tile, held out for that. UperNet is trained by a `Fit` function
(core.engine.training.upernet). IoU is computed over all labelled test pixels together; its interval resamples
test images.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.images import Skipped, all_skipped, area_resize
from ..data.masked_set import UNLABELLED, Classes, MaskedSet, MaskedTile
from ..errors import FeatureError
from ..recipes import UPERNET_FROZEN, EvaluationRecipe
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

Images = NDArray[np.float32]
Tokens = NDArray[np.floating[Any]]
Segment = Callable[[Tokens], Classes]
"""From patch tokens (n, g, g, d) to classes (n, t, t)."""
Learn = Callable[[Tokens, Classes, int, float, float, int], Segment]
"""From train tokens (n, g, g, d), masks (n, t, t), number of classes, rate, balance and seed to a head."""

ReadTiles = Callable[[NDArray[np.int64]], tuple[Images, Classes]]
"""From numbers of train tiles (b,) to images (b, 3, s, s) and masks (b, t, t)."""
Predict = Callable[[Images, float, int], Classes]
"""From images (n, 3, s, s), their res and a side t to classes (n, t, t)."""


class Fit(Protocol):
    """Trains a network with its head on tiles (core.engine.training.upernet), and yields the steps done."""

    def __call__(
        self, subject: Subject, read: ReadTiles, tiles: int, classes: int, res: float, /,
        *, frozen: bool, steps: int, seed: int,
    ) -> Generator[int, None, Predict]: ...  # fmt: skip


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
    train = yield from _embed_patches(
        recipe.of_gallery if recipe.gallery else recipe, subject, data, "train", 0
    )
    test = yield from _embed_patches(recipe, subject, data, "test", len(data.rows("train")))
    tokens, masks, count = train.tokens, train.classes, len(data.classes)
    held_out = _held_out_scores(tokens, masks, count, learn, recipe.seed)
    rate, balance = max(held_out, key=held_out.__getitem__) if held_out else (RATES[1], BALANCES[1])
    predicted = learn(tokens, masks, count, rate, balance, recipe.seed)(test.tokens)
    details = {
        "gallery": len(train.rows),
        "rate": rate,
        "balance": balance,
        "held_back": {
            f"rate {settings[0]:g}, balance {settings[1]:g}": value for settings, value in held_out.items()
        },
    }
    skipped = (*train.skipped, *test.skipped)
    return _scored(recipe, data, test.rows, (test.pieces, test.classes, predicted), skipped, details)


def trained_segmentation_scores(
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet, fit: Fit, trained: dict[str, Predict]
) -> Generator[int, None, Scored]:
    """Train UperNet on the train tiles, score the test tiles, and yield steps, then tiles done.

    `trained` holds the last network, so that a series of scales trains once. Raises FeatureError and
    LabelledSetError, and what `fit` raises.
    """
    assert recipe.steps is not None and recipe.head is not None
    at = recipe.of_gallery if recipe.gallery else recipe
    rows = data.rows("train")
    skipped: dict[str, Skipped] = {}

    def read(numbers: NDArray[np.int64]) -> tuple[Images, Classes]:
        tiles = [_readable(data, rows, int(number), skipped) for number in numbers]
        return _fed(at, tiles), np.stack([tile.classes for tile in tiles])

    key = replace(at, scale=1.0, gsd_m=None).key
    if key not in trained:
        trained.clear()
        frozen = recipe.head == UPERNET_FROZEN
        trained[key] = yield from fit(
            subject, read, len(rows), len(data.classes), _res(at), frozen=frozen, steps=recipe.steps,
            seed=recipe.seed,
        )  # fmt: skip
    yield recipe.steps
    tests = data.rows("test")
    pictures: list[NDArray[np.uint8]] = []
    truth: list[Classes] = []
    predicted: list[Classes] = []
    good_rows: list[int] = []
    for start in range(0, len(tests), BATCH):
        tiles = {int(row): data.read(int(row)) for row in tests[start : start + BATCH]}
        skipped |= {tile.file: tile for tile in tiles.values() if isinstance(tile, Skipped)}
        good = {row: tile for row, tile in tiles.items() if not isinstance(tile, Skipped)}
        if good:
            masks = [tile.classes for tile in good.values()]
            fed = _fed(recipe, list(good.values()))
            predicted.append(trained[key](fed, _res(recipe), masks[0].shape[-1]))
            pictures += [_as_bytes(tile.image) for tile in good.values()]
            truth += masks
            good_rows += good
        yield recipe.steps + start + len(tiles)
    if not good_rows:
        raise all_skipped(list(skipped.values()), f"{data.name}, test")
    shown = (np.stack(pictures), np.stack(truth), np.concatenate(predicted))
    details = {"gallery": len(rows), "steps": recipe.steps}
    return _scored(recipe, data, np.array(good_rows), shown, tuple(skipped.values()), details)


def _readable(
    data: MaskedSet, rows: NDArray[np.int64], number: int, skipped: dict[str, Skipped]
) -> MaskedTile:
    """Return a tile, or the next one that can be read. Raises LabelledSetError if none can."""
    for step in range(len(rows)):
        tile = data.read(int(rows[(number + step) % len(rows)]))
        if not isinstance(tile, Skipped):
            return tile
        skipped[tile.file] = tile
    raise all_skipped(list(skipped.values()), f"{data.name}, train")


def _fed(recipe: EvaluationRecipe, tiles: Sequence[MaskedTile]) -> Images:
    """Resize the images of tiles to the recipe's scale and size: (n, 3, s, s)."""
    assert recipe.size_px is not None and recipe.scaled_px is not None
    return area_resize(
        area_resize(np.stack([tile.image for tile in tiles]), recipe.scaled_px), recipe.size_px
    )


def _res(recipe: EvaluationRecipe) -> float:
    return recipe.res if recipe.res is not None else 1.0


def _as_bytes(images: Images) -> NDArray[np.uint8]:
    """Images (..., 3, h, w) in 0..1 as (..., h, w, 3) in 0..255."""
    return np.moveaxis((images * 255).round().astype(np.uint8), -3, -1)


def _scored(
    recipe: EvaluationRecipe,
    data: MaskedSet,
    rows: NDArray[np.int64],
    tiles: tuple[NDArray[np.uint8], Classes, Classes],
    skipped: Sequence[Skipped],
    details: dict[str, Any],
) -> Scored:
    """Score predicted masks; `tiles` are pictures, true and predicted classes (n, t, t) of some rows.

    Raises FeatureError without labelled pixels.
    """
    pictures, truth, predicted = tiles
    if not (truth != UNLABELLED).any():
        raise FeatureError(
            f"The masks of the test images of '{data.name}' have no labelled pixels; label some."
        )
    each = np.stack([confusion_of(t, p, len(data.classes)) for t, p in zip(truth, predicted, strict=True)])
    groups = data.groups[rows]
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
        **details,
    }
    result = Result(
        recipe,
        "miou",
        interval.mean,
        interval.low,
        interval.high,
        len(confusions),
        skipped=tuple(f"{s.file}: {s.reason}" for s in skipped),
        details=details,
    )
    shown = _examples(each)
    arrays = {
        "confusions": confusions,
        "example_picture": pictures[shown],
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
    recipe: EvaluationRecipe, subject: Subject, data: MaskedSet, split: str, done: int
) -> Generator[int, None, _PatchTokens]:
    """Embed the tiles of a split, and yield how many are done, from `done` on. Raises FeatureError."""
    tokens: list[Tokens] = []
    pictures: list[NDArray[np.uint8]] = []
    masks: list[Classes] = []
    rows: list[int] = []
    skipped: dict[str, Skipped] = {}
    of_split = data.rows(split).tolist()
    for start in range(0, len(of_split), BATCH):
        read = {row: data.read(row) for row in of_split[start : start + BATCH]}
        good = {row: piece for row, piece in read.items() if not isinstance(piece, Skipped)}
        skipped |= {piece.file: piece for piece in read.values() if isinstance(piece, Skipped)}
        if good:
            images = np.stack([piece.image for piece in good.values()])
            fed = _fed(recipe, list(good.values()))
            described = subject.patches(fed, np.full(len(fed), _res(recipe)))
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
            pictures.append(_as_bytes(images))
            masks += [piece.classes for piece in good.values()]
            rows += good
        yield done + start + len(read)
    if not tokens:
        raise all_skipped(list(skipped.values()), f"{data.name}, {split}")
    if not any((mask != UNLABELLED).any() for mask in masks):
        raise FeatureError(
            f"The masks of the {split} images of '{data.name}' have no labelled pixels; label some."
        )
    return _PatchTokens(
        np.concatenate(tokens),
        np.concatenate(pictures),
        np.stack(masks),
        np.array(rows),
        tuple(skipped.values()),
    )
