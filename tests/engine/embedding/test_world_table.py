"""The world table: its builder on a few places, and the bundled table."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.atlas import open_table
from core.cli.verbs.atlas import WORLD
from core.engine.embedding import world_table
from core.engine.embedding.spec import EmbeddingError

SMALL = {"tile_px": 32, "stride_px": 16, "most": 50}


def test_fifty_places_at_three_scales(tmp_path):
    last = [*world_table.build_world_table(tmp_path / "world", "mae_tiny", **SMALL)][-1]
    assert last.finished
    table = open_table(tmp_path / "world")
    assert len(table) == 50
    assert table.stored.values.dtype == np.int8
    assert set(table.columns["gsd_m"].to_pylist()) == set(world_table.GSDS_M)
    assert sorted(f.name for f in (tmp_path / "world").iterdir()) == [
        "_manifest.json",
        "_plan.json",
        "part-00000.parquet",
    ]
    assert (
        json.loads((tmp_path / "world" / "_plan.json").read_text())["spec"]["stride_px"] == 16
    )  # the overlap is stated


def test_a_table_too_large_to_ship_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(world_table, "MAX_BYTES", 1000)
    with pytest.raises(EmbeddingError, match="larger stride"):
        list(world_table.build_world_table(tmp_path / "world", "mae_tiny", **SMALL))


@pytest.fixture(scope="module")
def bundled():
    return open_table(WORLD)


def test_the_bundled_table_is_complete_and_small(bundled):
    assert sum(f.stat().st_size for f in Path(WORLD).iterdir() if f.is_file()) <= world_table.MAX_BYTES
    assert len(bundled) >= 20_000
    assert len(set(bundled.columns["gsd_m"].to_pylist())) == 3
    assert {90.0, -90.0} <= set(bundled.lonlat[:, 1].tolist())
    assert bundled.stored.usable.all()


SLOW = pytest.mark.slow  # a tile of 30 km is read a hundred times as slowly as its vector


@pytest.mark.parametrize(
    ("gsd_m", "count"),
    [(7_400.0, 400), pytest.param(15_000.0, 1_000, marks=SLOW), pytest.param(30_000.0, 1_000, marks=SLOW)],
)
def test_vectors_do_not_leak_latitude(bundled, gsd_m, count):
    """Latitude predicts the vectors no better than the colours of the tiles, so it is not leaked.

    Of 4,000 rows (1,161 at 30 km) it explains 0.15, 0.13 and 0.20 of six principal components, and 0.35, 0.43
    and 0.50 of six colour statistics.
    """
    from core.geo.catalogue import known_sources
    from core.geo.tile import TileRef, TileSpec

    assert gsd_m in world_table.GSDS_M
    globe = known_sources().source("globe")
    rows = np.random.default_rng(0).choice(bundled.rows_where(f"gsd_m = {gsd_m}"), count, replace=False)
    size = bundled.columns["image_size"][0].as_py()
    specs = [
        TileSpec(
            TileRef("globe", globe.keys()[0]),
            lonlat=tuple(bundled.lonlat[r].tolist()),
            gsd_m=gsd_m,
            size_px=size,
        )
        for r in rows
    ]
    pixels = [globe.read(spec).pixels[:3] for spec in specs]
    colour = np.array([[*p.mean(axis=(1, 2)), *p.std(axis=(1, 2))] for p in pixels])
    vectors = bundled.vectors_of(rows)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    principal = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[0][:, :6]
    assert _upper_difference(principal, colour, bundled.lonlat[rows, 1:]) < 0


def _upper_difference(a, b, latitude, draws=400):
    """Return the upper end of a 95 % interval of how much better latitude explains `a` than `b` (n, c)."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import cross_val_predict

    def errors(values):
        found = [
            cross_val_predict(HistGradientBoostingRegressor(max_iter=40), latitude, one, cv=5)
            for one in values.T
        ]
        return (values - np.stack(found, axis=1)) ** 2

    def explained(values, error, rows):
        return np.maximum(0, 1 - error[rows].mean(axis=0) / values[rows].var(axis=0)).mean()

    error_a, error_b = errors(a), errors(b)
    generator = np.random.default_rng(0)
    samples = [generator.integers(0, len(a), len(a)) for _ in range(draws)]
    return np.quantile([explained(a, error_a, rows) - explained(b, error_b, rows) for rows in samples], 0.975)


def test_the_measure_detects_vectors_that_leak_latitude():
    latitude = np.random.default_rng(0).uniform(-90, 90, (400, 1))
    noise = np.random.default_rng(1).standard_normal((400, 6)) * 30
    assert _upper_difference(latitude + noise, latitude + 2 * noise, latitude) > 0.1
    assert _upper_difference(latitude + 2 * noise, latitude + noise, latitude) < 0
