"""Masks: which patches are hidden from a network. The same spec gives the same mask on every machine.

Every network takes its mask as an argument; none draws its own. Each kind of mask is one function and one
entry in `KINDS`. Kinds with an exact ratio rank the cells and hide the first `round(rows * cols * ratio)` of
them, so with the same seed a higher ratio hides the same cells and more (the single block is the one
exception). Random numbers come from the raw PCG64 stream, which NumPy guarantees to keep (the methods of
`Generator` may change between releases); cells are ranked with stable sorts and integer arithmetic.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .errors import ExplorerError
from .shown import Shown

BoolGrid = NDArray[np.bool_]
IntGrid = NDArray[np.int64]

MAX_SIDE = 64
MAX_SEED = 2**32 - 1
_INVERSE = "not-"


class MaskError(ExplorerError):
    """An invalid mask; the message says what to change."""


@dataclass(frozen=True)
class MaskSpec:
    """Describe which cells of a patch grid to hide.

    Fields that the kind does not use are reset to their defaults.

    kind: a name in `KINDS`. ratio: share of cells to hide, 0..1, rounded to four decimals. seed: 0 or more.
    size: in cells, 0 for automatic; `KINDS[kind].size` says what it measures. cells: row-major positions, for
    kind "cells"; painted_on: (rows, cols) of the grid that they refer to, so that a painted mask can be
    scaled to other grids. invert: swap hidden and visible cells. Raises MaskError.
    """

    kind: str = "random"
    ratio: float = 0.75
    seed: int = 0
    size: int = 0
    cells: tuple[int, ...] = ()
    painted_on: tuple[int, int] | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise MaskError(f"There is no mask kind {self.kind!r:.40}: choose one of {', '.join(KINDS)}.")
        uses = KINDS[self.kind].uses
        values = {
            "ratio": _checked_ratio(self.ratio) if "ratio" in uses else 0.75,
            "seed": _checked_int("seed", self.seed, 0, MAX_SEED) if "seed" in uses else 0,
            "size": _checked_int("size", self.size, 0, MAX_SIDE) if "size" in uses else 0,
            "painted_on": self.painted_on if "cells" in uses else None,
            "cells": _checked_cells(self.cells, self.painted_on) if "cells" in uses else (),
            "invert": bool(self.invert),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Mask(Shown):
    """A mask as a read-only bool array (rows, cols), True where a cell is hidden from the network."""

    hidden: BoolGrid

    def __post_init__(self) -> None:
        hidden = np.array(self.hidden, dtype=np.bool_)
        hidden.setflags(write=False)
        object.__setattr__(self, "hidden", hidden)

    @property
    def keep(self) -> IntGrid:
        """Positions of the visible cells, row-major and ascending, int64 (k,)."""
        return np.flatnonzero(~self.hidden).astype(np.int64)

    @property
    def ratio(self) -> float:
        """The share of cells that this mask actually hides."""
        return float(self.hidden.mean())

    def pixels(self, patch_px: int) -> BoolGrid:
        """Return the mask at pixel size, (rows * patch_px, cols * patch_px)."""
        return self.hidden.repeat(patch_px, axis=0).repeat(patch_px, axis=1)


@dataclass(frozen=True)
class MaskKind:
    """One kind of mask, as pages, links and the command line offer it.

    label: its name in a menu. hides: what it hides, in words. uses: the fields of `MaskSpec` that it reads,
    of "ratio", "seed", "size" and "cells". exact: whether it hides exactly the share `ratio`. draw: returns
    the hidden cells, bool (rows, cols). size: what `MaskSpec.size` measures, in words, where it is used.
    """

    label: str
    hides: str
    uses: frozenset[str]
    exact: bool
    draw: Callable[[MaskSpec, int, int], BoolGrid]
    size: str = ""


def make_mask(spec: MaskSpec, rows: int, cols: int) -> Mask:
    """Draw the mask of a spec on a grid of 1 x 1 to 64 x 64 cells.

    Kinds marked `exact` hide round(rows * cols * ratio) cells; for the others, `Mask.ratio` is the share that
    they reached. Raises MaskError.
    """
    _checked_int("number of rows", rows, 1, MAX_SIDE)
    _checked_int("number of columns", cols, 1, MAX_SIDE)
    hidden = KINDS[spec.kind].draw(spec, rows, cols)
    return Mask(~hidden if spec.invert else hidden)


# --- kinds of masks ----------------------------------------------------------------------


def _first(order: NDArray[np.generic], ratio: float) -> BoolGrid:
    """Hide the exact share of cells with the lowest `order`; ties are broken in row-major order."""
    hidden = np.zeros(order.size, np.bool_)
    hidden[np.argsort(order, axis=None, kind="stable")[: round(order.size * ratio)]] = True
    return hidden.reshape(order.shape)


def _noise(seed: int, rows: int, cols: int) -> IntGrid:
    """Independent integers in 0 .. 2**32 - 1 from the raw stream of `seed`."""
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(rows * cols)
    return (raw >> np.uint64(32)).astype(np.int64).reshape(rows, cols)


def _random(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    return _first(_noise(spec.seed, rows, cols), spec.ratio)


def _block(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    if spec.size == 0:
        return _one_block(spec, rows, cols)
    high, wide = min(spec.size, rows), min(spec.size, cols)
    # Placements are tried in random order; a cell is hidden by the first block that covers it.
    placed = np.argsort(
        np.argsort(_noise(spec.seed, rows - high + 1, cols - wide + 1), axis=None, kind="stable")
    )
    placed = placed.reshape(rows - high + 1, cols - wide + 1)
    edge = ((high - 1, high - 1), (wide - 1, wide - 1))
    covering = sliding_window_view(np.pad(placed, edge, constant_values=rows * cols), (high, wide))
    return _first(covering.min(axis=(2, 3)), spec.ratio)


def _one_block(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    """One rectangle shaped like the grid, at a random place; its last row is cut to the exact count."""
    count = round(rows * cols * spec.ratio)
    wide = min(cols, -(-count // max(1, round(math.sqrt(count * rows / cols)))))
    high = -(-count // wide) if wide else 0
    places = _noise(spec.seed, 1, 2)[0]
    top, left = int(places[0]) % (rows - high + 1), int(places[1]) % (cols - wide + 1)
    order = np.ones((rows, cols), np.int64)
    order[top : top + high, left : left + wide] = 0
    return _first(order, spec.ratio)


def _grid(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    """A lattice of single visible cells, or of hidden ones where that comes closer to a low ratio."""
    candidates = [spec.size] if spec.size else list(range(1, max(rows, cols) + 1))
    r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
    lattices = [((r % step) + (c % step)) == 0 for step in candidates]
    options = [~lattice for lattice in lattices] + ([] if spec.size else lattices)
    return min(options, key=lambda hidden: abs(int(hidden.sum()) - spec.ratio * hidden.size))


def _checkerboard(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    side = spec.size or 1
    return (np.arange(rows)[:, None] // side + np.arange(cols)[None, :] // side) % 2 == 1


def _stripes(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    """Tilted gaps that widen to the sides, as in Landsat 7 scenes since its scan line corrector failed."""
    # In sevenths of a cell: the tilt is one in seven, about 8 degrees.
    period = 7 * (spec.size or max(3, rows // 4))
    shift = int(_noise(spec.seed, 1, 1)[0, 0]) % period
    phase = (7 * np.arange(rows)[:, None] + np.arange(cols)[None, :] + shift) % period
    off_centre = np.abs(2 * phase - period)
    to_side = np.abs(2 * np.arange(cols) + 1 - cols)[None, :]
    return _first(off_centre / (cols + 4 * to_side), spec.ratio)


def _blob(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    """Clouds: smooth integer noise (three box filters, close to a Gaussian), cut at the exact ratio."""
    radius = max(1, (spec.size or max(4, min(rows, cols) // 3)) // 4)
    # 20 bits each, so that the sums below fit in 63.
    field = _noise(spec.seed, rows + 6 * radius, cols + 6 * radius) >> 12
    for _ in range(3):
        field = sliding_window_view(field, 2 * radius + 1, axis=0).sum(axis=-1)
        field = sliding_window_view(field, 2 * radius + 1, axis=1).sum(axis=-1)
    return _first(-field, spec.ratio)


def _rings(rows: int, cols: int) -> IntGrid:
    """Rank cells from the centre outwards, in rectangular rings shaped like the grid.

    Corners of a ring come last.
    """
    down = np.abs(2 * np.arange(rows) + 1 - rows)[:, None] * cols
    across = np.abs(2 * np.arange(cols) + 1 - cols)[None, :] * rows
    return np.maximum(down, across) * (8 * MAX_SIDE**4) + down**2 + across**2


def _centre(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    return _first(_rings(rows, cols), spec.ratio)


def _border(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    return _first(-_rings(rows, cols), spec.ratio)


def _cells(spec: MaskSpec, rows: int, cols: int) -> BoolGrid:
    painted_rows, painted_cols = spec.painted_on or (rows, cols)
    outside = [cell for cell in spec.cells if cell >= painted_rows * painted_cols]
    if outside:
        raise MaskError(
            f"Cell {outside[0]} is outside the grid of {rows} x {cols}: "
            f"list positions from 0 to {rows * cols - 1}."
        )
    painted = np.zeros(painted_rows * painted_cols, np.bool_)
    painted[list(spec.cells)] = True
    r = (2 * np.arange(rows) + 1) * painted_rows // (2 * rows)
    c = (2 * np.arange(cols) + 1) * painted_cols // (2 * cols)
    return painted.reshape(painted_rows, painted_cols)[r[:, None], c[None, :]]


_RATIO, _SEEDED = frozenset({"ratio", "size"}), frozenset({"ratio", "seed"})
KINDS: dict[str, MaskKind] = {
    "random": MaskKind("Random patches", "patches chosen at random, as in MAE", _SEEDED, True, _random),
    "block": MaskKind(
        "Block",
        "one rectangle, or several squares",
        _SEEDED | {"size"},
        True,
        _block,
        "side of each square; 0: one rectangle",
    ),
    "grid": MaskKind(
        "Grid",
        "everything but a regular lattice of patches",
        _RATIO,
        False,
        _grid,
        "spacing of the lattice; 0: closest to the mask ratio",
    ),
    "checkerboard": MaskKind(
        "Checkerboard",
        "every other square",
        frozenset({"size"}),
        False,
        _checkerboard,
        "side of a square; 0: one patch",
    ),
    "stripes": MaskKind(
        "Stripes",
        "slanted gaps, as in Landsat 7 scenes since 2003",
        _SEEDED | {"size"},
        True,
        _stripes,
        "distance between gaps; 0: a quarter of the height",
    ),
    "blob": MaskKind(
        "Cloud",
        "smooth shapes, like clouds",
        _SEEDED | {"size"},
        True,
        _blob,
        "width of a cloud; 0: a third of the side",
    ),
    "centre": MaskKind("Centre", "the middle", frozenset({"ratio"}), True, _centre),
    "border": MaskKind("Border", "the edge", frozenset({"ratio"}), True, _border),
    "cells": MaskKind(
        "Paint your own", "the patches that you paint or list", frozenset({"cells"}), False, _cells
    ),
}
"""Every kind of mask by its name in links, recipes and the command line: lower-case letters only."""


# --- validation --------------------------------------------------------------------------


def _checked_ratio(ratio: float) -> float:
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
        raise MaskError(f"The mask ratio must be a number from 0 to 1, such as 0.75; {ratio!r:.40} is not.")
    return round(float(ratio), 4)


def _checked_int(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise MaskError(
            f"The {name} of a mask must be a whole number from {low} to {high}; {value!r:.40} is not."
        )
    return int(value)


def _checked_cells(cells: tuple[int, ...], painted_on: tuple[int, int] | None) -> tuple[int, ...]:
    rows, cols = painted_on or (MAX_SIDE, MAX_SIDE)
    _checked_int("number of rows", rows, 1, MAX_SIDE)
    _checked_int("number of columns", cols, 1, MAX_SIDE)
    return tuple(sorted({_checked_int("cell", cell, 0, rows * cols - 1) for cell in cells}))


# --- text --------------------------------------------------------------------------------


def mask_to_text(spec: MaskSpec) -> str:
    """Write a spec as short URL-safe text.

    For example `random-75-s3`, `not-block-60-s0-z4`, `cells-14x14-<base64url bitmap>` or `cells-3.17`.
    """
    parts = [spec.kind]
    uses = KINDS[spec.kind].uses
    if "ratio" in uses:
        parts.append(f"{spec.ratio * 100:.2f}".rstrip("0").rstrip("."))
    if "seed" in uses:
        parts.append(f"s{spec.seed}")
    if spec.size:
        parts.append(f"z{spec.size}")
    if spec.painted_on:
        rows, cols = spec.painted_on
        bits = np.zeros(rows * cols, np.bool_)
        bits[list(spec.cells)] = True
        bitmap = base64.urlsafe_b64encode(np.packbits(bits).tobytes()).decode().rstrip("=")
        parts.append(f"{rows}x{cols}-{bitmap}")
    elif "cells" in uses:
        parts.append(".".join(str(cell) for cell in spec.cells))
    return (_INVERSE if spec.invert else "") + "-".join(parts)


_TEXT = re.compile(
    r"(?P<invert>not-)?(?P<kind>[a-z]+)(?:-(?P<percent>\d{1,3}(?:\.\d{1,2})?))?"
    r"(?:-s(?P<seed>\d{1,10}))?(?:-z(?P<size>\d{1,2}))?",
    re.ASCII,
)
_CELLS = re.compile(
    r"(?P<invert>not-)?cells-(?:(?P<rows>\d{1,2})x(?P<cols>\d{1,2})-(?P<bitmap>[\w-]{0,700})"
    r"|(?P<list>[\d.]{0,20000}))",
    re.ASCII,
)


def mask_from_text(text: str) -> MaskSpec:
    """Parse the text form of a mask; omitted parts take their defaults (`block` alone is valid).

    Raises MaskError.
    """
    if cells := _CELLS.fullmatch(text):
        return _cells_from_text(cells)
    match = _TEXT.fullmatch(text)
    if not match or match["kind"] == "cells":
        raise MaskError(
            f"{text!r:.60} is not a mask: write one like random-75-s3, not-centre-50 or cells-3.4.17."
        )
    kind = match["kind"]
    for part, field in (("percent", "ratio"), ("seed", "seed"), ("size", "size")):
        if match[part] and kind in KINDS and field not in KINDS[kind].uses:
            raise MaskError(f"A {kind} mask takes no {field}: remove {match[part]} from {text!r:.60}.")
    return MaskSpec(
        kind=kind,
        ratio=float(match["percent"] or 75) / 100,
        seed=int(match["seed"] or 0),
        size=int(match["size"] or 0),
        invert=bool(match["invert"]),
    )


def _cells_from_text(match: re.Match[str]) -> MaskSpec:
    invert = bool(match["invert"])
    if match["bitmap"] is None:
        listed = tuple(int(cell) for cell in match["list"].split(".") if cell)
        return MaskSpec("cells", cells=listed, invert=invert)
    rows = _checked_int("number of rows", int(match["rows"]), 1, MAX_SIDE)
    cols = _checked_int("number of columns", int(match["cols"]), 1, MAX_SIDE)
    try:
        packed = base64.urlsafe_b64decode(match["bitmap"] + "=" * (-len(match["bitmap"]) % 4))
    except binascii.Error:
        packed = b""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    if len(packed) != -(-rows * cols // 8) or bits[rows * cols :].any():
        raise MaskError(
            f"The painted mask does not fit its grid of {rows} x {cols} patches: "
            "paint it again or copy the whole link."
        )
    painted = tuple(np.flatnonzero(bits).tolist())
    return MaskSpec("cells", cells=painted, painted_on=(rows, cols), invert=invert)
