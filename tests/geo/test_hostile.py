"""Hostile and damaged files and names: each is refused with a clear error and opens nothing else."""

import os
import socket

import pytest
import rasterio

from core.errors import ExplorerError
from core.geo import GeoError, TileSpec, open_source

VRT = """<VRTDataset rasterXSize="60" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{}</SourceFilename></SimpleSource></VRTRasterBand>
</VRTDataset>"""


def read_all(path, **options):
    source = open_source(path, **options)
    return source.read(TileSpec(source.ref()))


@pytest.fixture
def good(make_tif, noise):
    return make_tif(noise)


def test_a_truncated_tiff_at_any_length(good, tmp_path):
    whole = good.read_bytes()
    path = tmp_path / "cut.tif"
    for part in (9, 100, 300, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:part])
        with pytest.raises(GeoError, match="cut short"):
            read_all(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "0 bytes"),
        (b"hello, this is not a raster", "neither"),
        (VRT.format("/etc/passwd").encode(), "virtual raster"),
        (b"\n  " + VRT.format("/vsicurl/http://127.0.0.1/x").encode(), "virtual raster"),
        (b"<?xml version='1.0'?><GDAL_WMS></GDAL_WMS>", "virtual raster"),
        (b"II*\0" + bytes(60), "cannot be read"),
        (b"II*\0" + b"\xff" * 200, "cannot be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG or JPEG"),
        (b"\xff\xd8\xff\xe0 no more", "PNG or JPEG"),
        (b"%PDF-1.4", "neither"),
        (b"\x89HDF\r\n\x1a\n", "neither"),
        (b"GIF89a" + bytes(50), "neither"),
        (b"\x80\x04\x95", "neither"),
    ],
)
@pytest.mark.parametrize("name", ["x.tif", "x.png"])
def test_files_that_are_not_rasters_are_reported(tmp_path, content, sentence, name):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(GeoError, match=sentence) as caught:
        read_all(path, gsd_m=1)
    assert str(caught.value).endswith(".")
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(GeoError):
        read_all(content, gsd_m=1, name=name)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/a.tif",
        "HTTPS://127.0.0.1:{port}/a.tif",
        "/vsicurl/http://127.0.0.1:{port}/a.tif",
        "/VSICURL/http://127.0.0.1:{port}/a.tif",
        "/vsizip//etc/x.zip/a.tif",
        "/vsimem/a.tif",
        "s3://bucket/a.tif",
        "zip://x.zip!a.tif",
        "file:///etc/passwd",
        "GTIFF_DIR:1:{good}",
        "GTIFF_RAW:{good}",
        "vrt://{good}?bands=1",
        "NETCDF:{good}:x",
        "WMS:http://127.0.0.1:{port}/",
        "<VRTDataset/>",
        "{good}\0",
        "~nobody-of-that-name/x.tif",
        "x" * 5000,
    ],
)
def test_an_address_or_driver_string_reaches_neither_gdal_nor_the_network(address, good, monkeypatch):
    opened = []
    monkeypatch.setattr(rasterio, "open", lambda *a, **k: opened.append(a))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        with pytest.raises(ExplorerError, match=r"\.$"):
            open_source(address.format(port=server.getsockname()[1], good=good))
        with pytest.raises(TimeoutError):
            server.accept()
    assert not opened


def test_only_https_is_an_address_even_online():
    for address in (
        "s3://bucket/a.tif",
        "/vsizip//x.zip/a.tif",
        "/vsicurl/https://example.org/a.tif",
        "file:///etc/passwd",
        "ftp://x/a.tif",
    ):
        with pytest.raises(GeoError, match="Only local files"):
            open_source(address, online=True)


def test_a_raster_is_opened_by_the_gtiff_driver_alone(good, monkeypatch):
    drivers = []
    plain = rasterio.open

    def recording(*args, **options):
        drivers.append(options.get("driver"))
        return plain(*args, **options)

    monkeypatch.setattr(rasterio, "open", recording)
    read_all(good)
    assert drivers
    assert set(drivers) == {"GTiff"}


def test_a_missing_file_and_a_path_that_may_not_be_read(tmp_path, good):
    with pytest.raises(GeoError, match=r"no file 'none\.tif'"):
        open_source(tmp_path / "none.tif")
    if os.geteuid() != 0:
        good.chmod(0)
        with pytest.raises(GeoError, match="permissions"):
            open_source(good)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    with pytest.raises(GeoError, match="no file"):
        open_source(tmp_path / "pipe.tif")


@pytest.mark.parametrize("gsd_m", [-1.0, 0.0, float("nan"), float("inf")])
def test_an_impossible_gsd_is_refused(good, gsd_m):
    with pytest.raises(GeoError, match="above zero"):
        open_source(good, gsd_m=gsd_m)


def test_corrupted_bytes_give_a_clear_error_at_most(good, tmp_path):
    import numpy as np

    whole = bytearray(good.read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "bent.tif"
    outcomes = set()
    for _ in range(60):
        bent = bytearray(whole)
        for position in rng.integers(4, min(len(bent), 600), 6):
            bent[position] = rng.integers(0, 256)
        path.write_bytes(bent)
        try:
            read_all(path, gsd_m=1)
            outcomes.add("read")
        except GeoError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
