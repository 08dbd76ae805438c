"""MAE: a vision transformer encodes the visible patches, a small transformer reconstructs the image.

Paper: arXiv 2111.06377; the baseline of the three papers. Static positions, CLS kept in the decoder, every
patch predicted as pixels. It predicts one image: low and high are derived from it by the filter of
core.models.frequency. Names are those of MAE's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import LowHigh, Objective, Reconstructor, TrainingBatch
from .frequency import Centring, centre_on, high_target, masked_mean
from .layers.fill_join import FillJoin, start_near_zero
from .layers.vit import (
    VisionTransformer,
    VitConfig,
    from_pixel_patches,
    gsd_positions,
    place,
    to_patches,
    transformer_blocks,
)
from .registry import Family, ModelCard, register


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes of a transformer decoder.

    `band_config` is the number of blocks a side at which low and high frequencies part.
    """

    decoder_embed_dim: int = 512
    decoder_depth: int = 8
    decoder_num_heads: int = 16
    band_config: Sequence[int] = (7, 56)


@dataclass(frozen=True, kw_only=True)
class MAEConfig(VitConfig, DecoderConfig):
    """Sizes of an MAE. `norm_pix_loss`: patches are predicted with their own mean and deviation removed."""

    norm_pix_loss: bool = False
    in_chans: int = 3
    gsd_aware: bool = False


class PixelDecoder(Reconstructor):
    """MAE's decoder, as a mixin for networks with a `backbone`: tokens of the visible patches to pixels of
    all patches."""

    card: ModelCard
    norm_pix_loss: bool

    def add_pixel_decoder(self, config: DecoderConfig, mlp_ratio: float) -> None:
        """Create the decoder's parameters under MAE's names. Call it once, after the backbone is built."""
        backbone = self.backbone
        width = config.decoder_embed_dim
        self.band_config = (int(config.band_config[0]), int(config.band_config[1]))
        self.decoder_width = width
        self.decoder_embed = nn.Linear(backbone.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_pos_embed = nn.Parameter(
            gsd_positions(width, backbone.img_size // backbone.patch_size, torch.ones(1)), requires_grad=False
        )
        self.decoder_blocks = transformer_blocks(
            config.decoder_depth, width, config.decoder_num_heads, mlp_ratio
        )
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, backbone.patch_size**2 * backbone.in_chans)
        self.join: FillJoin | None = None
        if backbone.centre == "visible_harmonic":
            pixels = backbone.in_chans * backbone.patch_size**2
            self.join = FillJoin(pixels, pixels, backbone.patch_size, backbone.in_chans)
            start_near_zero(self.join.leave)

    def decode(self, latent: Tensor, res: Tensor, keep: Tensor | None, grid: int) -> Tensor:
        """Predicted pixels of every patch after the CLS slot: (b, 1 + grid*grid, p*p*c)."""
        return self.decoder_pred(self.decode_tokens(latent, res, keep, grid))

    def decode_tokens(self, latent: Tensor, res: Tensor, keep: Tensor | None, grid: int) -> Tensor:
        """The decoder's tokens, from which `decoder_pred` reads pixels: (b, 1 + grid*grid, width)."""
        tokens = self.decoder_embed(latent)
        cls, patches = tokens[:, :1], place(tokens[:, 1:], keep, self.mask_token, grid * grid)
        tokens = torch.cat([cls, patches], dim=1) + self.backbone.positions(self.decoder_width, grid, res).to(
            tokens.dtype
        )
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_norm(tokens)

    def decode_picture(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        """The image that the transformer predicts, (b, c, s, s), in the encoder's input space."""
        pixels = self.decode(self._encode(images, res, keep), res, keep, self.backbone.grid_of(images))
        return from_pixel_patches(pixels[:, 1:], self.in_chans)

    def join_fill(self, imagined: Tensor, keep: Tensor | None, centring: Centring) -> Tensor:
        """What is added to the centring's base, (b, c, s, s): the prediction, refined with the fill if
        there is one."""
        if self.join is None:
            return imagined
        known, hidden = centring.known(keep, self.patch_size)
        joined = self.join(F.pixel_unshuffle((imagined - known) * hidden, self.patch_size), known, hidden)
        return F.pixel_shuffle(joined, self.patch_size)

    def predict(
        self, images: Tensor, res: Tensor, keep: Tensor | None, centring: Centring | None = None
    ) -> Tensor:
        """Predict the image in the decoder's space, (b, c, s, s). `centring`: if it is already computed."""
        centring = centring or centre_on(images, keep, self.patch_size, self.backbone.centre)
        return self.join_fill(self.decode_picture(images, res, keep), keep, centring)

    def _reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None) -> LowHigh:
        centring = centre_on(images, keep, self.patch_size, self.backbone.centre)
        picture = self.predict(images, res, keep, centring).float()
        std = picture.new_tensor(self.card.std)[None, :, None, None]
        mean = picture.new_tensor(self.card.mean)[None, :, None, None]
        shown = (centring.base + centring.scale * picture) * std + mean
        high = high_target(shown, self.band_config)
        return LowHigh(
            picture, high_target(picture, self.band_config), shown, high, shown, centring.base * std + mean
        )


class MAE(PixelDecoder, VisionTransformer):
    """The whole network of the paper, with any sizes."""

    def __init__(self, config: MAEConfig) -> None:
        super().__init__(config, in_chans=config.in_chans, gsd_aware=config.gsd_aware)
        self.norm_pix_loss = config.norm_pix_loss
        self.add_pixel_decoder(config, config.mlp_ratio)
        self.reset_parameters()


class PixelObjective(Objective):
    """MAE's loss: squared error per patch, mean over hidden patches. `log_each`: see masked_mean.

    With a fill there are two losses: `pixels` of the refined image, and `imagined` of the transformer's own,
    which keeps the encoder informative where the fill alone would do. `target_scale` above 1 draws the same
    crops as an objective with finer targets, so that the two can be compared.
    """

    def __init__(self, network: PixelDecoder, target_scale: int = 1, log_each: bool = False) -> None:
        super().__init__()
        self.network, self.target_scale, self.log_each = network, target_scale, log_each

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        assert isinstance(self.network, PixelDecoder) and keep is not None
        network = self.network
        centring = centre_on(batch.images, keep, network.patch_size, network.backbone.centre)
        imagined = network.decode_picture(batch.images, batch.res, keep)
        losses = {
            "pixels": self._error(
                network.join_fill(imagined, keep, centring), centring.relative(batch.images), keep
            )
        }
        if network.join is not None:
            losses["imagined"] = self._error(imagined, centring.enter(batch.images), keep)
        return losses

    def _error(self, picture: Tensor, truth: Tensor, keep: Tensor) -> Tensor:
        assert isinstance(self.network, PixelDecoder)
        return masked_patch_error(
            picture, truth, keep, self.network.patch_size, self.network.norm_pix_loss, self.log_each
        )


def masked_patch_error(
    picture: Tensor, truth: Tensor, keep: Tensor, patch: int, norm_pix: bool, log_each: bool = False
) -> Tensor:
    """Mean squared error over hidden patches, all weighted equally.

    `norm_pix` compares with patches of zero mean and unit deviation.
    """
    target = to_patches(truth, patch)
    if norm_pix:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    error = (to_patches(picture, patch) - target).square().mean(-1)
    hidden = torch.ones_like(error).scatter(1, keep, 0.0)
    return masked_mean(error, hidden, log_each)


_THIN = {"decoder_embed_dim": 192, "decoder_depth": 3, "decoder_num_heads": 6}

register(
    Family(
        name="mae",
        title="MAE",
        network=MAE,
        config=MAEConfig,
        paper="arXiv 2111.06377",
        description="MAE: one output image, static positions; the baseline.",
        reconstructs=True,
        two_bands=False,
        gsd_aware=False,
        presets={
            "mae_tiny": {
                "img_size": 112,
                "patch_size": 8,
                "embed_dim": 192,
                "depth": 8,
                "num_heads": 3,
                "decoder_embed_dim": 128,
                "decoder_depth": 3,
                "decoder_num_heads": 4,
                "centre": "visible_harmonic",
            },
            "mae_small": {"embed_dim": 384, "num_heads": 6, **_THIN},
            "mae_base": {},
            "mae_large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
        },
        objective=PixelObjective,
    )
)
