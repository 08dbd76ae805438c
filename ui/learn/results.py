"""Findings of lessons, computed with the network that is loaded and cached for everybody on this server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from core.errors import ExplorerError
from core.lessons.bench import Bench
from core.lessons.spec import Finding, Lesson, Setting
from ui.shell import cached, state


def models() -> list[str]:
    """Networks that lessons can load: trained presets that reconstruct, then the server's weights files."""
    presets = [name for name, card in cached.cards().items() if card.trained and card.reconstructs]
    return [*presets, *cached.weight_files()]


def bench(model: str) -> Bench:
    """The bench of a network."""
    return cached.result_cache("lesson benches", 4).get_or_compute(
        model, lambda: Bench(model, cached.catalogue(), cached.model)
    )


def setup(lesson: Lesson, model: str) -> Finding:
    """What is shown with the question."""
    return _once((model, lesson.id, "setup"), lambda: lesson.setup(bench(model)))


def measured(lesson: Lesson, model: str) -> Finding:
    """The finding that answers the question of a lesson."""
    return _once((model, lesson.id, "measured"), lambda: lesson.measure(bench(model)))


def explored(lesson: Lesson, model: str, settings: Mapping[str, Setting]) -> Finding:
    """What the learner's settings give. A newer request of the same session replaces an older one."""
    key = (model, lesson.id, tuple(sorted(settings.items())))
    return _once(key, lambda: lesson.explore(bench(model), **settings), f"{state.session_id()} lesson")


def worksheet(lesson: Lesson, model: str, *, answers: bool = False) -> bytes:
    """The printable sheet of a lesson as a PDF, or its answers."""
    from core.lessons.course import LESSONS
    from core.lessons.worksheets import answer_key
    from core.lessons.worksheets import worksheet as sheet

    write = answer_key if answers else sheet
    return cached.result_cache("worksheets", 32).get_or_compute(
        (model, lesson.id, answers), lambda: write(lesson, LESSONS.index(lesson) + 1, bench(model))
    )


def prepare(lesson: Lesson, model: str) -> None:
    """Start measuring in the background while the learner reads, so that the answer is there when asked
    for."""
    at = bench(model)

    def work() -> None:
        with suppress(ExplorerError):  # shown where the answer is asked for
            _once((model, lesson.id, "measured"), lambda: lesson.measure(at))

    def start() -> bool:
        threading.Thread(target=work, name=f"lesson {lesson.id}", daemon=True).start()
        return True

    cached.result_cache("lessons begun", 256).get_or_compute((model, lesson.id), start)


def _once(key: tuple[object, ...], make: Callable[[], Finding], token: str | None = None) -> Finding:
    from core.engine.device import device
    from core.engine.turns import turns

    def in_turn() -> Finding:
        with turns(device().kind).turn(token):
            return make()

    return cached.result_cache("lessons", 512).get_or_compute(key, in_turn)
