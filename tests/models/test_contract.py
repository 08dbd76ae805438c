"""The contract of every network, tested for every family and every small preset; new model files are included
automatically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import ExplorerError
from core.models import cards, create
from core.models.base import Encoder, LowHigh, ModelInputError, Reconstructor, TrainingBatch
from core.models.registry import families

SHRUNK: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 48,
    "depth": 3,
    "num_heads": 4,
    "decoder_embed_dim": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 4,
    "fcn_dim": 16,
    "fcn_layers": 1,
    "head_scale": 4,
    "ctr_num_heads": 3,
    "mlp_dim": 32,
    "band_config": (2, 16),
}
SMALL_PX = 128  # presets with inputs of at most this side are tested at full size
FAMILIES = sorted(families())
LEARNERS = [name for name in FAMILIES if families()[name].objective]
RECONSTRUCTORS = [name for name in FAMILIES if families()[name].reconstructs]
PRESETS = [name for name, card in cards().items() if card.input_px <= SMALL_PX]


def centred(name: str) -> list[dict[str, Any]]:
    """Every way in which a family can be centred, as sizes."""
    ways = ("dataset", "visible_mean", "visible_harmonic") if "centre" in families()[name].defaults else ()
    return [{"centre": way} for way in ways] or [{}]


CENTRED = [(name, sizes["centre"]) for name in FAMILIES for sizes in centred(name) if sizes]
# Tensors that are not trained by design, by family; the published files contain them nevertheless.
UNTRAINED: dict[str, tuple[str, ...]] = {
    "scale_mae": ("mask_token_decoder",),
    "tinymim_decoder": ("mask_token_decoder",),
    "tinymim": tuple(
        f"blocks.2.{part}.{kind}"
        for part in ("attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    )
    + ("norm.weight", "norm.bias"),
}
# What an objective needs besides its network, by family.
LESSONS: dict[str, Callable[[], dict[str, Any]]] = {"tinymim": lambda: {"teacher": shrunk("mae")}}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def shrunk(family: str, **sizes: Any) -> Any:
    known = families()[family].defaults
    return create(family, **{**{key: value for key, value in SHRUNK.items() if key in known}, **sizes})


def scene(model: Encoder, batch: int = 2, kept: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth pictures with some noise, mixed res, and about a quarter of the patches in random order."""
    side, count = model.card.input_px, (model.card.input_px // model.card.patch_px) ** 2
    coarse = torch.nn.functional.interpolate(torch.randn(batch, 3, 4, 4), size=(side, side), mode="bicubic")
    keep = torch.rand(batch, count).argsort(1)[:, : max(1, int(kept * count))]
    return coarse + 0.2 * torch.randn(batch, 3, side, side), torch.linspace(0.7, 4.0, batch), keep


def cells(model: Encoder, keep: Tensor, side: int) -> Tensor:
    """True on pixels of visible patches, (b, 1, side, side)."""
    grid = side // model.card.patch_px
    seen = torch.zeros(len(keep), grid * grid, dtype=torch.bool).scatter(
        1, keep, torch.ones_like(keep, dtype=torch.bool)
    )
    return (
        seen.reshape(-1, 1, grid, grid)
        .repeat_interleave(model.card.patch_px, 2)
        .repeat_interleave(model.card.patch_px, 3)
    )


def made(model: Encoder, images: Tensor, res: Tensor, keep: Tensor | None) -> tuple[Tensor, ...]:
    """All outputs of a network."""
    with torch.no_grad():
        tokens = model.encode(images, res, keep)
        if not isinstance(model, Reconstructor):
            return (tokens,)
        painted = model.reconstruct(images, res, keep)
        return (tokens, *(getattr(painted, name) for name in LowHigh.__dataclass_fields__))


def same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def promises_of_a_mask(model: Encoder) -> None:
    images, res, keep = scene(model)
    seen = cells(model, keep, images.shape[-1])
    first = made(model, images, res, keep)
    assert all(tensor.isfinite().all() for tensor in first)
    assert same(first, made(model, images, res, keep)), "the output is not deterministic"
    for junk in (
        torch.randn_like(images) * 100,
        torch.full_like(images, float("nan")),
        torch.full_like(images, float("inf")),
    ):
        assert same(first, made(model, torch.where(seen, images, junk), res, keep)), "a hidden pixel was read"
    touched = images.clone()
    row, column = (seen[0, 0].nonzero()[7]).tolist()
    touched[0, 1, row, column] += 1.0
    again = made(model, touched, res, keep)
    for before, after in zip(
        first[:-1], again[:-1], strict=True
    ):  # the last is the base, which some networks need not have
        assert not torch.equal(before[0], after[0]), "a visible pixel was not read"
        assert torch.equal(before[1], after[1]), "one picture leaked into another"


# Inputs ---------------------------------------------------------------------------------


def preset(name: str) -> Any:
    """A preset with its weights; students with random ones, because trained ones refuse their last blocks."""
    return create(name, trained=cards()[name].family != "tinymim")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_read_visible_pixels_and_only_those(name: str) -> None:
    promises_of_a_mask(preset(name))


@pytest.mark.parametrize(("name", "centre"), CENTRED)
def test_whatever_a_network_is_centred_on_hidden_pixels_stay_unread(name: str, centre: str) -> None:
    promises_of_a_mask(shrunk(name, centre=centre))


@pytest.mark.parametrize("name", [name for name in FAMILIES if "centre" in families()[name].defaults])
@pytest.mark.parametrize("patch", [6, 7, 14])
def test_centring_works_for_patches_that_are_not_a_power_of_two(name: str, patch: int) -> None:
    promises_of_a_mask(shrunk(name, centre="visible_harmonic", patch_size=patch, img_size=5 * patch))


@pytest.mark.parametrize("name", FAMILIES)
def test_shapes_of_tokens(name: str) -> None:
    model = shrunk(name)
    images, res, keep = scene(model)
    width, count = model.card.embed_dim, (model.card.input_px // model.card.patch_px) ** 2
    assert model.encode(images, res, keep).shape == (2, 1 + keep.shape[1], width)
    assert model.encode(images, res).shape == (2, 1 + count, width)
    assert model.encode(images, res, keep[:, :0]).shape == (2, 1, width)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_keeping_every_patch_equals_keep_none(name: str) -> None:
    model = shrunk(name)
    images, res, _ = scene(model)
    every = torch.rand(2, 16).argsort(1)
    for listed, natural in zip(
        made(model, images, res, every)[1:], made(model, images, res, None)[1:], strict=True
    ):
        torch.testing.assert_close(listed, natural, atol=1e-5, rtol=1e-5)
    tokens = model.encode(images, res)[:, 1:].gather(1, every[:, :, None].expand(-1, -1, model.embed_dim))
    torch.testing.assert_close(model.encode(images, res, every)[:, 1:], tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_card_says_whether_res_matters(name: str) -> None:
    for sizes in ({}, {"gsd_aware": True}, {"gsd_aware": False}, {"absolute_scale": True}):
        if set(sizes) <= set(families()[name].defaults):
            model = shrunk(name, **sizes)
            images, res, keep = scene(model)
            one, other = made(model, images, res, keep), made(model, images, res * 1.7, keep)
            assert all(
                torch.equal(a, b) != model.card.gsd_aware for a, b in list(zip(one, other, strict=True))[:-1]
            ), sizes


@pytest.mark.parametrize("name", PRESETS)
def test_res_changes_the_output_exactly_if_the_card_says_so(name: str) -> None:
    model = preset(name)
    images, res, keep = scene(model)
    with torch.no_grad():
        assert (
            torch.equal(model.encode(images, res, keep), model.encode(images, res * 1.7, keep))
            != model.card.gsd_aware
        )


WRONG = {
    "two dimensions": (lambda i, r, k: (i[0, 0], r, k), "shaped"),
    "four bands": (lambda i, r, k: (torch.cat([i, i[:, :1]], 1), r, k), "bands"),
    "no picture": (lambda i, r, k: (i[:0], r[:0], k[:0]), "at least one"),
    "raw bytes": (lambda i, r, k: (i.to(torch.uint8), r, k), "floating-point"),
    "one res for two": (lambda i, r, k: (i, r[:1], k), "one res per image"),
    "res is not a number": (lambda i, r, k: (i, r * float("nan"), k), "finite"),
    "not square": (lambda i, r, k: (i[:, :, :24], r, k % 8), "square|twice"),
    "margin": (lambda i, r, k: (i[:, :, :30, :30], r, k[:, :1] % 9), "multiple of 8"),
    "a boolean mask": (lambda i, r, k: (i, r, k > 3), "int64"),
    "keep of another batch": (lambda i, r, k: (i, r, k[:1]), "shaped"),
    "keep beyond the grid": (lambda i, r, k: (i, r, k + 13), "0..15"),
    "keep below the grid": (lambda i, r, k: (i, r, k - 16), "0..15"),
    "keep lists one twice": (lambda i, r, k: (i, r, k[:, [0, 0]]), "twice"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", FAMILIES)
def test_invalid_inputs_are_reported(name: str, wrong: str) -> None:
    model = shrunk(name)
    spoil, message = WRONG[wrong]
    for call in (model.encode, *([model.reconstruct] if isinstance(model, Reconstructor) else [])):
        with pytest.raises(ModelInputError, match=message) as answer:
            call(*spoil(*scene(model)))
        assert isinstance(answer.value, ExplorerError)
        assert str(answer.value).endswith(".")


# Pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"), [(name, sizes) for name in RECONSTRUCTORS for sizes in centred(name)], ids=str
)
@torch.no_grad()
def test_low_and_high_recombine(name: str, sizes: dict[str, Any]) -> None:
    model = shrunk(name, **sizes)
    images, res, keep = scene(model)
    painted = model.reconstruct(images, res, keep)
    side = model.card.input_px
    assert painted.low_raw.shape == painted.low.shape == (2, 3, side, side)
    large = 2 * side if model.card.two_bands else side
    assert (
        painted.high_raw.shape
        == painted.high.shape
        == painted.combined.shape
        == painted.base.shape
        == (2, 3, large, large)
    )
    assert all(getattr(painted, field).dtype == torch.float32 for field in LowHigh.__dataclass_fields__)
    torch.testing.assert_close(
        model.recombine(painted.low, painted.high), painted.combined, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("name", RECONSTRUCTORS)
@torch.no_grad()
def test_nothing_visible_and_everything_visible(name: str) -> None:
    for sizes in centred(name):
        model = shrunk(name, **sizes)
        images, res, keep = scene(model)
        for kept in (keep[:, :0], torch.arange(16).expand(2, -1)):
            assert all(tensor.isfinite().all() for tensor in made(model, images, res, kept))
        blank = [
            made(model, pictures, res, keep[:, :0])
            for pictures in (images, torch.full_like(images, float("nan")))
        ]
        assert same(*blank)


# Learning -------------------------------------------------------------------------------


def lesson(name: str) -> tuple[Any, Any, TrainingBatch, Tensor]:
    model = shrunk(name)
    build = families()[name].objective
    assert build is not None
    images, res, keep = scene(model, batch=4)
    targets = torch.nn.functional.interpolate(images, scale_factor=2, mode="bicubic")
    return model, build(model, **LESSONS.get(name, dict)()).train(), TrainingBatch(images, targets, res), keep


@pytest.mark.parametrize("name", LEARNERS)
def test_every_loss_is_finite_and_every_tensor_that_should_learn_gets_a_gradient(name: str) -> None:
    model, objective, batch, keep = lesson(name)
    for kept in (keep, torch.arange(16).expand(4, -1)):
        losses = objective(batch, kept)
        assert losses
        assert all(loss.ndim == 0 and loss.isfinite() for loss in losses.values()), losses
    losses = objective(batch, keep)
    torch.stack(list(losses.values())).sum().backward()
    reached = {
        key
        for key, tensor in model.named_parameters()
        if tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)
    }
    trainable = {key for key, tensor in model.named_parameters() if tensor.requires_grad}
    assert trainable - reached == set(UNTRAINED.get(name, ()))
    assert reached <= trainable
    assert all(key in reached for key in trainable if key.endswith("cls_token"))


@pytest.mark.parametrize("name", LEARNERS)
def test_thirty_steps_on_one_batch_cut_the_loss(name: str) -> None:
    _, objective, batch, keep = lesson(name)
    optimiser = torch.optim.AdamW(
        [tensor for tensor in objective.parameters() if tensor.requires_grad], lr=5e-3
    )
    seen: list[float] = []
    for _ in range(30):
        loss = torch.stack(list(objective(batch, keep).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(float(loss.detach()))
    assert min(seen[-3:]) < 0.9 * seen[0], seen


@pytest.mark.parametrize("name", FAMILIES)
def test_saving_and_loading_gives_the_same_network(name: str, tmp_path: Path) -> None:
    model = shrunk(name)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = shrunk(name)
    scenery = scene(model)
    assert not same(made(model, *scenery), made(other, *scenery))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert same(made(model, *scenery), made(other, *scenery))
