"""Users' own sets are found by their layout, besides the published ones."""

import os
import zipfile
from pathlib import Path

import pytest

from core.evaluation.data.datasets import DataSpec, open_set
from tests.evaluation.conftest import picture
from ui.evaluate import own_sets as module
from ui.evaluate.own_sets import own_sets, states_gsd


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path))
    monkeypatch.setattr(module, "data_folders", lambda: (tmp_path,))
    return tmp_path


def classes(folder: Path, *names: str, count: int = 3) -> Path:
    for kind, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture(kind, number, 16).save(folder / name / f"{number}.png")
    return folder


def zipped(path: Path, index: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("index.csv", index)
    return path


def test_class_folders_are_a_set(data):
    classes(data / "orchards", "apple", "pear")
    classes(data / "wrapped" / "images of it", "apple", "pear")
    classes(data / "split" / "train", "apple", "pear")
    classes(data / "split" / "test", "apple", "pear")
    classes(data / "one class", "apple")
    classes(data / "EuroSAT_RGB", "Forest", "River")
    (data / "notes").mkdir()
    (data / "notes" / "a.txt").write_text("no set")
    found = own_sets("knn")
    assert list(found) == ["orchards", "split", "wrapped"], "published names are not listed a second time"
    assert own_sets("segmentation") == {}
    assert {name: len(open_set(DataSpec(place)).classes) for name, place in found.items()} == dict.fromkeys(
        found, 2
    )
    assert not states_gsd(found["orchards"])


def test_zip_with_labels_in_its_index_is_a_set(data):
    good = zipped(data / "fields.zip", "file,label,gsd_m\na.png,wheat,0.5\nb.png,rye,0.5\n")
    zipped(data / "unlabelled.zip", "file,role\na.png,scene\n")
    zipped(data / "no_scale.zip", "file,label\na.png,wheat\nb.png,rye\n")
    (data / "broken.zip").write_bytes(b"PK no zip")
    assert own_sets("knn") == {"fields": str(good), "no_scale": str(data / "no_scale.zip")}
    assert states_gsd(str(good)) and not states_gsd(str(data / "no_scale.zip"))


def test_images_and_masks_are_for_segmentation(data):
    for place in ("flat", "halves/train", "halves/test"):
        for folder in ("images", "masks"):
            (data / place / folder).mkdir(parents=True)
            picture(0, 0, 16).save(data / place / folder / "a.png")
    assert list(own_sets("segmentation")) == ["flat", "halves"] and own_sets("knn") == {}


def test_set_keeps_its_suffix_if_its_name_is_taken(data):
    classes(data / "fields", "wheat", "rye")
    zipped(data / "fields.zip", "file,label\na.png,wheat\nb.png,rye\n")
    assert list(own_sets("knn")) == ["fields", "fields.zip"]


def test_added_files_are_found(data):
    classes(data / "orchards", "apple")
    assert own_sets("knn") == {}
    (data / "orchards" / "pear").mkdir()
    assert own_sets("knn") == {}
    picture(0, 0, 16).save(data / "orchards" / "pear" / "0.png")
    assert list(own_sets("knn")) == ["orchards"]


def test_only_part_of_huge_folders_is_read(data, monkeypatch):
    classes(data / "orchards", "apple", "pear", count=40)
    seen: list[str] = []
    real = os.scandir
    monkeypatch.setattr(module, "MAX_ENTRIES", 5)
    monkeypatch.setattr(module.os, "scandir", lambda folder: (seen.append(str(folder)), real(folder))[1])
    assert list(own_sets("knn")) == ["orchards"]
    before = len(seen)
    own_sets("knn")
    assert len(seen) - before == 2, (
        "what has not changed is not looked into again: the data folder, and the names of the set's classes"
    )


def test_published_sets_with_and_without_gsd():
    assert states_gsd("eurosat") and states_gsd("scenes") and states_gsd("atlanta_buildings")
    assert not states_gsd("aid") and not states_gsd("resisc45")


@pytest.mark.parametrize("packed", [True, False])
def test_index_in_the_only_folder_of_a_set_is_read(tmp_path, monkeypatch, packed):
    inside = {
        "mine/index.csv": "file,label,split,gsd_m\npics/a.png,x,train,2\npics/b.png,y,test,2\n",
        "mine/pics/a.png": "",
        "mine/pics/b.png": "",
    }
    place = tmp_path / "sets" / ("wrapped.zip" if packed else "wrapped")
    place.parent.mkdir()
    if packed:
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in inside.items():
                archive.writestr(name, text)
    for name, text in ({} if packed else inside).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    monkeypatch.setenv("EARTH_MAE_DATA", str(place.parent))
    assert own_sets("knn").get("wrapped") == str(place)
    assert states_gsd(str(place))
