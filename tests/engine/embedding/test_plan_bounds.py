"""A raster of a few kilobytes may have millions of windows: the size of its plan is limited everywhere."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.cli.entry import main
from core.engine.embedding.plan import make_plan
from core.engine.embedding.spec import EmbeddingSpec
from tests.engine.embedding.runs import MODEL, SIDE, picture, write
from tests.test_hostile import bounded
from ui.globe.panels.plans import MAX_TILES

PLAN = ("--plan", "--tiles-per-s", "7")
WORDS = ("--model", MODEL, "--tile-px", str(SIDE))


def empty(path, side):
    """A GeoTIFF of three bands without any written block."""
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", tiled=True,
        blockxsize=4096, blockysize=4096, crs="EPSG:4326", transform=from_origin(0, 80, 4e-4, 4e-4),
        SPARSE_OK=True, compress="deflate",
    ):  # fmt: skip
        pass
    return str(path)


@pytest.mark.parametrize("more", [(), ("--untrusted",), PLAN], ids=["own", "untrusted", "plan"])
def test_the_command_refuses_a_small_file_of_very_many_windows(tmp_path, capsys, more):
    source = empty(tmp_path / "sparse.tif", 300_000)
    assert Path(source).stat().st_size < 200_000
    out = () if more == PLAN else ("--out", str(tmp_path / "out"))
    small = write(tmp_path / "small.tif", picture(64, 64))
    assert main(["embed", small, *PLAN, *WORDS]) == 0  # imports what it needs
    capsys.readouterr()
    with bounded():
        assert main(["embed", source, *WORDS, *more, *out]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert "would make 87,890,625 tiles, more than the 20,000,000" in message
    assert not list((tmp_path / "out").glob("*.parquet"))


@pytest.mark.parametrize("gsds", [(), (45.0, 60.0, 90.0)], ids=["own scale", "three scales"])
def test_the_largest_plan_that_a_page_allows_is_small(tmp_path, gsds):
    source = empty(tmp_path / "ones.tif", 8192)
    with rasterio.open(source, "r+") as file:
        for _, window in file.block_windows(1):
            file.write(np.ones((3, window.height, window.width), np.uint8), window=window)
    assert Path(source).stat().st_size < 1_000_000
    spec = EmbeddingSpec((source,), "out", MODEL, gsd_m=gsds)
    with bounded():
        plan = make_plan(spec, SIDE, most=MAX_TILES, untrusted=True)
    assert 20_000 < plan.count <= MAX_TILES
