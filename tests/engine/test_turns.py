import threading
import time

import pytest

from core.engine.turns import Superseded, Turns


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


def test_a_failure_inside_passes_the_turn_on():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        assert turns.waiting() == 1
