"""Telling published files of weights apart by their tensors and the training script's own arguments
(models.md 1.10), in one written map.

What tensors cannot say (heads, bands, positions of an encoder alone) comes from those arguments, else from
convention, and is reported.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .clues import (
    META_NOTICE,
    NON_COMMERCIAL,
    OWNER_NOTICE,
    SCALE_MAE_NOTICE,
    Clues,
    LoadPlan,
    backbone_sizes,
    heads,
)
from .encoder_dialects import Positions, encoder_alone
from .files import CheckpointError
from .hugging_face import arguments_beside, is_hugging_face, under_mae_names
from .markers import project_of

LEFT_OUT = {
    "head.": "a classification head",
    "fc_norm.": "the norm of a mean-pooled classifier",
    "pooler.": "the pooler of a classifier of Hugging Face's transformers",
    "embeddings.mask_token": "the mask token of SimMIM",
    "proj_up_": "SatMAE++'s prediction at a finer scale",
    "up_block.": "SatMAE++'s prediction at a finer scale",
}
"""Tensors of training that are ignored; a file with any other unexpected tensor is refused."""

COMPUTED = ("pos_embed", "decoder_pos_embed", "mask_token_decoder")
"""Tensors that may be missing: positions are a formula, mask_token_decoder is used by nothing."""

SATMAE_ARGUMENTS = ("grouped_bands", "dropped_bands", "dataset_type", "model_type")
FMOW_MEAN, FMOW_STD = (0.4182007, 0.4214799, 0.3991276), (0.2877428, 0.2754177, 0.2764018)
"""Of SatMAE's fMoW-RGB pictures, which it was trained with in place of ImageNet's."""


def recognise(clues: Clues, positions: Positions | None) -> LoadPlan:
    """Which network a file holds; its tensors get MAE's names where they had Hugging Face's.

    Raises CheckpointError for what is unknown, AmbiguousPositionsError where `positions` must be given.
    """
    if project := project_of(clues.tensors):
        raise CheckpointError(f"{clues.path.name} is {project}.")
    if is_hugging_face(clues.tensors):
        clues.tensors = under_mae_names(clues.tensors)
        clues.args = {**arguments_beside(clues.path), **clues.args}
    clues.require_three_bands()
    if clues.has("base_ctr.") and clues.has("locality."):
        return _sdmae(clues)
    if not (clues.has("cls_token") and clues.has("patch_embed.") and clues.has("blocks.0.")):
        shown = ", ".join(sorted(clues.tensors)[:3])
        raise CheckpointError(
            f"{clues.path.name} is not a supported network (its first tensors are {shown:.120}): "
            "use Scale-MAE, MAE, SatMAE for RGB, SDMAE or TinyMIM, give the architecture of a file of timm's "
            "as timm:NAME@FILE, or export the network as ONNX or .pt2."
        )
    if clues.has("fpn."):
        return _scale_mae(clues)
    if clues.has("decoder_pred."):
        return _mae(clues)
    return encoder_alone(clues, positions)


def _scale_mae(clues: Clues) -> LoadPlan:
    plan = LoadPlan("scale_mae", "Scale-MAE with its decoder", {}, NON_COMMERCIAL, [SCALE_MAE_NOTICE])
    width = clues.shape("mask_token", 3)[2]
    head = "fcn_high" if clues.has("fcn_high.") else "fcn"
    bands = clues.args.get("band_config")
    if not (
        isinstance(bands, list | tuple)
        and len(bands) == 2
        and all(type(band) is int and 1 <= band <= 1024 for band in bands)
    ):
        bands = (7, 56)
        plan.assumed.append("band_config = (7, 56) (the released default; tensors do not store it)")
    absolute = clues.flag("absolute_scale")
    if absolute is None:
        plan.assumed.append("absolute_scale = False (the released default; tensors do not store it)")
    plan.sizes = {
        **backbone_sizes(clues, plan),
        "decoder_embed_dim": width,
        "decoder_depth": clues.count("decoder_blocks"),
        "decoder_num_heads": heads(clues, plan, "decoder_num_heads", width, max(1, width // 32)),
        "fcn_dim": clues.shape(f"{head}.proj.weight", 4)[0],
        "fcn_layers": clues.count(f"{head}.conv_blocks"),
        "head_scale": 2 * clues.shape(f"{head}.pred.1.weight", 4)[2],
        "independent_fcn_head": head == "fcn_high",
        "progressive": clues.has("fpn.fpn1.2."),
        "band_config": tuple(bands),
        "absolute_scale": bool(absolute),
    }
    if 2 * plan.sizes["head_scale"] != plan.sizes["patch_size"]:
        plan.notices.append(
            "Its heads predict another size than its patches have: low and high do not align with the tile."
        )
    _scale_mae_training(clues, plan)
    return plan


def _scale_mae_training(clues: Clues, plan: LoadPlan) -> None:
    """What only the script's arguments know: losses, and the res the weights saw (models.md 1.8)."""
    stated = clues.args.get("base_resolution")
    known = isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated < 1e4
    base = float(stated) if known else 2.5  # type: ignore[arg-type]
    if not known:
        plan.assumed.append(
            "base_resolution = 2.5 (the command line of the release; it decides which res the weights saw)"
        )
    l1 = clues.flag("use_l1_loss")
    plan.training = {"base_resolution": base, "high_loss": "unknown" if l1 is None else "l1" if l1 else "l2"}
    plan.training |= {
        key: clues.args[key]
        for key in ("mask_ratio", "l1_loss_weight", "epochs")
        if isinstance(clues.args.get(key), int | float)
    }
    plan.card = {
        "default_policy": "training_range",
        "res_range": (round(0.892 * base, 3), round(1.992 * base, 3)),
    }


def _mae(clues: Clues) -> LoadPlan:
    satellite = (
        clues.named("satmae", "fmow")
        or clues.has("proj_up_conv.")
        or any(key in clues.args for key in SATMAE_ARGUMENTS)
    )
    plan = LoadPlan(
        "mae",
        f"{_mae_name(clues, satellite)} with its decoder",
        {},
        NON_COMMERCIAL,
        [META_NOTICE],
    )
    if satellite:
        plan.card = {"mean": FMOW_MEAN, "std": FMOW_STD}
    width = clues.shape("mask_token", 3)[2]
    normalised = clues.flag("norm_pix_loss")
    if normalised is None:
        normalised = clues.named("full") and not clues.named("visualize")
        plan.assumed.append(
            f"norm_pix_loss = {normalised} (the file does not say; its name does not contradict)"
        )
    if normalised:
        plan.notices.append(
            "Its patches were predicted with their own mean and deviation removed: "
            "to show them as a picture both would have to be borrowed "
            "from the hidden truth, which leaks it. They are shown without, so contrast and scores do not "
            "compare with other models' "
            "(leak-prone targets)."
        )
    plan.sizes = {
        **backbone_sizes(clues, plan),
        "decoder_embed_dim": width,
        "decoder_depth": clues.count("decoder_blocks"),
        "decoder_num_heads": heads(clues, plan, "decoder_num_heads", width, max(1, width // 32)),
        "norm_pix_loss": normalised,
    }
    return plan


def _mae_name(clues: Clues, satellite: bool) -> str:
    if clues.has("proj_up_conv."):
        return "SatMAE++ for RGB"
    return "SatMAE for RGB" if satellite else "MAE"


def _sdmae(clues: Clues) -> LoadPlan:
    plan = LoadPlan(
        "sdmae", "SDMAE with its decoder and contrastive branch", {}, "not stated", [OWNER_NOTICE]
    )
    width = clues.shape("mask_token", 3)[2]
    backbone = backbone_sizes(clues, plan, "encoder.")
    pixels = 3 * backbone["patch_size"] ** 2
    plan.sizes = {
        **backbone,
        "decoder_embed_dim": width,
        "decoder_depth": clues.count("decoder_blocks"),
        "decoder_num_heads": heads(clues, plan, "decoder_num_heads", width, 16),
        "ctr_depth": clues.count("base_ctr.blocks"),
        "ctr_num_heads": heads(clues, plan, "ctr_num_heads", pixels, backbone["num_heads"]),
        "mlp_dim": clues.shape("base_ctr.head.0.weight", 2)[0],
        "norm_pix_loss": bool(clues.flag("norm_pix_loss")),
    }
    return plan


def renamed(clues: Clues, plan: LoadPlan) -> Mapping[str, Tensor]:
    """Tensors under the names of the networks here: fc_norm becomes the final norm where there is no
    other, a stored CLS position joins CLS."""
    tensors = dict(clues.tensors)
    if clues.has("fc_norm.") and not clues.has("norm."):
        tensors = {
            key.replace("fc_norm.", "norm.") if key.startswith("fc_norm.") else key: tensor
            for key, tensor in tensors.items()
        }
    if plan.sizes.get("stored_positions"):
        tensors["cls_token"] = tensors["cls_token"] + tensors["pos_embed"][:, :1]
    return tensors
