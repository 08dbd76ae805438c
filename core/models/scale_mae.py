"""Scale-MAE: positions scaled by the ground sample distance, and a decoder with a head for low and one for
high frequencies.

Paper: arXiv 2212.14532. What differs from plain MAE: positions are multiplied by `res`; the decoder drops CLS
after adding positions, runs few blocks, and deconvolves its map twice into a picture at the input's size
(low) and a residual at twice that size (high). Parameter names and shapes are those of the released ViT-L
(models.md 1.3); the original's dead options are left out. As there, the decoder receives the positions of the
*input* resolution. Official weights are CC-BY-NC-4.0; weights trained here carry none of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .base import LowHigh, ModelInputError, Objective, Reconstructor, TrainingBatch
from .frequency import (
    Centring,
    area,
    centre_on,
    combine,
    hidden_pixels,
    high_target,
    low_target,
    masked_mean,
    mosaic,
)
from .image_teacher import TeacherLosses
from .layers.band_heads import BandHead, FeaturePyramid
from .layers.fill_join import FillJoin, he_convolutions, start_near_zero
from .layers.fill_unet import FillUNet
from .layers.vit import VisionTransformer, VitConfig, place, to_patches, transformer_blocks, xavier_linears
from .mae import DecoderConfig
from .registry import Family, ModelCard, register


@dataclass(frozen=True, kw_only=True)
class BandDecoderConfig(DecoderConfig):
    """Sizes of Scale-MAE's decoder under the original's names.

    `head_scale` is how much the heads enlarge: 8 in the paper, for patches of 16 px; 4 aligns the low band
    with patches of 8 px.
    """

    decoder_depth: int = 3
    fcn_dim: int = 512
    fcn_layers: int = 2
    independent_fcn_head: bool = True
    progressive: bool = False
    head_scale: int = 8


@dataclass(frozen=True, kw_only=True)
class ScaleMAEConfig(VitConfig, BandDecoderConfig):
    """Sizes of a Scale-MAE: every working option of the released code, and three of ours.

    `head_scale` and `centre` are described where they are defined; published files keep `centre="dataset"`.
    `unet_widths` replaces pyramid and heads by a U-Net over the harmonic fill
    (`core.models.layers.fill_unet`), which predicts both bands. Raises ModelInputError for a U-Net without
    that fill.
    """

    absolute_scale: bool = False
    unet_widths: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.unet_widths and self.centre != "visible_harmonic":
            raise ModelInputError(
                "unet_widths needs centre='visible_harmonic': the U-Net works on top of the harmonic fill."
            )


class BandDecoder(Reconstructor):
    """Scale-MAE's decoder, as a mixin for networks with a `backbone`: tokens of the visible patches to a
    low and a high band."""

    card: ModelCard
    head_scale: int
    fcn: BandHead
    fcn_low: BandHead
    fcn_high: BandHead

    def add_band_decoder(
        self, config: BandDecoderConfig, mlp_ratio: float, unet_widths: Sequence[int] = ()
    ) -> None:
        """Create the decoder's parameters under the original's names.

        Call it once, after the backbone is built.
        """
        backbone = self.backbone
        width = config.decoder_embed_dim
        self.band_config = (int(config.band_config[0]), int(config.band_config[1]))
        self.decoder_width, self.head_scale = width, config.head_scale
        self.shared_head = not config.independent_fcn_head
        positions = 1 + (backbone.img_size // backbone.patch_size) ** 2
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        nn.init.normal_(self.mask_token, std=0.02)
        self.mask_token_decoder = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_pos_embed = nn.Parameter(torch.zeros(1, positions, width), requires_grad=False)
        self.decoder_embed = nn.Linear(backbone.embed_dim, width)
        self.decoder_blocks = transformer_blocks(
            config.decoder_depth, width, config.decoder_num_heads, mlp_ratio
        )
        xavier_linears(self.decoder_embed)
        xavier_linears(self.decoder_blocks)
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.join: FillJoin | None = None
        self.unet: FillUNet | None = None
        if unet_widths:
            self.unet = FillUNet(width, backbone.patch_size, unet_widths, backbone.in_chans)
            return
        self.fpn = FeaturePyramid(width, config.progressive)
        heads = ("fcn",) if self.shared_head else ("fcn_high", "fcn_low")
        for head in heads:
            self.add_module(head, BandHead(width, config.fcn_dim, config.fcn_layers, config.head_scale))
        if backbone.centre == "visible_harmonic":
            self.join = FillJoin(width, width, backbone.patch_size, backbone.in_chans)
            he_convolutions(self.fpn)
            for head in heads:
                he_convolutions(self.get_submodule(head))
                start_near_zero(self.get_submodule(f"{head}.pred.7"))

    def decode(self, latent: Tensor, res: Tensor, keep: Tensor | None, grid: int) -> Tensor:
        """Decoded tokens of every patch, (b, grid*grid, d): CLS dropped after positions are added
        (models.md 1.5, steps 4 to 6)."""
        tokens = place(self.decoder_embed(latent)[:, 1:], keep, self.mask_token, grid * grid)
        tokens = tokens + self.backbone.positions(self.decoder_width, grid, res)[:, 1:].to(tokens.dtype)
        for block in self.decoder_blocks:
            tokens = block(tokens)
        return self.decoder_norm(tokens)

    def decode_bands(
        self, imagined: Tensor, keep: Tensor | None, centring: Centring, res: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode tokens to raw low (b, 3, s, s) and high (b, 3, 2s, 2s), refined with a fill if there is one.

        Steps 7 and 8 of models.md 1.5; s is 16 px per patch at the paper's head scale.
        """
        grid = round(imagined.shape[1] ** 0.5)
        tokens = imagined.transpose(1, 2).reshape(len(imagined), -1, grid, grid)
        if self.unet is not None:
            return self.unet(tokens, *centring.known(keep, self.backbone.patch_size), res)
        if self.join is not None:
            tokens = tokens + self.join(tokens, *centring.known(keep, self.backbone.patch_size))
        low, high = self.fpn(tokens)
        return (
            (self.fcn(low), self.fcn(high)) if self.shared_head else (self.fcn_low(low), self.fcn_high(high))
        )

    def predict(
        self, images: Tensor, res: Tensor, keep: Tensor | None, centring: Centring | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict the raw low and high bands from images. `centring`: if it is already computed."""
        centring = centring or centre_on(images, keep, self.patch_size, self.backbone.centre)
        imagined = self.decode(self._encode(images, res, keep), res, keep, self.backbone.grid_of(images))
        return self.decode_bands(imagined, keep, centring, res)

    def _reconstruct(self, images: Tensor, res: Tensor, keep: Tensor | None) -> LowHigh:
        centring = centre_on(images, keep, self.patch_size, self.backbone.centre)
        low_raw, high_raw = self.predict(images, res, keep, centring)
        return show_two_bands(low_raw.float(), high_raw.float(), centring, self.band_config[0], self.card)


class ScaleMAE(BandDecoder, VisionTransformer):
    """The whole network of the paper with every live option of the released code, and three options of ours.

    `head_scale` is how much the heads enlarge: 8 in the paper, for patches of 16 px; 4 lines the low band up
    with patches of 8 px. `centre` says what the network works relative to (core.models.frequency.centre_on);
    files of others keep `dataset`. `unet_widths` replaces pyramid and heads by a U-Net over the harmonic fill
    (core.models.fill_unet), which predicts both bands.
    """

    def __init__(self, config: ScaleMAEConfig) -> None:
        super().__init__(config, gsd_aware=not config.absolute_scale)
        self.add_band_decoder(config, config.mlp_ratio, config.unet_widths)
        self.reset_parameters()


def show_two_bands(
    low_raw: Tensor, high_raw: Tensor, centring: Centring, blocks: int, card: ModelCard
) -> LowHigh:
    """Undo centring and normalisation so that low, high and combined are pictures in 0..1 (high: signed,
    same unit).

    The bands are combined before the mean is added back, to avoid rounding errors of about 1e-5.
    """
    std = low_raw.new_tensor(card.std)[None, :, None, None]
    mean = low_raw.new_tensor(card.mean)[None, :, None, None]
    small, base = centring.base_at(low_raw.shape[-1]), centring.base_at(high_raw.shape[-1])
    low = (small + centring.scale * low_raw) * std + mean
    high = (centring.scale * high_raw + base - mosaic(small, blocks, base.shape[-1])) * std
    combined = (base + centring.scale * combine(low_raw, high_raw, blocks)) * std + mean
    return LowHigh(low_raw, high_raw, low, high, combined, base * std + mean)


class ScaleMAEObjective(Objective):
    """Masked loss of both bands (models.md 1.7): L2 for low, L1 or L2 for high. `log_each`: see masked_mean.

    Targets are twice the input's side, or the input's own side where the source holds nothing finer: the high
    band is then averaged to that side before it is compared. On top of a fill, `imagined` is added: MAE's
    loss of what one linear map reads off the decoder's tokens, which keeps the encoder informative where the
    fill alone would do. `teacher` adds the losses of core.models.image_teacher, weighted.
    """

    target_scale = 2

    def __init__(
        self,
        network: BandDecoder,
        high_loss: Literal["l1", "l2"] = "l1",
        l1_weight: float = 1.0,
        log_each: bool = False,
        teacher: str = "",
        map_weight: float = 0.5,
        pooled_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network, self.high_loss, self.l1_weight, self.log_each = network, high_loss, l1_weight, log_each
        self.teacher_weights = {"map": map_weight, "pooled": pooled_weight}
        backbone = network.backbone
        on_fill = network.join is not None or network.unet is not None
        self.reader = (
            nn.Linear(network.decoder_width, backbone.in_chans * backbone.patch_size**2) if on_fill else None
        )
        self.teacher = TeacherLosses(teacher, backbone.embed_dim, network.decoder_width) if teacher else None

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        network = self.network
        assert isinstance(network, BandDecoder) and keep is not None
        centring = centre_on(batch.images, keep, network.patch_size, network.backbone.centre)
        latent = network.encode(batch.images, batch.res, keep)
        imagined = network.decode(latent, batch.res, keep, network.backbone.grid_of(batch.images))
        low, high = network.decode_bands(imagined, keep, centring, batch.res)
        losses = self.losses(low, high, centring.relative(batch.targets), keep)
        if self.reader is not None:
            target = to_patches(centring.enter(batch.images), network.patch_size)
            error = (self.reader(imagined) - target).square().mean(-1)
            losses["imagined"] = masked_mean(
                error, torch.ones_like(error).scatter(1, keep, 0.0), self.log_each
            )
        if self.teacher is not None:
            taught = self.teacher(latent[:, 0], imagined, batch.targets, network.card)
            losses |= {name: self.teacher_weights[name] * loss for name, loss in taught.items()}
        return losses

    @property
    def teacher_licence(self) -> str:
        return self.teacher.teacher.licence if self.teacher is not None else ""

    def losses(self, low: Tensor, high: Tensor, targets: Tensor, keep: Tensor) -> dict[str, Tensor]:
        """Compute named losses from raw bands and targets in the decoder's space.

        Squared (or absolute) errors of three channels, summed over hidden pixels and divided by their number.
        """
        assert isinstance(self.network, BandDecoder)
        bands, grid = self.network.band_config, low.shape[-1] // (2 * self.network.head_scale)
        low_error = (low - low_target(targets, low.shape[-1], bands)).square()
        high_error = (area(high, targets.shape[-1]) if high.shape != targets.shape else high) - high_target(
            targets, bands
        )
        high_error = self.l1_weight * high_error.abs() if self.high_loss == "l1" else high_error.square()
        errors = {"low": low_error, "high": high_error}
        return {
            name: masked_mean(error, hidden_pixels(keep, grid, error.shape[-1]), self.log_each)
            for name, error in errors.items()
        }


THIN_DECODER = {
    "decoder_embed_dim": 192,
    "decoder_depth": 3,
    "decoder_num_heads": 6,
    "fcn_dim": 96,
    "fcn_layers": 2,
}

register(
    Family(
        name="scale_mae",
        title="Scale-MAE",
        network=ScaleMAE,
        config=ScaleMAEConfig,
        paper="arXiv 2212.14532",
        description="Scale-MAE: positions scaled by the GSD; two heads predict low and high frequencies.",
        reconstructs=True,
        two_bands=True,
        gsd_aware=True,
        presets={
            "scale_mae_tiny": {
                "img_size": 112,
                "patch_size": 8,
                "head_scale": 4,
                "embed_dim": 256,
                "depth": 8,
                "num_heads": 4,
                "decoder_embed_dim": 192,
                "decoder_depth": 3,
                "decoder_num_heads": 6,
                "centre": "visible_harmonic",
                "unet_widths": (32, 64, 192),
            },
            "scale_mae_small": {
                "embed_dim": 384,
                "depth": 12,
                "num_heads": 6,
                **THIN_DECODER,
                "decoder_embed_dim": 256,
                "decoder_num_heads": 8,
                "fcn_dim": 256,
            },
            "scale_mae_base": {"embed_dim": 768, "depth": 12, "num_heads": 12},
            "scale_mae_large": {"embed_dim": 1024, "depth": 24, "num_heads": 16},
        },
        objective=ScaleMAEObjective,
    )
)
