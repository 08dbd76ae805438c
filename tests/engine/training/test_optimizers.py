"""The float32 Muon that CPUs without bfloat16 instructions train with."""

import torch
from torch import nn

from core.engine.training.optimizers import Float32Muon


def test_float32_muon_follows_torch_muon_to_the_rounding_of_bfloat16():
    torch.manual_seed(0)
    settings = {"lr": 0.02, "weight_decay": 0.1, "adjust_lr_fn": "match_rms_adamw"}
    start = torch.randn(24, 40)
    exact, rounded = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = (Float32Muon([exact], **settings), torch.optim.Muon([rounded], **settings))
    for _ in range(5):
        gradient = torch.randn(24, 40)
        for parameter, optimizer in zip((exact, rounded), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved = rounded - start
    assert moved.norm() > 0.3
    assert (exact - rounded).norm() < 0.01 * moved.norm()
