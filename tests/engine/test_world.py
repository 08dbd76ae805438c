"""The bundled world: its builder on a few places, and the whole of it wherever it has been built."""

import json
from pathlib import Path

import numpy as np
import pytest

from core.atlas import open_table
from core.commands.atlas import WORLD
from core.engine import world
from core.engine.sweep import SweepError

SMALL = {"tile_px": 32, "stride_px": 16, "most": 50}


def test_fifty_places_at_three_scales(tmp_path):
    last = [*world.build_world(tmp_path / "world", "mae_tiny", **SMALL)][-1]
    assert last.finished
    table = open_table(tmp_path / "world")
    assert len(table) == 50
    assert table.stored.values.dtype == np.int8
    assert set(table.columns["gsd_m"].to_pylist()) == set(world.GSDS_M)
    assert sorted(f.name for f in (tmp_path / "world").iterdir()) == ["_manifest.json", "_plan.json", "part-00000.parquet"]
    assert json.loads((tmp_path / "world" / "_plan.json").read_text())["spec"]["stride_px"] == 16  # the overlap is stated


def test_a_world_too_large_to_ship_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(world, "MAX_BYTES", 1000)
    with pytest.raises(SweepError, match="larger stride"):
        list(world.build_world(tmp_path / "world", "mae_tiny", **SMALL))


@pytest.fixture(scope="module")
def bundled():
    return open_table(WORLD)


def test_the_bundled_world_is_full_and_small(bundled):
    assert sum(f.stat().st_size for f in Path(WORLD).iterdir() if f.is_file()) <= world.MAX_BYTES
    assert len(bundled) >= 20_000
    assert len(set(bundled.columns["gsd_m"].to_pylist())) == 3
    assert {90.0, -90.0} <= set(bundled.lonlat[:, 1].tolist())
    assert bundled.stored.usable.all()


def test_latitude_is_not_written_into_the_vectors(bundled):
    """Latitude predicts the vectors no better than it predicts the tiles' own colours, so the cut does not leak where a tile lies."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import cross_val_score

    from core.geo.catalogue import known_sources
    from core.geo.tile import TileRef, TileSpec

    globe = known_sources().source("globe")
    rows = np.random.default_rng(0).choice(bundled.rows_where(f"gsd_m = {world.GSDS_M[0]}"), 400, replace=False)
    size = bundled.columns["image_size"][0].as_py()
    specs = [TileSpec(TileRef("globe", globe.keys()[0]), lonlat=tuple(bundled.lonlat[r].tolist()), gsd_m=world.GSDS_M[0], size_px=size) for r in rows]
    pixels = [globe.read(spec).pixels[:3] for spec in specs]
    colour = np.array([[*p.mean(axis=(1, 2)), *p.std(axis=(1, 2))] for p in pixels])
    vectors = bundled.vectors_of(rows)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    latitude = bundled.lonlat[rows, 1:]

    def predicted(targets):
        return np.mean(
            [max(0, cross_val_score(HistGradientBoostingRegressor(max_iter=40), latitude, t, cv=5, scoring="r2").mean()) for t in targets.T]
        )

    principal = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[0][:, :6]
    assert predicted(principal) <= predicted(colour) + 0.05
