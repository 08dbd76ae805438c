"""Results of the engine: arrays with their place and the recipe that made them. NumPy only, without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geo.tile import Affine6, Footprint
from ..policy import policy_from_text, res_text
from ..shown import Shown
from ..units import metres

Picture = NDArray[np.float32]
Grid = NDArray[np.bool_]
ON_FILL = "visible_harmonic"
CENTRES = {
    "visible_mean": "relative to the mean of the visible pixels",
    ON_FILL: "relative to the harmonic fill of the visible pixels",
}
"""What the output of a network is relative to (its `centre`), as text; `dataset` needs none."""


@dataclass(frozen=True)
class ReconstructionRecipe:
    """Everything that determined a reconstruction, in plain values: enough to repeat and to caption it.

    `weights` is the SHA-256 of the weights file, None for an untrained network. `mask` is the spec as text,
    `hidden` the hidden cells as text. `target` describes what the prediction is compared with, `bands_from`
    whether low and high come from two heads or a filter. `centre` is what the output is relative to:
    "dataset", "visible_mean" or "visible_harmonic". `warnings` are whole sentences.
    """

    model: str
    family: str
    weights: str | None
    source: str
    key: str
    credit: str
    bands: tuple[str, str, str]
    value_range: tuple[tuple[float, float], ...]
    gsd_m: tuple[float, float]
    native_gsd_m: float
    input_px: int
    patch_px: int
    policy: str
    res: float
    mask: str
    hidden: str
    hidden_cells: int
    grid: tuple[int, int]
    invalid_px: int
    resampling: str
    target: str
    bands_from: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    precision: str
    versions: dict[str, str]
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    centre: str = "dataset"

    @property
    def gsd(self) -> float:
        """The scalar GSD in metres of a pixel as fed."""
        return (self.gsd_m[0] * self.gsd_m[1]) ** 0.5

    @property
    def res_text(self) -> str:
        """`res` as captions show it."""
        policy = policy_from_text(self.policy)
        return res_text(policy, self.res, gsd_m=self.gsd, native_gsd_m=self.native_gsd_m)

    @property
    def hidden_share(self) -> float:
        """The share of patches that the network did not see."""
        return self.hidden_cells / (self.grid[0] * self.grid[1])

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {**asdict(self), "gsd": self.gsd, "hidden_share": self.hidden_share}

    @property
    def ground(self) -> str:
        """The GSD as fed as text: 0.3 m, 4.23 km."""
        return metres(self.gsd)

    def caption(self) -> str:
        """One line under a picture: model, weights, scale, mask."""
        weights = self.weights[:8] if self.weights else "untrained"
        centre = f" · {CENTRES[self.centre]}" if self.centre in CENTRES else ""
        return (
            f"{self.model} ({weights}) · {self.ground}/px, res {self.res_text} ({self.policy}) · "
            f"{self.mask if len(self.mask) < 40 else self.mask[:37] + '...'}: "
            f"{self.hidden_cells} of {self.grid[0] * self.grid[1]} "
            f"patches hidden · {self.input_px} px{centre}"
        )


@dataclass(frozen=True, eq=False)
class Reconstruction(Shown):
    """A reconstruction with its ground truth; the side of the input is s px, of the output t (s or 2s).

    `input` (3, s, s) what was fed, 0..1; `low` (3, s, s) and `combined` (3, t, t) pictures in 0..1, not
    clipped; `high` (3, t, t) signed residual in the same unit; `pasted` (3, t, t) the combined picture with
    the true pixels where they were visible. `target` (3, t, t), `target_low`, `target_high` the truth in the
    same three forms. `hidden` (s, s) and `hidden_high` (t, t) are True where the network saw nothing;
    `valid`, `valid_high` False where the source has no data. `cells` (rows, cols) the mask itself. `fill` (3,
    t, t) is the harmonic fill of the visible pixels that the network worked on top of; None where it did not.
    """

    input: Picture
    low: Picture
    high: Picture
    combined: Picture
    pasted: Picture
    target: Picture
    target_low: Picture
    target_high: Picture
    hidden: Grid
    hidden_high: Grid
    valid: Grid
    valid_high: Grid
    cells: Grid
    recipe: ReconstructionRecipe
    footprint: Footprint | None = None
    crs: str | None = None
    transform: Affine6 | None = None
    fill: Picture | None = None

    @property
    def added(self) -> Picture | None:
        """What the network added to the fill: combined minus fill, signed, (3, t, t); None without a fill."""
        return None if self.fill is None else self.combined - self.fill

    @property
    def res(self) -> float:
        return self.recipe.res

    @property
    def gsd_m(self) -> tuple[float, float]:
        return self.recipe.gsd_m

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.recipe.warnings

    @property
    def error(self) -> NDArray[np.float32]:
        """Absolute error of the clipped combined picture, mean over bands, (t, t)."""
        return np.abs(np.clip(self.combined, 0, 1) - self.target).mean(axis=0)

    @property
    def scored(self) -> Grid:
        """Pixels that are scored: hidden and valid, (s, s)."""
        return self.hidden & self.valid

    @property
    def at_input(self) -> Picture:
        """The combined picture area-averaged to the input's size, (3, s, s), which is scored."""
        return shrink(self.combined, self.input.shape[-1])


def shrink(picture: Picture, side: int) -> Picture:
    """Area-average a picture (c, t, t) to (c, side, side), t a multiple of side."""
    times = picture.shape[-1] // side
    if times == 1:
        return picture
    return picture.reshape(len(picture), side, times, side, times).mean(axis=(2, 4), dtype=np.float32)


def enlarge(grid: NDArray[Any], side: int) -> NDArray[Any]:
    """Repeat the cells of (..., h, w) so that each side measures `side`, a multiple of h and w."""
    return grid.repeat(side // grid.shape[-2], axis=-2).repeat(side // grid.shape[-1], axis=-1)


@dataclass(frozen=True, eq=False)
class Spread:
    """Reconstructions under many masks, per pixel over the masks that hid it. t is the side of the output.

    `mean` (3, t, t), the truth where no mask hid the pixel; `deviation` (t, t), mean over bands, 0 there;
    `times` (rows, cols) how often each patch was hidden; `done` of `total` masks are included.
    """

    mean: Picture
    deviation: Picture
    times: NDArray[np.int64]
    done: int
    total: int


@dataclass(frozen=True, eq=False)
class RatioStep:
    """One step of a ratio series: a mask ratio and the reconstruction under that mask."""

    ratio: float
    reconstruction: Reconstruction


@dataclass(frozen=True, eq=False)
class Bands:
    """A picture (3, t, t) as the sum of `low`, of `blocks` blocks a side, and the signed `high`."""

    low: Picture
    high: Picture
    blocks: int
