"""The sample rasters as training imagery: real scales, no elevation, no test split."""

import numpy as np
import pytest

from core.geo import sample_imagery as module
from core.geo.crops import draw_crops
from core.geo.sample_imagery import GLOBE, SAMPLES, packs_folder, sample_imagery
from core.geo.sources.samples import sample_folder
from core.geo.tile import GeoError

pytestmark = pytest.mark.skipif(
    sample_folder() is None, reason="localtileserver, which carries the rasters, is not installed"
)


def test_every_crop_is_a_picture_with_its_scale():
    found = sample_imagery()
    assert [kind.name for kind in found.imagery] == [SAMPLES, GLOBE] and not found.lacking
    samples, globe = found.imagery
    assert len(samples.pictures) == len(samples.gsd_m) >= 20 and globe.plate_carree
    assert all(
        picture.dtype == np.uint8 and picture.shape[2] == 3 and picture.flags.c_contiguous
        for picture in samples.pictures
    )
    crops = draw_crops(found.imagery, 64, 0, 0, range(24))
    assert crops.pixels.shape == (24, 64, 64, 3) and (crops.gsd_m > 0).all()
    assert np.median(crops.pixels.reshape(24, -1).std(1)) > 8


def test_elevation_and_test_rasters_are_left_out(monkeypatch):
    read: list[str] = []
    whole = module._whole

    def noted(source, key, entry):
        read.append(key)
        return whole(source, key, entry)

    monkeypatch.setattr(module, "_whole", noted)
    sample_imagery((SAMPLES,))
    assert "landsat7" in read
    assert not {"srtm90", "co_elevation_roi", "rotterdam_ms3", "rotterdam_pan3"} & set(read)


def test_blocks_with_much_missing_ground_are_left_out():
    valid = np.ones((500, 900), np.bool_)
    valid[:, 460:] = False
    pixels = np.zeros((500, 900, 3), np.uint8)
    assert len(list(module._blocks(pixels, valid))) == 2  # two of six
    assert module._spans(300) == [(0, 300)] and module._spans(900) == [(0, 448), (226, 448), (452, 448)]


def test_missing_rasters_are_reported_with_a_remedy(monkeypatch):
    monkeypatch.setattr(module, "bundled_sources", list)
    monkeypatch.setattr(module, "WheelSource", lambda: type("None", (), {"keys": lambda self: ()})())
    with pytest.raises(GeoError, match="make setup"):
        sample_imagery()


def test_the_first_named_folder_with_a_pack_is_trained_on(tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "ucmerced.zip").touch()
    monkeypatch.setenv("EARTH_MAE_DATA", f"{tmp_path / 'empty'}:{tmp_path / 'full'}")
    assert packs_folder() == tmp_path / "full"
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path / "empty"))
    assert packs_folder() is None
