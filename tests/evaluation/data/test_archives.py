"""CIFAR, SVHN and Tiny-ImageNet from archives of the published layouts."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from core.evaluation.data import archives
from core.evaluation.data.datasets import DataSpec, find_set, open_set
from core.evaluation.data.images import read_picture
from core.evaluation.errors import LabelledSetError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "program_folder", lambda name: tmp_path / name)


def tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def records(*labels):
    """Records of the given label bytes and consecutive images."""
    return b"".join(bytes(label) + PIXELS[n].tobytes() for n, label in enumerate(labels))


def shown(data, number):
    return (read_picture(data.store, data.files[number]) * 255).round().astype(np.uint8)


def test_cifar10_binary(tmp_path):
    folder = "cifar-10-batches-bin"
    tar(
        tmp_path / "cifar-10-binary.tar.gz",
        {
            f"{folder}/batches.meta.txt": b"airplane\nautomobile\nbird\n\n",
            f"{folder}/data_batch_1.bin": records([0], [1], [0], [1]),
            f"{folder}/data_batch_2.bin": records([1], [0]),
            f"{folder}/test_batch.bin": records([1], [0]),
            f"{folder}/readme.html": b"<html>",
        },
    )
    data = open_set(DataSpec("CIFAR-10"), (tmp_path,))
    assert data.classes == ("airplane", "automobile") and data.native_px == 32
    assert (len(data.rows("train")), len(data.rows("test"))) == (6, 2)
    tests = [n for n in data.rows("test") if data.files[n].endswith("00001.bmp")]
    assert np.array_equal(shown(data, tests[0]), PIXELS[1]) and data.labels[tests[0]] == 0
    path, _ = find_set("cifar10", (tmp_path,))
    made = path.stat().st_mtime_ns
    assert find_set("cifar10", (tmp_path,))[0].stat().st_mtime_ns == made


def test_cifar100_uses_the_fine_label(tmp_path):
    tar(
        tmp_path / "cifar-100-binary.tar.gz",
        {
            "cifar-100-binary/fine_label_names.txt": b"apple\nbear\nwolf\n",
            "cifar-100-binary/coarse_label_names.txt": b"fruit\nanimal\n",
            "cifar-100-binary/train.bin": records([0, 0], [1, 1], [1, 2]),
            "cifar-100-binary/test.bin": records([1, 2], [0, 0]),
        },
    )
    data = open_set(DataSpec("cifar-100"), (tmp_path,))
    assert data.classes == ("apple", "bear", "wolf")
    assert [data.classes[n] for n in data.labels[data.rows("test")]] == ["wolf", "apple"]


def test_svhn_maps_ten_to_zero(tmp_path):
    (tmp_path / "svhn").mkdir()
    images = PIXELS[:4].transpose(2, 3, 1, 0)
    for split in ("train", "test"):
        savemat(
            tmp_path / "svhn" / f"{split}_32x32.mat", {"X": images, "y": np.array([[10], [3], [10], [3]])}
        )
    data = open_set(DataSpec("svhn"), (tmp_path,))
    assert data.classes == ("0", "3") and len(data.files) == 8
    assert np.array_equal(shown(data, 1), PIXELS[1])


def test_tiny_imagenet_uses_val_as_test(tmp_path):
    content = io.BytesIO()
    Image.fromarray(PIXELS[0].transpose(1, 2, 0)).save(content, "JPEG")
    root = "tiny-imagenet-200"
    with zipfile.ZipFile(tmp_path / f"{root}.zip", "w") as archive:
        for wnid in ("n01443537", "n01629819"):
            for number in range(3):
                archive.writestr(f"{root}/train/{wnid}/images/{wnid}_{number}.JPEG", content.getvalue())
            archive.writestr(f"{root}/train/{wnid}/{wnid}_boxes.txt", "")
        archive.writestr(f"{root}/val/images/val_0.JPEG", content.getvalue())
        archive.writestr(f"{root}/test/images/test_0.JPEG", content.getvalue())
        archive.writestr(f"{root}/val/val_annotations.txt", "val_0.JPEG\tn01629819\t0\t0\t62\t62\n")
    data = open_set(DataSpec("tiny-imagenet"), (tmp_path,))
    assert data.classes == ("n01443537", "n01629819")
    assert (len(data.rows("train")), len(data.rows("test"))) == (6, 1)
    assert data.labels[data.rows("test")].tolist() == [1]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (
            {"x/batches.meta.txt": b"a\nb\n", "x/test_batch.bin": records([0])[:-5]},
            "test_batch.bin is cut off",
        ),
        ({"x/batches.meta.txt": b"a\n", "x/test_batch.bin": records([7])}, "cannot be read as cifar10"),
        ({"x/data_batch_1": b"\x80\x04pickle"}, "take the binary version"),
    ],
)
def test_an_archive_of_another_layout_is_reported(tmp_path, members, reason):
    tar(tmp_path / "cifar-10-binary.tar.gz", members)
    with pytest.raises(LabelledSetError, match=reason):
        open_set(DataSpec("cifar10"), (tmp_path,))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"no archive")
    with pytest.raises(LabelledSetError, match="cannot be read as cifar10"):
        open_set(DataSpec("cifar10"), (tmp_path,))
    assert not list((tmp_path / "cache" / "sets").iterdir())
