"""Zip packs: synthetic ones for edge cases, and the data packs where they are present."""

import zipfile

import numpy as np
import pytest

from core.geo import GeoError, TileSpec, for_eye, open_source
from core.geo.sources import pack as pack_module


@pytest.fixture
def make_pack(tmp_path, make_tif, noise):
    """Write a pack of one raster, with the index given."""

    def make(index, name="pack.zip", **members):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(make_tif(noise), "a.tif")
            if index is not None:
                archive.writestr("index.csv", index)
            for member, data in members.items():
                archive.writestr(member, data)
        return path

    return make


def test_a_pack_serves_what_its_index_says(make_pack):
    index = "file,role,label,split,gsd_m,lat,lon,rgb_bands,licence,source\n"
    index += "a.tif,image,field,test,3,52,3,3 2 1,CC0,me\nb.txt,label,,,,,,,,\n"
    source = open_source(make_pack(index))
    assert source.keys() == ("a.tif",)
    entry = source.entry("a.tif")
    assert (entry.label, entry.split, entry.gsd_m, entry.lonlat, entry.rgb) == (
        "field",
        "test",
        3.0,
        (3.0, 52.0),
        (2, 1, 0),
    )
    tile = source.read(TileSpec(source.ref()))
    assert tile.rgb == (2, 1, 0)
    assert tile.gsd == 10  # the raster's own metadata win over the index
    assert tile.credit == "me"


def test_a_missing_member_is_named(make_pack):
    source = open_source(make_pack("file\na.tif\ngone.tif\n"))
    assert source.keys() == ("a.tif",)
    with pytest.raises(GeoError, match=r"gone\.tif"):
        source.read(TileSpec(source.ref("gone.tif")))


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (None, "no index.csv"),
        ("", "no column"),
        ("name,gsd\na.tif,1\n", "no column"),
        ("file\n../../x\n/etc/passwd\n", "lists no picture"),
        ("file\n", "lists no picture"),
        (b"\xff\xfe\x00\x01", "no column"),
        ("file\n" + "x" * 200_000 + "\n", "not valid CSV|lists no picture"),
    ],
)
def test_an_invalid_index_is_refused(make_pack, index, sentence):
    with pytest.raises(GeoError, match=sentence):
        open_source(make_pack(index))


def test_invalid_numbers_in_an_index_are_ignored(make_pack):
    index = "file,gsd_m,lat,lon,rgb_bands\na.tif,-3,1e9,nan,0 1 2\n"
    entry = open_source(make_pack(index)).entry("a.tif")
    assert (entry.gsd_m, entry.lonlat, entry.rgb) == (None, None, None)


def test_a_corrupt_zip_is_refused(make_pack, tmp_path):
    whole = make_pack("file\na.tif\n").read_bytes()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GeoError, match="not a readable zip"):
        open_source(broken)
    bent = bytearray(whole)
    bent[200:400] = bytes(200)  # inside the first member: found by its checksum
    broken.write_bytes(bent)
    source = open_source(broken)
    with pytest.raises(GeoError, match="damaged"):
        source.read(TileSpec(source.ref()))


def test_a_member_that_unpacks_beyond_the_limit_is_refused(make_pack, monkeypatch):
    monkeypatch.setattr(pack_module.ZipArchive.read, "__defaults__", (5000,))
    source = open_source(make_pack("file\na.tif\n"))
    with pytest.raises(GeoError, match="unpacks to more"):
        source.read(TileSpec(source.ref()))


@pytest.mark.parametrize(
    ("pack", "count", "gsd_m"),
    [
        ("eurosat_rgb", 14401, 10),
        ("ucmerced", 1365, 0.3048),
        ("neon_0p1m", 33, 0.1),
        ("harvey_houston", 6000, 0.46),
    ],
)
def test_the_shared_packs_are_read(shared_data, pack, count, gsd_m):
    source = open_source(shared_data / f"{pack}.zip")
    keys = source.keys()
    assert len(keys) == source.info.count == count
    tile = source.read(TileSpec(source.ref()))
    assert tile.gsd == pytest.approx(gsd_m, rel=1e-3)
    assert tile.valid.any()
    assert {source.entry(key).split for key in keys} == {"train", "test"}
    assert source.info.licence


def test_every_shared_scene_is_read_where_and_as_its_index_says(shared_data):
    source = open_source(shared_data / "scenes.zip")
    keys = source.keys()
    assert len(keys) == 18
    for key in keys:
        entry = source.entry(key)
        if key.startswith("bluemarble"):
            continue
        tile = source.read(TileSpec(source.ref(key), size_px=128))
        assert source.native_gsd_m(key) == pytest.approx(entry.gsd_m, rel=0.14), (
            key
        )  # the index rounds degrees at mid-latitude
        assert tile.footprint is not None
        lon, lat = tile.footprint.centre
        assert (lon, lat) == pytest.approx(entry.lonlat, abs=0.01), key
        assert for_eye(tile).std() > 10, key
        assert entry.licence


def test_the_blue_marble_of_the_scenes_is_a_globe(shared_data):
    source = open_source(shared_data / "scenes.zip")
    tile = source.read(
        TileSpec(source.ref("bluemarble_8192x4096.jpg"), lonlat=(-155.5, 19.6), gsd_m=2000, size_px=112)
    )
    assert tile.native_gsd_m == pytest.approx(4886, rel=0.01)
    assert tile.pixels[2].mean() > tile.pixels[0].mean()  # Hawaii lies in the sea
    assert np.abs(np.subtract(tile.footprint.centre, (-155.5, 19.6))).max() < 0.05
