"""Lessons about masks: which patch costs most, how little is enough, block or scatter, uncertainty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ...engine.results import Reconstruction
from ...judge import FILL_NAMES, judge
from ...masking import MaskSpec, mask_from_text
from ...studies import RATIOS, monte_carlo, ratio_series
from ...viz.chart import Chart, Series
from ...viz.pictures import Panel
from ..bench import Bench
from ..drawing import grid_panel, guess_panel, masked_panel, per_patch, squared_error, tile_panel
from ..spec import Answer, Finding

FIRST_MASK = MaskSpec("random", ratio=0.75, seed=0)
SHARES = RATIOS
SEEDS = (0, 1)


# --- 1. A picture is 14 x 14 words ---


def show_mask(bench: Bench) -> Finding:
    """The tile and the same tile with three quarters hidden."""
    made = bench.reconstruct("ponds", FIRST_MASK)
    return Finding(grid=np.where(made.cells, 0.0, np.nan), pictures=(tile_panel(made), masked_panel(made)))


def show_tile(bench: Bench) -> Finding:
    """The tile alone, with its grid of patches."""
    made = bench.reconstruct("ponds", FIRST_MASK)
    return Finding(grid=np.zeros(made.cells.shape), pictures=(tile_panel(made),))


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of two arrays of equal shape."""
    return float(np.corrcoef(rankdata(a.ravel()), rankdata(b.ravel()))[0, 1])


def cost_of(made: Reconstruction) -> NDArray[np.float64]:
    """Mean squared error of every hidden patch, NaN where visible: (rows, cols)."""
    return np.where(made.cells, per_patch(squared_error(made), made.cells.shape[0]), np.nan)


def cost_panels(made: Reconstruction) -> tuple[Panel, ...]:
    """The tile, what the network sees and predicts, and the error of each patch."""
    note = "brighter is worse; visible patches are black"
    error = grid_panel(cost_of(made), "cost", "Error of each hidden patch", note)
    return tile_panel(made), masked_panel(made), guess_panel(made), error


def try_patches(bench: Bench, mask: str = "random-75-s0") -> Finding:
    """The reconstruction under a painted mask."""
    made = bench.reconstruct("ponds", mask_from_text(mask))
    numbers = {"hidden patches": float(made.cells.sum())}
    if made.cells.any():
        cost = cost_of(made)
        numbers |= {
            "largest error relative to the median": float(np.nanmax(cost) / max(np.nanmedian(cost), 1e-12)),
            "PSNR over hidden pixels in dB": judge(made, ()).model.psnr,
        }
    return Finding(numbers, pictures=cost_panels(made))


def measure_patches(bench: Bench) -> Finding:
    """The squared error of every hidden patch, and how it goes with the contrast inside the patch."""
    made = bench.reconstruct("ponds", FIRST_MASK)
    cost = cost_of(made)
    grid = cost.shape[0]
    mean = per_patch(made.input.mean(axis=0), grid)
    contrast = np.sqrt(np.maximum(per_patch((made.input.mean(axis=0) ** 2), grid) - mean**2, 0))
    row, col = np.unravel_index(np.nanargmax(cost), cost.shape)
    numbers = {
        "row": float(row),
        "column": float(col),
        "worst": float(cost[row, col]),
        "median": float(np.nanmedian(cost)),
        "correlation": rank_correlation(cost[made.cells], contrast[made.cells]),
    }
    return Finding(numbers, cost, cost_panels(made))


def conclude_patches(found: Finding) -> Answer:
    """The patches by their error."""
    n = found.numbers
    assert found.grid is not None
    says = (
        f"The patch in row {n['row'] + 1:.0f}, column {n['column'] + 1:.0f} costs most, "
        f"{n['worst'] / n['median']:.0f} times the median patch. "
        f"Over all hidden patches, error and contrast have a rank correlation of {n['correlation']:.2f}."
    )
    return Answer(found.grid, says, n["correlation"] > 0.3 and n["worst"] > 2 * n["median"])


# --- 2. How little is enough ---


def show_half(bench: Bench) -> Finding:
    """The tile with half of it hidden."""
    made = bench.reconstruct("ponds", replace(FIRST_MASK, ratio=0.5))
    return Finding(pictures=(tile_panel(made), masked_panel(made)))


def by_share(bench: Bench) -> dict[int, Finding]:
    """The reconstruction at each of SHARES (in percent), with the PSNR of the network and of the best fill.

    All are computed at once and remembered, so that a class that moves the slider does not wait.
    """

    def compute() -> dict[int, Finding]:
        found: dict[int, Finding] = {}
        for step in ratio_series(bench.reconstructor, bench.tile("ponds"), FIRST_MASK, bench.policy):
            made, verdict = step.reconstruction, judge(step.reconstruction)
            numbers = {
                "PSNR of the network in dB": verdict.model.psnr,
                f"of the best fill ({FILL_NAMES[verdict.best_fill]})": verdict.fills[verdict.best_fill].psnr,
            }
            found[round(100 * step.ratio)] = Finding(
                numbers, pictures=(masked_panel(made), guess_panel(made))
            )
        return found

    return bench.once(("shares", bench.model), compute)


def try_share(bench: Bench, share: float = 55.0) -> Finding:
    """The reconstruction at the nearest of SHARES, with the PSNR of the network and of the best fill."""
    found = by_share(bench)
    return found[min(found, key=lambda percent: abs(percent - share))]


def measure_shares(bench: Bench) -> Finding:
    """PSNR of the network and of the best classical fill at ten hidden shares."""
    ours, best = zip(*(tuple(found.numbers.values()) for found in by_share(bench).values()), strict=True)
    lead = [a - b for a, b in zip(ours, best, strict=True)]
    numbers = {f"lead at {share:.0%}": value for share, value in zip(SHARES, lead, strict=True)}
    percent = tuple(100 * share for share in SHARES)
    chart = Chart(
        "hidden share, %",
        "PSNR over hidden pixels, dB",
        (Series("network", ours, percent), Series("best classical fill", best, percent)),
        "PSNR of the network and of the best classical fill falls as the hidden share grows.",
    )
    return Finding(numbers, chart=chart)


def conclude_shares(found: Finding) -> Answer:
    """The hidden share in percent from which the network is no better than the best fill; 100 for never."""
    lead = [found.numbers[f"lead at {share:.0%}"] for share in SHARES]
    best = int(np.argmax(lead))
    value = 100.0
    for n in range(best, len(SHARES) - 1):
        if lead[n + 1] < 0 <= lead[n]:
            value = 100 * (SHARES[n] + (SHARES[n + 1] - SHARES[n]) * lead[n] / (lead[n] - lead[n + 1]))
            break
    where = "at no share up to 95 %" if value == 100 else f"from about {value:.0f} % upwards"
    says = (
        f"The network leads the best classical fill most at {SHARES[best]:.0%} hidden, by {lead[best]:.2f} "
        "dB. "
        f"At 5 % its lead is {lead[0]:+.2f} dB, at 75 % {lead[7]:+.2f} dB, and at 95 % {lead[-1]:+.2f} dB. "
        f"It is no better than the fill {where}."
    )
    return Answer(value, says, lead[best] > 0 and lead[-1] < lead[best] / 2)


# --- 3. Block or scatter ---


def measure_shapes(bench: Bench, share: float = 50.0) -> Finding:
    """PSNR with one hidden block and with scattered hidden patches of the same share, mean of two masks."""
    masks = {
        kind: [MaskSpec(kind, ratio=share / 100, seed=seed) for seed in SEEDS] for kind in ("block", "random")
    }
    made = {kind: [bench.reconstruct("ponds", mask) for mask in of_kind] for kind, of_kind in masks.items()}
    psnr = {kind: float(np.mean([judge(one, ()).model.psnr for one in ones])) for kind, ones in made.items()}
    numbers = {"block": psnr["block"], "scattered": psnr["random"], "gap": psnr["random"] - psnr["block"]}
    return Finding(
        numbers,
        pictures=tuple(
            replace(panel, name=f"{panel.name}-{kind}", title=f"{panel.title}: {title}")
            for kind, title in (("block", "one block"), ("random", "scattered"))
            for panel in (masked_panel(made[kind][0]), guess_panel(made[kind][0]))
        ),
    )


def conclude_shapes(found: Finding) -> Answer:
    """By how many decibels the block is harder."""
    n = found.numbers
    says = (
        f"PSNR is {n['scattered']:.1f} dB with scattered patches and {n['block']:.1f} dB with one block: "
        f"a difference of {n['gap']:.1f} dB."
    )
    return Answer(n["gap"], says, n["gap"] > 0.5)


# --- 7. Honest uncertainty ---

MASKS = 16


def measure_spread(bench: Bench) -> Finding:
    """How much the predictions of each patch differ over 16 random masks, and how wrong their mean is."""
    *_, spread = monte_carlo(bench.reconstructor, bench.tile("ponds"), FIRST_MASK, bench.policy, count=MASKS)
    made = bench.reconstruct("ponds", FIRST_MASK)
    deviation = per_patch(spread.deviation, bench.grid)
    error = per_patch(np.abs(spread.mean - made.target).mean(axis=0), bench.grid)
    pictures = (
        tile_panel(made),
        grid_panel(
            deviation,
            "spread",
            "Where its predictions differ",
            f"over {MASKS} random masks, brighter is more",
        ),
        grid_panel(error, "error", "Where its mean is wrong", "absolute error, brighter is worse"),
    )
    rank = rank_correlation(deviation, error)
    return Finding({"correlation": rank, "masks": float(spread.done)}, deviation, pictures)


def conclude_spread(found: Finding) -> Answer:
    """The patches by how much their predictions differ."""
    assert found.grid is not None
    n = found.numbers
    says = (
        f"Over {n['masks']:.0f} masks, spread and error of the patches have a rank correlation of "
        f"{n['correlation']:.2f}."
    )
    return Answer(found.grid, says, n["correlation"] > 0.3)


def try_mask(bench: Bench, seed: float = 0.0) -> Finding:
    """The reconstruction under one of the random masks."""
    made = bench.reconstruct("ponds", replace(FIRST_MASK, seed=int(seed)))
    return Finding(
        {"PSNR of the network in dB": judge(made, ()).model.psnr},
        pictures=(masked_panel(made), guess_panel(made)),
    )
