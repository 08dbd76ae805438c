"""Class boards: the predictions of a class, anonymous, in memory only, gone when the server stops."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from ..errors import ExplorerError
from .questions import Choice, Number, Patches, Prediction, Question

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Letters of class codes, without I and O, which look like digits."""
CODE_LENGTH, MOST_BOARDS, MOST_BOARDS_EACH, MOST_PUPILS, LIFE_S = 5, 50, 4, 200, 12 * 3600
BINS = 8


class BoardError(ExplorerError):
    """A class code that does not exist, or a board that is full."""


@dataclass
class Board:
    """The board of one class: predictions by lesson, one for each pupil, and the lessons already revealed."""

    code: str
    key: str
    opened_s: float
    teacher: str = ""
    predictions: dict[str, dict[str, Prediction]] = field(default_factory=dict)
    revealed: set[str] = field(default_factory=set)


class Boards:
    """All boards of a server. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards: OrderedDict[str, Board] = OrderedDict()

    def open(self, teacher: str = "") -> Board:
        """Open a board for whoever this names; the oldest of a teacher who has too many is closed.

        Raises BoardError if the server is full: nobody closes the board of somebody else.
        """
        with self._lock:
            self._expire()
            own = [code for code, board in self._boards.items() if board.teacher == teacher]
            if len(own) >= MOST_BOARDS_EACH:
                del self._boards[own[0]]
            elif len(self._boards) >= MOST_BOARDS:
                raise BoardError(
                    f"This server already has {MOST_BOARDS} classes, the maximum: "
                    "try again when some of them have ended."
                )
            code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
            while code in self._boards:
                code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
            self._boards[code] = Board(code, secrets.token_urlsafe(12), time.monotonic(), teacher)
            return self._boards[code]

    def join(self, code: str) -> Board:
        """Find a board by the code that the teacher shows. Raises BoardError."""
        with self._lock:
            self._expire()
            board = self._boards.get(code.strip().upper())
        if board is None:
            raise BoardError(
                "There is no class with this code on this server: check the five letters with your teacher. "
                "Codes end when the server is restarted."
            )
        return board

    def host(self, code: str, key: str) -> Board:
        """Find a board for its teacher. Raises BoardError for a wrong key."""
        board = self.join(code)
        if not hmac.compare_digest(board.key.encode(), key.encode()):
            raise BoardError("This link does not open the teacher's view of the class: open a new class.")
        return board

    def put(self, code: str, lesson: str, pupil: str, prediction: Prediction) -> None:
        """Add a pupil's prediction, or replace it. `pupil` is a random name that nobody else knows."""
        board = self.join(code)
        with self._lock:
            given = board.predictions.setdefault(lesson, {})
            if pupil not in given and len(given) >= MOST_PUPILS:
                raise BoardError(f"This class already has {MOST_PUPILS} predictions: open another one.")
            given[pupil] = prediction

    def predictions(self, code: str, lesson: str) -> tuple[Prediction, ...]:
        """The predictions of a class for one lesson, in the order in which they came."""
        board = self.join(code)
        with self._lock:
            return tuple(board.predictions.get(lesson, {}).values())

    def reveal(self, code: str, lesson: str) -> None:
        """Show the predictions of a lesson to the class."""
        self.join(code).revealed.add(lesson)

    def _expire(self) -> None:
        now = time.monotonic()
        for code in [code for code, board in self._boards.items() if now - board.opened_s > LIFE_S]:
            del self._boards[code]


def histogram(question: Question, predictions: tuple[Prediction, ...]) -> tuple[tuple[str, int], ...]:
    """Count predictions: (label, count), numbers in up to eight bins, options in their own order."""
    if not predictions:
        return ()
    if isinstance(question, Number):
        return _binned(question, [float(p) for p in predictions if isinstance(p, float | int)])
    if isinstance(question, Choice):
        counts = Counter(map(str, predictions))
        return tuple((option, counts[option]) for option in question.options)
    if isinstance(question, Patches):
        cells = Counter(cell for p in predictions if isinstance(p, tuple) for cell in p)
        return tuple(
            (question.text((cell,)), count)  # type: ignore[arg-type]
            for cell, count in cells.most_common(10)
        )
    return tuple(Counter(question.text(p) for p in predictions).most_common(10))


def _binned(question: Number, values: list[float]) -> tuple[tuple[str, int], ...]:
    low, high = min(values), max(values)
    if low == high:
        return ((question.text(low), len(values)),)
    step = (high - low) / BINS
    at = Counter(min(BINS - 1, int((value - low) / step)) for value in values)
    unit = f" {question.unit}" if question.unit else ""
    return tuple((f"{low + n * step:.3g} to {low + (n + 1) * step:.3g}{unit}", at[n]) for n in range(BINS))
