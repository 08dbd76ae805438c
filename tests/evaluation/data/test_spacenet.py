"""SpaceNet 1 in its published layout: tiles, masks, splits, what is skipped, and UperNet trained on it."""

import json
import zipfile

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from core.cli.entry import main
from core.engine.training.upernet import train_upernet
from core.evaluation.data.datasets import DataSpec
from core.evaluation.data.images import Skipped
from core.evaluation.data.masked import open_masked
from core.evaluation.data.masked_set import UNLABELLED
from core.evaluation.errors import LabelledSetError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.recipes import UPERNET_FROZEN, UPERNET_TUNED
from core.evaluation.results import Result
from core.evaluation.running import evaluate

HEIGHT, WIDTH, CHIPS = 406, 438, 7
DEGREE = 4.5e-6  # about 0.5 m
WEST, NORTH = -43.6, -22.9


def corner(row, column):
    return [WEST + column * DEGREE, NORTH - row * DEGREE]


def write_chip(folder, number, *, dtype="uint8", shape=(HEIGHT, WIDTH)):
    """Write a chip with a bright building on grey ground, a black strip on its left, and its footprint."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(60, 90, (3, *shape))
    top, left = 100 + 10 * number, 120 + 8 * number
    pixels[:, top : top + 60, left : left + 80] += 120
    pixels[:, :, :40] = 0
    (folder / "3band").mkdir(parents=True, exist_ok=True)
    (folder / "geojson").mkdir(exist_ok=True)
    with rasterio.open(
        folder / "3band" / f"3band_AOI_1_RIO_img{number}.tif", "w", driver="GTiff", height=shape[0],
        width=shape[1], count=3, dtype=dtype, crs="EPSG:4326",
        transform=from_origin(WEST, NORTH, DEGREE, DEGREE),
    ) as raster:  # fmt: skip
        raster.write(pixels.astype(dtype))
    ring = [(top, left), (top, left + 80), (top + 60, left + 80), (top + 60, left), (top, left)]
    polygon = {"type": "Polygon", "coordinates": [[corner(*point) for point in ring]]}
    features = [{"type": "Feature", "properties": {}, "geometry": polygon}] if number else []
    features.append({"type": "Feature", "properties": {}, "geometry": None})
    labels = {"type": "FeatureCollection", "features": features}
    (folder / "geojson" / f"Geo_AOI_1_RIO_img{number}.geojson").write_text(json.dumps(labels))


@pytest.fixture
def spacenet(tmp_path):
    for number in range(CHIPS):
        write_chip(tmp_path / "data" / "SN1_buildings", number)
    return tmp_path / "data" / "SN1_buildings"


def test_tiles_and_masks_come_from_chips_and_footprints(spacenet):
    data = open_masked(DataSpec("spacenet"), (spacenet.parent,))
    assert data.classes == ("ground", "building") and set(data.gsd_m) == {0.5}
    assert len(data.files) == 4 * CHIPS and data.native_px == 192
    assert len(set(data.groups[data.rows("test")])) == 2  # 28 % of seven chips
    assert not set(data.groups[data.rows("test")]) & set(data.groups[data.rows("train")])
    row = next(n for n, name in enumerate(data.files) if "img3.tif@0,0" in name)
    tile = data.read(row)
    top, left = (HEIGHT - 384) // 2, (WIDTH - 384) // 2
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[130:190, 144:224] = 1
    expected[:, :40] = UNLABELLED
    assert np.array_equal(tile.classes, expected[top : top + 192, left : left + 192])
    assert tile.image.shape == (3, 192, 192) and tile.image.min() >= 0 and tile.image.max() <= 1
    assert tile.image[0, 130 - top + 5, 144 - left + 5] > 0.6


@pytest.mark.parametrize("name", ["spacenet", "SpaceNet-1", "SN1_buildings", "spacenet_v1"])
def test_it_opens_under_the_names_in_use(spacenet, name):
    assert open_masked(DataSpec(name), (spacenet.parent,)).name == "spacenet"


def test_a_zip_and_the_unpacked_archives_are_the_same_set(spacenet, tmp_path):
    folder = open_masked(DataSpec(str(spacenet)), ())
    with zipfile.ZipFile(tmp_path / "SN1_buildings.zip", "w") as archive:
        for path in spacenet.rglob("*.*"):
            archive.write(path, path.relative_to(spacenet))
    packed = open_masked(DataSpec("spacenet"), (tmp_path,))
    assert packed.fingerprint == folder.fingerprint and packed.files == folder.files


def test_unusable_files_are_named(spacenet):
    write_chip(spacenet, 1, dtype="uint16")
    write_chip(spacenet, 2, shape=(200, 300))
    (spacenet / "geojson" / "Geo_AOI_1_RIO_img4.geojson").write_text("{")
    (spacenet / "3band" / "3band_AOI_1_RIO_img5.tif").write_bytes(b"II*")
    data = open_masked(DataSpec("spacenet"), (spacenet.parent,))
    reasons = {
        tile.file[-8:]: tile.reason
        for row in range(len(data.files))
        if isinstance(tile := data.read(row), Skipped)
    }
    assert set(reasons) == {"img1.tif", "img2.tif", "img4.tif", "img5.tif"}
    assert "does not have 8 bits" in reasons["img1.tif"] and "300 x 200 px" in reasons["img2.tif"]
    assert "cannot be read" in reasons["img4.tif"] and "cannot be read" in reasons["img5.tif"]


def test_archives_without_footprints_are_reported(tmp_path):
    (tmp_path / "spacenet" / "3band").mkdir(parents=True)
    with pytest.raises(
        LabelledSetError, match="unpack the archives of the train images and of the footprints"
    ):
        open_masked(DataSpec("spacenet"), (tmp_path,))
    with pytest.raises(LabelledSetError, match="no set with masks 'spacenet'"):
        open_masked(DataSpec("spacenet"), ())


def test_upernet_is_trained_once_and_tested_coarser(spacenet, tmp_path, capsys, monkeypatch):
    runs = []

    def counted(*args, **options):
        runs.append(options)
        return train_upernet(*args, **options)

    monkeypatch.setattr("core.engine.training.upernet.train_upernet", counted)
    command = [
        "evaluate",
        "spacenet",
        "--protocol",
        "segmentation",
        "--scales",
        "50,75,100",
        "--steps",
        "2",
        "--size",
        "48",
    ]
    options = [
        "--data",
        str(spacenet.parent),
        "--model",
        "mae_tiny",
        "--cache",
        str(tmp_path / "cache"),
        "--json",
    ]
    for extra, frozen, head in (
        (["--train"], False, UPERNET_TUNED),
        (["--head", "upernet"], True, UPERNET_FROZEN),
    ):
        assert main([*command, *extra, *options]) == 0
        found = json.loads(capsys.readouterr().out)["results"]
        assert [r["recipe"]["scaled_px"] for r in found] == [96, 144, 192]
        assert [r["recipe"].get("gallery_px") for r in found] == [48, 48, None]
        assert {r["recipe"]["head"] for r in found} == {head} and {r["recipe"]["steps"] for r in found} == {2}
        assert all(r["low"] <= r["miou"] <= r["high"] and r["count"] == 2 for r in found)
        assert runs.pop() == {"frozen": frozen, "steps": 2, "seed": 0} and not runs
    assert main([*command, "--train", *options]) == 0  # from the cache
    assert not runs


def test_upernet_needs_a_network(spacenet, capsys):
    command = [
        "evaluate",
        "spacenet",
        "--protocol",
        "segmentation",
        "--train",
        "--data",
        str(spacenet.parent),
    ]
    assert main([*command, "--model", "colour_histogram", "--steps", "1"]) == 2
    assert "choose a network rather than a baseline" in capsys.readouterr().err


@pytest.mark.slow
def test_the_head_learns_buildings(spacenet):
    from core.engine.candidates import candidate

    plan = EvaluationPlan(
        protocol="segmentation", data=("spacenet",), head="upernet-tuned", steps=40, size_px=48
    )
    events = evaluate(plan, [candidate("mae_tiny")], folders=(spacenet.parent,), fit=train_upernet)
    found = next(e for e in events if isinstance(e, Result))
    assert found.details["iou"]["building"] > 0.5
