"""How well change is found between two dates: cosine distance of embeddings compared with pixels and colours.

    python benchmarks/change.py --oscd FOLDER [--tile-px 32] [--share 0.05] [--model NAME]
    python benchmarks/change.py [--tile-px 128] [--share 0.25] [--model NAME]

With --oscd, the change is labelled: Sentinel-2 pairs of cities with a map of new buildings and roads. FOLDER
is the unpacked Onera Satellite Change Detection dataset (https://rcdaudt.github.io/oscd; its labels are CC
BY-NC-SA, so no data pack holds them): "* - Images/CITY/pair/img1.png" and "img2.png", and "* -
Labels/CITY/cm/cm.png". A tile has changed if at least `share` of it is labelled. The images, without labels,
are also in overhead_mix.zip, from which the bundled networks learnt: all cities but Mumbai and Rennes.

Without it, pairs come from overhead_mix.zip and the change is synthetic: into the later tile of every second
pair, a square that covers `share` of it is pasted from another city. All real differences of the pairs
(season, light, sensor processing, and building between the dates) then count as "no change".

"beyond the season" is the score of `core change --season` for each city. "mean of the scene removed" does for
pixels what it does for vectors, as far as colours go: each city's mean difference is subtracted.
Intervals come from resampling cities. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from _quiet import load_or_leave  # noqa: F401 (puts this checkout first)
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from core.atlas.analysis.change import Season
from core.evaluation.baselines.colours import colour_histogram

PACK = Path(__file__).resolve().parents[2] / "shared" / "data" / "overhead_mix.zip"
DRAWS, GSD_M, NEAR_DEG = 1_000, 10.0, 0.002
PIXELS = "pixel difference"


def pairs(pack: Path, tile_px: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
    """Return tiles of both dates (n, s, s, 3) and the city (n,) of each."""
    with zipfile.ZipFile(pack) as archive:
        index = pd.read_csv(io.BytesIO(archive.read("index.csv")))
        index = index[index.source_id.str.startswith("oscd_")].reset_index(drop=True)
        later = index.source.str.contains("/imgs_2/")
        before, after, city = [], [], []
        for number, (_, group) in enumerate(index.groupby("source_id")):
            for one in group[~later[group.index]].itertuples():
                others = group[later[group.index]]
                away = np.hypot(others.lat - one.lat, others.lon - one.lon)
                if not len(away) or away.min() > NEAR_DEG:
                    continue
                first = _picture(archive, one.file)
                second = _picture(archive, others.file[away.idxmin()]).resize(
                    first.size, Image.Resampling.BILINEAR
                )
                for left in range(0, first.width - tile_px + 1, tile_px):
                    for top in range(0, first.height - tile_px + 1, tile_px):
                        box = (left, top, left + tile_px, top + tile_px)
                        before.append(np.asarray(first.crop(box)))
                        after.append(np.asarray(second.crop(box)))
                        city.append(number)
    return np.stack(before), np.stack(after), np.array(city)


def labelled_pairs(
    folder: Path, tile_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]:
    """Return tiles of both dates (n, s, s, 3), the city (n,) and the labelled share (n,) of each."""
    found = sorted(folder.glob("*Labels/*/cm/cm.png"))
    if not found:
        sys.exit(f"{folder} holds no '* - Train Labels/CITY/cm/cm.png': unpack the OSCD dataset there.")
    before, after, city, share = [], [], [], []
    for number, file in enumerate(found):
        pair = next(folder.glob(f"*Images/{file.parts[-3]}/pair"))
        first, second = (np.asarray(Image.open(pair / f"img{at}.png").convert("RGB")) for at in (1, 2))
        label = np.asarray(Image.open(file).convert("L")) > 127
        for top in range(0, first.shape[0] - tile_px + 1, tile_px):
            for left in range(0, first.shape[1] - tile_px + 1, tile_px):
                window = np.s_[top : top + tile_px, left : left + tile_px]
                before.append(first[window])
                after.append(second[window])
                city.append(number)
                share.append(label[window].mean())
    return np.stack(before), np.stack(after), np.array(city), np.array(share)


def _picture(archive: zipfile.ZipFile, name: str) -> Image.Image:
    return Image.open(io.BytesIO(archive.read(name))).convert("RGB")


def pasted(
    after: NDArray[np.uint8], city: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the later tiles with a square from another city in every second one, and which these are."""
    generator = np.random.default_rng(seed)
    changed = np.zeros(len(after), bool)
    changed[generator.permutation(len(after))[: len(after) // 2]] = True
    side = after.shape[1]
    width = round(side * share**0.5)
    result = after.copy()
    for at in np.flatnonzero(changed):
        other = generator.choice(np.flatnonzero(city != city[at]))
        (top, left), (up, west) = generator.integers(0, side - width + 1, (2, 2))
        result[at, top : top + width, left : left + width] = after[
            other, up : up + width, west : west + width
        ]
    return result, changed


def methods(
    before: NDArray[np.uint8], after: NDArray[np.uint8], city: NDArray[np.int64], model: str | None
) -> dict[str, NDArray[np.float64]]:
    """Return a score (n,) of change for each method."""
    from core.engine.embed import embed
    from core.engine.loaded import load
    from core.models.registry import default_embedder

    name = model or default_embedder()
    network = load(name)
    one, two = (
        embed(network, np.ascontiguousarray(tiles.transpose(0, 3, 1, 2)), gsd_m=GSD_M)
        for tiles in (before, after)
    )
    one, two = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (one, two))
    a, b = before / 255.0, after / 255.0
    return {
        f"cosine distance ({name})": _cosine(one, two),
        f"beyond the season ({name})": _beyond_season(two - one, city),
        PIXELS: np.abs(a - b).mean(axis=(1, 2, 3)),
        "pixel difference, mean of the scene removed": np.abs(_without_mean(b, a, city)).mean(axis=(1, 2, 3)),
        "pixel difference, mean and contrast of each tile matched": np.abs(_matched(a) - _matched(b)).mean(
            axis=(1, 2, 3)
        ),
        "colour histogram": _cosine(
            *(colour_histogram(x.transpose(0, 3, 1, 2).astype(np.float32)) for x in (a, b))
        ),
    }


def _beyond_season(moved: NDArray[np.float32], city: NDArray[np.int64]) -> NDArray[np.float64]:
    score = np.zeros(len(moved))
    for each in np.unique(city):
        here = moved[city == each]
        score[city == each] = Season.of(here).beyond(here)
    return score


def _without_mean(
    after: NDArray[np.float64], before: NDArray[np.float64], city: NDArray[np.int64]
) -> NDArray[np.float64]:
    moved = after - before
    for each in np.unique(city):
        moved[city == each] -= moved[city == each].mean(axis=(0, 1, 2))
    return moved


def _cosine(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    one, two = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (one, two))
    return 1 - (one * two).sum(axis=1).astype(np.float64)


def _matched(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    return (tiles - tiles.mean(axis=(1, 2), keepdims=True)) / (tiles.std(axis=(1, 2), keepdims=True) + 1e-3)


def judged(
    scores: dict[str, NDArray[np.float64]], changed: NDArray[np.bool_], city: NDArray[np.int64]
) -> dict[str, dict[str, list[float]]]:
    """Return ROC-AUC and average precision of each method, and by how much it is above pixel differencing.

    Each as value, low and high: 95 % intervals over cities, paired for the differences.
    """
    generator, cities = np.random.default_rng(0), np.unique(city)
    rows = [np.flatnonzero(city == one) for one in cities]
    draws = [
        np.concatenate([rows[at] for at in generator.integers(0, len(rows), len(rows))]) for _ in range(DRAWS)
    ]
    draws = [draw for draw in draws if 0 < changed[draw].sum() < len(draw)]
    found: dict[str, dict[str, list[float]]] = {name: {} for name in scores}
    for measure, function in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        drawn = {
            name: np.array([function(changed[draw], score[draw]) for draw in draws])
            for name, score in scores.items()
        }
        for name, score in scores.items():
            found[name][measure] = _three(function(changed, score), drawn[name])
            lead = function(changed, score) - function(changed, scores[PIXELS])
            found[name][f"{measure}_above_pixels"] = _three(lead, drawn[name] - drawn[PIXELS])
    return found


def _three(value: float, drawn: NDArray[np.float64]) -> list[float]:
    return [round(float(each), 3) for each in (value, *np.quantile(drawn, [0.025, 0.975]))]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--oscd", type=Path, metavar="FOLDER", help="the unpacked OSCD dataset, with labels")
    parser.add_argument("--share", type=float, help="share of a tile that changes: 0.25, or 0.05 with --oscd")
    parser.add_argument("--tile-px", type=int, help="128, or 32 with --oscd")
    parser.add_argument("--model", help="default: the default embedding model")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tile_px = args.tile_px or (32 if args.oscd else 128)
    share = args.share or (0.05 if args.oscd else 0.25)
    if args.oscd:
        before, after, city, labelled = labelled_pairs(args.oscd, tile_px)
        changed = labelled >= share
    else:
        before, after, city = pairs(PACK, tile_px)
        after, changed = pasted(after, city, share, args.seed)
    result = judged(methods(before, after, city, args.model), changed, city)
    head = {
        "tiles": len(city),
        "changed": int(changed.sum()),
        "cities": len(np.unique(city)),
        "share": share,
    }
    print(json.dumps({**head, "tile_px": tile_px, "value_low_high": result}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
