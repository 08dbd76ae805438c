"""Class boards: codes, one prediction for each pupil, limits, histograms."""

import pytest

from core.lessons import board as module
from core.lessons.board import BoardError, Boards, histogram
from core.lessons.questions import Choice, Number, Patches, Ranking


def test_predictions_arrive_without_names_and_count_once_for_each_pupil():
    boards = Boards()
    code = boards.open().code
    boards.put(code.lower(), "ratio", "pupil one", 20.0)
    boards.put(code, "ratio", "pupil two", 40.0)
    boards.put(code, "ratio", "pupil one", 30.0)
    assert boards.predictions(code, "ratio") == (30.0, 40.0)
    assert boards.predictions(code, "other") == ()


def test_an_unknown_code_is_reported():
    with pytest.raises(BoardError, match="no class with this code"):
        Boards().join("ABCDE")


def test_only_the_key_opens_the_teachers_view():
    boards = Boards()
    board = boards.open()
    assert boards.host(board.code, board.key) is board
    with pytest.raises(BoardError, match="does not open"):
        boards.host(board.code, "guessed")
    with pytest.raises(BoardError, match="does not open"):
        boards.host(board.code, "größer")


def test_only_the_key_closes_a_board(monkeypatch):
    monkeypatch.setattr(module, "MOST_BOARDS", 3)
    monkeypatch.setattr(module, "MOST_BOARDS_EACH", 2)
    boards = Boards()
    kept = boards.open("ann").code
    first, second, third = (boards.open("bob").code for _ in range(3))
    with pytest.raises(BoardError, match="no class"):
        boards.join(first)
    with pytest.raises(BoardError, match="already has 3 classes"):
        boards.open("cem")
    assert [boards.join(code).code for code in (kept, second, third)] == [kept, second, third]


def test_predictions_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_PUPILS", 2)
    boards = Boards()
    last = boards.open().code
    for n in range(2):
        boards.put(last, "ratio", f"pupil {n}", 1.0)
    with pytest.raises(BoardError, match="already has 2"):
        boards.put(last, "ratio", "one too many", 1.0)


def test_a_board_ends_after_its_time(monkeypatch):
    boards = Boards()
    code = boards.open().code
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.LIFE_S + 1)
    with pytest.raises(BoardError):
        boards.join(code)


def test_histograms_count_every_prediction():
    assert histogram(Choice(("a", "b")), ("b", "b")) == (("a", 0), ("b", 2))
    assert sum(count for _, count in histogram(Number("%", 0, 100, 5), (1.0, 50.0, 100.0, 99.0))) == 4
    assert histogram(Number("%", 0, 100, 5), (5.0, 5.0)) == (("5 %", 2),)
    assert histogram(Ranking(("a", "b")), (("b", "a"),)) == (("b > a", 1),)
    assert histogram(Patches(1, 1), (((2, 3),), ((2, 3),))) == (("row 3, column 4", 2),)
    assert histogram(Choice(("a",)), ()) == ()
