"""What a map from labels says about itself, as plain values and as columns for export."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..store.table import EmbeddingTable
from .estimators import TITLES
from .mapping import LabelMap


def report(found: LabelMap) -> dict[str, Any]:
    """Return accuracy, confusion, areas and settings as values for JSON."""
    samples, assessed = found.samples, found.assessment
    plain: dict[str, Any] = {
        "label": samples.title,
        "kind": samples.kind,
        "method": TITLES[found.spec.method][samples.kind],
        "settings": asdict(found.spec),
        "labelled_tiles": len(samples),
        "cross_validation": {
            way.name: {
                "folds": way.note,
                **_rounded(way.measures),
                "interval_95": _rounded(list(way.interval)),
            }
            for way in assessed.ways
        },
        "learning_curve": [{"tiles": rows, "score": round(score, 4)} for rows, score in assessed.curve],
        "remarks": list(found.problems),
    }
    if assessed.strictest.confusion is not None:
        plain |= {
            "classes": list(samples.classes),
            "confusion_true_by_predicted": assessed.strictest.confusion.tolist(),
            "confusion_folds": assessed.strictest.name,
            "temperature": round(assessed.temperature, 4),
            "calibration_error_before_and_after": _rounded(list(assessed.calibration_error or ())),
            "areas": areas(found),
        }
    return plain


def areas(found: LabelMap) -> list[dict[str, Any]]:
    """Return one record per class: mapped and corrected share of the ground, km2 and accuracies, with 95 %
    half widths; None where unknown.
    """
    estimate = found.areas
    if estimate is None:
        return []
    total = estimate.total_km2
    records: list[dict[str, Any]] = []
    for at, name in enumerate(found.samples.classes):
        record: dict[str, Any] = {
            "class": name,
            "mapped_share": estimate.mapped[at],
            "share": estimate.share[at],
            "share_half_width": estimate.share_half_width[at],
            "km2": None if total is None else estimate.share[at] * total,
            "km2_half_width": None if total is None else estimate.share_half_width[at] * total,
            "users_accuracy": estimate.users[at],
            "users_half_width": estimate.users_half_width[at],
            "producers_accuracy": estimate.producers[at],
            "producers_half_width": estimate.producers_half_width[at],
        }
        records.append({key: _plain(value) for key, value in record.items()})
    return records


def columns(table: EmbeddingTable, found: LabelMap) -> dict[str, Any]:
    """Return columns (n,) for GeoParquet and GeoJSON: prediction, uncertainty, label, and what held-out
    validation predicted for labelled rows.
    """
    samples = found.samples
    held_out = np.full(len(table), np.nan)
    held_out[samples.rows] = found.assessment.strictest.predicted
    label = np.full(len(table), np.nan)
    label[samples.rows] = samples.values
    if found.probability is None:
        return {
            "predicted": found.values, "half_width_90": found.uncertainty,
            "label": label, "held_out": held_out,
        }  # fmt: skip
    return {
        "predicted": _names(found.values, samples.classes),
        "probability": np.nanmax(np.nan_to_num(found.probability, nan=-1), axis=1),
        "uncertainty": found.uncertainty,
        "label": _names(label, samples.classes),
        "held_out": _names(held_out, samples.classes),
        **{f"p_{name}": found.probability[:, at] for at, name in enumerate(samples.classes)},
    }


def raster_columns(found: LabelMap) -> dict[str, Any]:
    """Return numbers (n,) for the bands of a raster: value or probability of each class, and uncertainty."""
    if found.probability is None:
        return {"predicted": found.values, "half_width_90": found.uncertainty}
    bands = {f"p_{name}": found.probability[:, at] for at, name in enumerate(found.samples.classes)}
    return {**bands, "uncertainty": found.uncertainty}


def errors_of(table: EmbeddingTable, found: LabelMap) -> NDArray[np.float32]:
    """Return (n,) 1 where held-out prediction and label agree, 0 where not (for numbers: the signed error);
    NaN without a label.
    """
    samples = found.samples
    values = np.full(len(table), np.nan, np.float32)
    predicted = found.assessment.strictest.predicted
    wrong = predicted - samples.values
    shown = wrong if samples.kind == "number" else np.where(np.isfinite(predicted), wrong == 0, np.nan)
    values[samples.rows] = shown
    return values


def class_raster(table: EmbeddingTable, found: LabelMap) -> bytes:
    """Return a cloud-optimised GeoTIFF of classes: band 1 holds class numbers from 1 (0: no tile) with a
    colour and a name each, in degrees. Overlapping tiles vote.

    Raises TableError if no row has a place.
    """
    import rasterio
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    from ..exports import cog

    assert found.probability is not None
    names = found.samples.classes
    votes = {
        name: np.where(np.isfinite(found.values), found.values == at, np.nan) for at, name in enumerate(names)
    }
    with rasterio.Env(), MemoryFile(cog(table, votes)) as memory, memory.open() as source:
        share = source.read()
        profile: dict[str, Any] = {
            **source.profile, "driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": 0, "predictor": 1,
        }  # fmt: skip
    empty = ~np.isfinite(share).any(axis=0)
    best = np.where(empty, 0, np.nan_to_num(share, nan=-1).argmax(axis=0) + 1).astype(np.uint8)
    with rasterio.Env(), MemoryFile() as plain, MemoryFile() as finished:
        with plain.open(**profile) as raster:
            raster.write(best, 1)
            raster.update_tags(1, **{f"class_{at + 1}": name for at, name in enumerate(names)})
            raster.write_colormap(
                1, {at + 1: (*_rgb(at), 255) for at in range(len(names))} | {0: (0, 0, 0, 0)}
            )
        copy(plain.name, finished.name, driver="COG", compress="deflate", overview_resampling="mode")
        return bytes(finished.read())


def accuracy_csv(found: LabelMap) -> bytes:
    """Return the confusion matrix as CSV: true classes down, predicted classes across."""
    import pandas as pd

    names = list(found.samples.classes)
    frame = pd.DataFrame(found.assessment.strictest.confusion, index=names, columns=names)
    buffer = io.StringIO()
    frame.to_csv(buffer, index_label="true \\ predicted")
    return buffer.getvalue().encode()


def _names(codes: NDArray[Any], classes: tuple[str, ...]) -> list[str | None]:
    return [classes[int(code)] if np.isfinite(code) else None for code in codes.tolist()]


def _rgb(at: int) -> tuple[int, int, int]:
    """Return colours that stay apart: steps of the golden angle around the hue circle."""
    import colorsys

    red, green, blue = colorsys.hls_to_rgb((at * 0.381966) % 1, 0.35 + 0.2 * (at % 2), 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return round(float(value), 6) if np.isfinite(value) else None


def _rounded(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: round(value, 4) for key, value in values.items()}
    return [round(value, 4) for value in values]
