"""The kinds of question that a lesson asks: each reads a prediction and compares it with the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ExplorerError
from ..geo.gazetteer import NamedPlace, find_places
from ..geo.ground import great_circle_km
from ..geo.tile import GeoError
from .landscapes import landscape

Cell = tuple[int, int]
Prediction = float | str | tuple[str, ...] | tuple[Cell, ...] | NamedPlace
AnswerValue = float | str | tuple[str, ...] | NDArray[np.float64]

TOP_SHARE = 0.1
"""Share of patches that counts as the top of a ranking, unless more patches were chosen."""


class PredictionError(ExplorerError):
    """A prediction that is empty or impossible; the message says what to enter."""


@dataclass(frozen=True)
class QuestionVerdict:
    """Whether a prediction was right, and one sentence that says how near it was."""

    right: bool
    says: str


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`; right within `near` of the answer, or within that factor if `factor`."""

    unit: str
    low: float
    high: float
    near: float
    factor: bool = False

    def read(self, raw: Any) -> float:
        """Check a number. Raises PredictionError for none, for what is not a number, and out of range."""
        if raw is None or raw == "":
            raise PredictionError("There is no prediction yet: enter a number, a guess is fine.")
        try:
            value = float(raw)
        except (TypeError, ValueError):
            raise PredictionError(
                f"{str(raw)!r:.30} is not a number: enter one, such as {self.low:g}."
            ) from None
        if not math.isfinite(value) or not self.low <= value <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            raise PredictionError(
                f"{value:g}{unit} is not possible here: enter a number from {self.low:g} to "
                f"{self.high:g}{unit}."
            )
        return value

    def judge(self, answer: AnswerValue, prediction: Prediction) -> QuestionVerdict:
        """Compare two numbers."""
        assert isinstance(answer, float | int) and isinstance(prediction, float | int)
        unit = f" {self.unit}" if self.unit else ""
        summary = f"You predicted {prediction:.3g}{unit}; measured: {answer:.3g}{unit}."
        if self.factor:
            off = max(answer, prediction) / max(min(answer, prediction), 1e-9)
            return QuestionVerdict(off <= self.near, f"{summary} That is off by a factor of {off:.1f}.")
        off = abs(answer - prediction)
        return QuestionVerdict(off <= self.near, f"{summary} That is off by {off:.2g}{unit}.")

    def text(self, prediction: Prediction) -> str:
        """The prediction as a short label for a histogram."""
        assert isinstance(prediction, float | int)
        return f"{prediction:.3g} {self.unit}".strip()


@dataclass(frozen=True)
class Choice:
    """One of several options; the answer may name several that are right."""

    options: tuple[str, ...]

    def read(self, raw: Any) -> str:
        """Check an option. Raises PredictionError."""
        if raw is None or raw == "":
            raise PredictionError("There is no prediction yet: choose one of the options.")
        if raw not in self.options:
            raise PredictionError(
                f"{str(raw)!r:.40} is not an option: choose one of {', '.join(self.options)}."
            )
        return str(raw)

    def judge(self, answer: AnswerValue, prediction: Prediction) -> QuestionVerdict:
        """Compare an option with the right one, or ones."""
        right = (answer,) if isinstance(answer, str) else answer
        assert isinstance(right, tuple) and isinstance(prediction, str)
        measured = ", ".join(right) or "none of the options"
        return QuestionVerdict(prediction in right, f"You predicted: {prediction}. Measured: {measured}.")

    def text(self, prediction: Prediction) -> str:
        """The option itself."""
        return str(prediction)


@dataclass(frozen=True)
class Ranking:
    """All options in order, best first."""

    options: tuple[str, ...]

    def read(self, raw: Any) -> tuple[str, ...]:
        """Check an order. Raises PredictionError."""
        order: Sequence[Any] = raw or ()
        if not order or any(name is None for name in order):
            raise PredictionError("The order is not complete yet: choose one for every place.")
        if sorted(map(str, order)) != sorted(self.options):
            raise PredictionError("Every place needs another option: choose each of them once.")
        return tuple(map(str, order))

    def judge(self, answer: AnswerValue, prediction: Prediction) -> QuestionVerdict:
        """Compare two orders by the pairs that both agree on."""
        assert isinstance(answer, tuple) and isinstance(prediction, tuple)
        pairs = [(a, b) for n, a in enumerate(answer) for b in answer[n + 1 :]]
        place = {name: n for n, name in enumerate(prediction)}
        agreed = sum(place[str(a)] < place[str(b)] for a, b in pairs)
        return QuestionVerdict(
            agreed == len(pairs),
            f"Measured order: {', '.join(map(str, answer))}. Yours agrees on {agreed} of {len(pairs)} pairs.",
        )

    def text(self, prediction: Prediction) -> str:
        """The order in one line."""
        assert isinstance(prediction, tuple)
        return " > ".join(map(str, prediction))


@dataclass(frozen=True)
class Patches:
    """Patches chosen on the grid: at least `least` and at most `most`.

    Right if at least half of them are among the highest values of the answer's grid: the top tenth of the
    patches, or as many as were chosen, whichever is more.
    """

    least: int
    most: int

    def read(self, raw: Any) -> tuple[Cell, ...]:
        """Check chosen patches, given as bool (rows, cols) or as (row, column) pairs.

        Raises PredictionError.
        """
        if isinstance(raw, np.ndarray):
            raw = [(int(row), int(col)) for row, col in np.argwhere(raw)]
        cells = tuple(sorted({(int(row), int(col)) for row, col in raw or ()}))
        if not cells:
            raise PredictionError(
                "No patch is chosen yet: click one, or move with the arrow keys and press space."
            )
        if not self.least <= len(cells) <= self.most:
            allowed = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
            raise PredictionError(f"{len(cells)} patches are chosen: choose {allowed}.")
        return cells

    def judge(self, answer: AnswerValue, prediction: Prediction) -> QuestionVerdict:
        """Compare chosen patches with the highest values of a grid (rows, cols), NaN where not asked."""
        assert isinstance(answer, np.ndarray) and isinstance(prediction, tuple)
        cells = [cell for cell in prediction if isinstance(cell[0], int)]
        height, width = answer.shape[:2]
        if any(not (0 <= r < height and 0 <= c < width) for r, c in cells):  # type: ignore[operator]
            raise PredictionError("A chosen patch is outside the grid of this network: choose again.")
        asked = np.isfinite(answer)
        count = int(asked.sum())
        top = max(len(cells), round(TOP_SHARE * count))
        order = np.full(answer.shape, count, np.int64)
        ranked = np.argsort(-np.where(asked, answer, -np.inf), axis=None, kind="stable")
        order.reshape(-1)[ranked] = np.arange(order.size)
        places = [int(order[cell]) for cell in cells]  # type: ignore[index]
        hits = sum(place < top for place in places)
        right = 2 * hits >= len(cells)
        if len(cells) == 1:
            if not asked[cells[0]]:  # type: ignore[index]
                return QuestionVerdict(
                    False, "The patch that you chose is visible: choose a hidden one next time."
                )
            return QuestionVerdict(right, f"Your patch has rank {places[0] + 1} of {count}.")
        return QuestionVerdict(
            right,
            f"{hits} of your {len(cells)} patches are among the top {top} of {count}; "
            f"chance gives {len(cells) * top / max(count, 1):.1f}.",
        )

    def text(self, prediction: Prediction) -> str:
        """Rows and columns of the first patch, counted from 1, and how many more there are."""
        assert isinstance(prediction, tuple)
        row, col = prediction[0]
        more = f" and {len(prediction) - 1} more" if len(prediction) > 1 else ""
        return f"row {int(row) + 1}, column {int(col) + 1}{more}"


@dataclass(frozen=True)
class Place:
    """A place on the Earth, written as a name or as coordinates; right within `near_km` of one of the
    answer's places."""

    near_km: float

    def read(self, raw: Any) -> NamedPlace:
        """Find a place. Raises PredictionError for none and for a name that is not known."""
        text = str(raw or "").strip()
        if not text:
            raise PredictionError("There is no prediction yet: name a place, a guess is fine.")
        if (known := landscape(text)) is not None:
            return NamedPlace(*known)
        try:
            return find_places(text, 1)[0]
        except GeoError as problem:
            raise PredictionError(str(problem)) from None

    def judge(self, answer: AnswerValue, prediction: Prediction) -> QuestionVerdict:
        """Compare a place with (n, 2) longitudes and latitudes in degrees."""
        assert isinstance(answer, np.ndarray) and isinstance(prediction, NamedPlace)
        if not len(answer):
            return QuestionVerdict(False, "No place on the Earth would have been right.")
        off = float(great_circle_km(answer, (prediction.lon, prediction.lat)).min())
        return QuestionVerdict(
            off <= self.near_km,
            f"The nearest place that was found is {off:,.0f} km from {prediction.label}; "
            f"up to {self.near_km:,.0f} km counts as right.",
        )

    def text(self, prediction: Prediction) -> str:
        """The name of the place that was found."""
        assert isinstance(prediction, NamedPlace)
        return prediction.label


Question = Number | Choice | Ranking | Patches | Place
