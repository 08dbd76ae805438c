"""A distilled student that can paint: Scale-MAE's decoder trained on top of a frozen TinyMIM student.

Ours, not the paper's (models.md 4.5): TinyMIM has no decoder. The student gives the tokens it was trained to have, as they enter its last block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from torch import Tensor

from .base import Encoder, ModelInputError
from .frequency import Centre
from .layers.vit import VisionTransformer
from .registry import Family, register, size_defaults
from .scale_mae import THIN_DECODER, BandDecoder, ScaleMAEObjective
from .tinymim import TINY_STUDENT, TinyMIM, heads_of, named


class TinyMIMDecoder(BandDecoder):
    """A frozen student under `student.*` and a Scale-MAE decoder; `encode` gives the student's trained tokens."""

    def __init__(
        self,
        *,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 3,
        decoder_num_heads: int = 16,
        fcn_dim: int = 512,
        fcn_layers: int = 2,
        independent_fcn_head: bool = True,
        progressive: bool = False,
        band_config: Sequence[int] = (7, 56),
        head_scale: int = 8,
        last_heads: int | None = None,
        gsd_aware: bool = False,
        centre: Centre = "dataset",
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
    ) -> None:
        super().__init__()
        self.patch_size, self.embed_dim, self.in_chans = patch_size, embed_dim, 3
        self.student = TinyMIM(
            last_heads=last_heads,
            drop_path=0.0,
            gsd_aware=gsd_aware,
            centre=centre,
            img_size=img_size,
            patch_size=patch_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
        ).requires_grad_(False)
        self.add_band_decoder(
            decoder_embed_dim=decoder_embed_dim,
            decoder_depth=decoder_depth,
            decoder_num_heads=decoder_num_heads,
            fcn_dim=fcn_dim,
            fcn_layers=fcn_layers,
            independent_fcn_head=independent_fcn_head,
            progressive=progressive,
            band_config=band_config,
            head_scale=head_scale,
            mlp_ratio=mlp_ratio,
        )

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
                f"The student {student.card.name} has other sizes than this decoder expects: create tinymim_decoder with the student's sizes."
            )
        self.student.load_state_dict(theirs)
        return self

    def _encode(self, images: Tensor, res: Tensor, keep: Tensor | None) -> Tensor:
        return self.student.embed_tokens(images, res, keep)


def decoder_objective(
    network: TinyMIMDecoder, *, student: Encoder | str | None = None, **options: Any
) -> ScaleMAEObjective:
    """Scale-MAE's masked losses (and its options) for the decoder alone, after taking over `student`: a network, a name or a file."""
    if student is not None:
        found = named(student)
        if not isinstance(found, TinyMIM):
            raise ModelInputError(f"{found.card.name} is no TinyMIM student: name one, or train one first.")
        network.adopt(found)
    return ScaleMAEObjective(network, **options)


register(
    Family(
        name="tinymim_decoder",
        build=TinyMIMDecoder,
        paper="arXiv 2301.01296",
        description=(
            "A distilled TinyMIM student that can paint: its weights stand still while Scale-MAE's decoder learns to read its tokens. "
            "The paper's students have no decoder; this one is ours, and shows what the student's tokens still know of the pixels. "
            "Tokens are taken as they enter the student's last block, where distillation ends."
        ),
        reconstructs=True,
        two_bands=True,
        gsd_aware=False,
        presets={"tinymim_decoder_tiny": {**TINY_STUDENT, **THIN_DECODER, "head_scale": 4}},
        defaults=size_defaults(TinyMIMDecoder),
        objective=decoder_objective,
    )
)
