"""Plain MAE: a vision transformer on the visible patches, a light transformer that paints the hidden ones, one picture out.

Paper: arXiv 2111.06377; the yardstick the three papers are measured against. Static positions, CLS kept in the decoder, every patch predicted as
pixels. It paints one band: low and high are derived from its picture by the filter of core.models.frequency. Names are those of MAE's files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import LowHigh, Objective, Reconstructor, TrainingBatch
from .frequency import Centre, Centring, centre_on, high_target, masked_mean
from .layers.fill_join import FillJoin, start_near_zero
from .layers.vit import (
    VisionTransformer,
    from_pixel_patches,
    gsd_positions,
    place,
    to_patches,
    transformer_blocks,
)
from .registry import Family, ModelCard, register, size_defaults


class PixelDecoder(Reconstructor):
    """MAE's decoder and the picture it makes, on a vision transformer that the inheriting network names as its `backbone`."""

    card: ModelCard
    norm_pix_loss: bool

    def add_pixel_decoder(
        self, width: int, depth: int, heads: int, mlp_ratio: float, band_config: Sequence[int]
    ) -> None:
        """Create the decoder's parameters under MAE's names; called once, after the backbone exists."""
        backbone = self.backbone
        self.band_config = (int(band_config[0]), int(band_config[1]))
        self.decoder_width = width
        self.decoder_embed = nn.Linear(backbone.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.decoder_pos_embed = nn.Parameter(
            gsd_positions(width, backbone.img_size // backbone.patch_size, torch.ones(1)), requires_grad=False
        )
        self.decoder_blocks = transformer_blocks(depth, width, heads, mlp_ratio)
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, backbone.patch_size**2 * backbone.in_chans)
        self.join: FillJoin | None = None
        if backbone.centre == "visible_harmonic":
            pixels = backbone.in_chans * backbone.patch_size**2
            self.join = FillJoin(pixels, pixels, backbone.patch_size, backbone.in_chans)
            start_near_zero(self.join.leave)

    def decode(self, latent: Tensor, res: Tensor, keep: Tensor | None, grid: int) -> Tensor:
        """Predicted pixels of every patch after the CLS slot: (b, 1 + grid*grid, p*p*c)."""
        tokens = self.decoder_embed(latent)
        cls, patches = tokens[:, :1], place(tokens[:, 1:], keep, self.mask_token, grid * grid)
        tokens = torch.cat([cls, patches], dim=1) + self.backbone.positions(self.decoder_width, grid, res).to(
            tokens.dtype
        )
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_pred(self.decoder_norm(tokens))

    def imagine(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        """The picture that the transformer paints, (b, c, s, s), in the space that visible pixels enter in."""
        pixels = self.decode(self._encode(images, res, keep), res, keep, self.backbone.grid_of(images))
        return from_pixel_patches(pixels[:, 1:], self.in_chans)

    def paint(self, imagined: Tensor, keep: Tensor | None, centring: Centring) -> Tensor:
        """What is added to the centring's base, (b, c, s, s): the imagined picture, joined with the fill where there is one."""
        if self.join is None:
            return imagined
        known, hidden = centring.known(keep, self.patch_size)
        made = self.join(F.pixel_unshuffle((imagined - known) * hidden, self.patch_size), known, hidden)
        return F.pixel_shuffle(made, self.patch_size)

    def predict(
        self, images: Tensor, res: Tensor, keep: Tensor | None, centring: Centring | None = None
    ) -> Tensor:
        """Predicted picture in the decoder's space, (b, c, s, s). `centring`: where it is measured already."""
        centring = centring or centre_on(images, keep, self.patch_size, self.backbone.centre)
        return self.paint(self.imagine(images, res, keep), keep, centring)

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
    """An encoder with MAE's decoder: width, depth and heads free. `norm_pix_loss`: patches were predicted with their own mean and
    deviation removed, which must be borrowed from the truth to be shown."""

    def __init__(
        self,
        *,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        norm_pix_loss: bool = False,
        band_config: Sequence[int] = (7, 56),
        centre: Centre = "dataset",
        img_size: int = 224,
        patch_size: int = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        gsd_aware: bool = False,
    ) -> None:
        super().__init__(
            img_size,
            patch_size,
            in_chans,
            embed_dim,
            depth,
            num_heads,
            mlp_ratio,
            gsd_aware=gsd_aware,
            centre=centre,
        )
        self.norm_pix_loss = norm_pix_loss
        self.add_pixel_decoder(decoder_embed_dim, decoder_depth, decoder_num_heads, mlp_ratio, band_config)
        self.reset_parameters()


class PixelObjective(Objective):
    """MAE's loss: squared error per patch, mean over hidden patches. `log_each`: see masked_mean.

    Where the picture is joined with a fill there are two: `pixels` of the joined picture, and `imagined` of the transformer's own, which keeps the
    encoder speaking where the fill alone would do.
    `target_scale` above 1 draws the very pictures that an objective with finer targets draws, so that the two can be compared.
    """

    def __init__(self, network: PixelDecoder, target_scale: int = 1, log_each: bool = False) -> None:
        super().__init__()
        self.network, self.target_scale, self.log_each = network, target_scale, log_each

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        assert isinstance(self.network, PixelDecoder) and keep is not None
        network = self.network
        centring = centre_on(batch.images, keep, network.patch_size, network.backbone.centre)
        imagined = network.imagine(batch.images, batch.res, keep)
        losses = {
            "pixels": self._error(
                network.paint(imagined, keep, centring), centring.relative(batch.images), keep
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
    """Mean squared error over hidden patches, each patch counted alike; `norm_pix` compares with patches of zero mean and unit deviation."""
    wanted = to_patches(truth, patch)
    if norm_pix:
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
    error = (to_patches(picture, patch) - wanted).square().mean(-1)
    hidden = torch.ones_like(error).scatter(1, keep, 0.0)
    return masked_mean(error, hidden, log_each)


_THIN = {"decoder_embed_dim": 192, "decoder_depth": 3, "decoder_num_heads": 6}

register(
    Family(
        name="mae",
        build=MAE,
        paper="arXiv 2111.06377",
        description="Plain MAE: one picture, static positions; the yardstick.",
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
        defaults=size_defaults(MAE),
        objective=PixelObjective,
    )
)
