"""Scale-Contrast: an encoder for embeddings on a small training budget. Ours, not from a paper.

A convolutional stem finds textures from few examples (Xiao et al., arXiv 2106.14881), a few transformer
blocks with Scale-MAE's positions (arXiv 2212.14532) join them. It learns by telling pictures apart (SimCLR,
arXiv 2002.05709): two crops of one place, flipped, turned and recoloured, must find each other in the batch.
Its `vector` takes means and deviations of every level, from the picture's own colours to the last tokens, and
whitens each: what pictures share is divided out, so that no level drowns another. No label is ever read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Encoder, ModelInputError, Objective, TrainingBatch
from .frequency import hidden_pixels
from .layers.vit import gsd_positions, square_grid, take, transformer_blocks, xavier_linears
from .layers.whitening import RIDGE, LevelWhitening, deviation
from .registry import Family, register
from .views import Colour, ImageView, crop_view, not_enlarged, recolour


def convolution(channels: int, width: int, stride: int) -> nn.Sequential:
    """3x3 convolution without bias, BatchNorm."""
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))


class Stage(nn.Module):
    """Halve a map and look around once more: (b, c, s, s) -> (b, w, s/2, s/2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down, self.first, self.second = (
            convolution(channels, width, 2),
            convolution(width, width, 1),
            convolution(width, width, 1),
        )
        last = self.second[1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.constant_(last.weight, 0.2)  # near the identity at first, yet not deaf to gradients

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down(x))
        return F.relu(x + self.second(F.relu(self.first(x))))


@dataclass(frozen=True, kw_only=True)
class ScaleContrastConfig:
    """Sizes of a Scale-Contrast encoder.

    `stem_dim` channels in the first stage; `part_dim` directions of each level and `vector_dim` of the whole
    are kept by the whitening.
    """

    stem_dim: int = 32
    part_dim: int = 128
    vector_dim: int = 256
    gsd_aware: bool = True
    img_size: int = 64
    patch_size: int = 8
    in_chans: int = 3
    embed_dim: int = 192
    depth: int = 2
    num_heads: int = 3
    mlp_ratio: float = 4.0


class ScaleContrast(Encoder):
    """Convolutional stages down to one cell a patch, `depth` transformer blocks with CLS, and a whitened
    vector of all levels.

    `patch_size` is a power of two: one stage for each halving, `stem_dim` channels in the first and twice as
    many in each that follows. Hidden patches are blanked before the stem: their pixels never enter the
    arithmetic.
    """

    def __init__(self, config: ScaleContrastConfig) -> None:
        super().__init__()
        self.patch_size, self.embed_dim = config.patch_size, config.embed_dim
        self.in_chans, self.gsd_aware = config.in_chans, config.gsd_aware
        halvings = self.patch_size.bit_length() - 1
        if self.patch_size != 1 << halvings or config.img_size % self.patch_size:
            raise ModelInputError(
                f"patch_size {self.patch_size} does not fit: "
                f"choose a power of two that divides img_size {config.img_size}."
            )
        widths = [self.in_chans, *(config.stem_dim << i for i in range(halvings))]
        self.stages = nn.ModuleList(Stage(a, b) for a, b in itertools.pairwise(widths))
        self.proj = nn.Conv2d(widths[-1], self.embed_dim, 1)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, self.embed_dim))
        self.blocks = transformer_blocks(config.depth, self.embed_dim, config.num_heads, config.mlp_ratio)
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6)
        xavier_linears(self.blocks)
        self.whitening = LevelWhitening(
            [self.embed_dim, self.embed_dim, *(2 * width for width in widths)],
            config.part_dim,
            config.vector_dim,
        )
        self.vector_dim = self.whitening.width

    def levels(self, images: Tensor, res: Tensor, keep: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Tokens after the final norm, (b, 1 + k, d), and the maps on the way: the picture itself and the
        output of every stage."""
        grid = square_grid(images, self.patch_size)
        if keep is not None:
            images = torch.where(
                hidden_pixels(keep, grid, images.shape[-1]).bool(), torch.zeros_like(images), images
            )
        maps = [images.contiguous(memory_format=torch.channels_last)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        tokens = self.proj(maps[-1]).flatten(2).transpose(1, 2)
        where = gsd_positions(self.embed_dim, grid, res if self.gsd_aware else torch.ones_like(res))[:, 1:]
        tokens = take(tokens + where.to(tokens.dtype), keep)
        tokens = torch.cat([self.cls_token.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens), maps

    def summary(self, tokens: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """CLS, mean of the patch tokens, then mean and deviation of each map, side by side: (b, .) each,
        float32."""
        parts = [tokens[:, 0], tokens[:, 1:].mean(1) if tokens.shape[1] > 1 else tokens[:, 0]]
        for level in maps:
            level = level.float()
            parts.append(torch.cat([level.mean((2, 3)), deviation(level, (2, 3))], dim=1))
        return [part.float() for part in parts]

    def vector(self, images: Tensor, res: Tensor) -> Tensor:
        """One whitened vector for each whole picture: (b, vector_dim), float32."""
        tokens, maps = self.levels(images, res, None)
        with torch.autocast(images.device.type, enabled=False):
            return self.whitening(self.summary(tokens, maps))

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        return self.levels(images, res, keep)[0]


class ScaleContrastObjective(Objective):
    """Loss `nce`: each of two views finds the other among all views of the batch (SimCLR's NT-Xent).

    Views cover `crop` of the side's range, are flipped, turned by quarters and recoloured by `colour`; each
    has the res of its own pixels (`log_slope`: what res gains when a pixel grows e-fold, as under the policy
    log_gsd; 0: res is proportional to the GSD). Masks are not used. The whitening is measured when weights
    are written, on pictures as they are: recoloured ones would have colour count for less.
    """

    target_scale = 2
    measured = 4096
    steps: Tensor

    def __init__(
        self,
        network: ScaleContrast,
        *,
        crop: Sequence[float] = (0.5, 1.0),
        temperature: float = 0.2,
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.05, 1.0, 0.1),
        hidden_dim: int = 512,
        projection_dim: int = 128,
        log_slope: float = 0.651,
        ridge: float = RIDGE,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.temperature, self.colour, self.seed = network, temperature, colour, seed
        self.crop, self.log_slope = (float(crop[0]), float(crop[1])), log_slope
        self.ridge = ridge
        self.head = nn.Sequential(
            nn.Linear(2 * network.embed_dim, hidden_dim, bias=False),
            nn.BatchNorm1d(hidden_dim),
            nn.ReLU(),
            nn.Linear(hidden_dim, projection_dim),
        )
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:  # noqa: ARG002
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.steps))
        first, second = self.view(batch, generator), self.view(batch, generator)
        losses = self.losses(first, second)
        if self.training:
            self.steps += 1
        return losses

    def view(self, batch: TrainingBatch, generator: torch.Generator) -> ImageView:
        """One crop of each picture at the input's size."""
        assert isinstance(self.network, ScaleContrast)
        card, side = self.network.card, batch.images.shape[-1]
        span = not_enlarged(self.crop, side, batch.targets)
        cut = crop_view(
            batch.targets,
            batch.res,
            side,
            generator,
            span=span,
            flips=True,
            quarter_turns=True,
            log_slope=self.log_slope,
        )
        return ImageView(recolour(cut.images, generator, self.colour, card.mean, card.std), cut.res)

    def losses(self, first: ImageView, second: ImageView) -> dict[str, Tensor]:
        """The loss of two ready views. Raises ModelInputError for a batch of one."""
        network = self.network
        assert isinstance(network, ScaleContrast)
        if len(first.images) < 2:
            raise ModelInputError(
                "The contrastive task tells the pictures of a batch apart: "
                "give 2 or more (128 is better), not 1."
            )
        tokens, _ = network.levels(
            torch.cat([first.images, second.images]), torch.cat([first.res, second.res]), None
        )
        vectors = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1))
        return {"nce": nt_xent(vectors, self.temperature)}

    @torch.no_grad()
    def finish(self, network: nn.Module, batches: Iterable[TrainingBatch]) -> None:
        """Compute the final whitening from whole images."""
        assert isinstance(network, ScaleContrast)
        seen = [network.summary(*network.levels(batch.images, batch.res, None)) for batch in batches]
        network.whitening.settle([torch.cat(part) for part in zip(*seen, strict=True)], self.ridge)


def nt_xent(vectors: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding the other view of the same picture among all other views.

    The first half of `vectors` pairs with the second.
    """
    unit = F.normalize(vectors.float(), dim=1)
    with torch.autocast(unit.device.type, enabled=False):
        logits = (unit @ unit.T / temperature).fill_diagonal_(float("-inf"))
    count = len(unit)
    return F.cross_entropy(logits, torch.arange(count, device=unit.device).roll(count // 2))


register(
    Family(
        name="scale_contrast",
        title="Scale-Contrast",
        network=ScaleContrast,
        config=ScaleContrastConfig,
        paper="ours, after arXiv 2002.05709 and 2212.14532",
        description=(
            "Scale-Contrast is our own encoder for small budgets, made to embed places rather than to "
            "reconstruct them. "
            "A convolutional stem and a few transformer blocks with Scale-MAE's positions learn to recognise "
            "two crops of one place among others, without labels. "
            "Its vector joins every level, from the picture's colours to the last tokens, and whitens "
            "them so that none drowns another."
        ),
        reconstructs=False,
        two_bands=False,
        gsd_aware=True,
        presets={
            "scale_contrast_tiny": {},
            "scale_contrast_small": {"stem_dim": 48, "embed_dim": 384, "depth": 4, "num_heads": 6},
        },
        objective=ScaleContrastObjective,
        pooling="vector",
    )
)
