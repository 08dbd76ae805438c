"""Results kept in memory: made once, and what could not be made is asked for anew."""

import pytest

from ui.shell.kept import Kept


def test_what_could_not_be_made_is_made_by_the_next_who_asks() -> None:
    kept = Kept(2)

    def fail() -> None:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            kept.once("a", fail)
    assert not kept._making
    assert [kept.once("a", lambda: 1), kept.once("a", lambda: 2)] == [1, 1]
