"""Lessons about bands and scale: field edges, GSD as an input, a wrong GSD, what the band-pass decoder is
for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...engine.embed import embed
from ...engine.results import enlarge
from ...evaluation.protocols.knn import most_similar
from ...evaluation.stats.spectrum import radial_power
from ...masking import MaskSpec
from ...units import metres
from ...viz.chart import Chart, Series
from ..bench import Bench, Vectors
from ..drawing import band_panels, image_panel, masked_panel, tile_panel
from ..spec import Answer, Finding

HALF = MaskSpec("random", ratio=0.5, seed=0)
EDGE_SHARE = 0.1


def show_fields(bench: Bench) -> Finding:
    """The tile with fields."""
    return Finding(pictures=(tile_panel(bench.reconstruct("fields", HALF)),))


# --- 4. Two bands, two answers ---


def measure_bands(bench: Bench, share: float = 50.0) -> Finding:
    """How much of the strongest edges each predicted band carries, and the spectra of both."""
    made = bench.reconstruct("fields", replace(HALF, ratio=share / 100))
    share_high = edge_share(made.combined, made.high)
    low = enlarge(made.low, made.combined.shape[-1])
    spectra = {name: radial_power(band) for name, band in (("low", low), ("high", made.high))}
    chart = Chart(
        "cycles per image side",
        "share of the band's contrast",
        tuple(
            Series(f"{name} band", tuple((s.power / s.power.sum()).tolist()), tuple(s.cycles.tolist()))
            for name, s in spectra.items()
        ),
        "The low band holds coarse waves, the high band fine ones.",
        log_x=True,
    )
    numbers = {
        "edges in the low band": 1 - share_high,
        "edges in the high band": share_high,
        **{f"centre of the {name} band": centre(s.cycles, s.power) for name, s in spectra.items()},
    }
    return Finding(numbers, pictures=(tile_panel(made), masked_panel(made), *band_panels(made)), chart=chart)


def try_bands(bench: Bench, share: float = 50.0) -> Finding:
    """Both predicted bands and their spectra, without a word on edges."""
    found = measure_bands(bench, share)
    numbers = {
        f"cycles per image that halve the {name} band's contrast": found.numbers[f"centre of the {name} band"]
        for name in ("low", "high")
    }
    return replace(found, numbers=numbers)


def edge_share(picture: NDArray[np.float32], high: NDArray[np.float32]) -> float:
    """Which part of the steps at the strongest edges of a picture (3, s, s) comes from its high band."""
    steepness = gradient(picture)
    edges = steepness >= np.quantile(steepness, 1 - EDGE_SHARE)
    fine, smooth = gradient(high)[edges].mean(), gradient(picture - high)[edges].mean()
    return float(fine / max(fine + smooth, 1e-9))


def gradient(picture: NDArray[np.float32]) -> NDArray[np.float64]:
    """Length of the gradient of the channel mean, (s, s)."""
    down, across = np.gradient(picture.mean(axis=0).astype(np.float64))
    return np.hypot(down, across)


def centre(cycles: NDArray[np.int64], power: NDArray[np.float64]) -> float:
    """The frequency that halves the power: cycles per image side."""
    return float(cycles[np.searchsorted(np.cumsum(power), power.sum() / 2)])


def conclude_bands(found: Finding) -> Answer:
    """The band that carries more of the strongest edges."""
    n = found.numbers
    value = "the high band" if n["edges in the high band"] > 0.5 else "the low band"
    says = (
        f"At the strongest {EDGE_SHARE:.0%} of edges, {n['edges in the high band']:.0%} of the predicted "
        "steps come "
        f"from the high band. Half of the low band's contrast lies below {n['centre of the low band']:.0f} "
        "cycles per "
        f"image, half of the high band's above {n['centre of the high band']:.0f}."
    )
    holds = value == "the high band" and n["centre of the high band"] > n["centre of the low band"]
    return Answer(value, says, holds)


# --- 5. The metre is an input ---

GSDS_M = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)


def steps() -> tuple[str, ...]:
    """The steps between two GSDs, as options."""
    return tuple(f"{metres(a)} to {metres(b)}" for a, b in pairwise(GSDS_M))


def vectors_by_gsd(bench: Bench) -> Vectors:
    """The embedding of one image at every GSD of GSDS_M, the pixels unchanged: (n, d)."""
    image = bench.fed("fields")[None]
    return np.concatenate([embed(bench.network, image, gsd_m=gsd) for gsd in GSDS_M])


def measure_gsd(bench: Bench) -> Finding:
    """How much the embedding changes from each stated GSD to the next: 1 - cosine."""
    vectors = bench.once(("by gsd", bench.model), lambda: vectors_by_gsd(bench))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    change = 1 - (unit[:-1] * unit[1:]).sum(axis=1)
    numbers = {name: float(value) for name, value in zip(steps(), change, strict=True)}
    chart = Chart(
        "step of the stated GSD",
        "change of the embedding, 1 - cosine",
        (Series("change", tuple(change.tolist()), steps()),),
        "How much the embedding changes between neighbouring GSDs.",
        kind="bars",
    )
    return Finding(numbers, chart=chart)


def conclude_gsd(found: Finding) -> Answer:
    """The step at which the embedding changes most."""
    change = {name: found.numbers[name] for name in steps()}
    most = max(change, key=lambda name: change[name])
    middle = float(np.median(list(change.values())))
    if change[most] < 1e-6:
        return Answer(
            most, "The embedding is the same at every GSD: this network does not use the GSD.", False
        )
    says = (
        f"From {most} the embedding changes most: 1 - cosine is {change[most]:.3g}; "
        f"the median step changes it by {middle:.3g}."
    )
    return Answer(most, says, change[most] > 0.001)


def try_gsd(bench: Bench, gsd: str = "30 m") -> Finding:
    """The cosine between the embedding at one stated GSD and at the true one."""
    vectors = bench.once(("by gsd", bench.model), lambda: vectors_by_gsd(bench))
    truth = embed(bench.network, bench.fed("fields")[None], gsd_m=bench.gsd_m("fields"))[0]
    cosines = vectors @ truth / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(truth))
    at = [metres(value) for value in GSDS_M].index(gsd)
    chart = Chart(
        "stated GSD, m",
        "cosine with the true GSD's embedding",
        (Series("cosine", tuple(cosines.tolist()), GSDS_M),),
        "Cosine between the embedding at each stated GSD and at the true one.",
        log_x=True,
        mark=GSDS_M[at],
    )
    numbers = {f"cosine at {gsd}": float(cosines[at]), "true GSD in metres": bench.gsd_m("fields")}
    return Finding(numbers, chart=chart)


# --- 6. A wrong scale ---

WRONG = 10.0


def show_views(bench: Bench) -> Finding:
    """The place with the most contrast, and the moved and turned view of it."""
    here, moved = bench.places()
    shown = int(here.images.std(axis=(1, 2, 3)).argmax())
    return Finding(
        pictures=(
            image_panel(here.images[shown], "here", "A place", f"{metres(here.gsd_m)} per pixel"),
            image_panel(moved.images[shown], "moved", "A second view", "moved by 16 px, turned by 90°"),
        )
    )


def measure_wrong_scale(bench: Bench, factor: float = WRONG) -> Finding:
    """How often the nearest neighbour of a moved and turned crop is the same place: true and wrong GSD."""
    here, moved = bench.places()
    gallery = bench.vectors("places", here.images, here.gsd_m)
    found = {}
    for name, gsd_m in (("true", moved.gsd_m), ("wrong", moved.gsd_m / factor)):
        _, rows = most_similar(gallery, bench.vectors("moved places", moved.images, gsd_m), 1)
        found[name] = rows[:, 0] == moved.labels
    numbers = {name: float(right.mean()) for name, right in found.items()}
    chart = Chart(
        "stated GSD of the query",
        "same place found, %",
        (
            Series(
                "found",
                tuple(100 * value for value in numbers.values()),
                (f"true, {metres(moved.gsd_m)}", f"wrong, {metres(moved.gsd_m / factor)}"),
            ),
        ),
        "Share of crops whose nearest neighbour is the same place, with the true and with a wrong GSD.",
        kind="bars",
    )
    return Finding({**numbers, "places": float(len(here.labels)), "factor": factor}, chart=chart)


def conclude_wrong_scale(found: Finding) -> Answer:
    """Whether the neighbours get worse, by more than two percentage points."""
    n = found.numbers
    difference = n["wrong"] - n["true"]
    value = "better" if difference > 0.02 else "worse" if difference < -0.02 else "about the same"
    says = (
        f"With the true GSD the nearest neighbour is the same place for {n['true']:.0%} of {n['places']:.0f} "
        "crops; "
        f"with a GSD wrong by a factor of {n['factor']:.0f} for {n['wrong']:.0%}."
    )
    return Answer(value, says, value == "worse")


# --- 15. What the band-pass decoder is for ---


def measure_band_share(bench: Bench) -> Finding:
    """How much of a tile's variance and of its edges lies in the high band, and how well that is
    predicted."""
    made = bench.reconstruct("fields", HALF)
    whole, high = float(made.target.var(axis=(1, 2)).mean()), float(made.target_high.var(axis=(1, 2)).mean())
    hidden = made.hidden_high
    guess, truth = made.high[:, hidden], made.target_high[:, hidden]
    numbers = {
        "share": high / whole,
        "edges": edge_share(made.target, made.target_high),
        "correlation": float(np.corrcoef(guess.ravel(), truth.ravel())[0, 1]),
    }
    return Finding(numbers, pictures=(tile_panel(made), *band_panels(made)))


def conclude_band_share(found: Finding) -> Answer:
    """The high band's share of the variance in percent."""
    n = found.numbers
    says = (
        f"The high band holds {n['share']:.0%} of this image's variance, but {n['edges']:.0%} of its "
        "strongest edges. "
        "Over hidden pixels, the network's high band and the true one have a correlation of "
        f"{n['correlation']:.2f}."
    )
    return Answer(100 * n["share"], says, n["edges"] > n["share"] + 0.2 and n["correlation"] > 0)
