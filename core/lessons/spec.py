"""What a lesson is made of: text, a question, controls, and functions from a network to an answer.

A lesson never stores its answer. `measure` computes a `Finding` with the loaded network, `conclude` turns it
into an `Answer`, and `check` compares the answer with a prediction. The last two are pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..viz.chart import Chart
from ..viz.pictures import Panel
from .bench import Bench
from .questions import AnswerValue, Prediction, Question

Setting = float | str


@dataclass(frozen=True, eq=False)
class Finding:
    """What was measured: named `numbers`, one value per patch in `grid` (rows, cols), pictures and a chart.

    `grid` is NaN where a patch is not part of the question.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    grid: NDArray[np.float64] | None = None
    pictures: tuple[Panel, ...] = ()
    chart: Chart | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a finding says: the answer's `value`, a sentence with the measured numbers, and whether the
    statement that the lesson teaches `holds` for this network."""

    value: AnswerValue
    says: str
    holds: bool


@dataclass(frozen=True)
class Checked:
    """A prediction compared with the answer: whether it was `right`, how near it was, and what was measured.

    `holds` is False if the lesson's statement does not hold for the loaded network; `warning` then says so.
    """

    right: bool
    how_near: str
    says: str
    holds: bool
    warning: str


@dataclass(frozen=True)
class Slider:
    """A slider of the lesson: name of the setting, label, range, step, start and unit."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float
    unit: str = ""


@dataclass(frozen=True)
class Options:
    """A choice of the lesson: name of the setting, label, options; the first is the start."""

    name: str
    label: str
    options: tuple[str, ...]

    @property
    def start(self) -> str:
        """The first option."""
        return self.options[0]


@dataclass(frozen=True)
class Paint:
    """The mask painter; the setting is a mask as text (`core.masking.mask_to_text`)."""

    name: str
    label: str
    start: str


Control = Slider | Options | Paint


@dataclass(frozen=True)
class Deeper:
    """The part for experts: a paragraph, an equation in LaTeX, and the paper it comes from."""

    text: str
    equation: str
    paper: str


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    id: its name in links; never changes. minutes: how long it takes. prose: three sentences. terms: words
    from `core.lessons.terms` that the text uses. question: what the learner predicts. setup: what is shown
    with the question, before anything is revealed. controls: what the learner may change; `explore` measures
    the result. measure: computes the finding that answers the question. conclude: the answer that a finding
    gives. claim: the statement that the lesson teaches. debrief: why it is so. place: the page where one can
    continue.
    """

    id: str
    title: str
    minutes: int
    prose: tuple[str, str, str]
    terms: tuple[str, ...]
    ask: str
    question: Question
    setup: Callable[[Bench], Finding]
    try_this: str
    controls: tuple[Control, ...]
    explore: Callable[..., Finding]
    measure: Callable[[Bench], Finding]
    conclude: Callable[[Finding], Answer]
    claim: str
    debrief: str
    deeper: Deeper
    place: str = "Mask Lab"

    def start(self) -> dict[str, Setting]:
        """The settings with which every control starts."""
        return {control.name: control.start for control in self.controls}

    def describe(self, found: Finding) -> str:
        """What `explore` found, in one sentence."""
        if self.explore is self.measure:
            return self.conclude(found).says
        numbers = "; ".join(f"{name}: {value:.3g}" for name, value in found.numbers.items())
        return f"{numbers[:1].upper()}{numbers[1:]}."


def check(lesson: Lesson, finding: Finding, prediction: Prediction) -> Checked:
    """Compare a prediction with what was measured."""
    answer = lesson.conclude(finding)
    verdict = lesson.question.judge(answer.value, prediction)
    warning = (
        ""
        if answer.holds
        else f"This lesson teaches: “{lesson.claim}” With the network that is loaded now, "
        "the measurement does not show it. The numbers above are the network's own; try another network."
    )
    return Checked(verdict.right, verdict.says, answer.says, answer.holds, warning)
