"""Slots are shared fairly: nobody holds all of them, and those who wait are served in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from core.untrusted.slots import Slots


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def queue(slots: Slots, askers: str) -> list[str]:
    """Let each asker wait for a slot, in this order; gives the list of those served, which grows."""
    served: list[str] = []

    def wait(asker: str) -> None:
        assert slots.acquire(asker, 10)
        served.append(asker)

    for asker in askers:
        before = len(slots._waiting) + slots._held.total()
        threading.Thread(target=wait, args=(asker,), daemon=True).start()
        wait_for(lambda: len(slots._waiting) + slots._held.total() > before)  # noqa: B023
    return served


def release_each(slots: Slots, served: list[str], count: int) -> None:
    """End the calls one by one in the order in which they began."""
    for at in range(count):
        wait_for(lambda: len(served) > at)  # noqa: B023
        slots.release(served[at])


def test_nobody_holds_all_slots() -> None:
    slots = Slots(3)
    assert slots.acquire("greedy", 0)
    assert slots.acquire("greedy", 0)
    assert not slots.acquire("greedy", 0.05), "the last slot is for somebody else"
    assert slots.acquire("modest", 0)
    slots.release("greedy")
    assert slots.acquire("greedy", 0)


def test_calls_of_nobody_in_particular_may_use_every_slot() -> None:
    slots = Slots(3)
    assert all(slots.acquire(None, 0) for _ in range(3))
    assert not slots.acquire(None, 0.01)


def test_those_who_wait_are_served_in_turn() -> None:
    slots = Slots(1)
    served = queue(slots, "aaaabbc")
    release_each(slots, served, 7)
    assert served == list("abcabaa")


def test_the_holder_of_fewest_slots_comes_first() -> None:
    slots = Slots(3)
    served = queue(slots, "aabaac")
    wait_for(lambda: len(served) == 3)
    assert sorted(served) == ["a", "a", "b"]
    slots.release("a")
    wait_for(lambda: len(served) == 4)
    assert served[3] == "c", "a holds one already"
    for asker in "abc":
        slots.release(asker)
    wait_for(lambda: len(served) == 6)


def test_giving_up_and_finishing_leave_nothing_behind() -> None:
    slots = Slots(1)
    assert slots.acquire("a", 0)
    assert not slots.acquire("b", 0.01)
    slots.release("a")
    assert (slots._waiting, slots._held, slots._served) == ([], {}, {})
    assert slots.acquire("b", 0)
