"""Every result shows itself in a notebook as a picture with an escaped caption."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.atlas import EmbeddingTable, make_rows
from core.engine.reconstruct import reconstruct
from core.engine.scales import ScaleSpec
from core.geo import TileRef, TileSpec
from core.masking import Mask, MaskSpec, make_mask
from core.studies import scale_series
from tests.engine.conftest import plain_tile

HOSTILE = "<script>alert(1)</script>"


def table(name: str = "places") -> EmbeddingTable:
    places = {"centre_lon": [10.0, 20.0, 30.0], "centre_lat": [1.0, 2.0, 3.0], "product_id": [HOSTILE] * 3}
    return EmbeddingTable.from_rows(make_rows(np.eye(3, dtype=np.float32), places), name)


@pytest.fixture(scope="module")
def results(small_scale_mae: Any) -> dict[str, Any]:
    """One result of each kind, with hostile text wherever a file could contain it."""
    tile = replace(plain_tile(128), credit=HOSTILE)
    spec = ScaleSpec(TileSpec(TileRef("samples", "x")), MaskSpec(), count=2)
    return {
        "tile": tile,
        "mask": make_mask(MaskSpec(), 4, 4),
        "reconstruction": reconstruct(small_scale_mae, tile, MaskSpec()),
        "series": scale_series(small_scale_mae, lambda _: tile, spec),
        "table": table(HOSTILE),
    }


KINDS = ("tile", "mask", "reconstruction", "series", "table")


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_a_picture_with_a_caption(results: dict[str, Any], kind: str) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(results[kind]._repr_png_())).convert("RGB"))
    assert min(pixels.shape[:2]) > 100
    assert len(np.unique(pixels)) > 8, "an empty picture"
    text = results[kind]._repr_html_()
    assert '<img src="data:image/png;base64,' in text
    assert "<script" not in text


@pytest.mark.parametrize("kind", ["tile", "reconstruction", "series", "table"])
def test_the_caption_keeps_the_text_of_files(results: dict[str, Any], kind: str) -> None:
    assert "&lt;script&gt;" in results[kind]._repr_html_()


def test_a_mask_shows_its_hidden_patches() -> None:
    hidden = np.zeros((2, 2), bool)
    none, one = (Mask(cells)._repr_png_() for cells in (hidden, hidden | [[True, False], [False, False]]))
    assert none != one


def test_the_same_result_gives_the_same_bytes(results: dict[str, Any]) -> None:
    assert results["reconstruction"]._repr_png_() == results["reconstruction"]._repr_png_()


def test_a_series_needs_limits_to_hold_pixels(small_scale_mae: Any) -> None:
    from core.engine.inputs import InputError

    spec = ScaleSpec(TileSpec(TileRef("samples", "x")), MaskSpec(), hold="pixels")
    with pytest.raises(InputError, match="state the finest and the coarsest GSD"):
        scale_series(small_scale_mae, lambda _: plain_tile(128), spec)


def test_results_load_no_figures_until_they_are_shown() -> None:
    code = "import sys, core, core.masking, core.geo; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
