"""Our weights describe themselves; the description is checked, because a file may come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from core.models import create, load_checkpoint
from core.models.checkpoints.loading import CheckpointError
from core.models.checkpoints.stated import ENTRY, metadata
from core.models.registry import WEIGHTS_FOLDER
from tests.models.checkpoints.test_loading import DECODER, SCALE_MAE, TRUNK, same_tokens


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., Path]:
    """Weights as training writes them, with their recipe inside and without a card."""

    def write(model: Any, name: str = "sunday_run", entry: str | None = None, **fields: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        state = {
            key: tensor.half() for key, tensor in model.state_dict().items() if not key.endswith("pos_embed")
        }
        save_file(state, path, metadata(replace(model.card, **fields)) if entry is None else {ENTRY: entry})
        return path

    return write


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        (
            "scale_mae",
            {
                **SCALE_MAE,
                "patch_size": 8,
                "head_scale": 4,
                "num_heads": 4,
                "decoder_num_heads": 4,
                "centre": "visible_harmonic",
            },
        ),
        ("mae", {**TRUNK, **DECODER, "num_heads": 8, "centre": "visible_harmonic"}),
        ("tinymim", {**TRUNK, "last_heads": 8, "gsd_aware": True}),
        ("sdmae", {**TRUNK, "decoder_embed_dim": 32, "mlp_dim": 40, "ctr_num_heads": 4}),
        ("scale_contrast", {"img_size": 64, "patch_size": 8, "stem_dim": 8, "embed_dim": 48, "num_heads": 4}),
    ],
)
def test_our_weights_describe_themselves(
    alone: Callable[..., Path], family: str, sizes: dict[str, Any]
) -> None:
    source = create(family, **sizes)
    settings = {
        "default_policy": "log_gsd",
        "res_range": (0.5, 8.0),
        "mean": (0.4, 0.4, 0.3),
        "std": (0.2, 0.2, 0.1),
        "input_px": 128,
    }
    model = load_checkpoint(alone(source, **settings))
    source.load_state_dict(
        {key: tensor.half().to(tensor.dtype) for key, tensor in source.state_dict().items()}, strict=False
    )
    assert (model.card.family, model.card.sizes, model.card.gsd_aware) == (
        family,
        source.card.sizes,
        source.card.gsd_aware,
    )
    assert {name: getattr(model.card, name) for name in settings} == settings
    assert model.report is not None
    assert model.report.assumed == ()
    same_tokens(source, model)


@pytest.mark.parametrize(
    "name", ["mae_tiny", "scale_mae_tiny", "sdmae_tiny", "tinymim_tiny", "scale_contrast_tiny"]
)
def test_bundled_weights_are_recognised_in_any_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / "copied.safetensors"
    path.write_bytes((WEIGHTS_FOLDER / f"{name}.safetensors").read_bytes())
    assert load_checkpoint(path).card == create(name).card


WELL = {
    "family": "mae", "sizes": {**TRUNK, **DECODER}, "mean": [0, 0, 0], "std": [1, 1, 1],
    "default_policy": "native_gsd", "res_range": None, "pooling": "cls", "input_px": 64,
}  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        "", "[]", "[" * 100_000, '{"family": "mae"}', "9" * 100_000,
        *(json.dumps(WELL | wrong) for wrong in (
            {"family": "unheard_of"}, {"family": ["mae"]}, {"sizes": {"depth": "2"}},
            {"sizes": {"depth": True}},
            {"sizes": {"unheard_of": 2}}, {"sizes": {"centre": "a" * 200}}, {"sizes": {"patch_size": 0}},
            {"mean": [0, 0]}, {"mean": [0, 0, "<b>"]},
            {"std": [1, 1, 0]}, {"std": [1, 1, float("nan")]}, {"default_policy": "<b>"},
            {"default_policy": 3}, {"res_range": [1, 2, 3]},
            {"pooling": {}}, {"input_px": 10**9}, {"input_px": 63}, {"input_px": "64"},
        )),
    ],
)  # fmt: skip
def test_an_invalid_recipe_is_refused(alone: Callable[..., Path], entry: str) -> None:
    with pytest.raises(CheckpointError, match=r"sunday_run.* describes an invalid network") as refused:
        load_checkpoint(alone(create("mae", **TRUNK, **DECODER), entry=entry))
    assert len(str(refused.value)) < 500


def test_the_valid_recipe_is_accepted(alone: Callable[..., Path]) -> None:
    assert (
        load_checkpoint(alone(create("mae", **TRUNK, **DECODER), entry=json.dumps(WELL))).card.input_px == 64
    )


def test_a_recipe_of_a_giant_is_refused_before_anything_is_built(alone: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="depth = 1000000000"):
        load_checkpoint(
            alone(create("mae", **TRUNK, **DECODER), entry=json.dumps(WELL | {"sizes": {"depth": 10**9}}))
        )
