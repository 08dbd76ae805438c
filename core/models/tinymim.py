"""TinyMIM: a small transformer that learns how a larger one relates patches to each other, without masks
and without a decoder.

Paper: arXiv 2301.01296; details from the authors' code (models.md section 4). What differs from plain MAE:
the student sees the whole picture; its last block's query-key and value-value relations must be those of an
intermediate block of a frozen teacher, head by head. So its last block is split into as many heads as the
teacher's (`last_heads`), and what comes after those relations (that block's projection and MLP, the final
norm) never learns. A fresh `create("tinymim")` is an ordinary vision transformer; once distilled, its card
says `block11_cls` or `block11_mean` and `encode` is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .base import Encoder, ModelInputError, Objective, TrainingBatch
from .layers.vit import VisionTransformer, VitConfig, transformer_blocks
from .registry import Family, create, register
from .views import Colour, fit, recolour

DISTILLED = ("block11_cls", "block11_mean")
"""Poolings of a distilled student, named after the paper's depth of 12: tokens as they enter its last
block."""


class UntrainedTailError(ModelInputError):
    """A distilled student was asked for tokens from beyond the relations it was trained on."""


@dataclass(frozen=True, kw_only=True)
class TinyMIMConfig(VitConfig):
    """Sizes of a student.

    `last_heads` is the number of heads of its last block (None: as many as the others).
    """

    last_heads: int | None = None
    drop_path: float = 0.1
    gsd_aware: bool = False
    in_chans: int = 3


class TinyMIM(VisionTransformer):
    """A vision transformer under MAE's names whose last block has `last_heads` heads (None: as many as the
    others)."""

    def __init__(self, config: TinyMIMConfig) -> None:
        super().__init__(
            config, in_chans=config.in_chans, gsd_aware=config.gsd_aware, drop_path=config.drop_path
        )
        heads = config.last_heads or config.num_heads
        self.blocks[-1] = transformer_blocks(1, self.embed_dim, heads, config.mlp_ratio)[0]
        self.reset_parameters()

    @property
    def distilled(self) -> bool:
        """Whether the tail behind the last block's relations was never trained."""
        return self.card.pooling in DISTILLED or (
            self.whitening is not None and self.card.pooling == "vector"
        )

    def embed_tokens(self, images: Tensor, res: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens as they enter the last block, under a LayerNorm without parameters: (b, 1 + k, d), CLS
        first (models.md 4.5 a)."""
        return F.layer_norm(self.tokens_before(-1, images, res, keep), (self.embed_dim,), eps=1e-6)

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        if self.distilled:
            raise UntrainedTailError(
                "This student learned relations inside its last block; that block's MLP and the final "
                "norm never learned "
                "anything, so CLS after the "
                "final norm says nothing. Use the pooling block11_cls or block11_mean (embed_tokens), or "
                "fine-tune it first."
            )
        return super()._encode(images, res, keep)


def named(network: Encoder | str) -> Encoder:
    """A network as it is, or by name: of the registry, or a file of weights."""
    if not isinstance(network, str):
        return network
    if network.endswith((".safetensors", ".pth", ".pt")):
        from . import load_checkpoint

        return load_checkpoint(Path(network))
    return create(network)


def heads_of(backbone: VisionTransformer, block: int) -> int:
    """Number of heads of one block (0 is the first; negative counts from the end)."""
    layer: Any = backbone.blocks[block]
    return layer.attn.num_heads


def queries_keys_values(backbone: VisionTransformer, block: int, images: Tensor, res: Tensor) -> Tensor:
    """Q, K and V inside block number `block` (1 is the first): (3, b, heads, 1 + n, head width)."""
    layer: Any = backbone.blocks[block - 1]
    qkv = layer.attn.qkv(layer.norm1(backbone.tokens_before(block - 1, images, res, None)))
    return qkv.unflatten(2, (3, layer.attn.num_heads, -1)).permute(2, 0, 3, 1, 4)


def log_relation(left: Tensor, right: Tensor) -> Tensor:
    """log softmax of scaled products between tokens, in float32 even under autocast: (b, h, n, w) twice ->
    (b, h, n, n)."""
    with torch.autocast(left.device.type, enabled=False):
        left, right = left.float(), right.float()
        return (left @ right.transpose(-2, -1) * left.shape[-1] ** -0.5).log_softmax(-1)


def relation_loss(
    teacher: tuple[Tensor, Tensor], student: tuple[Tensor, Tensor], heads_at_once: int | None = None
) -> Tensor:
    """Mean over pictures, heads and queries of KL(teacher's relation || student's).

    With `heads_at_once` relations are built, and rebuilt for the gradient, for that many heads at a time:
    memory falls in proportion.
    """

    def work(tl: Tensor, tr: Tensor, sl: Tensor, sr: Tensor) -> Tensor:
        return F.kl_div(log_relation(sl, sr), log_relation(tl, tr), reduction="sum", log_target=True)

    heads = student[0].shape[1]
    if heads_at_once is None or heads_at_once >= heads:
        total = work(*teacher, *student)
    else:
        pieces = zip(*(part.split(heads_at_once, dim=1) for part in (*teacher, *student)), strict=True)
        total = torch.stack([checkpoint(work, *piece, use_reentrant=False) for piece in pieces]).sum()
    return total / student[0].shape[:3].numel()


def default_teacher_block(teacher_depth: int, student_depth: int) -> int:
    """The block that teaches, counted from 1: the last of equally deep teachers (B, S: 12 of 12), three
    quarters up deeper ones (L: 18 of 24)."""
    return teacher_depth if teacher_depth <= student_depth else round(0.75 * teacher_depth)


class TinyMIMObjective(Objective):
    """Losses `qk` and `vv`: the student's last relations against those of a frozen teacher's block.

    `teacher` is a network, a name of the registry or a file of weights; it is kept outside the module, so
    that checkpoints of the student do not carry it. Teacher and student see the same ground with the same
    res, the teacher at the size that gives it the same grid; the student's colours are jittered by `colour`.
    `pooling` is written to the student's card, unless it has a whitened vector. Raises ModelInputError where
    heads or grids do not fit.
    """

    def __init__(
        self,
        network: TinyMIM,
        teacher: Encoder | str,
        *,
        teacher_block: int | None = None,
        heads_at_once: int | None = None,
        colour: Colour | None = Colour(0.4, 0.4, 0.4, 0.0, 1.0, 0.0),
        pooling: str = "block11_mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if pooling not in DISTILLED:
            raise ModelInputError(
                f"A distilled student is embedded by {' or '.join(DISTILLED)}, not by {pooling!r:.40}."
            )
        whole = named(teacher)
        backbone = whole.backbone
        self.network, self.heads_at_once, self.colour, self.seed = network, heads_at_once, colour, seed
        self.teacher_block = teacher_block or default_teacher_block(len(backbone.blocks), len(network.blocks))
        self._teacher = (whole.requires_grad_(False).eval(), backbone)
        _check_fit(network, backbone, self.teacher_block)
        self.target_scale = -(-backbone.patch_size // network.patch_size)
        network.card = replace(network.card, pooling="vector" if network.whitening is not None else pooling)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, batch: TrainingBatch, keep: Tensor | None) -> dict[str, Tensor]:  # noqa: ARG002
        assert isinstance(self.network, TinyMIM)
        student = batch.images
        if self.colour is not None:
            card = self.network.card
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.steps))
            student = recolour(student, generator, self.colour, card.mean, card.std)
        if self.training:
            self.steps += 1
        return self.losses(student, self._as_teacher_sees(batch), batch.res)

    @property
    def teacher_licence(self) -> str:
        card = self._teacher[0].card
        return card.weights.licence if card.weights else card.licence

    def losses(self, student_images: Tensor, teacher_images: Tensor, res: Tensor) -> dict[str, Tensor]:
        """Both losses of ready pictures, each normalised as its network wants it."""
        assert isinstance(self.network, TinyMIM)
        whole, backbone = self._teacher
        whole.to(student_images.device)
        with torch.no_grad():
            tq, tk, tv = queries_keys_values(backbone, self.teacher_block, teacher_images, res)
        sq, sk, sv = queries_keys_values(self.network, len(self.network.blocks), student_images, res)
        if tq.shape[2] != sq.shape[2]:
            raise ModelInputError(
                f"The teacher cut its picture into {tq.shape[2] - 1} patches and the student into "
                f"{sq.shape[2] - 1}: feed both the same grid."
            )
        return {
            "qk": relation_loss((tq, tk), (sq, sk), self.heads_at_once),
            "vv": relation_loss((tv, tv), (sv, sv), self.heads_at_once),
        }

    def _as_teacher_sees(self, batch: TrainingBatch) -> Tensor:
        """The batch's ground at the size that gives the teacher the student's grid, normalised its way."""
        whole, backbone = self._teacher
        assert isinstance(self.network, TinyMIM)
        side = self.network.grid_of(batch.images) * backbone.patch_size
        images = batch.images if side == batch.images.shape[-1] else fit(batch.targets, side)
        ours, theirs = self.network.card, whole.card
        if (ours.mean, ours.std) == (theirs.mean, theirs.std):
            return images
        mean, std, their_mean, their_std = (
            images.new_tensor(v)[None, :, None, None] for v in (ours.mean, ours.std, theirs.mean, theirs.std)
        )
        return (images * std + mean - their_mean) / their_std


def _check_fit(student: TinyMIM, teacher: VisionTransformer, block: int) -> None:
    if not 1 <= block <= len(teacher.blocks):
        raise ModelInputError(
            f"The teacher has blocks 1 to {len(teacher.blocks)}, not {block}: "
            "choose one of them as teacher_block."
        )
    theirs, ours = heads_of(teacher, block - 1), heads_of(student, -1)
    if theirs != ours:
        raise ModelInputError(
            f"The teacher's block has {theirs} heads and the student's last block {ours}: "
            "relations are compared head by head, "
            f"so create the student with last_heads={theirs}."
        )
    their_grid, our_grid = teacher.img_size // teacher.patch_size, student.img_size // student.patch_size
    if their_grid != our_grid:
        raise ModelInputError(
            f"The teacher works on {their_grid} x {their_grid} patches and the student on {our_grid} x "
            f"{our_grid}: "
            "relations join patches of the same ground, so create the student with "
            f"img_size={their_grid * student.patch_size} or another patch_size."
        )


TINY_STUDENT = {
    "img_size": 112,
    "patch_size": 8,
    "embed_dim": 192,
    "depth": 4,
    "num_heads": 3,
    "last_heads": 4,
    "gsd_aware": True,
}
"""Half as deep as a teacher of scale_mae_tiny's grid and heads."""

register(
    Family(
        name="tinymim",
        title="TinyMIM",
        network=TinyMIM,
        config=TinyMIMConfig,
        paper="arXiv 2301.01296",
        description=(
            "TinyMIM teaches small transformers, which gain little from masked pictures, by distilling a "
            "larger masked autoencoder. "
            "The student copies how the teacher's tokens relate to each other (query with key, value with "
            "value) rather than its features "
            "or its CLS token. "
            "An intermediate block of a deeper teacher proved a better model than its last one."
        ),
        reconstructs=False,
        two_bands=False,
        gsd_aware=False,
        presets={
            "tinymim_tiny": TINY_STUDENT,
            "tinymim_small": {"embed_dim": 384, "last_heads": 12},
            "tinymim_base": {"last_heads": 16},
        },
        objective=TinyMIMObjective,
    )
)
