"""Studies with many reconstructions of one tile, as generators that yield results as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .engine.inputs import InputError, read_ground
from .engine.prediction import Predicted, reconstruct_each
from .engine.reconstruct import Prepared, ReconstructionRequest, prepare, reconstruct, reconstruct_many
from .engine.results import RatioStep, Spread, enlarge
from .engine.scales import ScaleSeries, ScaleSpec, ladder
from .geo.tile import Tile, TileSpec
from .masking import KINDS, MaskSpec, make_mask
from .models.base import Reconstructor
from .policy import Policy

RATIOS = tuple(percent / 100 for percent in range(5, 100, 10))


class Turn(Protocol):
    """A context manager that reserves the device."""

    def __call__(self) -> AbstractContextManager[Any]: ...


def monte_carlo(
    model: Reconstructor,
    tile: Tile,
    mask: MaskSpec,
    policy: Policy,
    *,
    count: int,
    size_px: int | None = None,
    turn: Turn = nullcontext,
    say: Callable[[str], None] | None = None,
) -> Iterator[Spread]:
    """Reconstruct with `count` masks of one kind and ratio, with seeds from `mask.seed` on.

    Yields a Spread after each batch. A mask without a seed is replaced by random patches of its ratio. `turn`
    is entered for each batch, so that other requests can run in between; `say` is called with a message when
    a batch must shrink to fit the device memory.
    """
    ready = prepare(model, tile, policy, size_px)
    spec = (
        mask
        if "seed" in KINDS[mask.kind].uses
        else MaskSpec("random", make_mask(mask, ready.grid, ready.grid).ratio)
    )
    hidden = np.stack(
        [make_mask(replace(spec, seed=spec.seed + n), ready.grid, ready.grid).hidden for n in range(count)]
    )
    pieces = reconstruct_each(model, ready.fed.unit[None], hidden, [ready.res] * count, say=say)
    sums = _Sums(ready, hidden)
    while True:
        with turn():
            piece = next(pieces, None)
        if piece is None:
            return
        yield sums.add(*piece)


class _Sums:
    """Running sums over the masks that hide each pixel."""

    def __init__(self, ready: Prepared, hidden: NDArray[np.bool_]) -> None:
        self._ready, self._hidden = ready, hidden
        self._done = np.zeros(len(hidden), np.bool_)
        self._total = self._squares = np.zeros(())

    def add(self, which: NDArray[np.int64], predicted: Predicted) -> Spread:
        """Add the pictures of the masks `which` and return the spread so far."""
        pictures = np.clip(predicted.combined, 0, 1).astype(np.float64)
        side = pictures.shape[-1]
        unseen = enlarge(self._hidden[which], side)[:, None]
        self._total = self._total + (pictures * unseen).sum(axis=0)
        self._squares = self._squares + (pictures**2 * unseen).sum(axis=0)
        self._done[which] = True
        times = self._hidden[self._done].sum(axis=0)
        count = enlarge(times, side)
        mean = self._total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(self._squares / np.maximum(count, 1) - mean**2, 0)).mean(axis=0)
        shown = np.where(count > 0, mean, self._ready.truth(side).unit)
        return Spread(
            shown.astype(np.float32),
            deviation.astype(np.float32),
            times,
            int(self._done.sum()),
            len(self._done),
        )


def ratio_series(
    model: Reconstructor,
    tile: Tile,
    mask: MaskSpec,
    policy: Policy,
    *,
    ratios: Sequence[float] = RATIOS,
    size_px: int | None = None,
    turn: Turn = nullcontext,
) -> Iterator[RatioStep]:
    """Reconstruct at increasing mask ratios; with one seed, a higher ratio hides the same patches and more.

    Kinds of masks without a ratio are replaced by random patches.
    """
    spec = mask if "ratio" in KINDS[mask.kind].uses else MaskSpec("random")
    for ratio in ratios:
        with turn():
            result = reconstruct(model, tile, replace(spec, ratio=ratio), policy, size_px=size_px)
        yield RatioStep(ratio, result)


def scale_series(
    model: Reconstructor,
    read: Callable[[TileSpec], Tile],
    spec: ScaleSpec,
    policy: Policy | None = None,
    *,
    limits_m: tuple[float, float] | None = None,
) -> ScaleSeries:
    """Reconstruct one place at the scales of a spec.

    `read` reads tiles of a source. `limits_m`, the finest and coarsest GSD in metres, is needed if the spec
    holds "pixels". Raises InputError without it, and the errors of `read` and `reconstruct`.
    """
    if limits_m is None and spec.hold == "pixels":
        raise InputError(
            "A series of the same pixels needs limits_m: state the finest and the coarsest GSD in metres."
        )
    card = model.card
    scales = ladder(
        spec, read, input_px=card.input_px, patch_px=card.patch_px, limits_m=limits_m or (0.0, 0.0)
    )
    chosen = policy or Policy(card.default_policy)
    requests = [
        ReconstructionRequest(read_ground(read, scale.tile, scale.side_px), scale.mask, chosen, scale.side_px)
        for scale in scales
    ]
    results = dict(reconstruct_many(model, requests))
    return ScaleSeries(scales, tuple(results[n] for n in range(len(scales))))
