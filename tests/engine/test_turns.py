import threading
import time

import pytest

from core.engine import turns as module
from core.engine.turns import MOST_TOGETHER, Superseded, Turns


def test_one_at_a_time_and_in_order():
    turns, inside, order, overlaps = Turns(), [0], [], []

    def call(n: int) -> None:
        with turns.turn():
            inside[0] += 1
            overlaps.append(inside[0])
            order.append(n)
            time.sleep(0.005)
            inside[0] -= 1

    threads = []
    for n in range(8):
        threads.append(threading.Thread(target=call, args=(n,)))
        threads[-1].start()
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert max(overlaps) == 1
    assert order == sorted(order)
    assert turns.waiting() == 0


def test_ten_fast_moves_of_a_slider_run_at_most_two_predictions():
    turns, ran, dropped = Turns(), [], []
    started, go = threading.Event(), threading.Event()

    def move(n: int) -> None:
        try:
            with turns.turn(token="session"):
                ran.append(n)
                started.set()
                go.wait(5)
        except Superseded:
            dropped.append(n)

    threads = [threading.Thread(target=move, args=(0,))]
    threads[0].start()
    assert started.wait(5)
    for n in range(1, 10):
        threads.append(threading.Thread(target=move, args=(n,)))
        threads[-1].start()
        while turns.waiting() + len(dropped) < n + 1 and turns.waiting() < 2:
            time.sleep(0.001)
        time.sleep(0.003)
    go.set()
    for thread in threads:
        thread.join(5)
    assert ran == [0, 9]
    assert sorted(dropped) == list(range(1, 9))


def test_other_people_keep_their_place_and_see_it():
    turns, places, order = Turns(), [], []
    holding, go = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.turn():
            holding.set()
            go.wait(5)

    def wait(name: str, told: list[int]) -> None:
        with turns.turn(token=name, on_place=told.append):
            order.append(name)

    first = threading.Thread(target=hold)
    first.start()
    assert holding.wait(5)
    second = threading.Thread(target=wait, args=("ann", []))
    second.start()
    while turns.waiting() < 2:
        time.sleep(0.001)
    third = threading.Thread(target=wait, args=("bob", places))
    third.start()
    while not places:
        time.sleep(0.001)
    assert places == [2]
    go.set()
    for thread in (first, second, third):
        thread.join(5)
    assert order == ["ann", "bob"]
    assert places[-1] == 0, "the turn itself is announced"


def test_a_patient_request_lets_others_go_first_but_not_for_ever(monkeypatch):
    for patience, expected in ((5.0, ["picture", "scores"]), (0.0, ["scores", "picture"])):
        monkeypatch.setattr("core.engine.turns.PATIENCE_S", patience)
        turns, order, go, threads = Turns(), [], threading.Event(), []

        def wait(name: str, patient: bool, turns=turns, order=order, go=go) -> None:
            with turns.turn(patient=patient):
                if name == "first":
                    go.wait(5)
                order.append(name)

        for name in ("first", "scores", "picture"):
            threads.append(threading.Thread(target=wait, args=(name, name == "scores")))
            threads[-1].start()
            while turns.waiting() < len(threads):
                time.sleep(0.001)
        go.set()
        for thread in threads:
            thread.join(5)
        assert order == ["first", *expected]


def test_a_waiting_request_can_be_withdrawn_between_two_turns(monkeypatch):
    monkeypatch.setattr("core.engine.turns.REPORT_EVERY_S", 0.01)
    turns, places, ended = Turns(), [], threading.Event()
    holding, go = threading.Event(), threading.Event()

    def hold() -> None:
        with turns.turn():
            holding.set()
            go.wait(5)

    def on_place(ahead: int) -> None:
        places.append(ahead)
        if len(places) == 3:
            raise KeyboardInterrupt

    def wait() -> None:
        try:
            with turns.turn(on_place=on_place):
                pass
        except KeyboardInterrupt:
            ended.set()

    threads = [threading.Thread(target=hold), threading.Thread(target=wait)]
    threads[0].start()
    assert holding.wait(5)
    threads[1].start()
    assert ended.wait(5), "the place is reported again although it has not changed"
    assert places == [1, 1, 1]
    assert turns.waiting() == 1, "the request has left the queue"
    go.set()
    for thread in threads:
        thread.join(5)


def test_a_failure_inside_passes_the_turn_on():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        assert turns.waiting() == 1


def hold(turns: Turns) -> tuple[threading.Thread, threading.Event]:
    """Occupy the device from another thread until the event is set."""
    holding, go = threading.Event(), threading.Event()

    def body() -> None:
        with turns.turn():
            holding.set()
            go.wait(5)

    thread = threading.Thread(target=body)
    thread.start()
    assert holding.wait(5)
    return thread, go


def ask_all(turns: Turns, asks, work) -> dict[int, object]:
    """Queue requests (kind, token) in order behind a held device; returns the answer or error of each."""
    holder, go = hold(turns)
    found: dict[int, object] = {}

    def ask(n: int, kind: str, token: str) -> None:
        try:
            found[n] = turns.share(kind, n, work, token)
        except Exception as problem:
            found[n] = problem

    threads = [holder]
    for n, (kind, token) in enumerate(asks):
        threads.append(threading.Thread(target=ask, args=(n, kind, token)))
        threads[-1].start()
        deadline = time.monotonic() + 5
        while turns.waiting() + len(found) < n + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(5)
    assert turns.waiting() == 0
    return found


def test_equal_work_of_different_people_shares_one_call():
    calls = []

    def work(asked):
        calls.append(list(asked))
        return [10 * n for n in asked]

    asks = [("a", "ann"), ("b", "bob"), ("a", "cem"), ("a", "dan"), ("b", "eva")]
    assert ask_all(Turns(), asks, work) == {n: 10 * n for n in range(5)}
    assert calls == [[0, 2, 3], [1, 4]]


def test_a_call_is_shared_by_a_bounded_number():
    calls = []

    def work(asked):
        calls.append(len(asked))
        return asked

    ask_all(Turns(), [("a", str(n)) for n in range(MOST_TOGETHER + 3)], work)
    assert calls == [MOST_TOGETHER, 3]


def test_a_request_that_was_overtaken_is_not_computed():
    seen = []

    def work(asked):
        seen.extend(asked)
        return asked

    found = ask_all(Turns(), [("a", "ann"), ("a", "bob"), ("a", "ann")], work)
    assert isinstance(found[0], Superseded)
    assert seen == [2, 1], "the newer request inherits the place of the older one"


def test_a_change_wakes_only_those_it_concerns(monkeypatch):
    """The next in order, those answered together and those replaced; nobody looks by chance meanwhile."""
    monkeypatch.setattr(module, "REPORT_EVERY_S", 60.0)
    turns, woken, count = Turns(), [], 12

    class Counted(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            found = super().wait(timeout)
            if self._lock is turns._lock:
                woken.append(found)
            return found

    monkeypatch.setattr(threading, "Condition", Counted)
    asks = [(f"alone {n}", f"person {n}") for n in range(count)]
    asks += [("shared", "ann"), ("shared", "bob"), ("shared", "ann")]
    began = time.monotonic()
    found = ask_all(turns, asks, list)
    assert time.monotonic() - began < 5, "somebody was not woken"
    assert [found[n] for n in (*range(count), count + 1, count + 2)] == [*range(count), count + 1, count + 2]
    assert isinstance(found[count], Superseded)
    assert len(woken) <= count + 5 and all(woken)


def test_an_error_in_a_shared_call_reaches_everybody_in_it():
    def work(asked):
        raise ZeroDivisionError

    found = ask_all(Turns(), [("a", "ann"), ("a", "bob")], work)
    assert [type(found[n]) for n in (0, 1)] == [ZeroDivisionError, ZeroDivisionError]


def test_whoever_leaves_when_the_turn_comes_passes_it_on():
    turns = Turns()

    def leave(ahead: int) -> None:
        raise KeyError(ahead)

    with pytest.raises(KeyError):
        turns.share("a", 1, list, "ann", leave)
    assert turns.share("a", 2, list, "bob") == 2


def test_two_at_once_run_side_by_side_and_a_third_waits():
    turns, inside, places, go = Turns(at_once=2), [], [], threading.Event()

    def work(asked):
        inside.extend(asked)
        go.wait(5)
        return asked

    def hold(n: int) -> None:
        with turns.turn():
            inside.append(n)
            go.wait(5)

    threads = [
        threading.Thread(target=hold, args=(1,)),
        threading.Thread(target=turns.share, args=("a", 2, work, "ann")),
    ]
    for thread in threads:
        thread.start()
    while len(inside) < 2:
        time.sleep(0.001)
    threads.append(threading.Thread(target=turns.share, args=("a", 3, work, "bob", places.append)))
    threads[-1].start()
    while not places:
        time.sleep(0.001)
    assert sorted(inside) == [1, 2] and places == [1] and turns.waiting() == 3
    go.set()
    for thread in threads:
        thread.join(5)
    assert sorted(inside) == [1, 2, 3] and turns.waiting() == 0
