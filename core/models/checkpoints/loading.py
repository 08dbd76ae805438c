"""Loading files of weights: published ones of every dialect, and our own with their cards.

Strict: every tensor has its place or is accounted for.

model = load_checkpoint("scalemae-vitlarge-800.pth")
model.report.variant, model.report.notices, model.card.licence
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ExplorerError
from ...files import file_sha256
from ..base import MAX_GRID, Encoder
from ..layers.vit import gsd_positions, transformer_blocks
from ..registry import ModelCard, card_for, cards, create, families, read_card, weights_of_file
from ..report import LoadReport, few
from .clues import Clues, LoadPlan
from .dialects import COMPUTED, LEFT_OUT, recognise, renamed
from .encoder_dialects import AmbiguousPositionsError, Positions
from .files import CheckpointError, CheckpointFile, read_checkpoint
from .stated import stated
from .timm_files import dino_name, filled, licence_of

__all__ = ["AmbiguousPositionsError", "CheckpointError", "LoadReport", "load_checkpoint"]

MAX_DEPTH, MAX_SIZE = 100, 20_000
MAX_SIDE_PX, MAX_BLOCKS, MAX_PAINTED_PX = 4096, 1024, 4096
MAX_CARD_BYTES = 2**20


def load_checkpoint(path: str | Path, *, positions: Positions | None = None, **sizes: Any) -> Encoder:
    """The network of a file of weights, an Encoder or a Reconstructor in eval mode, with its `card` and a
    LoadReport as `report`.

    What the file is follows from its tensors and its own arguments (models.md 1.10). `positions` ("gsd" or
    "static") and `sizes` (num_heads=..., decoder_num_heads=..., as `create` takes them) say what it cannot.
    Our own files are read by their card (that came with the program, or lies beside them) or by the recipe
    inside them. Nothing in the file is run. Raises CheckpointError, AmbiguousPositionsError, WeightsError,
    ModelInputError.
    """
    path = Path(path)
    file = read_checkpoint(path)
    sha256 = file_sha256(path)
    card = _own_card(path, sha256)
    if card is not None:
        clues, plan = (
            Clues(file, sha256),
            LoadPlan(card.family, f"{card.name}, weights made here", dict(card.sizes), card.licence),
        )
    elif (own_plan := stated(file)) is not None:
        clues, plan = Clues(file, sha256), own_plan
    else:
        clues = Clues(file, sha256)
        if name := dino_name(clues.tensors):
            return filled(name, file, clues, licence_of(name))
        plan = recognise(clues, positions)
        if clues.official:
            plan.notices.insert(0, f"It is {clues.official} of Scale-MAE, bit for bit.")
    plan.sizes |= sizes
    plan.assumed = [line for line in plan.assumed if line.split(" ")[0] not in sizes]
    model = _built(path, plan)
    report = _filled(model, file, renamed(clues, plan), plan, sha256)
    model.card = card if card is not None and not sizes else _card(path, plan, report)
    model.report = replace(report, left_over=(*report.left_over, *clues.beside))
    return model.eval()


def _own_card(path: Path, sha256: str) -> ModelCard | None:
    """The card of a file that came with the program, or the one that training wrote beside it.

    None where there is none.

    Raises WeightsError where the card is of another file.
    """
    shipped = next(
        (card for card in cards().values() if card.weights and card.weights.sha256 == sha256), None
    )
    if shipped is not None:
        return shipped
    written = path.with_suffix(".json")
    if path.suffix != ".safetensors" or not written.is_file() or written.stat().st_size > MAX_CARD_BYTES:
        return None
    try:
        values = json.loads(written.read_bytes())
        ours = isinstance(values, dict) and values["weights"]["file"] == path.name
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not ours:
        return None
    card = read_card(written)
    assert card.weights is not None
    if card.weights.sha256 != sha256:
        raise CheckpointError(
            f"{path.name} is not the file that its card {written.name} describes: "
            "copy both again, or remove the card."
        )
    return card


def _built(path: Path, plan: LoadPlan) -> Encoder:
    """The network without memory for its numbers, so that what a file claims costs nothing until its
    tensors fit."""
    _require_bounded(path, {**families()[plan.family].defaults, **plan.sizes})
    transformer_blocks(0, 4, 1)  # imports happen outside the device context below
    with torch.device("meta"):
        try:
            return create(plan.family, trained=False, **plan.sizes)
        except ExplorerError:
            raise
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as problem:
            raise CheckpointError(
                f"{path.name} describes a network that cannot be built ({problem}): use another file."
            ) from problem


def _require_bounded(path: Path, sizes: Mapping[str, Any]) -> None:
    """Refuse sizes beyond any model, before anything is built: numbers that no tensor of the file backs
    cost memory when it is used."""
    for name, size in sizes.items():
        for number in size if isinstance(size, list | tuple) else (size,):
            if isinstance(number, int | float) and not (0 <= number <= _limit(name)):
                raise CheckpointError(
                    f"{path.name} would need {name} = {number}, beyond any model known here: "
                    "it is damaged or a trap."
                )
    side, patch, scale = sizes["img_size"], sizes["patch_size"], 2 * sizes.get("head_scale", 1)
    if not 1 <= patch <= side <= MAX_GRID * patch or side // patch * scale > MAX_PAINTED_PX:
        raise CheckpointError(
            f"{path.name} would cut pictures of {side} px into patches of {patch} px, beyond any model "
            "known here: "
            f"use a file for at most {MAX_GRID} patches a side."
        )


def _limit(name: str) -> int:
    if "depth" in name or "layers" in name:
        return MAX_DEPTH
    return {"img_size": MAX_SIDE_PX, "patch_size": MAX_SIDE_PX, "band_config": MAX_BLOCKS}.get(name, MAX_SIZE)


def _filled(
    model: Encoder, file: CheckpointFile, tensors: Mapping[str, Tensor], plan: LoadPlan, sha256: str
) -> LoadReport:
    """Put every tensor in its place, strictly.

    Raises CheckpointError where one is missing, left over or of another shape.
    """
    name, expected = file.path.name, model.state_dict()
    missing = [key for key in expected if key not in tensors]
    left = [key for key in tensors if key not in expected]
    lacking = [key for key in missing if key.rpartition(".")[2] not in COMPUTED]
    if lacking:
        raise CheckpointError(
            f"{name} is {plan.variant}, but {len(lacking)} of its tensors are missing ({few(lacking)}): "
            "use a complete file."
        )
    misfits = [key for key in expected if key in tensors and tensors[key].shape != expected[key].shape]
    if misfits:
        key = misfits[0]
        raise CheckpointError(
            f"{name} is {plan.variant}, but {len(misfits)} of its tensors have another shape than its "
            "sizes ask for "
            f"({key} is {_shape(tensors[key])} where {_shape(expected[key])} belongs): "
            "use an unmixed file, or pass the size that differs."
        )
    strangers = [key for key in left if not key.startswith(tuple(LEFT_OUT))]
    if strangers:
        raise CheckpointError(
            f"{name} looks like {plan.variant}, but holds tensors that it has no place for "
            f"({few(strangers)}): it is another variant."
        )
    state = {
        key: tensors[key] if key in tensors else _computed(key, expected[key], tensors) for key in expected
    }
    model.load_state_dict(state, strict=True, assign=True)
    found = len(expected) - len(missing)
    return LoadReport(
        name,
        plan.variant,
        sha256,
        found,
        tuple(missing),
        tuple(left),
        file.ignored,
        tuple(plan.assumed),
        tuple(plan.notices),
        plan.licence,
        plan.training,
    )


def _computed(key: str, like: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    if key.endswith("mask_token_decoder"):
        return tensors[key.replace("mask_token_decoder", "mask_token")].clone()
    return gsd_positions(like.shape[2], round((like.shape[1] - 1) ** 0.5), torch.ones(1))


def _card(path: Path, plan: LoadPlan, report: LoadReport) -> ModelCard:
    weights = weights_of_file(path.name, report.sha256, report.licence, " ".join(report.sentences()))
    card = card_for(families()[plan.family], path.stem, plan.sizes)
    return replace(
        card,
        description=f"{report.variant}, from {path.name}.",
        licence=report.licence,
        notices=report.notices,
        weights=weights,
        **plan.card,
    )


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "a single number"
