"""Lessons about embeddings: context, look-alikes on the globe, order by kNN, labels, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import atlas
from ...atlas.analysis.label import Marks, expected_calibration_error, fit
from ...atlas.search.neighbors import nearest
from ...atlas.store.table import EmbeddingTable, open_table
from ...engine.inputs import res_of
from ...engine.tokens import PatchSet, patch_vectors, transplant
from ...evaluation.protocols.knn import KnnSpec, weighted_knn
from ...evaluation.stats.intervals import accuracy_interval, compare
from ...geo.ground import great_circle_km
from ...judge import judge
from ...masking import MaskSpec
from ...units import metres
from ...viz.chart import Chart, Series
from ...viz.sheet import jpeg
from ..bench import REGIONS, Bench
from ..drawing import BLUE_MARBLE, guess_panel, image_panel, masked_panel, tile_panel
from ..spec import Answer, Finding

# --- 8. Context changes a patch ---

SCENES = ("ponds", "bay", "banks", "alps")
OTHERS = {"San Francisco Bay": "bay", "Bahama banks": "banks", "the Alps": "alps"}


def show_scenes(bench: Bench) -> Finding:
    """The home of the patch, and the three other scenes."""
    titles = {"ponds": "Salt ponds, Utah: home", **{name: title for title, name in OTHERS.items()}}
    return Finding(
        pictures=tuple(
            image_panel(bench.fed(name), name, title[0].upper() + title[1:], metres(bench.gsd_m(name)))
            for name, title in titles.items()
        )
    )


def measure_context(bench: Bench, row: float = 7.0, column: float = 7.0) -> Finding:
    """Paste one patch of the ponds into three other tiles: cosine of its vector at home and there."""
    images = np.stack([bench.fed(name) for name in SCENES])
    side = images.shape[-1]
    res = np.array(
        [res_of(bench.card, bench.policy, bench.gsd_m(n), side, bench.tile(n).native_gsd_m) for n in SCENES],
        np.float32,
    )
    seen = PatchSet(images, res, patch_vectors(bench.network, images, res))
    cell = (min(int(row), bench.grid) - 1, min(int(column), bench.grid) - 1)
    moved = transplant(bench.network, seen, cell)
    pictures = (
        image_panel(images[0], "home", "Home of the patch", "Salt ponds, Utah"),
        *(
            image_panel(moved.pictures[n], f"in-{name}", f"In {title}", f"cosine {moved.pasted[n]:.2f}")
            for n, (title, name) in enumerate(OTHERS.items())
        ),
    )
    numbers = {"pasted": float(moved.pasted.mean()), "before": float(moved.before.mean())}
    return Finding(numbers, pictures=pictures)


def conclude_context(found: Finding) -> Answer:
    """The mean cosine of the pasted patch."""
    n = found.numbers
    says = (
        f"The pixels are the same, and the cosine with the vector at home is {n['pasted']:.2f} on average. "
        "What stood "
        f"there before had {n['before']:.2f}."
    )
    return Answer(n["pasted"], says, n["before"] < n["pasted"] < 0.98)


# --- 9. From vector to globe ---

FAR_KM, TOP, WORLD_GSD_M = 2_000.0, 100, 15_000.0


WORLD = Path(atlas.__file__).with_name("world")
"""The table of embeddings that comes with the program."""


def middle(region: str) -> tuple[float, float]:
    """The middle of one of REGIONS: longitude, latitude."""
    west, south, east, north = REGIONS[region]
    return (west + east) / 2, (south + north) / 2


OTHER_REGIONS = ("Amazon basin", *(name for name in REGIONS if name not in ("Sahara", "Amazon basin")))
"""Where a learner may start: not in the Sahara, which the question is about, and in a forest first."""


def show_region(bench: Bench, region: str = "Sahara") -> Finding:
    """Crops of a region."""
    crops = bench.regions()
    chosen = np.flatnonzero(crops.labels == crops.names.index(region))[:3]
    note = f"{metres(crops.gsd_m)} per pixel"
    return Finding(
        pictures=tuple(
            image_panel(crops.images[n], f"{region} {n}", region, note, BLUE_MARBLE) for n in chosen
        )
    )


def measure_far(bench: Bench, region: str = "Sahara") -> Finding:
    """The 100 tiles most like the middle of a region, and which other regions they lie in."""
    table = bench.once("world", lambda: open_table(WORLD))
    among = np.isclose(table.columns["gsd_m"].to_numpy(), WORLD_GSD_M) & np.isfinite(table.lonlat).all(axis=1)
    away = great_circle_km(table.lonlat, middle(region))
    start = int(np.argmin(np.where(among, away, np.inf)))
    found = nearest(table, table.vectors_of([start])[0], TOP, exclude=(start,), among=among)
    far = found.rows[great_circle_km(table.lonlat[found.rows], table.lonlat[start]) > FAR_KM]
    numbers = {name: float(_inside(table.lonlat[far], name).sum()) for name in REGIONS if name != region}
    chart = Chart(
        "longitude",
        "latitude",
        (
            Series("far look-alikes", *_columns(table.lonlat[far])),
            Series("the place itself", *_columns(table.lonlat[[start]])),
        ),
        f"Map of the {TOP} tiles most like the middle of {region}, those farther than {FAR_KM:,.0f} km.",
        kind="points",
        earth=bench.once("small earth", lambda: small_earth(bench)),
    )
    return Finding({**numbers, "far": float(len(far))}, chart=chart)


def small_earth(bench: Bench) -> bytes:
    """The Blue Marble as a JPEG of 1080 x 540 pixels."""
    earth = np.ascontiguousarray(np.moveaxis(bench.blue_marble(), 0, -1))
    small = np.asarray(cv2.resize(earth, (1080, 540), interpolation=cv2.INTER_AREA), np.uint8)
    return jpeg(small, 85)


def _columns(lonlat: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(lonlat[:, 1].tolist()), tuple(lonlat[:, 0].tolist())


def _inside(lonlat: NDArray[np.float64], region: str, margin: float = 6.0) -> NDArray[np.bool_]:
    west, south, east, north = REGIONS[region]
    lon, lat = lonlat.T
    return (lon > west - margin) & (lon < east + margin) & (lat > south - margin) & (lat < north + margin)


def conclude_far(found: Finding) -> Answer:
    """Where the far look-alikes are: longitudes and latitudes (n, 2)."""
    inside = {name: found.numbers[name] for name in REGIONS if found.numbers.get(name, 0) > 0}
    order = sorted(inside, key=lambda name: -inside[name])
    listed = ", ".join(f"{name} ({inside[name]:.0f})" for name in order) or "none of the regions on the list"
    says = (
        f"Of the {TOP} most similar tiles, {found.numbers['far']:.0f} are more than {FAR_KM:,.0f} km away. "
        f"Regions with such tiles: {listed}."
    )
    tiles = found.chart.series[0] if found.chart else None
    value = np.column_stack((tiles.x, tiles.y)).astype(float) if tiles else np.empty((0, 2))
    return Answer(value, says, found.numbers["far"] >= 5 and bool(order))


# --- 10. Reconstructing is not knowing, and 12. Is the difference real? ---

MODELS = ("mae_tiny", "scale_mae_tiny", "scale_contrast_tiny")
K = 5


def show_regions(bench: Bench) -> Finding:
    """One crop of eight of the regions."""
    crops = bench.regions()
    first = [int(np.flatnonzero(crops.labels == label)[0]) for label in range(8)]
    note = f"{metres(crops.gsd_m)} per pixel"
    return Finding(
        pictures=tuple(
            image_panel(crops.images[n], crops.names[label], crops.names[label], note, BLUE_MARBLE)
            for label, n in enumerate(first)
        )
    )


def knn_right(bench: Bench, model: str) -> NDArray[np.bool_]:
    """Which queries of the regions are classified correctly by the vectors of a model."""
    crops, own = bench.regions(), bench.other(model)
    vectors = own.vectors("regions", crops.images, crops.gsd_m)
    gallery, queries = vectors[~crops.queries], vectors[crops.queries]
    predicted = weighted_knn(gallery, crops.labels[~crops.queries], queries, KnnSpec(k=K))
    return predicted.labels == crops.labels[crops.queries]


def measure_order(bench: Bench) -> Finding:
    """kNN accuracy of three models on ten regions of the Earth, and the PSNR of those that reconstruct."""
    numbers = {f"kNN {name}": float(knn_right(bench, name).mean()) for name in MODELS}
    for name in MODELS:
        own = bench.other(name)
        if own.card.reconstructs:
            verdicts = [judge(own.reconstruct(tile, MaskSpec("random", ratio=0.75)), ()) for tile in SCENES]
            numbers[f"PSNR {name}"] = float(np.mean([v.model.psnr for v in verdicts]))
    return Finding(numbers, chart=knn_bars(numbers, MODELS, "kNN accuracy of three models."))


def try_network(bench: Bench, network: str = MODELS[0]) -> Finding:
    """What a network with a decoder makes of the ponds with half of them hidden."""
    made = bench.other(network).reconstruct("ponds", MaskSpec("random", ratio=0.5))
    return Finding(
        {"PSNR over hidden pixels in dB": judge(made, ()).model.psnr},
        pictures=(tile_panel(made), masked_panel(made), guess_panel(made)),
    )


def knn_bars(numbers: Mapping[str, float], names: tuple[str, ...], described: str) -> Chart:
    """The kNN accuracy of each network as bars, from `numbers` called `kNN NAME`."""
    shares = tuple(100 * numbers[f"kNN {name}"] for name in names)
    return Chart("network", "kNN accuracy, %", (Series("kNN", shares, names),), described, kind="bars")


def conclude_order(found: Finding) -> Answer:
    """The models by kNN accuracy, best first."""
    n = found.numbers
    order = tuple(sorted(MODELS, key=lambda name: -n[f"kNN {name}"]))
    psnr = {name: n[f"PSNR {name}"] for name in MODELS if f"PSNR {name}" in n}
    says = (
        "kNN accuracy: "
        + ", ".join(f"{name} {n[f'kNN {name}']:.0%}" for name in order)
        + ". PSNR at 75 % hidden: "
        + ", ".join(f"{name} {value:.2f} dB" for name, value in psnr.items())
        + ". A model without a decoder has none."
    )
    return Answer(order, says, order[0] != max(psnr, key=lambda name: psnr[name]))


def measure_difference(bench: Bench, images: float = 80.0) -> Finding:
    """kNN accuracy of two models on the same queries: paired interval, and each model's own."""
    right = {name: knn_right(bench, name) for name in MODELS[:2]}
    count = min(int(images), len(right[MODELS[0]]))
    chosen = np.random.default_rng(0).permutation(len(right[MODELS[0]]))[:count]
    a, b = (right[name][chosen] for name in MODELS[:2])
    own = {name: accuracy_interval(values) for name, values in zip(MODELS, (a, b), strict=False)}
    paired = compare(a, b).difference
    apart = math.hypot(*((interval.high - interval.low) / 2 for interval in own.values()))
    numbers = {
        "difference": paired.mean,
        "low": paired.low,
        "high": paired.high,
        "unpaired half width": apart,
        "images": float(count),
        **{name: interval.mean for name, interval in own.items()},
    }
    return Finding(numbers)


def conclude_difference(found: Finding) -> Answer:
    """Which model is better, or that it cannot be told."""
    n, (a, b) = found.numbers, MODELS[:2]
    value = f"{b} is better" if n["low"] > 0 else f"{a} is better" if n["high"] < 0 else "it cannot be told"
    width = (n["high"] - n["low"]) / 2
    says = (
        f"On {n['images']:.0f} images: {a} {n[a]:.0%}, {b} {n[b]:.0%}. The difference is "
        f"{100 * n['difference']:+.1f} points with a 95 % interval from {100 * n['low']:+.1f} to "
        f"{100 * n['high']:+.1f}. Compared without pairing it would be ±{100 * n['unpaired half width']:.1f} "
        "points "
        f"instead of ±{100 * width:.1f}."
    )
    return Answer(value, says, width < n["unpaired half width"])


# --- 11. Ten marks make a map ---

COUNTS = (4, 6, 10, 16, 24, 40, 60)
GOOD = 0.05


def is_water(bench: Bench, table: EmbeddingTable, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether most of a square of 2 degrees about each row's place is water: dark blue on the Blue Marble."""
    red, green, blue = bench.blue_marble().astype(np.int16)
    sums = np.pad(((blue > red + 12) & (green < 60)).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    half, (high, wide) = 15, red.shape
    lon, lat = table.lonlat[rows].T
    col = np.clip(((lon + 180) * high / 180).astype(int), half, wide - half)
    row = np.clip(((90 - lat) * high / 180).astype(int), half, high - half)
    top, bottom, left, right = row - half, row + half, col - half, col + half
    water = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return water > (2 * half) ** 2 / 2


def marked(bench: Bench) -> tuple[EmbeddingTable, NDArray[np.int64], NDArray[np.bool_]]:
    """The table, its rows at one scale, and which of them show water."""
    table = bench.once("world", lambda: open_table(WORLD))
    rows = np.flatnonzero(np.isclose(table.columns["gsd_m"].to_numpy(), WORLD_GSD_M))
    return table, rows, bench.once("water", lambda: is_water(bench, table, rows))


def calibration_error(bench: Bench, count: int) -> float:
    """Calibration error of a map learned from `count` marks, half of them water; mean of three draws."""
    table, rows, truth = marked(bench)
    errors: list[float] = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        yes, no = (rng.choice(rows[truth == word], count // 2, replace=False) for word in (True, False))
        labeller = fit(table, Marks(tuple(yes.tolist()), tuple(no.tolist())))
        errors.append(expected_calibration_error(labeller.scores(table)[rows], truth))
    return float(np.mean(errors))


def show_marks(bench: Bench) -> Finding:
    """Three regions of land and one of water."""
    crops = bench.regions()
    names = ("North Pacific", "Amazon basin", "Sahara", "Siberia")
    first = {name: int(np.flatnonzero(crops.labels == crops.names.index(name))[0]) for name in names}
    note = f"{metres(crops.gsd_m)} per pixel"
    return Finding(
        pictures=tuple(
            image_panel(crops.images[n], name, name, note, BLUE_MARBLE) for name, n in first.items()
        )
    )


def try_marks(bench: Bench, count: str = "4") -> Finding:
    """The calibration error after so many marks."""
    _, rows, truth = marked(bench)
    error = calibration_error(bench, int(count))
    return Finding(
        {
            f"calibration error after {count} marks": error,
            "tiles": float(len(rows)),
            "share of water": truth.mean(),
        }
    )


def measure_marks(bench: Bench) -> Finding:
    """Calibration error of a map of water, learned from more and more marked tiles."""
    errors = {count: calibration_error(bench, count) for count in COUNTS}
    chart = Chart(
        "marks",
        "calibration error",
        (Series("calibration error", tuple(errors.values()), COUNTS),),
        "The calibration error by the number of marked tiles.",
        log_x=True,
    )
    return Finding({f"error after {count}": error for count, error in errors.items()}, chart=chart)


def conclude_marks(found: Finding) -> Answer:
    """The number of marks from which the calibration error is below GOOD."""
    errors = {count: found.numbers[f"error after {count}"] for count in COUNTS}
    enough = next((count for count in COUNTS if errors[count] < GOOD), COUNTS[-1])
    says = (
        f"The calibration error is {errors[4]:.2f} after 4 marks, {errors[10]:.2f} after 10 and "
        f"{errors[60]:.2f} after 60. It is below {GOOD} with {enough} marks or more."
    )
    return Answer(float(enough), says, errors[COUNTS[-1]] < errors[COUNTS[0]] and errors[enough] < GOOD)
