"""The plain vision transformer that every model here builds on: patches, positions, blocks (timm's, with
fused attention).

Source: MAE (arXiv 2111.06377) for the flow of tokens, Scale-MAE (arXiv 2212.14532, section 3) for positions
that know the ground sample distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import Encoder, ModelInputError
from ..frequency import Centre, centre_on
from .whitening import LevelWhitening

if TYPE_CHECKING:
    from timm.models.vision_transformer import Block


VECTOR_PART_DIM = 128
"""Directions of CLS, of the patch tokens' mean, and of their deviation that enter the whitened vector."""

ENCODER_PARTS = ("cls_token", "patch_embed", "blocks", "norm")
"""Where the names of an encoder's parameters begin, in MAE's files and ours."""


def prepare_timm() -> Any:
    """timm's `create_model`, after an import that works beside any build of torch.

    timm imports torchvision, whose published wheel cannot load its compiled operators beside a CPU build of
    torch and then fails on naming two of them. Nothing here uses them: declaring their signatures lets the
    import pass.
    """
    try:
        import torchvision  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except RuntimeError:
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    import timm

    return timm.create_model


def _timm_block() -> type[Block]:
    prepare_timm()
    from timm.models.vision_transformer import Block

    return Block


def transformer_blocks(
    depth: int, width: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0
) -> nn.ModuleList:
    """`depth` pre-norm blocks of timm with biased qkv and LayerNorm eps 1e-6, as MAE builds them."""
    if width % heads:
        raise ModelInputError(
            f"A width of {width} cannot be split into {heads} heads: "
            "choose a number of heads that divides it."
        )
    block = _timm_block()
    norm: Any = partial(nn.LayerNorm, eps=1e-6)
    return nn.ModuleList(
        block(width, heads, mlp_ratio, qkv_bias=True, norm_layer=norm, drop_path=drop_path)
        for _ in range(depth)
    )


def _frequencies(width: int) -> Tensor:
    """1 / 10000^(k / (width/4)), worked out in float64 on the host (MPS has none), whatever the default
    device is."""
    if width % 4:
        raise ModelInputError(
            f"A width of {width} cannot carry 2-D sine-cosine positions: it must be divisible by 4."
        )
    quarter = width // 4
    return (1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float64, device="cpu") / quarter)).to(
        torch.float32
    )


def gsd_positions(width: int, grid: int, res: Tensor) -> Tensor:
    """Positions whose coordinates are multiplied by `res`: (n,) -> (n, 1 + grid*grid, width), float32, CLS
    row zero.

    The column index fills the first half of the width, the row index the second; sines before cosines
    (models.md 1.4; Scale-MAE equation 3 with a reference of 1 m). `res` = 1 gives the static positions of
    MAE.
    """
    res = res.detach().to(torch.float32)
    omega = _frequencies(width).to(res.device)
    angle = (
        res[:, None, None] * torch.arange(grid, dtype=torch.float32, device=res.device)[None, :, None] * omega
    )
    line = torch.cat([angle.sin(), angle.cos()], dim=2)
    columns = line[:, None].expand(-1, grid, -1, -1)
    rows = line[:, :, None].expand(-1, -1, grid, -1)
    flat = torch.cat([columns, rows], dim=3).flatten(1, 2)
    return torch.cat([flat.new_zeros(len(flat), 1, width), flat], dim=1)


def to_patches(images: Tensor, patch: int) -> Tensor:
    """(b, c, h, w) -> (b, patches, c*patch*patch), row-major, each patch flattened as (channel, row,
    column)."""
    b, c, h, w = images.shape
    cut = images.reshape(b, c, h // patch, patch, w // patch, patch)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // patch) * (w // patch), c * patch * patch)


def from_pixel_patches(patches: Tensor, channels: int) -> Tensor:
    """(b, g*g, p*p*c) in MAE's order (row, column, channel) -> (b, c, g*p, g*p)."""
    b, n, d = patches.shape
    grid, patch = round(n**0.5), round((d // channels) ** 0.5)
    cut = patches.reshape(b, grid, grid, patch, patch, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, grid * patch, grid * patch)


def take(tokens: Tensor, keep: Tensor | None) -> Tensor:
    """The tokens at positions `keep`: (b, n, d), (b, k) -> (b, k, d); None keeps all."""
    return tokens if keep is None else tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))


def place(tokens: Tensor, keep: Tensor | None, filler: Tensor, count: int) -> Tensor:
    """Tokens back at their positions, `filler` (1, 1, d) everywhere else: (b, k, d) -> (b, count, d)."""
    if keep is None:
        return tokens
    full = filler.to(tokens.dtype).expand(len(tokens), count, -1)
    return full.scatter(1, keep[:, :, None].expand_as(tokens), tokens)


def xavier_linears(part: nn.Module) -> None:
    """Xavier-uniform matrices and zero biases for every linear map in `part`, as MAE starts."""
    for module in part.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def square_grid(images: Tensor, patch_px: int) -> int:
    """Patches along one side of pictures (n, c, h, w).

    Raises ModelInputError for pictures that are not square or do not divide into patches.
    """
    h, w = images.shape[-2:]
    if h != w or h % patch_px:
        raise ModelInputError(
            f"The network takes square pictures whose side is a multiple of {patch_px} px, not "
            f"{w} x {h}: resample the tile first."
        )
    return h // patch_px


class PatchEmbedding(nn.Module):
    """One linear map per patch, stored as the strided convolution whose names the published files use."""

    def __init__(self, patch_size: int, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch_size, patch_size)

    def forward(self, patches: Tensor) -> Tensor:
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """Sizes of a vision transformer under the names of MAE's code; every network's own config adds to them.

    `centre` says what pixels are expressed relative to (`core.models.frequency.centre_on`). `vector_dim` is
    the width of the whitened vector of a whole image, ours (0: there is none).
    """

    img_size: int = 224
    patch_size: int = 16
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    centre: Centre = "dataset"
    vector_dim: int = 0


class VisionTransformer(Encoder):
    """A ViT encoder with the names of MAE's files: cls_token, pos_embed, patch_embed, blocks, norm.

    `pos_embed` is carried for the files' sake; positions are computed for the grid at hand. With `gsd_aware`
    they are multiplied by each sample's `res`, else they are MAE's static ones. `centre` other than `dataset`
    subtracts the visible pixels' mean first.
    """

    def __init__(
        self, config: VitConfig, *, in_chans: int = 3, gsd_aware: bool = False, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.img_size, self.patch_size = config.img_size, config.patch_size
        self.in_chans, self.embed_dim = in_chans, config.embed_dim
        if self.img_size % self.patch_size:
            raise ModelInputError(
                f"An input of {self.img_size} px cannot be divided into patches of {self.patch_size} px: "
                "choose an img_size that is a multiple of patch_size."
            )
        self.gsd_aware = gsd_aware
        self.centre: Centre = config.centre
        positions = 1 + (self.img_size // self.patch_size) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, self.embed_dim), requires_grad=False)
        self.patch_embed = PatchEmbedding(self.patch_size, in_chans, self.embed_dim)
        self.blocks = transformer_blocks(
            config.depth, self.embed_dim, config.num_heads, config.mlp_ratio, drop_path
        )
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6)
        parts = [self.embed_dim, self.embed_dim, self.embed_dim, 2 * in_chans]
        self.whitening = (
            LevelWhitening(parts, VECTOR_PART_DIM, config.vector_dim) if config.vector_dim else None
        )

    @property
    def backbone(self) -> VisionTransformer:
        return self

    def reset_parameters(self) -> None:
        """MAE's initial values: xavier-uniform matrices, zero biases, N(0, 0.02) tokens (models.md 1.3)."""
        xavier_linears(self)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.view(self.embed_dim, -1))
        nn.init.normal_(self.cls_token, std=0.02)
        grid = self.img_size // self.patch_size
        self.pos_embed.data.copy_(gsd_positions(self.embed_dim, grid, torch.ones(1)))

    def grid_of(self, images: Tensor) -> int:
        """Patches along one side of pictures (n, c, h, w). Raises ModelInputError like `square_grid`."""
        return square_grid(images, self.patch_size)

    def positions(self, width: int, grid: int, res: Tensor) -> Tensor:
        """Positional code for one grid, (n, 1 + grid*grid, width); n is 1 for the static code."""
        return gsd_positions(width, grid, res if self.gsd_aware else torch.ones(1, device=res.device))

    def embed_patches(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        """Tokens before the first block, CLS first.

        Only visible patches are read: hidden pixels never enter the arithmetic.
        """
        grid = self.grid_of(images)
        if self.centre != "dataset":
            images = centre_on(images, keep, self.patch_size, "visible_mean").enter(images)
        tokens = self.patch_embed(take(to_patches(images, self.patch_size), keep))
        where = self.positions(self.embed_dim, grid, res)[:, 1:].expand(len(images), -1, -1)
        tokens = tokens + take(where, keep).to(tokens.dtype)
        return torch.cat([self.cls_token.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)

    def tokens_before(self, block: int, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        """What enters block number `block` (0 is the first; negative counts from the end): (b, 1 + k, d)."""
        tokens = self.embed_patches(images, res, keep)
        for layer in self.blocks[:block]:
            tokens = layer(tokens)
        return tokens

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        return self.norm(self.tokens_before(len(self.blocks), images, res, keep))
