"""Untrusted rasters and pictures: the same pixels, but decoded in a child process with limits."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from core.geo import GeoError, TileSpec, open_source
from core.geo.sources.opening import load_picture
from core.geo.sources.raster import GeoTiff
from core.geo.sources.untrusted import PREFIX
from core.geo.web_tiles import WebTiles
from tests.hostile_files import many_scans


@pytest.fixture
def no_parser_here(monkeypatch):
    """Fail if GDAL or Pillow decodes in this process."""

    def refuse(*_, **__):
        raise AssertionError("a stranger's file was parsed in this process")

    monkeypatch.setattr(rasterio, "open", refuse)
    monkeypatch.setattr(rasterio, "MemoryFile", refuse)
    monkeypatch.setattr("PIL.Image.open", refuse)


def spooled() -> set[Path]:
    """The files and memory that hold uploads for child processes."""
    found = set(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
    return found | {file for file in Path("/proc/self/fd").glob("*") if PREFIX in os.path.realpath(file)}


def test_an_untrusted_raster_is_read_like_any_other(make_tif, noise, request):
    path = make_tif(noise)
    own = GeoTiff(path, path.name)
    header, raw, part, written = (
        own.header,
        own.read(0, (3, 2, 9, 7)),
        own.read(0, (0, 0, 4, 4), [1]),
        own.written(),
    )
    tile = open_source(path).read(TileSpec(open_source(path).ref()))
    request.getfixturevalue("no_parser_here")
    for origin in (path, path.read_bytes()):
        found = GeoTiff(origin, path.name, untrusted=True)
        assert found.header == header
        assert np.array_equal(found.read(0, (3, 2, 9, 7)).pixels, raw.pixels)
        assert np.array_equal(found.read(0, (3, 2, 9, 7)).valid, raw.valid)
        assert np.array_equal(found.read(0, (0, 0, 4, 4), [1]).pixels, part.pixels)
        assert (found.written() is None) == (written is None)
    for source in (open_source(path, untrusted=True), open_source(path.read_bytes(), name=path.name)):
        assert np.array_equal(source.read(TileSpec(source.ref())).pixels, tile.pixels)


def test_an_untrusted_raster_is_mapped_like_any_other(make_tif, noise):
    path = make_tif(noise)
    own, other = (WebTiles(open_source(path, untrusted=untrusted), path.name) for untrusted in (False, True))
    assert other.bounds == own.bounds
    assert other.finest == own.finest
    west, _, _, north = own.bounds
    z = min(own.finest, 14)
    x, y = int((west + 180) / 360 * 2**z), int((1 - np.arcsinh(np.tan(np.radians(north))) / np.pi) / 2 * 2**z)
    tiles = [(own.draw(z, x + dx, y + dy), other.draw(z, x + dx, y + dy)) for dx in (0, 1) for dy in (0, 1)]
    assert any(mine is not None for mine, _ in tiles)
    assert all((mine is None and its is None) or np.array_equal(mine, its) for mine, its in tiles)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16"])
def test_an_untrusted_picture_is_decoded_like_any_other(tmp_path, mode, request):
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 255, (30, 40, 4), np.uint8)
    picture = (
        Image.fromarray(values) if mode != "I;16" else Image.fromarray(values[..., 0].astype(np.uint16) * 200)
    )
    path = tmp_path / "x.png"
    (picture if mode in ("RGBA", "I;16") else picture.convert("RGB").convert(mode)).save(path)
    own = load_picture(path)
    request.getfixturevalue("no_parser_here")
    found = load_picture(path, untrusted=True)
    assert found.header == own.header
    assert np.array_equal(found.pixels, own.pixels)
    assert np.array_equal(found.read(0, (0, 0, 40, 30)).valid, own.read(0, (0, 0, 40, 30)).valid)


def test_an_upload_leaves_no_file_behind(make_tif, noise):
    before = spooled()
    raster = GeoTiff(make_tif(noise).read_bytes(), "upload.tif", untrusted=True)
    assert raster.header.width
    assert len(spooled() - before) == 1
    del raster
    gc.collect()
    assert not spooled() - before


def test_a_jpeg_of_thousands_of_scans_is_refused_before_decoding():
    data = many_scans(3000)
    started = time.process_time()
    with pytest.raises(GeoError, match="more than 200 progressive scans"):
        open_source(data, name="x.jpg", gsd_m=1)
    assert time.process_time() - started < 1
    assert open_source(many_scans(5), name="x.jpg", gsd_m=1).header("x.jpg").width == 512
