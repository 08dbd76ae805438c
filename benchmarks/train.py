"""One training step of ours beside a plain MAE step of the same shape, written with timm's blocks.

    python benchmarks/train.py [--model mae_tiny] [--side-px 64] [--batch 32] [--pairs 5] [--anyway]

The plain step is what a first script does: embed every patch, gather a random choice, timm's blocks with
fused attention, a linear head, squared error on hidden patches, AdamW, float32; no averaged weights and no
fill. Ours is `core train`. Both receive pictures that are already in memory. Also printed is the share of
this machine's matrix-multiply rate that each reaches, counting matrix products and convolutions only. The
benchmark refuses to start if the load average is above 0.3, unless --anyway is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from _quiet import load_or_leave
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from core.engine.device import device, training_precision, use_threads
from core.engine.training.runs import TrainSpec
from core.engine.training.train import Draw, Training
from core.models.layers.vit import transformer_blocks


class PlainMAE(nn.Module):
    """A plain MAE with timm's blocks."""

    def __init__(
        self,
        side: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        decoder: int,
        decoder_depth: int,
        decoder_heads: int,
    ) -> None:
        super().__init__()
        self.patch, self.count = patch, (side // patch) ** 2
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.cls, self.mask = nn.Parameter(torch.zeros(1, 1, width)), nn.Parameter(torch.zeros(1, 1, decoder))
        self.where = nn.Parameter(torch.randn(1, self.count, width) * 0.02, requires_grad=False)
        self.decoder_where = nn.Parameter(torch.randn(1, self.count + 1, decoder) * 0.02, requires_grad=False)
        self.blocks, self.norm = transformer_blocks(depth, width, heads), nn.LayerNorm(width)
        self.into = nn.Linear(width, decoder)
        self.decoder_blocks, self.decoder_norm = (
            transformer_blocks(decoder_depth, decoder, decoder_heads),
            nn.LayerNorm(decoder),
        )
        self.head = nn.Linear(decoder, patch * patch * 3)

    def forward(self, images: Tensor, ratio: float) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.where
        order = torch.rand(tokens.shape[:2]).argsort(1)
        visible, back = order[:, : round(self.count * (1 - ratio))], order.argsort(1)
        tokens = tokens.gather(1, visible[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([self.cls.expand(len(tokens), -1, -1), tokens], 1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.into(self.norm(tokens))
        filled = torch.cat(
            [tokens[:, 1:], self.mask.expand(len(tokens), self.count - visible.shape[1], -1)], 1
        )
        filled = filled.gather(1, back[..., None].expand(-1, -1, filled.shape[2]))
        tokens = torch.cat([tokens[:, :1], filled], 1) + self.decoder_where
        for block in self.decoder_blocks:
            tokens = block(tokens)
        predicted = self.head(self.decoder_norm(tokens))[:, 1:]
        p, g = self.patch, images.shape[-1] // self.patch
        truth = (
            images.reshape(len(images), 3, g, p, g, p)
            .permute(0, 2, 4, 3, 5, 1)
            .reshape(len(images), g * g, -1)
        )
        hidden = torch.ones(len(images), self.count).scatter(1, visible, 0.0)
        return ((predicted - truth).square().mean(-1) * hidden).sum() / hidden.sum()


def plain_step(network: PlainMAE, pixels: Tensor, ratio: float) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1.5e-3, betas=(0.9, 0.95), weight_decay=0.05)

    def step() -> None:
        loss = network((pixels.float() / 255 - 0.5) / 0.25, ratio)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def multiply_rate(bfloat16: bool) -> float:
    """Return the best rate in FLOP/s of a 1024 x 1024 product in the data type of training."""
    left, right = (
        torch.randn(1024, 1024, dtype=torch.bfloat16 if bfloat16 else torch.float32) for _ in range(2)
    )
    return max(2 * 1024**3 / seconds(lambda: left @ right) for _ in range(20))


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def operations(action: Callable[[], object]) -> int:
    """Count the FLOP of the matrix products and convolutions of one step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        default="mae_tiny",
        help="our model; the plain one has the shape of its transformer",
    )
    parser.add_argument("--side-px", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--ratio", type=float, default=0.75)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps in each half of a pair")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--anyway", action="store_true", help="measure on a busy machine, too")
    args = parser.parse_args()
    load_average = load_or_leave(args.anyway)
    use_threads(args.threads)
    training = Training(
        TrainSpec(
            "benchmark",
            args.model,
            steps=10**6,
            sides_px=(args.side_px,),
            batch=args.batch,
            ratios=(args.ratio,),
        )
    )
    card, sizes = training.network.card, training.network.card.sizes
    patch, grid = card.patch_px, args.side_px // card.patch_px
    rng, large = np.random.default_rng(0), args.side_px * training.enlarge
    keep = np.stack(
        [rng.permutation(grid * grid)[: round(grid * grid * (1 - args.ratio))] for _ in range(args.batch)]
    )
    draw = Draw(
        rng.integers(0, 255, (args.batch, 3, large, large), np.uint8),
        args.side_px,
        keep,
        np.full(args.batch, 3.0, np.float32),
    )
    decoder = (sizes["decoder_embed_dim"], sizes["decoder_depth"], sizes["decoder_num_heads"])
    peer = PlainMAE(args.side_px, patch, sizes["embed_dim"], sizes["depth"], sizes["num_heads"], *decoder)
    pixels = torch.from_numpy(rng.integers(0, 255, (args.batch, 3, args.side_px, args.side_px), np.uint8))
    steps = {"ours": lambda: training.advance(draw), "plain": plain_step(peer, pixels, args.ratio)}
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(args.pairs):
        for name, step in steps.items():
            times[name].append(seconds(lambda step=step: [step() for _ in range(args.steps)]) / args.steps)
    with training_precision(device()):
        bfloat16 = torch.is_autocast_enabled("cpu")
    rates = {"ours": multiply_rate(bfloat16), "plain": multiply_rate(False)}
    print(
        f"load average {load_average:.2f}, {args.threads} threads; "
        f"ours multiplies in {'bfloat16' if bfloat16 else 'float32'}, the plain step in float32"
    )
    found = {
        name: {
            "images_per_s": round(args.batch / statistics.median(times[name]), 1),
            "multiply_rate_gflops": round(rates[name] / 1e9, 1),
            "share_of_it": round(operations(steps[name]) / statistics.median(times[name]) / rates[name], 3),
        }
        for name in steps
    }
    ratio = statistics.median(plain / ours for ours, plain in zip(times["ours"], times["plain"], strict=True))
    print(
        json.dumps(
            {
                "model": args.model,
                "side_px": args.side_px,
                "batch": args.batch,
                **found,
                "ours_over_plain": round(ratio, 2),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
