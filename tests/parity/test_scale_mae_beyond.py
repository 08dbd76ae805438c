"""Scale-MAE against an independent implementation as plain functions (row 13 of models.md 6.1).

It shares nothing with core: shuffled tokens, explicit softmax, convolutions by name, directly from models.md
1.4 to 1.7.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.models import create
from core.models.scale_mae import ScaleMAE, ScaleMAEObjective

State = dict[str, Tensor]
SIZES: dict[str, Any] = {
    "img_size": 64,
    "embed_dim": 48,
    "depth": 3,
    "num_heads": 3,
    "decoder_embed_dim": 32,
    "decoder_depth": 2,
    "decoder_num_heads": 2,
    "fcn_dim": 16,
    "fcn_layers": 2,
    "band_config": (3, 16),
}


# The independent implementation ---------------------------------------------------------------------


def code(width: int, grid: int, res: Tensor) -> Tensor:
    rows = []
    for r in res.double().tolist():
        cells = []
        for y in range(grid):
            for x in range(grid):
                half = []
                for p in (x, y):
                    angles = [p * r / 10000 ** (4 * k / width) for k in range(width // 4)]
                    half += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
                cells.append(half)
        rows.append([[0.0] * width, *cells])
    return torch.tensor(rows, dtype=torch.float64).float()


def dense(w: State, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def normed(w: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return (
        centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * w[f"{name}.weight"]
        + w[f"{name}.bias"]
    )


def normed_map(w: State, name: str, x: Tensor) -> Tensor:
    return normed(w, name, x.movedim(1, -1)).movedim(-1, 1)


def block(w: State, name: str, x: Tensor, heads: int) -> Tensor:
    b, n, d = x.shape
    q, k, v = dense(w, f"{name}.attn.qkv", normed(w, f"{name}.norm1", x)).split(d, dim=-1)
    q, k, v = (t.reshape(b, n, heads, d // heads).transpose(1, 2) for t in (q, k, v))
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(d // heads), dim=-1)
    x = x + dense(w, f"{name}.attn.proj", (weights @ v).transpose(1, 2).reshape(b, n, d))
    return x + dense(w, f"{name}.mlp.fc2", F.gelu(dense(w, f"{name}.mlp.fc1", normed(w, f"{name}.norm2", x))))


def head(w: State, name: str, x: Tensor, layers: int) -> Tensor:
    def conv(key: str, y: Tensor, groups: int = 1) -> Tensor:
        weight = w[f"{name}.{key}.weight"]
        return F.conv2d(y, weight, w[f"{name}.{key}.bias"], padding=weight.shape[-1] // 2, groups=groups)

    def grow(key: str, y: Tensor) -> Tensor:
        weight = w[f"{name}.{key}.weight"]
        return F.conv_transpose2d(y, weight, w[f"{name}.{key}.bias"], stride=weight.shape[-1])

    f = w[f"{name}.proj.weight"].shape[0]
    x = conv("proj", x)
    for n in range(layers):
        inner = conv(f"conv_blocks.{n}.convs.1", F.gelu(x), groups=f // 2)
        x = conv(f"conv_blocks.{n}.convs.3", F.gelu(inner)) + conv(f"conv_blocks.{n}.residual", x)
    x = grow("pred.1", normed_map(w, f"{name}.pred.0.ln", x))
    x = conv("pred.5", F.gelu(conv("pred.3", F.gelu(x), groups=f // 4)))
    return grow("pred.7", F.gelu(x))


def original(
    w: State, images: Tensor, res: Tensor, noise: Tensor, kept: int, heads: tuple[int, int], fcn_layers: int
) -> dict[str, Tensor]:
    """The released forward, tokens shuffled by noise and put back, weights `w` by name."""
    patch, width = w["patch_embed.proj.weight"].shape[-1], w["cls_token"].shape[-1]
    grid, depth = (
        images.shape[-1] // patch,
        1 + max(int(key.split(".")[1]) for key in w if key.startswith("blocks.")),
    )
    x = (
        F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=patch)
        .flatten(2)
        .transpose(1, 2)
    )
    x = x + code(width, grid, res)[:, 1:]
    shuffle = noise.argsort(1)
    restore = shuffle.argsort(1)
    x = torch.stack([tokens[order[:kept]] for tokens, order in zip(x, shuffle, strict=True)])
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], dim=1)
    for i in range(depth):
        x = block(w, f"blocks.{i}", x, heads[0])
    latent = normed(w, "norm", x)
    z = dense(w, "decoder_embed", latent)
    blanks = w["mask_token"].expand(len(z), grid * grid - kept, -1)
    patches = torch.cat([z[:, 1:], blanks], dim=1)
    patches = torch.stack([tokens[order] for tokens, order in zip(patches, restore, strict=True)])
    z = torch.cat([z[:, :1], patches], dim=1) + code(z.shape[-1], grid, res)
    z = z[:, 1:]
    for j in range(1 + max(int(key.split(".")[1]) for key in w if key.startswith("decoder_blocks."))):
        z = block(w, f"decoder_blocks.{j}", z, heads[1])
    z = normed(w, "decoder_norm", z).transpose(1, 2).reshape(len(z), -1, grid, grid)

    def grow(key: str, y: Tensor) -> Tensor:
        return F.conv_transpose2d(y, w[f"fpn.{key}.weight"], w[f"fpn.{key}.bias"], stride=2)

    low_map = grow("fpn2.0", z)
    if "fpn.fpn1.0.ln.weight" in w:
        high_map = grow("fpn1.2", F.gelu(normed_map(w, "fpn.fpn1.0.ln", low_map)))
    else:
        high_map = grow("fpn1.3", F.gelu(normed_map(w, "fpn.fpn1.1.ln", grow("fpn1.0", z))))
    names = ("fcn", "fcn") if "fcn.proj.weight" in w else ("fcn_low", "fcn_high")
    return {
        "latent": latent,
        "keep": shuffle[:, :kept],
        "low": head(w, names[0], low_map, fcn_layers),
        "high": head(w, names[1], high_map, fcn_layers),
    }


def original_loss(
    made: dict[str, Tensor], targets: Tensor, hidden: Tensor, bands: tuple[int, int], l1: float | None
) -> float:
    low, high = made["low"], made["high"]
    target = F.adaptive_avg_pool2d(
        F.adaptive_avg_pool2d(targets, 224) if bands[1] == 224 else targets, low.shape[-1]
    )
    mosaic = F.interpolate(
        F.adaptive_avg_pool2d(targets, bands[0]), size=high.shape[-2:], mode="bilinear", align_corners=False
    )
    error = high - (targets - mosaic)
    error = error.square() if l1 is None else l1 * error.abs()
    m_low, m_high = (
        F.interpolate(hidden[:, None], size=side, mode="nearest") for side in (low.shape[-1], high.shape[-1])
    )
    return float(
        (m_low * (target - low).square()).sum() / (m_low.sum() + 1e-9)
        + (m_high * error).sum() / (m_high.sum() + 1e-9)
    )


# The comparisons ------------------------------------------------------------------------


def lively(seed: int = 0, **options: Any) -> ScaleMAE:
    """A network with weights far from their starting values, so that every bias and norm matters."""
    model = create("scale_mae", **{**SIZES, **options})
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            noise = torch.randn(parameter.shape, generator=source)
            matrix = parameter.ndim > 1 and not name.endswith("token")
            scale = 1.2 / math.sqrt(parameter[0].numel()) if matrix else 0.2
            parameter.copy_(
                1 + 0.1 * noise if parameter.ndim == 1 and name.endswith("weight") else scale * noise
            )
    return model


def compared(
    model: ScaleMAE, images: Tensor, res: Tensor, kept: int, heads: tuple[int, int], layers: int = 2
) -> tuple[dict[str, Tensor], Any]:
    source = torch.Generator().manual_seed(1)
    grid = images.shape[-1] // model.patch_size
    noise = torch.rand(len(images), grid * grid, generator=source)
    theirs = original(dict(model.state_dict()), images, res, noise, kept, heads, layers)
    return theirs, model.reconstruct(images, res, theirs["keep"])


def worst(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("grid", [3, 5, 7, 14, 20, 28])
@torch.no_grad()
def test_any_grid_and_res_with_mixed_res_in_one_batch(grid: int) -> None:
    model = lively()
    res = torch.tensor([0.1, 2.5, 30.0])
    images = torch.randn(3, 3, 16 * grid, 16 * grid, generator=torch.Generator().manual_seed(grid))
    theirs, ours = compared(model, images, res, max(1, grid * grid // 4), (3, 2))
    assert worst(model.encode(images, res, theirs["keep"]), theirs["latent"]) <= 2e-5
    assert worst(ours.low_raw, theirs["low"]) <= 1e-5
    assert worst(ours.high_raw, theirs["high"]) <= 1e-5


@pytest.mark.parametrize("res", [0.1, 0.3, 1.0, 3.8, 10.0, 30.0])
def test_positions_against_scalar_arithmetic(res: float) -> None:
    from core.models.layers.vit import gsd_positions

    for width, grid in [(32, 3), (192, 14), (64, 28)]:
        # float32 coordinates of up to 27 * 30 carry 3e-5 of rounding into the sine: the original computes
        # them so as well
        allowed = max(2e-6, 27 * res * 2**-24)
        assert (
            worst(gsd_positions(width, grid, torch.tensor([res])), code(width, grid, torch.tensor([res])))
            <= allowed
        )


@pytest.mark.parametrize(
    "options",
    [
        {"independent_fcn_head": False},
        {"progressive": True},
        {"absolute_scale": True},
        {"fcn_layers": 1, "decoder_depth": 1},
        {"patch_size": 8, "head_scale": 4},
    ],
    ids=str,
)
@torch.no_grad()
def test_every_option(options: dict[str, Any]) -> None:
    if "head_scale" in options:  # ours: the head's first step is half as long, nothing else differs
        images, res = torch.randn(2, 3, 64, 64), torch.tensor([0.5, 6.0])
    else:
        images, res = torch.randn(2, 3, 96, 96), torch.tensor([0.5, 6.0])
    model = lively(**options)
    felt = torch.ones(2) if options.get("absolute_scale") else res
    noise = torch.rand(2, (images.shape[-1] // model.patch_size) ** 2)
    theirs = original(dict(model.state_dict()), images, felt, noise, 9, (3, 2), options.get("fcn_layers", 2))
    ours = model.reconstruct(images, res, theirs["keep"])
    assert worst(ours.low_raw, theirs["low"]) <= 1e-5
    assert worst(ours.high_raw, theirs["high"]) <= 1e-5


@pytest.mark.parametrize(("bands", "l1"), [((3, 16), None), ((7, 224), 1.0), ((14, 224), 0.5)])
@torch.no_grad()
def test_losses(bands: tuple[int, int], l1: float | None) -> None:
    model = lively(band_config=bands)
    images, targets, res = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 128, 128), torch.tensor([0.4, 9.0])
    theirs, ours = compared(model, images, res, 5, (3, 2))
    hidden = torch.ones(2, 16).scatter(1, theirs["keep"], 0.0).reshape(2, 4, 4)
    objective = ScaleMAEObjective(model, "l2" if l1 is None else "l1", l1 or 1.0)
    losses = objective.losses(ours.low_raw, ours.high_raw, targets, theirs["keep"])
    assert float(sum(losses.values())) == pytest.approx(
        original_loss(theirs, targets, hidden, bands, l1), rel=1e-5
    )


@torch.no_grad()
def test_the_order_of_visible_patches_does_not_matter() -> None:
    model = lively()
    images, res = torch.randn(2, 3, 96, 96), torch.tensor([0.7, 12.0])
    keep = torch.rand(2, 36).argsort(1)[:, :10]
    shuffled = torch.stack([row[torch.randperm(10)] for row in keep])
    one, other = model.reconstruct(images, res, keep), model.reconstruct(images, res, shuffled)
    assert worst(one.combined, other.combined) <= 1e-5
    tokens, moved = model.encode(images, res, keep), model.encode(images, res, shuffled)
    for sample in range(2):
        where = [keep[sample].tolist().index(position) for position in shuffled[sample].tolist()]
        assert worst(moved[sample, 1:], tokens[sample, 1:][where]) <= 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_vit_l_once() -> None:
    model = create("scale_mae_large", trained=False)
    images, res = torch.randn(1, 3, 224, 224), torch.tensor([3.8])
    theirs, ours = compared(model, images, res, 49, (16, 16))
    latent = model.encode(images, res, theirs["keep"])
    for mine, other in [
        (latent, theirs["latent"]),
        (ours.low_raw, theirs["low"]),
        (ours.high_raw, theirs["high"]),
    ]:
        assert worst(mine, other) <= 5e-5
        assert F.cosine_similarity(mine.flatten(), other.flatten(), dim=0) >= 0.999999
