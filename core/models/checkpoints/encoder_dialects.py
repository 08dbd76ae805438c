"""Encoders alone: torchgeo's and rshf's copies of Scale-MAE, SDMAE's second file, TinyMIM, linear probes
and fine-tuned classifiers.

Their tensors are those of one and the same vision transformer; only whether positions follow the GSD differs,
and no tensor says it.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from ..layers.vit import gsd_positions
from .clues import (
    META_NOTICE,
    NON_COMMERCIAL,
    OWNER_NOTICE,
    SCALE_MAE_NOTICE,
    UNSTATED_NOTICE,
    Clues,
    LoadPlan,
    backbone_sizes,
    heads,
)
from .files import CheckpointError

Positions = Literal["gsd", "static"]

SCALE_MAE_ARGUMENTS = (
    *(
        "base_resolution",
        "band_config",
        "absolute_scale",
        "fcn_dim",
        "independent_fcn_head",
        "use_l1_loss",
        "fixed_output_size",
        "target_size",
    ),
    *("source_size", "eval_base_resolution", "eval_reference_resolution"),
)


class AmbiguousPositionsError(CheckpointError):
    """An encoder alone whose positions may follow the GSD or be static: the caller must say which."""


def encoder_alone(clues: Clues, positions: Positions | None) -> LoadPlan:
    plan = LoadPlan("encoder", "encoder alone", {}, "not stated")
    student = clues.named("tinymim") and not clues.has("head.")
    gsd = positions_of(clues, positions, plan) == "gsd"
    plan.sizes = {**backbone_sizes(clues, plan), "gsd_aware": gsd}
    scale_mae = gsd and not student
    if scale_mae:
        plan.variant, plan.licence = f"Scale-MAE encoder alone{_source(clues)}", NON_COMMERCIAL
        plan.notices += [
            SCALE_MAE_NOTICE,
            "It has no decoder: pictures need the full file, scalemae-vitlarge-800.pth.",
        ]
        plan.card = {"default_policy": "author_eval", "res_range": (2.23, 4.98)}
    elif clues.named("tinymim"):
        plan.variant, plan.notices = (
            "TinyMIM student" if student else "TinyMIM, fine-tuned",
            [UNSTATED_NOTICE],
        )
    elif clues.named("maepretrain", "maefinetune", "satmae", "fmow"):
        plan.variant, plan.licence, plan.notices = "MAE encoder alone", NON_COMMERCIAL, [META_NOTICE]
    else:
        plan.notices.append(OWNER_NOTICE)
    if student:
        _tinymim(clues, plan)
    if clues.has("head."):
        plan.variant += ", with a linear probe" if clues.has("head.0.running_mean") else ", with a classifier"
    if clues.has("fc_norm.") and not clues.has("norm."):
        plan.card["pooling"] = "mean"
        plan.notices.append(
            "It was fine-tuned on mean-pooled tokens: "
            "its fc_norm stands in for the final norm, before averaging instead of after."
        )
    if not gsd and not student and _learned(clues):
        plan.sizes["stored_positions"] = True
        plan.notices.append(
            "Its positions were learned: they are used as stored, drawn bicubic to other grids."
        )
    return plan


def _tinymim(clues: Clues, plan: LoadPlan) -> None:
    """A student as distillation leaves it: heads of the last block are the teacher's, its tail was never
    trained (models.md 4.1, 4.5)."""
    width = plan.sizes["embed_dim"]
    plan.family = "tinymim"
    if width == 192 and clues.whole("num_heads", 1, width) is None:
        plan.sizes["num_heads"] = 6
        plan.assumed = [line for line in plan.assumed if not line.startswith("num_heads")] + [
            "num_heads = 6 (as TinyMIM-Ti was distilled)"
        ]
    taught = {768: 16, 384: 12, 192: 12}.get(width, plan.sizes["num_heads"])
    plan.sizes["last_heads"] = heads(clues, plan, "last_heads", width, taught)
    plan.card["pooling"] = "block11_mean"
    plan.notices.append(
        "Distillation leaves its last block's MLP and final norm untrained: "
        "it is embedded by block11_mean or block11_cls."
    )


def positions_of(clues: Clues, stated: Positions | None, plan: LoadPlan) -> Positions:
    """Whether an encoder's positions follow the GSD: what the caller says, else evidence in the file.

    Raises AmbiguousPositionsError.
    """
    if stated not in (None, "gsd", "static"):
        raise CheckpointError(
            f"positions is 'gsd' (Scale-MAE) or 'static' (MAE, SDMAE, TinyMIM), not {stated!r:.40}."
        )
    evidence = _evidence(clues)
    found = stated or (evidence[0] if evidence else None)
    if found is None:
        raise AmbiguousPositionsError(
            f"{clues.path.name} holds an encoder alone, and nothing in it tells whether its positions "
            "follow the GSD: "
            "pass positions='gsd' if it comes from Scale-MAE, 'static' if from MAE, SDMAE or TinyMIM (or "
            "write +gsd or +static after its name)."
        )
    if not stated and evidence:
        plan.assumed.append(f"{found} positions ({evidence[1]}; pass positions='...' to say otherwise)")
    return found


def _evidence(clues: Clues) -> tuple[Positions, str] | None:
    if clues.official:
        return "gsd", "it is a known copy of Scale-MAE"
    if any(key in clues.args for key in SCALE_MAE_ARGUMENTS):
        return (
            ("static", "its arguments set absolute_scale")
            if clues.flag("absolute_scale")
            else ("gsd", "its arguments are Scale-MAE's")
        )
    if clues.named("scalemae"):
        return "gsd", "its name says Scale-MAE"
    if clues.named("tinymim", "sdmae", "satmae", "maepretrain", "maefinetune"):
        return "static", "its name says so"
    if clues.args:
        return "static", "its arguments are not Scale-MAE's"
    if "model." in clues.stripped and not clues.has("pos_embed"):
        return (
            "gsd",
            "names begin with model. and there is no table of positions, as in rshf's copy of Scale-MAE",
        )
    if clues.has("head.0.running_mean"):
        return "gsd", "its linear probe has the layout of Scale-MAE's"
    if _learned(clues):
        return "static", "its table of positions was learned"
    return None


def _source(clues: Clues) -> str:
    if "model." in clues.stripped:
        return " (rshf)"
    return " (torchgeo)" if clues.named("fmowrgbscalemae") else ""


def _learned(clues: Clues) -> bool:
    """Whether a table of positions is not the sine-cosine one, beyond what half precision rounds."""
    table: Tensor | None = clues.tensors.get("pos_embed")
    if table is None or table.ndim != 3:
        return False
    grid = math.isqrt(table.shape[1] - 1)
    if grid * grid != table.shape[1] - 1 or table.shape[2] % 4 or not bool(table.any()):
        return False
    formula = gsd_positions(table.shape[2], grid, table.new_ones(1))
    return bool((table - formula).abs().max() > 5e-3)
