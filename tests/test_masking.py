"""Masks: exact ratios, the same on every machine, and a text form that round-trips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ExplorerError
from core.masking import KINDS, Mask, MaskSpec, make_mask, mask_from_text, mask_to_text

EXACT = [name for name, kind in KINDS.items() if kind.exact]
GRIDS = [(1, 1), (1, 9), (9, 1), (3, 3), (14, 14), (13, 28), (64, 64)]

specs = st.builds(
    MaskSpec,
    kind=st.sampled_from(list(KINDS)),
    ratio=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(0, 64),
    cells=st.lists(st.integers(0, 7 * 5 - 1), max_size=35).map(tuple),
    painted_on=st.none() | st.tuples(st.integers(7, 64), st.integers(5, 64)),
    invert=st.booleans(),
)


def as_text(mask: Mask) -> str:
    return "/".join("".join(".#"[int(cell)] for cell in row) for row in mask.hidden)


# Recorded once. NumPy promises the raw PCG64 stream and the rest is integers and stable sorts, so a change
# here breaks shared links.
STORED = {
    "random-75-s3": "##.#####/######../#####.##/.##.####/#.###.##/.##.#..#/.#####.#/#####..#",
    "block-50-s1": "......../......../.######./.######./.######./.######./.######./.##.....",
    "block-50-s1-z3": "..###.../..####../..#####./...####./....###./.######./.####.../.###....",
    "grid-75": ".#.#.#.#/########/.#.#.#.#/########/.#.#.#.#/########/.#.#.#.#/########",
    "checkerboard-z2": "..##..##/..##..##/##..##../##..##../..##..##/..##..##/##..##../##..##..",
    "stripes-25-s2": ".......#/.....###/###...../......../.....###/###...../......../.....###",
    "blob-50-s4": "#######./.####.../......../......../......../..#####./########/########",
    "centre-40": "......../..####../..####../.######./.######./..####../...##.../........",
    "border-40": "########/#......#/#......#/#......#/#......#/#......#/#......#/###..###",
    "cells-3.17.40": "...#..../......../.#....../......../......../#......./......../........",
    "not-cells-4x4-gQE": "..######/..######/######../######../########/########/######../######..",
}


@pytest.mark.parametrize("text", STORED)
def test_a_link_gives_the_mask_that_it_gave_when_it_was_recorded(text: str) -> None:
    assert as_text(make_mask(mask_from_text(text), 8, 8)) == STORED[text]


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ratio", [0, 0.01, 1 / 3, 0.5, 0.75, 0.9999, 1])
def test_the_ratio_is_exact_where_the_kind_says_so(kind: str, grid: tuple[int, int], ratio: float) -> None:
    rows, cols = grid
    expected = round(rows * cols * round(ratio, 4))
    for size in (0, 3):
        for seed in (0, 11):
            mask = make_mask(MaskSpec(kind, ratio, seed, size=size), rows, cols)
            assert mask.hidden.shape == grid
            assert mask.hidden.sum() == expected
            assert len(mask.keep) == rows * cols - expected


@pytest.mark.parametrize("kind", ["random", "blob", "stripes", "centre", "border"])
def test_a_higher_ratio_hides_the_same_cells_and_more(kind: str) -> None:
    low, high = (make_mask(MaskSpec(kind, ratio, 5), 14, 14).hidden for ratio in (0.4, 0.6))
    assert (low <= high).all()


@pytest.mark.parametrize("kind", ["random", "block", "stripes", "blob"])
def test_another_seed_gives_another_mask_and_the_same_seed_the_same(kind: str) -> None:
    masks = [as_text(make_mask(MaskSpec(kind, 0.5, seed), 14, 14)) for seed in (0, 1, 2, 0)]
    assert len(set(masks)) == 3
    assert masks[0] == masks[3]


def test_random_masks_hide_every_cell_equally_often() -> None:
    mean = np.mean([make_mask(MaskSpec("random", 0.75, seed), 14, 14).hidden for seed in range(400)], axis=0)
    assert abs(mean - 0.75).max() < 5 * np.sqrt(0.75 * 0.25 / 400)


@given(specs, st.integers(7, 64), st.integers(5, 64))
def test_inverse_hides_exactly_what_was_visible(spec: MaskSpec, rows: int, cols: int) -> None:
    flipped = MaskSpec(
        spec.kind, spec.ratio, spec.seed, spec.size, spec.cells, spec.painted_on, not spec.invert
    )
    try:
        mask = make_mask(spec, rows, cols)
    except ExplorerError:  # listed cells of a grid that is larger than this one
        assert spec.kind == "cells"
        return
    assert (mask.hidden ^ make_mask(flipped, rows, cols).hidden).all()


@given(specs)
def test_the_text_form_round_trips(spec: MaskSpec) -> None:
    text = mask_to_text(spec)
    assert mask_from_text(text) == spec
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert len(text) < 800 or spec.painted_on is None


@given(st.text(max_size=60) | st.from_regex(r"(not-)?[a-z]{4,8}(-[\w.]{0,20}){0,4}", fullmatch=True))
def test_any_text_is_a_mask_or_an_error_message(text: str) -> None:
    try:
        make_mask(mask_from_text(text), 14, 14)
    except ExplorerError as error:
        assert str(error).endswith(".") and len(str(error)) > 30


def test_one_block_is_one_rectangle_but_for_its_last_row() -> None:
    hidden = make_mask(MaskSpec("block", 0.3, 7), 14, 14).hidden
    rows, cols = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
    assert (np.diff(rows) == 1).all() and (np.diff(cols) == 1).all()
    assert hidden[rows[:-1]][:, cols].all()
    assert abs(len(rows) - len(cols)) <= 1


def test_several_blocks_are_made_of_whole_squares() -> None:
    hidden = make_mask(MaskSpec("block", 0.5, 7, size=4), 14, 14).hidden
    whole = np.lib.stride_tricks.sliding_window_view(hidden, (4, 4)).all(axis=(2, 3))
    covered = np.zeros_like(hidden)
    for row, col in np.argwhere(whole):
        covered[row : row + 4, col : col + 4] = True
    assert (hidden & ~covered).sum() < 16  # at most one square was cut short


def test_stripes_widen_from_the_middle_to_the_sides() -> None:
    hidden = make_mask(MaskSpec("stripes", 0.25, 1, size=8), 64, 64).hidden
    assert hidden[:, :8].mean() > 0.3 > 0.1 > hidden[:, 28:36].mean()


def test_a_cloud_is_smoother_than_noise() -> None:
    def edges(kind: str) -> int:
        hidden = make_mask(MaskSpec(kind, 0.5, 2), 28, 28).hidden
        return int((hidden[1:] != hidden[:-1]).sum() + (hidden[:, 1:] != hidden[:, :-1]).sum())

    assert edges("blob") < edges("random") / 2


def test_centre_and_border_are_opposites() -> None:
    centre, border = (make_mask(MaskSpec(kind, 0.5), 14, 14).hidden for kind in ("centre", "border"))
    assert centre[5:9, 5:9].all() and not centre[0].any()
    assert border[0].all() and not border[5:9, 5:9].any()


def test_the_grid_reports_its_ratio() -> None:
    assert make_mask(MaskSpec("grid", 0.7), 14, 14).ratio == 0.75
    assert make_mask(MaskSpec("grid", 0.2), 14, 14).ratio == 0.25
    assert make_mask(MaskSpec("grid", size=7), 14, 14).ratio == 1 - 4 / 196


def test_a_painted_mask_is_scaled_to_a_finer_grid() -> None:
    spec = MaskSpec("cells", cells=(0, 5), painted_on=(4, 4))
    assert (make_mask(spec, 8, 8).hidden == make_mask(spec, 4, 4).pixels(2)).all()
    assert make_mask(spec, 8, 8).ratio == make_mask(spec, 4, 4).ratio == 2 / 16


def test_a_mask_knows_its_visible_cells_and_its_pixels() -> None:
    mask = make_mask(MaskSpec("cells", cells=(0, 4)), 2, 3)
    assert mask.keep.tolist() == [1, 2, 3, 5] and mask.keep.dtype == np.int64
    assert (
        mask.pixels(16).shape == (32, 48)
        and mask.pixels(16)[:16, :16].all()
        and mask.pixels(16).mean() == 2 / 6
    )
    with pytest.raises(ValueError):
        mask.hidden[0, 0] = False


def test_unused_fields_do_not_make_a_different_spec() -> None:
    assert MaskSpec("centre", 0.5, seed=9) == MaskSpec("centre", 0.5, seed=0)
    assert MaskSpec("cells", cells=(3, 1, 3)) == MaskSpec("cells", 0.1, cells=(1, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": 1.5},
        {"ratio": -0.1},
        {"ratio": float("nan")},
        {"ratio": "half"},
        {"kind": "fog"},
        {"seed": -1},
        {"seed": 0.5},
        {"seed": 2**32},
        {"kind": "block", "size": -2},
        {"kind": "block", "size": 65},
        {"kind": "cells", "cells": (16,), "painted_on": (4, 4)},
        {"kind": "cells", "cells": (-1,)},
        {"kind": "cells", "painted_on": (0, 4)},
        {"kind": "cells", "painted_on": (4, 65)},
    ],
)
def test_a_wrong_spec_is_refused_in_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(ExplorerError, match=r"^[A-Z].{30,}\.$"):
        MaskSpec(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("grid", [(0, 4), (65, 4), (4, -1)])
def test_a_wrong_grid_is_refused(grid: tuple[int, int]) -> None:
    with pytest.raises(ExplorerError, match="whole number from 1 to 64"):
        make_mask(MaskSpec(), *grid)


def test_a_listed_cell_outside_the_grid_is_refused() -> None:
    with pytest.raises(ExplorerError, match="outside the grid of 2 x 2"):
        make_mask(MaskSpec("cells", cells=(4,)), 2, 2)


BROKEN = [
    "",
    "random-",
    "random-75-s",
    "random-101",
    "cells",
    "cells-4x4-AA",
    "cells-4x4-____",
    "fog-50",
    "not-",
    "cells-0x4-",
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_text_is_refused(text: str) -> None:
    with pytest.raises(ExplorerError):
        mask_from_text(text)
