"""Scale-MAE's decoder trained on top of a frozen TinyMIM student.

Ours, not the paper's (models.md 4.5): TinyMIM has no decoder. The student gives the tokens it was trained to
have, as they enter its last block.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from torch import Tensor

from .base import Encoder, ModelInputError
from .layers.vit import VisionTransformer, VitConfig
from .registry import Family, register
from .scale_mae import THIN_DECODER, BandDecoder, BandDecoderConfig, ScaleMAEObjective
from .tinymim import TINY_STUDENT, TinyMIM, TinyMIMConfig, heads_of, named


@dataclass(frozen=True, kw_only=True)
class TinyMIMDecoderConfig(VitConfig, BandDecoderConfig):
    """Sizes of a student and of the Scale-MAE decoder on top of it."""

    last_heads: int | None = None
    gsd_aware: bool = False


class TinyMIMDecoder(BandDecoder):
    """A frozen student under `student.*` and a Scale-MAE decoder.

    `encode` gives the student's trained tokens.
    """

    def __init__(self, config: TinyMIMDecoderConfig) -> None:
        super().__init__()
        self.patch_size, self.embed_dim, self.in_chans = config.patch_size, config.embed_dim, 3
        shared = {size.name: getattr(config, size.name) for size in fields(VitConfig)}
        student = TinyMIMConfig(
            **shared, last_heads=config.last_heads, gsd_aware=config.gsd_aware, drop_path=0.0
        )
        self.student = TinyMIM(student).requires_grad_(False)
        self.add_band_decoder(config, config.mlp_ratio)

    @property
    def backbone(self) -> VisionTransformer:
        return self.student

    def adopt(self, student: TinyMIM) -> Self:
        """Take over the weights of a distilled student. Raises ModelInputError where its sizes differ."""
        ours, theirs = self.student.state_dict(), student.state_dict()
        wrong = [
            key
            for key in {**ours, **theirs}
            if key not in ours or key not in theirs or ours[key].shape != theirs[key].shape
        ]
        if wrong or heads_of(self.student, -1) != heads_of(student, -1):
            raise ModelInputError(
                f"The student {student.card.name} has other sizes than this decoder expects: "
                "create tinymim_decoder with the student's sizes."
            )
        self.student.load_state_dict(theirs)
        return self

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        return self.student.embed_tokens(images, res, keep)


def decoder_objective(
    network: TinyMIMDecoder, *, student: Encoder | str | None = None, **options: Any
) -> ScaleMAEObjective:
    """Scale-MAE's masked losses (and its options) for the decoder alone, after taking over `student`: a
    network, a name or a file."""
    if student is not None:
        model = named(student)
        if not isinstance(model, TinyMIM):
            raise ModelInputError(
                f"{model.card.name} is not a TinyMIM student: name one, or train one first."
            )
        network.adopt(model)
    return ScaleMAEObjective(network, **options)


register(
    Family(
        name="tinymim_decoder",
        title="TinyMIM-Decoder",
        network=TinyMIMDecoder,
        config=TinyMIMDecoderConfig,
        paper="arXiv 2301.01296",
        description=(
            "A distilled TinyMIM student with a decoder: "
            "the student is frozen, and Scale-MAE's decoder is trained on its tokens. "
            "The paper's students have no decoder; this one is ours, and shows how much of the image the "
            "student's tokens retain. "
            "Tokens are taken as they enter the student's last block, where distillation ends."
        ),
        reconstructs=True,
        two_bands=True,
        gsd_aware=False,
        presets={"tinymim_decoder_tiny": {**TINY_STUDENT, **THIN_DECODER, "head_scale": 4}},
        objective=decoder_objective,
    )
)
