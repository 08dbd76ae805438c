"""Optimisers and parameter groups of a training run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...models.base import Objective
from ...models.layers.vit import ENCODER_PARTS, prepare_timm
from ..device import Device, multiplies_bfloat16
from .runs import TrainSpec


class Float32Muon(torch.optim.Muon):
    """torch's Muon with the orthogonalization in float32 instead of bfloat16.

    A CPU without bfloat16 instructions emulates those products: they took four fifths of a training step.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every matrix; learning rates are scaled to match AdamW's updates."""
        if closure is not None:
            raise ValueError("closures are not supported")
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                momentum = state.setdefault("momentum_buffer", torch.zeros_like(matrix))
                momentum.lerp_(matrix.grad, 1 - group["momentum"])
                update = _orthogonal(matrix.grad.lerp(momentum, group["momentum"]), group)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)


def _orthogonal(update: Tensor, group: dict[str, Any]) -> Tensor:
    prepare_timm()
    from timm.optim.muon import zeropower_via_newtonschulz

    coefficients = [group["ns_coefficients"]] * group["ns_steps"]
    return zeropower_via_newtonschulz(
        update, len(coefficients), coefficients, eps=group["eps"], dtype=torch.float32
    )


def optimizers_for(objective: Objective, spec: TrainSpec, device: Device) -> list[torch.optim.Optimizer]:
    """AdamW over everything, or Muon over the matrices of transformer blocks and AdamW over the rest.

    Muon (Jordan 2024) scales its steps to AdamW's size.
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
        exact = device.torch.type == "cpu" and not multiplies_bfloat16(device)
        kind = Float32Muon if exact else torch.optim.Muon
        found.append(kind(groups, lr=spec.lr, weight_decay=spec.weight_decay, adjust_lr_fn="match_rms_adamw"))
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
