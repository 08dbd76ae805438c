"""SDMAE: masked training for small data sets, with a tiny decoder, a location task and a contrastive task
beside it.

Paper: arXiv 2212.05677; details from the authors' code (models.md section 3). What differs from plain MAE:
the decoder is 128 wide and one block deep; a location task predicts the position of each visible token; a
contrastive task matches the decoder's output for one view with a momentum branch's output for the other,
which trains CLS; the patch embedding keeps its random initialisation. No official weights exist. Adaptations
of ours are named options, off by default: `gsd_aware`, `trainable_patch_embed` and `centre` of the network;
`scale_shift`, `flips`, `quarter_turns`, `location` and `teacher` of the objective.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import ModelInputError, Objective, TrainingBatch
from .frequency import centre_on
from .image_teacher import TeacherLosses
from .layers.vit import VisionTransformer, VitConfig, from_pixel_patches, transformer_blocks, xavier_linears
from .mae import DecoderConfig, PixelDecoder, masked_patch_error
from .registry import Family, register
from .views import Colour, ImageView, crop_view, fit, not_enlarged, recolour


def projection(*widths: int) -> nn.Sequential:
    """Linear maps without bias from width to width, each followed by BatchNorm and ReLU, the last by
    BatchNorm without parameters."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(width, following, bias=False), nn.BatchNorm1d(following), nn.ReLU(inplace=True)]
    return nn.Sequential(
        *layers, nn.Linear(widths[-2], widths[-1], bias=False), nn.BatchNorm1d(widths[-1], affine=False)
    )


class ContrastiveBranch(nn.Module):
    """Blocks over the decoder's pixels of all patches, then CLS through a projection: (b, 1 + n, w) -> (b,
    w)."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, mlp_ratio: float) -> None:
        super().__init__()
        self.blocks = transformer_blocks(depth, width, heads, mlp_ratio)
        self.head = projection(width, hidden, hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


@dataclass(frozen=True, kw_only=True)
class SDMAEConfig(VitConfig, DecoderConfig):
    """Sizes of an SDMAE. `ctr_*` and `mlp_dim` belong to the contrastive branch.

    `ctr_num_heads` None takes the encoder's heads.
    """

    decoder_embed_dim: int = 128
    decoder_depth: int = 1
    ctr_depth: int = 2
    ctr_num_heads: int | None = None
    mlp_dim: int = 4096
    momentum: float = 0.999
    temperature: float = 1.0
    norm_pix_loss: bool = False
    trainable_patch_embed: bool = False
    gsd_aware: bool = False
    in_chans: int = 3


class SDMAE(PixelDecoder):
    """The whole network under the original's names.

    `base_ctr`, `momentum_ctr`, `predictor` and `locality` only train. They live here rather than in the
    objective, because the published layout of 264 tensors has them beside the encoder and files must load
    into it by name.
    """

    def __init__(self, config: SDMAEConfig) -> None:
        super().__init__()
        width = config.embed_dim
        self.patch_size, self.embed_dim, self.in_chans = config.patch_size, width, config.in_chans
        self.momentum, self.temperature = config.momentum, config.temperature
        self.norm_pix_loss = config.norm_pix_loss
        self.encoder = VisionTransformer(config, in_chans=config.in_chans, gsd_aware=config.gsd_aware)
        self.add_pixel_decoder(config, config.mlp_ratio)
        pixels, positions = (
            config.patch_size**2 * config.in_chans,
            (config.img_size // config.patch_size) ** 2,
        )
        self.base_ctr = ContrastiveBranch(
            pixels,
            config.ctr_depth,
            config.ctr_num_heads or config.num_heads,
            config.mlp_dim,
            config.mlp_ratio,
        )
        self.predictor = projection(pixels, config.mlp_dim, pixels)
        self.locality = nn.Sequential(nn.Linear(width, width // 2), nn.Linear(width // 2, positions))
        xavier_linears(self)
        self.encoder.reset_parameters()
        self.momentum_ctr = copy.deepcopy(self.base_ctr).requires_grad_(False)
        self.encoder.patch_embed.requires_grad_(config.trainable_patch_embed)

    @property
    def backbone(self) -> VisionTransformer:
        return self.encoder

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        return self.encoder.encode(images, res, keep)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the momentum branch towards the base branch by 1 - momentum.

        Parameters only: BatchNorm keeps its own statistics.
        """
        for slow, fast in zip(self.momentum_ctr.parameters(), self.base_ctr.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.momentum)


class SDMAEObjective(Objective):
    """The three tasks on two views under one mask: `con` (hidden pixels), `loc` (where a token lies),
    `ctr` (which picture it is).

    As the original: the first view is the top left crop, the second a random one, flipped and recoloured;
    both cover 7/8 of the side. Options of ours: `scale_shift` (a range, e.g. (0.5, 1)) lets the second view
    cover that part of the first's ground, with its own res; `flips` adds vertical ones; `quarter_turns`;
    `colour` milder than the original's; `location="cross_entropy"`; `teacher` adds the losses of
    core.models.image_teacher on the first view, weighted. `log_slope` as in `crop_view`.
    """

    target_scale = 2

    def __init__(
        self,
        network: SDMAE,
        *,
        location: Literal["mse", "cross_entropy"] = "mse",
        scale_shift: Sequence[float] | None = None,
        flips: bool = False,
        quarter_turns: bool = False,
        colour: Colour = Colour(),
        ctr_weight: float = 0.1,
        teacher: str = "",
        map_weight: float = 0.5,
        pooled_weight: float = 1.0,
        log_slope: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.location, self.colour, self.ctr_weight, self.seed = (
            network,
            location,
            colour,
            ctr_weight,
            seed,
        )
        self.scale_shift = (float(scale_shift[0]), float(scale_shift[1])) if scale_shift else (1.0, 1.0)
        self.flips, self.quarter_turns, self.log_slope = flips, quarter_turns, log_slope
        self.teacher_weights = {"map": map_weight, "pooled": pooled_weight}
        self.teacher = TeacherLosses(teacher, network.embed_dim, network.decoder_width) if teacher else None
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def teacher_licence(self) -> str:
        return self.teacher.teacher.licence if self.teacher is not None else ""

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.steps))
        losses = self.losses(*self.views(batch, generator), keep)
        if self.training:
            self.steps += 1
        return losses

    def views(self, batch: TrainingBatch, generator: torch.Generator) -> tuple[ImageView, ImageView]:
        """Two views of each picture at the input's size, drawn from the finest pixels the batch has."""
        assert isinstance(self.network, SDMAE)
        card, side = self.network.card, batch.images.shape[-1]
        whole = round(side / 0.875)
        source, part = fit(batch.targets, whole), side / whole
        first = crop_view(
            source, batch.res, side, generator, span=(part, part), corner=True, log_slope=self.log_slope
        )
        finest = fit(batch.targets, min(batch.targets.shape[-1], 2 * whole))
        span = not_enlarged((part * self.scale_shift[0], part * self.scale_shift[1]), side, finest)
        second = crop_view(
            finest,
            batch.res,
            side,
            generator,
            span=span,
            flips=self.flips,
            horizontal_flip=True,
            quarter_turns=self.quarter_turns,
            log_slope=self.log_slope,
        )
        return first, ImageView(
            recolour(second.images, generator, self.colour, card.mean, card.std), second.res
        )

    def losses(self, first: ImageView, second: ImageView, keep: Tensor | None) -> dict[str, Tensor]:
        """Named, weighted losses of two ready views.

        Raises ModelInputError for a batch of one, no mask, or another grid.
        """
        network = self.network
        assert isinstance(network, SDMAE)
        keep = self._check(network, first, keep)
        if self.training:
            network.follow()
        con, loc, read = first.images.new_zeros(()), first.images.new_zeros(()), []
        taught: dict[str, Tensor] = {}
        for view in (first, second):
            latent = network.encode(view.images, view.res, keep)
            tokens = network.decode_tokens(latent, view.res, keep, network.backbone.grid_of(view.images))
            pixels = network.decoder_pred(tokens)
            if self.teacher is not None and view is first:
                taught = self.teacher(latent[:, 0], tokens[:, 1:], view.images, network.card)
            con = con + self._pixel_error(network, view.images, pixels, keep)
            loc = loc + self._location_error(network.locality(latent[:, 1:]), keep)
            read.append(pixels)
        predicted = [network.predictor(network.base_ctr(pixels)) for pixels in read]
        with torch.no_grad():
            keys = [network.momentum_ctr(pixels) for pixels in read]
        ctr = info_nce(predicted[0], keys[1], network.temperature) + info_nce(
            predicted[1], keys[0], network.temperature
        )
        weighted = {name: self.teacher_weights[name] * loss for name, loss in taught.items()}
        return {"con": con, "loc": loc, "ctr": self.ctr_weight * ctr, **weighted}

    def _check(self, network: SDMAE, view: ImageView, keep: Tensor | None) -> Tensor:
        if len(view.images) < 2:
            raise ModelInputError(
                "SDMAE's contrastive task tells the pictures of a batch apart, so a batch of one has "
                "nothing to learn from: give 2 or more (32 is better)."
            )
        if keep is None:
            raise ModelInputError(
                "SDMAE trains on masked pictures: pass the positions of visible patches in `keep`."
            )
        positions, patches = network.locality[1].out_features, network.backbone.grid_of(view.images) ** 2
        if positions != patches:
            raise ModelInputError(
                f"SDMAE's location task knows {positions} positions but the pictures have {patches} "
                f"patches: train at {network.backbone.img_size} px, "
                f"or create the network with img_size={view.images.shape[-1]}."
            )
        return keep

    def _pixel_error(self, network: SDMAE, images: Tensor, pixels: Tensor, keep: Tensor) -> Tensor:
        centring = centre_on(images, keep, network.patch_size, network.backbone.centre)
        picture = network.join_fill(from_pixel_patches(pixels[:, 1:], network.in_chans), keep, centring)
        return masked_patch_error(
            picture, centring.relative(images), keep, network.patch_size, network.norm_pix_loss
        )

    def _location_error(self, logits: Tensor, keep: Tensor) -> Tensor:
        if self.location == "cross_entropy":
            return F.cross_entropy(logits.flatten(0, 1).float(), keep.flatten())
        return F.mse_loss(logits, F.one_hot(keep, logits.shape[-1]).to(logits.dtype))


def info_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each query's own key among all keys of the batch, times twice the
    temperature (MoCo v3's scaling)."""
    queries, keys = F.normalize(queries.float(), dim=1), F.normalize(keys.float(), dim=1)
    own = torch.arange(len(queries), device=queries.device)
    with torch.autocast(queries.device.type, enabled=False):
        return 2 * temperature * F.cross_entropy(queries @ keys.T / temperature, own)


_TINY = {
    "img_size": 64,
    "patch_size": 8,
    "embed_dim": 192,
    "depth": 8,
    "num_heads": 3,
    "decoder_num_heads": 8,
    "mlp_dim": 1024,
}

register(
    Family(
        name="sdmae",
        title="SDMAE",
        network=SDMAE,
        config=SDMAEConfig,
        paper="arXiv 2212.05677",
        description=(
            "SDMAE is a masked autoencoder for small data sets: "
            "its decoder shrinks to one block 128 wide, so that the encoder has to do the work. "
            "Each visible patch must also say where in the picture it lies, which teaches layout from few "
            "examples. "
            "A contrastive task with a momentum branch trains the CLS token to tell images apart, "
            "although most of each view is hidden."
        ),
        reconstructs=True,
        two_bands=False,
        gsd_aware=False,
        presets={
            "sdmae_tiny": _TINY,
            "sdmae_small": {"embed_dim": 384, "num_heads": 6, "ctr_num_heads": 12},
            "sdmae_base": {},
        },
        objective=SDMAEObjective,
    )
)
