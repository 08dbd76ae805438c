"""From GSD to res: the table of docs/architecture.md, number by number."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import policy as policies
from core.errors import ExplorerError
from core.policy import (
    POLICIES,
    Policy,
    PolicyError,
    PolicyKind,
    policy_from_text,
    policy_to_text,
    res_for,
    res_text,
    warning_for,
)

RANGE = (2.23, 4.98)
gsds = st.floats(1e-3, 1e5)


def test_each_policy_gives_the_number_of_the_table() -> None:
    def res(name: str, gsd_m: float, value: float | None = None) -> float:
        return res_for(Policy(name, value), gsd_m=gsd_m, input_px=448, native_gsd_m=10, res_range=RANGE)

    assert res("native_gsd", 300) == 300
    assert res("author_eval", 300) == 0.5
    assert res("training_range", 12) == pytest.approx(3.0)
    assert res("training_range", 1) == 2.23
    assert res("training_range", 300) == 4.98
    assert res("log_gsd", 0.1) == 0.5 and res("log_gsd", 10_000) == 8
    assert res("log_gsd", math.sqrt(0.1 * 10_000)) == pytest.approx(4.25)
    assert res("manual", 300, 7.5) == 7.5


@given(gsds, gsds)
def test_log_gsd_grows_with_gsd_and_stays_in_its_range(one_m: float, other_m: float) -> None:
    low, high = (
        res_for(Policy("log_gsd"), gsd_m=gsd_m, input_px=224, log_range=(1, 5))
        for gsd_m in sorted((one_m, other_m))
    )
    assert 1 <= low <= high <= 5


def test_training_range_takes_any_ratio_where_no_range_is_known() -> None:
    assert res_for(Policy("training_range"), gsd_m=40, input_px=224, native_gsd_m=10) == 10
    assert res_for(Policy("training_range"), gsd_m=40, input_px=224) == 2.5


@pytest.mark.parametrize("gsd_m", [0, -1, math.nan, math.inf])
def test_an_impossible_gsd_is_refused(gsd_m: float) -> None:
    with pytest.raises(ExplorerError, match="above zero"):
        res_for(Policy(), gsd_m=gsd_m, input_px=224)


@pytest.mark.parametrize(
    "wrong",
    [
        ("magic", None),
        ("manual", None),
        ("manual", 0),
        ("manual", -1.0),
        ("manual", math.nan),
        ("manual", "2"),
    ],
)
def test_an_invalid_policy_is_refused(wrong: tuple[str, float]) -> None:
    with pytest.raises(ExplorerError, match=r"\.$"):
        Policy(*wrong)


def test_warnings_name_the_range_or_the_metres_and_stay_silent_within() -> None:
    assert "2.23 to 4.98" in (warning_for(Policy(), 10, RANGE) or "")
    assert "log_gsd" in (warning_for(Policy(), 7420, None) or "")
    assert warning_for(Policy(), 30, None) is None
    assert warning_for(Policy("manual", 300), 300, None) is None
    assert warning_for(Policy("training_range"), 4.98, RANGE) is None


@given(st.sampled_from(list(POLICIES)), st.floats(1e-6, 1e6))
def test_the_text_form_round_trips(name: str, value: float) -> None:
    policy = Policy(name, value)
    assert policy_from_text(policy_to_text(policy)) == policy


@pytest.mark.parametrize("text", ["", "manual", "manual-", "manual-x", "manual-nan", "fast-1"])
def test_broken_text_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError):
        policy_from_text(text)


def test_res_for_refuses_an_unknown_policy() -> None:
    unknown = Policy("manual", 2.0)
    object.__setattr__(unknown, "name", "magic")
    with pytest.raises(PolicyError, match="no policy 'magic'"):
        res_for(unknown, gsd_m=10, input_px=224)


def test_a_policy_added_to_the_table_works_in_every_text_form(monkeypatch: pytest.MonkeyPatch) -> None:
    square = PolicyKind(
        "Square root", "res is the square root of the GSD", lambda scale: math.sqrt(scale.gsd_m)
    )
    monkeypatch.setitem(policies.POLICIES, "root_gsd", square)
    assert policy_from_text("root_gsd") == Policy("root_gsd", 3)
    assert res_for(Policy("root_gsd"), gsd_m=100, input_px=224) == 10


def test_a_res_at_the_end_of_its_range_is_called_clipped() -> None:
    def described(policy: str, gsd_m: float) -> str:
        chosen = policy_from_text(policy)
        res = res_for(chosen, gsd_m=gsd_m, native_gsd_m=10, input_px=224, res_range=RANGE)
        return res_text(chosen, res, gsd_m=gsd_m, native_gsd_m=10)

    assert [described("training_range", gsd_m) for gsd_m in (5, 10, 80)] == [
        "2.23, clipped",
        "2.5",
        "4.98, clipped",
    ]
    assert described("log_gsd", 10) == "3.5"
    assert described("log_gsd", 20_000) == "8, clipped" and described("log_gsd", 0.05) == "0.5, clipped"
    assert described("native_gsd", 80) == "80" and described("manual-7", 80) == "7"
