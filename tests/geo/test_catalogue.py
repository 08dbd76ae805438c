"""Sources by name, data folders, and uploads under keys that cannot be guessed."""

import io

import numpy as np
import pytest
from PIL import Image

from core.geo import Catalogue, GeoError, TileRef, TileSpec, Uploads, known_sources


def png(shade):
    stream = io.BytesIO()
    Image.new("RGB", (32, 32), (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


def test_an_unknown_source_is_reported(catalogue):
    with pytest.raises(GeoError, match="choose one of"):
        catalogue.read(TileSpec(TileRef("../../etc", "passwd")))


def test_data_folders_add_packs_and_pictures(tmp_path, make_tif, noise, monkeypatch):
    (tmp_path / "mine").mkdir()
    make_tif(noise).rename(tmp_path / "mine" / "a.tif")
    (tmp_path / "mine" / "bad.zip").write_bytes(b"PK\x03\x04 not really")
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path / "absent"))
    found = known_sources([tmp_path / "mine"])
    assert "mine" in found.names()
    assert found.read(TileSpec(TileRef("mine", "a.tif"))).gsd == 10
    assert any("bad.zip" in problem for problem in found.problems)
    assert any("absent" in problem for problem in found.problems)


def test_two_sources_of_one_name_are_distinguished(tmp_path, make_tif, noise):
    for parent in ("x", "y"):
        (tmp_path / parent / "same").mkdir(parents=True)
        make_tif(noise).rename(tmp_path / parent / "same" / "a.tif")
    catalogue = Catalogue()
    catalogue.add_data(tmp_path / "x" / "same")
    catalogue.add_data(tmp_path / "y" / "same")
    assert catalogue.names() == ("same", "same-2")
    assert catalogue.read(TileSpec(TileRef("same-2", "a.tif"))).ref.source == "same-2"


def test_an_upload_is_read_by_its_id_only(make_tif, noise):
    catalogue = Catalogue([uploads := Uploads()])
    ref = uploads.add(make_tif(noise).read_bytes(), "../../x.tif")
    assert len(ref.key) >= 20
    assert uploads.entry(ref.key).title == "x.tif"
    tile = catalogue.read(TileSpec(ref))
    np.testing.assert_array_equal(tile.pixels, noise[:, :, 10:50])
    assert tile.ref == ref
    uploads.remove(ref.key)
    for key in (ref.key, "x.tif", "../../x.tif"):
        with pytest.raises(GeoError, match="upload the file again"):
            catalogue.read(TileSpec(TileRef("upload", key)))


def test_the_oldest_upload_is_evicted_when_the_memory_is_full():
    uploads = Uploads(limit_bytes=2 * 32 * 32 * 3)
    refs = [uploads.add(png(shade), "a.png", gsd_m=1) for shade in (10, 20, 30)]
    assert uploads.keys() == (refs[1].key, refs[2].key)
    assert uploads.read(TileSpec(refs[2])).pixels.max() == 30


def test_an_upload_beyond_the_limit_is_refused():
    with pytest.raises(GeoError, match="larger than"):
        Uploads(limit_bytes=10).add(png(1), "a.png", gsd_m=1)
