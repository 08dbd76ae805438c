"""A mask kind or policy added to its table appears in links, on the command line and on the page."""

import math
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.cli.entry import build_parser
from core.cli.verbs.reconstruct import _mask
from core.masking import KINDS, MaskKind, MaskSpec, make_mask, mask_from_text, mask_to_text
from core.policy import POLICIES, PolicyKind


def _half(spec: MaskSpec, rows: int, cols: int) -> Any:
    import numpy as np

    return np.arange(cols)[None, :].repeat(rows, axis=0) < cols // 2 + spec.size


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> str:
    kind = MaskKind("Left half", "the left half", frozenset({"size"}), False, _half, "extra columns")
    monkeypatch.setitem(KINDS, "half", kind)
    return "half"


def _controls() -> None:
    import streamlit as st

    from core.masking import MaskSpec, mask_to_text
    from core.models.registry import cards
    from core.policy import Policy, policy_to_text
    from ui.pickers.controls import mask_controls, policy_control

    st.code(mask_to_text(mask_controls(MaskSpec("half"), 14, 14)))
    aware = next(card for card in cards().values() if card.gsd_aware)
    st.code(policy_to_text(policy_control(Policy("root_gsd"), aware)))


def test_a_new_mask_kind_is_read_by_links_and_the_command_line(half: str) -> None:
    spec = MaskSpec(half, size=3)
    assert mask_from_text(mask_to_text(spec)) == spec
    assert make_mask(spec, 14, 14).ratio == 10 / 14
    args = build_parser().parse_args(["reconstruct", "scene.tif", "--mask", "half"])
    assert _mask(args) == MaskSpec(half)


def test_a_new_mask_kind_and_policy_appear_on_the_page(half: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = PolicyKind("Square root", "res is the square root of the GSD", lambda s: math.sqrt(s.gsd_m))
    monkeypatch.setitem(POLICIES, "root_gsd", root)
    app = AppTest.from_function(_controls, default_timeout=60).run()
    assert not app.exception
    assert "Left half" in app.selectbox[0].options and "Square root" in app.selectbox[1].options
    assert [slider.label for slider in app.slider] == ["Size in patches (0 = automatic)"]
    assert [code.value for code in app.code] == ["half", "root_gsd"]
    app.slider[0].set_value(3).run()
    assert app.code[0].value == "half-z3"
