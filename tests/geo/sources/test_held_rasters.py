"""Rasters that are kept open: closed once their reader is abandoned, in any thread."""

import gc
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio

from core.geo import TileSpec, open_source
from core.geo.sources.held_raster import HeldRaster
from core.geo.sources.raster import GeoTiff


@pytest.fixture
def ramp(make_tif):
    return make_tif(
        np.arange(200 * 200, dtype=np.uint16).reshape(1, 200, 200), tiled=True, blockxsize=64, blockysize=64
    )


def handles(path: Path) -> int:
    """How many times this process has a file open."""
    return sum(os.path.realpath(fd) == str(path) for fd in Path("/proc/self/fd").iterdir())


def windows(picture: GeoTiff):
    with picture.kept_open():
        for i in range(10):
            yield int(picture.read(0, (i, i, 16, 16)).pixels[0, 0, 0])


def in_thread(work):
    failed = []

    def guarded():
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    assert not failed, failed


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="open files are counted through /proc, which only Linux has"
)
def test_a_reader_abandoned_in_another_thread_is_closed_at_once(ramp, monkeypatch):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: ignored.append(error.exc_value))
    picture, half_read = GeoTiff(ramp, ramp.name), []

    def begin():
        reader = windows(picture)
        assert [next(reader), next(reader)] == [0, 201]
        half_read.append(reader)

    in_thread(begin)
    assert handles(ramp) == 1
    with rasterio.Env(GDAL_CACHEMAX=123):
        half_read.clear()
        gc.collect()
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 123  # the settings of this thread are still its own
    assert handles(ramp) == 0
    assert not ignored


def test_the_thread_that_lost_its_file_reopens_it(ramp):
    picture, reader = GeoTiff(ramp, ramp.name), []
    begun, given_up, seen = threading.Event(), threading.Event(), []

    def work():
        reader.append(windows(picture))
        seen.append(next(reader[0]))
        begun.set()
        given_up.wait(5)
        seen.append(int(picture.read(0, (3, 3, 4, 4)).pixels[0, 0, 0]))

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait(5)
    reader.clear()
    gc.collect()
    given_up.set()
    thread.join()
    assert seen == [0, 603]


def test_a_file_is_not_closed_under_a_read():
    held, closed = HeldRaster(), []
    with held.in_use():
        held.dataset(None, lambda stack: stack.callback(closed.append, True))
        in_thread(held.close)
        assert not closed
    assert closed == [True]
    held.close()
    assert closed == [True]


def test_the_settings_of_gdal_are_put_back_after_every_read(ramp):
    picture = GeoTiff(ramp, ramp.name)
    with rasterio.Env(GDAL_CACHEMAX=77), picture.kept_open():
        picture.read(0, (0, 0, 8, 8))
        assert rasterio.env.getenv()["GDAL_CACHEMAX"] == 77
        assert "GDAL_PAM_ENABLED" not in rasterio.env.getenv()


def test_uploads_are_held_open_and_released_too(ramp):
    source = open_source(ramp.read_bytes(), name="x.tif")
    picture = source.opened("x.tif")
    reader = windows(picture)
    assert next(reader) == 0
    in_thread(reader.close)
    assert source.read(TileSpec(source.ref(), window=(1, 1, 16, 16))).pixels[0, 0, 0] == 201
