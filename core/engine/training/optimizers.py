"""Optimisers and parameter groups of a training run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...models.base import Objective
from ...models.layers.vit import ENCODER_PARTS
from .runs import TrainSpec


def optimizers_for(objective: Objective, spec: TrainSpec) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon (Jordan 2024.

    Steps scaled to AdamW's size) over the matrices of transformer blocks and AdamW over the rest.
    """
    blocks = {
        id(parameter)
        for name, part in objective.network.named_modules()
        if name.split(".")[-1] in ("blocks", "decoder_blocks")
        for parameter in part.parameters()
        if parameter.ndim == 2
    }
    if spec.optimizer != "muon":
        blocks = set()
    betas = (spec.betas[0], spec.betas[1])
    found: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(_groups(objective, spec, leave=blocks), lr=spec.lr, betas=betas, fused=True)
    ]
    if blocks:
        groups = _groups(objective, spec, only=blocks)
        found.append(
            torch.optim.Muon(
                groups, lr=spec.lr, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    return found


def _groups(
    objective: Objective, spec: TrainSpec, leave: set[int] | None = None, only: set[int] | None = None
) -> list[dict[str, Any]]:
    """Trainable parameters grouped by learning-rate share and weight decay.

    Only matrices decay, as in MAE (models.md 1.9).

    `leave` and `only` are ids of parameters that belong to another optimiser, or to this one alone.
    """
    encoder = {
        id(p)
        for key, p in objective.network.named_parameters()
        if key.removeprefix("encoder.").split(".")[0] in ENCODER_PARTS
    }
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in objective.parameters():
        chosen = id(parameter) not in (leave or ()) if only is None else id(parameter) in only
        if parameter.requires_grad and chosen:
            share = spec.encoder_rate if id(parameter) in encoder else 1.0
            found.setdefault((share, spec.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [
        {"params": parameters, "share": share, "weight_decay": decay}
        for (share, decay), parameters in found.items()
    ]
