"""A small labelled set of structured images as files, and a fake network without torch."""

import csv
import io
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.evaluation.baselines.colours import colour_histogram
from core.evaluation.data.images import area_resize
from core.policy import Policy, res_for

CLASSES = ("Forest", "River", "Town")


def picture(kind: int, number: int, side: int = 32) -> Image.Image:
    """Return an image of a class, with its own colour, stripe width and noise."""
    rng = np.random.default_rng(1000 * kind + number)
    y, x = np.mgrid[:side, :side]
    stripes = 40 * np.sin((x + kind * y) / (1.5 + kind) + number)
    base = np.array([(60, 120, 60), (60, 80, 160), (150, 130, 120)][kind])
    pixels = base[None, None] + stripes[:, :, None] + rng.normal(0, 12, (side, side, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Three class folders of twelve images each."""
    for kind, name in enumerate(CLASSES):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(12):
            picture(kind, number).save(tmp_path / "set" / name / f"{name}_{number}.png")
    return tmp_path / "set"


@pytest.fixture
def index_zip(tmp_path: Path) -> Path:
    """The same images as a zip with index.csv: per class 8 train and 4 test images, 2 m per pixel."""
    path = tmp_path / "pack.zip"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", "label", "split", "gsd_m"])
    with zipfile.ZipFile(path, "w") as archive:
        for kind, name in enumerate(CLASSES):
            for number in range(12):
                content = io.BytesIO()
                picture(kind, number).save(content, "PNG")
                archive.writestr(f"{name}/{name}_{number}.png", content.getvalue())
                writer.writerow([f"{name}/{name}_{number}.png", name, "train" if number < 8 else "test", 2])
        archive.writestr("index.csv", text.getvalue())
    return path


class FakeNetwork:
    """A network whose embeddings depend on image and res, and whose reconstruction is a fixed blend."""

    weights = "untrained"
    patch_px = 8
    input_px = 32
    pooling = "cls"
    default_policy = "native_gsd"
    gsd_aware = True
    reconstructs = True
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)

    def __init__(self, name: str = "fake", truth_share: float = 0.5, broken: bool = False) -> None:
        self.name = name
        self.truth_share = truth_share
        self.broken = broken
        self.embedded = 0
        self.res_seen: set[float] = set()

    def res(self, policy: Policy, gsd_m: float, input_px: int, native_gsd_m: float | None) -> float:
        return res_for(policy, gsd_m=gsd_m, input_px=input_px, native_gsd_m=native_gsd_m)

    def embed(self, images, res, pooling):
        self.embedded += len(images)
        self.res_seen |= set(res.tolist())
        vectors = np.concatenate(
            [colour_histogram(images), area_resize(images, 4).reshape(len(images), -1)], axis=1
        )
        vectors[:, 0] += res
        if self.broken:
            vectors[-1, 3] = np.nan
        return vectors.astype(np.float32)

    def patches(self, images, res):
        grid = images.shape[-1] // self.patch_px
        found = area_resize(images, grid).transpose(0, 2, 3, 1) + res[:, None, None, None]
        if self.broken:
            found[-1, 0, 0, 0] = np.nan
        return found.astype(np.float32)

    def reconstruct(self, images, hidden, res):
        if self.broken:
            return np.full_like(images, np.nan)
        return (self.truth_share * images + (1 - self.truth_share) * 0.5).astype(np.float32)


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
def make_network() -> type[FakeNetwork]:
    return FakeNetwork


OFFICIAL_SIZES = {
    "img_size": 224, "patch_size": 16, "embed_dim": 128, "depth": 2, "num_heads": 2,
    "decoder_embed_dim": 64, "decoder_depth": 1, "decoder_num_heads": 2, "fcn_dim": 16, "fcn_layers": 1,
}  # fmt: skip


@pytest.fixture
def official_weights(tmp_path: Path) -> Path:
    """A file in the layout of the official release: keys, wrapper and arguments, but two blocks."""
    import torch

    from core.models import create

    torch.manual_seed(0)
    source = create("scale_mae", **OFFICIAL_SIZES)
    state = OrderedDict(
        (key, tensor) for key, tensor in source.state_dict().items() if key != "mask_token_decoder"
    )
    arguments = Namespace(
        band_config=[7, 56],
        absolute_scale=False,
        use_l1_loss=True,
        base_resolution=2.5,
        target_size=[448],
        input_size=224,
    )
    torch.save(
        {"model": state, "optimizer": {}, "epoch": 799, "args": arguments},
        tmp_path / "scalemae-vitlarge-800.pth",
    )
    return tmp_path / "scalemae-vitlarge-800.pth"
