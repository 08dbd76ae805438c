"""Untrusted files are embedded like others, and one that exceeds the limits ends the run with a sentence."""

from dataclasses import replace

import numpy as np
import pytest

from core.cli.entry import main
from core.engine.embedding.run import embed_sources
from core.engine.embedding.spec import EmbeddingSpec
from core.geo import GeoError
from core.geo.sources import untrusted
from core.geo.sources.raster import GeoTiff
from core.geo.sources.untrusted import FileLimitError
from core.untrusted import Limits, process
from tests.engine.embedding.runs import MODEL, SIDE, finish, picture, table_bytes, write


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A raster whose windows at a coarse GSD take more memory than is allowed."""
    monkeypatch.setattr(untrusted, "LIMITS", Limits(memory_mb=40))
    process._pool.close()  # one that has read other files has memory to spare
    pixels = np.ones((3, 4000, 4000), np.uint8)
    return write(
        tmp_path / "large.tif", pixels, tiled=True, blockxsize=512, blockysize=512, compress="deflate"
    )


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_an_untrusted_file_gives_the_same_table(ending, tmp_path, monkeypatch):
    options = {"driver": "PNG", "transform": None, "crs": None} if ending == "png" else {}
    source = write(tmp_path / f"scene.{ending}", picture(), **options)
    spec = EmbeddingSpec((source,), str(tmp_path / "own"), MODEL, tile_px=SIDE, stated_gsd_m=10.0)
    finish(spec)
    decoded_here = []
    monkeypatch.setattr(GeoTiff, "_dataset", lambda *_: decoded_here.append(1))
    finish(replace(spec, out=str(tmp_path / "stranger")), untrusted=True)
    assert decoded_here == []
    assert table_bytes(tmp_path / "own") == table_bytes(tmp_path / "stranger")


def test_a_file_that_exceeds_the_limits_ends_the_run(large, tmp_path):
    spec = EmbeddingSpec((large,), str(tmp_path / "out"), MODEL, gsd_m=(1000.0,), tile_px=SIDE)
    with pytest.raises(FileLimitError, match=r"'large\.tif' takes more than 40 MB of memory to open"):
        list(embed_sources(spec, untrusted=True))
    finish(spec, resume=True)  # the owner's own file is read


def test_the_command_reports_an_exceeded_limit(large, tmp_path, capsys):
    options = ["--untrusted", "--gsd-m=1000", "--tile-px=32", f"--model={MODEL}"]
    assert main(["embed", large, *options, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("core: 'large.tif' takes more than 40 MB of memory to open")


def test_folders_and_packs_are_not_opened_as_untrusted(tmp_path):
    write(tmp_path / "scene.tif", picture())
    spec = EmbeddingSpec((str(tmp_path),), str(tmp_path / "out"), MODEL, tile_px=SIDE)
    with pytest.raises(GeoError, match="only a single file"):
        next(embed_sources(spec, untrusted=True))
