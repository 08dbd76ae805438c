"""How well change is found between two dates: cosine distance of embeddings compared with pixels and colours.

    python benchmarks/change.py [--share 0.25] [--tile-px 128] [--model NAME]

The data packs hold no labelled changes. The pairs are real Sentinel-2 images of cities at two dates (OSCD in
overhead_mix.zip); the change is synthetic: into the later tile of every second pair, a square that covers
`share` of it is pasted from another city. All real differences of the pairs (season, light, sensor
processing, and building between the dates) count as "no change", so the figures compare methods; they say
little about the changes of OSCD itself. Intervals come from resampling cities. The last line is JSON.
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

from core.evaluation.baselines.colours import colour_histogram

PACK = Path(__file__).resolve().parents[2] / "shared" / "data" / "overhead_mix.zip"
DRAWS, GSD_M, NEAR_DEG = 1_000, 10.0, 0.002


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
    before: NDArray[np.uint8], after: NDArray[np.uint8], model: str | None
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
    a, b = before / 255.0, after / 255.0
    return {
        f"cosine distance ({name})": _cosine(one, two),
        "pixel difference": np.abs(a - b).mean(axis=(1, 2, 3)),
        "pixel difference, mean and contrast matched": np.abs(_matched(a) - _matched(b)).mean(axis=(1, 2, 3)),
        "colour histogram": _cosine(
            *(colour_histogram(x.transpose(0, 3, 1, 2).astype(np.float32)) for x in (a, b))
        ),
    }


def _cosine(one: NDArray[np.floating], two: NDArray[np.floating]) -> NDArray[np.float64]:
    one, two = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12) for v in (one, two))
    return 1 - (one * two).sum(axis=1).astype(np.float64)


def _matched(tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    return (tiles - tiles.mean(axis=(1, 2), keepdims=True)) / (tiles.std(axis=(1, 2), keepdims=True) + 1e-3)


def judged(
    scores: dict[str, NDArray[np.float64]], changed: NDArray[np.bool_], city: NDArray[np.int64]
) -> dict[str, object]:
    """Return ROC-AUC and average precision of each method with 95 % intervals over cities."""
    generator, cities = np.random.default_rng(0), np.unique(city)
    rows = [np.flatnonzero(city == one) for one in cities]
    draws = [
        np.concatenate([rows[at] for at in generator.integers(0, len(rows), len(rows))]) for _ in range(DRAWS)
    ]
    draws = [draw for draw in draws if 0 < changed[draw].sum() < len(draw)]
    found: dict[str, object] = {}
    for name, score in scores.items():
        found[name] = {}
        for measure, function in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
            low, high = np.quantile([function(changed[draw], score[draw]) for draw in draws], [0.025, 0.975])
            found[name][measure] = [round(float(v), 3) for v in (function(changed, score), low, high)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.25, help="share of a tile that changes")
    parser.add_argument("--tile-px", type=int, default=128)
    parser.add_argument("--model", help="default: the default embedding model")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    before, after, city = pairs(PACK, args.tile_px)
    after, changed = pasted(after, city, args.share, args.seed)
    result = judged(methods(before, after, args.model), changed, city)
    head = {
        "tiles": len(city),
        "changed": int(changed.sum()),
        "cities": len(np.unique(city)),
        "share": args.share,
    }
    print(json.dumps({**head, "tile_px": args.tile_px, "value_low_high": result}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
