import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.evaluation.data.datasets import DataSpec, data_folders, open_set
from core.evaluation.data.images import Skipped, batches
from core.evaluation.errors import LabelledSetError


def refused(data: Path, **options) -> str:
    with pytest.raises(LabelledSetError) as problem:
        open_set(DataSpec(str(data), **options), ())
    return str(problem.value)


def test_a_folder_per_class_becomes_classes_and_a_seeded_split(class_folders):
    found = open_set(DataSpec(str(class_folders)), ())
    assert found.classes == ("Forest", "River", "Town")
    assert (len(found.files), found.native_px) == (36, 32)
    assert [int((found.splits[found.labels == c] == "test").sum()) for c in range(3)] == [1, 1, 1]
    assert "10 % of each class" in found.split_origin
    again = open_set(DataSpec(str(class_folders)), ())
    assert (again.splits == found.splits).all()
    assert (open_set(DataSpec(str(class_folders), seed=5), ()).splits != found.splits).any()


def test_a_zip_with_an_index_keeps_its_split_and_gsd(index_zip):
    found = open_set(DataSpec(str(index_zip)), ())
    assert (len(found.rows("train")), len(found.rows("test"))) == (24, 12)
    assert set(found.gsd_m.tolist()) == {2.0}
    assert found.split_origin == "index.csv"


def test_the_same_content_has_the_same_fingerprint_in_a_zip_and_in_a_folder(index_zip, tmp_path):
    with zipfile.ZipFile(index_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    packed, loose = open_set(DataSpec(str(index_zip)), ()), open_set(DataSpec(str(tmp_path / "unpacked")), ())
    assert packed.fingerprint == loose.fingerprint
    (tmp_path / "unpacked" / "Forest" / "Forest_0.png").write_bytes(b"other")
    assert open_set(DataSpec(str(tmp_path / "unpacked")), ()).fingerprint != packed.fingerprint


def test_a_limit_counts_within_each_class_and_split(index_zip):
    found = open_set(DataSpec(str(index_zip), limit=3), ())
    assert len(found.files) == 18
    assert all(
        ((found.labels == c) & (found.splits == s)).sum() == 3 for c in range(3) for s in ("train", "test")
    )


def test_wrapper_and_split_folders_are_recognised(class_folders, tmp_path):
    shutil.copytree(class_folders, tmp_path / "wrapped" / "EuroSAT" / "2750")
    assert len(open_set(DataSpec(str(tmp_path / "wrapped")), ()).files) == 36
    for split in ("train", "val"):
        shutil.copytree(class_folders, tmp_path / "parted" / split)
    found = open_set(DataSpec(str(tmp_path / "parted")), ())
    assert (len(found.rows("train")), len(found.rows("test"))) == (36, 36)
    assert found.classes == ("Forest", "River", "Town")


def test_split_lists_take_precedence(class_folders):
    tests = [f"{name}_{number}.png" for name in ("Forest", "River", "Town") for number in (0, 5)]
    every = [file.name for file in class_folders.rglob("*.png")]
    (class_folders.parent / "set-test.txt").write_text("\n".join(tests))
    (class_folders.parent / "set-train.txt").write_text(
        "\n".join(f"./{n.split('_')[0]}/{n}" for n in every if n not in tests)
    )
    found = open_set(DataSpec(str(class_folders)), ())
    assert found.split_origin == "lists set-train.txt and set-test.txt"
    assert sorted(Path(found.files[row]).name for row in found.rows("test")) == sorted(tests)
    (class_folders.parent / "set-test.txt").write_text("Beach/Beach_1.png\n")
    assert "do not match its images" in refused(class_folders)


def test_published_names_are_found_in_their_published_layout(class_folders, tmp_path):
    shutil.copytree(class_folders, tmp_path / "data" / "NWPU-RESISC45")
    found = open_set(DataSpec("resisc45"), (tmp_path / "data",))
    assert (found.name, found.native_px) == ("resisc45", 256)
    assert found.published is not None and found.published.mean == (0.368, 0.381, 0.3436)
    assert np.isnan(found.gsd_m).all()
    with pytest.raises(
        LabelledSetError, match=r"WHU-RS19 was not found: put WHU-RS19 or WHU-RS19\.zip into a folder"
    ):
        open_set(DataSpec("WHU-RS19"), (tmp_path / "data",))


def test_a_class_folder_without_images_is_named(class_folders):
    (class_folders / "Glacier").mkdir()
    assert "Class folder 'Glacier'" in refused(class_folders)


def test_an_empty_folder_a_single_class_and_loose_images_are_refused(class_folders, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no images" in refused(tmp_path / "empty")
    shutil.copytree(class_folders / "River", tmp_path / "one" / "River")
    assert "single class 'River'" in refused(tmp_path / "one")
    assert "no class folders" in refused(class_folders / "River")
    assert "There is no labelled set" in refused(tmp_path / "nowhere")


def rewritten(index_zip: Path, path: Path, change) -> Path:
    with zipfile.ZipFile(index_zip) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "index.csv" else content)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("Town,test", "Village,test"),
            "class 'Village' is in the test images but not in the train",
        ),
        (lambda text: text.replace("file,label", "name,class"), r"needs the columns \['file', 'label'\]"),
        (lambda text: text.replace("Forest_3.png,Forest", "Forest_3.png,"), "has no file or no label"),
        (lambda text: text.replace(",train,2", ",train,-2"), "must be above 0"),
        (lambda text: text.replace(",train,", ",holdout,"), "use train and test"),
        (lambda text: text.replace(",test,", ",train,"), "has no test images"),
    ],
)
def test_mismatched_labels_are_refused(index_zip, tmp_path, change, message):
    with pytest.raises(LabelledSetError, match=message):
        open_set(DataSpec(str(rewritten(index_zip, tmp_path / "changed.zip", change))), ())


def test_a_broken_zip_is_refused(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and nothing more")
    assert "not a readable zip" in refused(tmp_path / "broken.zip")


def test_one_corrupt_image_among_many_is_skipped_counted_and_named(class_folders):
    (class_folders / "River" / "River_4.png").write_bytes(b"not a picture")
    (class_folders / "Town" / "Town_7.png").write_bytes(
        (class_folders / "Town" / "Town_7.png").read_bytes()[:200]
    )
    found = open_set(DataSpec(str(class_folders)), ())
    read = list(batches(found.store, found.files, np.arange(36), 32, 10))
    assert sum(len(batch.rows) for batch in read) == 34
    assert [skip.file for batch in read for skip in batch.skipped] == ["River/River_4.png", "Town/Town_7.png"]
    assert all(
        isinstance(skip, Skipped) and "cannot be read as an image" in skip.reason
        for batch in read
        for skip in batch.skipped
    )
    assert all(batch.images.dtype == np.float32 and batch.images.max() <= 1 for batch in read)


def test_an_index_cannot_reach_outside_its_set(index_zip, tmp_path):
    path = rewritten(
        index_zip,
        tmp_path / "escape.zip",
        lambda text: text.replace("Forest/Forest_0.png", "../../secret.png"),
    )
    found = open_set(DataSpec(str(path)), ())
    row = found.files.index("../../secret.png")
    read = next(batches(found.store, found.files, np.array([row]), 32, 1))
    assert "is outside" in read.skipped[0].reason


def test_reconstruction_needs_no_labels(class_folders, tmp_path):
    found = open_set(DataSpec(str(class_folders / "River")), (), labelled=False)
    assert len(found.rows("test")) == 12


def test_the_shared_sets_have_their_published_sizes(shared_data):
    sizes = {
        "eurosat": (9001, 5400, 10),
        "ucmerced": (945, 420, 21),
        "harvey": (5076, 924, 2),
        "neon": (27, 6, 3),
    }
    for name, expected in sizes.items():
        found = open_set(DataSpec(name), (shared_data,))
        assert (len(found.rows("train")), len(found.rows("test")), len(found.classes)) == expected


def test_data_folders_come_from_the_option_and_the_variable(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("EARTH_MAE_DATA", str(tmp_path / "b"))
    assert data_folders(tmp_path / "a")[:2] == (tmp_path / "a", tmp_path / "b")


def test_val_is_used_as_test_only_without_test(index_zip, class_folders, tmp_path):
    val_alone = open_set(
        DataSpec(
            str(
                rewritten(
                    index_zip, tmp_path / "val.zip", lambda text: text.replace(",test,", ",validation,")
                )
            )
        ),
        (),
    )
    assert (len(val_alone.rows("train")), len(val_alone.rows("test"))) == (24, 12)

    def some_for_val(text):
        return text.replace("_8.png,Forest,test", "_8.png,Forest,val").replace(
            "_8.png,Town,test", "_8.png,Town,validation"
        )

    both = open_set(DataSpec(str(rewritten(index_zip, tmp_path / "both.zip", some_for_val))), ())
    assert (len(both.files), len(both.rows("test"))) == (34, 10)
    for split in ("train", "val", "test"):
        shutil.copytree(class_folders, tmp_path / "parted" / split)
    assert len(open_set(DataSpec(str(tmp_path / "parted")), ()).files) == 72


def test_index_with_rows_longer_than_its_header_is_refused(index_zip, tmp_path):
    path = rewritten(
        index_zip,
        tmp_path / "long.zip",
        lambda text: text.replace("_3.png,Forest,train,2", "_3.png,Forest,train,2,and,more"),
    )
    assert "Row 5 of the index.csv of 'long' has more cells than its header" in refused(path)


def damaged(path: Path, name: str) -> Path:
    """Return the zip with one byte of a member changed, so that its CRC is wrong."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    content = bytearray(path.read_bytes())
    content[info.header_offset + 30 + len(name) + info.file_size // 2] ^= 0xFF
    path.write_bytes(content)
    return path


def test_a_damaged_image_of_a_zip_is_skipped_and_a_damaged_index_is_reported(index_zip):
    found = open_set(DataSpec(str(damaged(index_zip, "Forest/Forest_0.png"))), ())
    assert found.native_px == 32
    read = next(batches(found.store, found.files, np.arange(36), 32, 36))
    assert [skip.file for skip in read.skipped] == ["Forest/Forest_0.png"]
    assert "cannot be read (Bad CRC-32" in read.skipped[0].reason
    assert "'index.csv' of pack.zip cannot be read (Bad CRC-32" in refused(damaged(index_zip, "index.csv"))


def test_unreadable_or_huge_folder_is_refused(class_folders, monkeypatch):
    monkeypatch.setattr("core.evaluation.data.storage.MAX_ENTRIES", 10)
    assert "has more than 10 files; give the folder of a single image set" in refused(class_folders)

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)
    monkeypatch.setattr(Path, "iterdir", closed)
    monkeypatch.setattr("core.evaluation.data.storage.MAX_ENTRIES", 1000)
    assert "cannot be read completely (Permission denied)" in refused(class_folders)


def test_a_set_is_found_by_its_name_in_a_data_folder(class_folders, index_zip, tmp_path, monkeypatch):
    monkeypatch.chdir(Path("/"))
    assert len(open_set(DataSpec("set"), (tmp_path,)).files) == 36
    assert len(open_set(DataSpec("set"), (class_folders,)).files) == 36
    assert open_set(DataSpec("pack"), (tmp_path,)).store.path == index_zip
    with pytest.raises(LabelledSetError, match="in the folder of --data"):
        open_set(DataSpec("packs"), (tmp_path,))


def test_an_index_inside_the_one_folder_of_a_zip_is_read(index_zip, tmp_path):
    with zipfile.ZipFile(index_zip) as old, zipfile.ZipFile(tmp_path / "wrapped.zip", "w") as new:
        for name in old.namelist():
            new.writestr(f"pack/{name}", old.read(name))
    plain, wrapped = (open_set(DataSpec(str(path)), ()) for path in (index_zip, tmp_path / "wrapped.zip"))
    assert wrapped.split_origin == "index.csv"
    assert wrapped.files == tuple(f"pack/{name}" for name in plain.files)
    assert (wrapped.splits == plain.splits).all() and (wrapped.gsd_m == 2).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("Forest_1.png,Forest", "Forest_0.png,River"),
            "lists 'Forest/Forest_0.png' a second time",
        ),
        (lambda text: text.replace(",train,2", ",train,inf"), "write metres as a number"),
        (lambda text: text.splitlines()[0] + "\n", "has no images"),
        (
            lambda text: text.replace("Forest_1.png,Forest,train", "Forest_1.png,Forest,"),
            "Row 3 .* has no split, but other rows do",
        ),
    ],
)
def test_contradictory_index_is_refused(index_zip, tmp_path, change, message):
    with pytest.raises(LabelledSetError, match=message):
        open_set(DataSpec(str(rewritten(index_zip, tmp_path / "changed.zip", change))), ())


def test_blanks_and_empty_rows_are_ignored(index_zip, tmp_path):
    spaced = rewritten(index_zip, tmp_path / "spaced.zip", lambda text: text.replace(",", " , ") + ",,,\n")
    plain, found = (open_set(DataSpec(str(path)), ()) for path in (index_zip, spaced))
    assert (found.files, found.classes, found.fingerprint) == (plain.files, plain.classes, plain.fingerprint)


def test_list_entries_may_be_longer_paths(class_folders):
    for split, numbers in (("train", range(9)), ("test", range(9, 12))):
        for kind in ("Forest", "River", "Town"):
            for number in numbers:
                (class_folders / kind / f"{kind}_{number}.png").rename(class_folders / kind / f"{number}.png")
        lines = [
            f"data/set/{kind}/{number}.png" for kind in ("Forest", "River", "Town") for number in numbers
        ]
        (class_folders / f"{split}.txt").write_text("\n".join(lines))
    found = open_set(DataSpec(str(class_folders)), ())
    assert len(found.rows("train")) == 27 and len(found.rows("test")) == 9
    for split, numbers in (("train", range(9)), ("test", range(9, 12))):
        (class_folders / f"{split}.txt").write_text("\n".join(f"{number}.png" for number in numbers))
    assert "do not match its images" in refused(
        class_folders
    )  # a bare name that three classes have is no image's


def test_a_class_of_one_image_cannot_be_split(class_folders):
    for number in range(1, 12):
        (class_folders / "Town" / f"Town_{number}.png").unlink()
    assert "has one image, which cannot be split into train and test: add images of it" in refused(
        class_folders
    )


@pytest.mark.parametrize(
    ("name", "packed", "inside"),
    [("eurosat", "EuroSAT_RGB.zip", "EuroSAT_RGB"), ("mlrsnet", "MLRSNet.zip", "MLRSNet/Images")],
)
def test_published_zips_are_found_as_they_are_downloaded(class_folders, tmp_path, name, packed, inside):
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / packed, "w") as archive:
        archive.writestr("MLRSNet/Labels/Forest.csv", "file,forest") if name == "mlrsnet" else None
        for path in sorted(class_folders.glob("*/*.png")):
            archive.write(path, f"{inside}/{path.relative_to(class_folders)}")
    assert open_set(DataSpec(name), (tmp_path / "data",)).classes == ("Forest", "River", "Town")


def test_a_zip_of_an_unknown_version_is_refused(index_zip, tmp_path):
    content = bytearray(index_zip.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 250  # the version that is needed to unpack it
    (tmp_path / "future.zip").write_bytes(content)
    assert "not a readable zip" in refused(tmp_path / "future.zip")
