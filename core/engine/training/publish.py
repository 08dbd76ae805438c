"""Export weights: float16 safetensors of the moving average, with a card that says how they were trained."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...files import file_sha256, write_atomic
from ...geo.imagery import NOT_STATED
from ...models.checkpoints.stated import metadata
from ...models.registry import (
    WEIGHTS_FOLDER,
    ModelCard,
    ModelNameError,
    WeightsCard,
    WeightsError,
    read_card,
    write_card,
)
from ...policy import LOG_GSD_M, Policy, res_for
from .runs import RunError, TrainingRun, TrainSpec


def weights_licence(imagery: Mapping[str, str], teacher: str = "") -> str:
    """The licence of weights, from the licence of every source of imagery and of the teacher (empty: none).

    Openly licensed imagery gives Apache-2.0; a non-commercial source or teacher makes the weights
    non-commercial; where a licence is not stated, so is that of the weights.
    """
    stated = {**imagery, **({"the teacher": teacher} if teacher else {})}
    unknown = [name for name, licence in stated.items() if licence.startswith(NOT_STATED)]
    if unknown or not imagery:
        return f"not stated: it depends on the licence of {', '.join(unknown) or 'the imagery'}"
    restricted = [
        name
        for name, licence in stated.items()
        if re.search(r"\bNC\b|non-commercial", licence, re.IGNORECASE)
    ]
    if restricted:
        return f"non-commercial use only, as {', '.join(restricted)}"
    taught = f", distilled from a teacher under {teacher.partition(' (')[0]}" if teacher else ""
    return f"Apache-2.0 (trained on openly licensed imagery{taught})"


def card_beside(weights: Path) -> ModelCard | None:
    """The card of a weights file, if one lies beside it that was written for exactly these weights."""
    written = weights.with_suffix(".json")
    try:
        card = read_card(written)
    except (WeightsError, ModelNameError, OSError):
        return None
    return card if card.weights and card.weights.sha256 == file_sha256(weights) else None


@dataclass(frozen=True)
class TrainingProgress:
    """How far training has come: images seen, steps taken, hours spent and how often it was resumed.

    `licence` is that of the weights, `start` the card of those it started from, if any.
    """

    images_seen: int
    steps: int
    hours: float
    restarts: int
    licence: str
    start: ModelCard | None = None


def write_weights(
    run: TrainingRun, spec: TrainSpec, network: Any, card: ModelCard, progress: TrainingProgress
) -> Path:
    """Write `weights/<name>.safetensors` and its card into the run's folder; returns the card's path."""
    from safetensors.torch import save

    state = {
        k: v.detach().to("cpu", torch.float16).contiguous()
        for k, v in network.state_dict().items()
        if not k.endswith("pos_embed")
    }
    folder = run.folder / "weights"
    card = _card(spec, card, progress)
    content = save(state, metadata(card))
    write_atomic(folder / f"{spec.name}.safetensors", content)
    assert card.weights is not None
    return write_card(
        replace(card, weights=replace(card.weights, sha256=hashlib.sha256(content).hexdigest())), folder
    )


def _card(spec: TrainSpec, card: ModelCard, progress: TrainingProgress) -> ModelCard:
    """The card of what was trained so far, but for the hash of its file.

    Images, hours and data include those of the weights that the run started from.
    """
    before = progress.start.weights if progress.start else None
    ends = [res_for(Policy(spec.policy), gsd_m=g, input_px=spec.sides_px[0]) for g in LOG_GSD_M]
    weights = WeightsCard(
        file=f"{spec.name}.safetensors",
        sha256="",
        licence=progress.licence,
        data=tuple(dict.fromkeys((*(before.data if before else ()), *spec.data))),
        images_seen=progress.images_seen + (before.images_seen if before else 0),
        steps=progress.steps + (before.steps if before else 0),
        hours=round(progress.hours + (before.hours if before else 0), 3),
        restarts=progress.restarts,
        command=_command(spec.name),
        notes=f"Input sides {spec.sides_px} px, hidden shares {spec.ratios}, start "
        f"{_start(spec, before)}.{_options(spec)}",
    )
    sizes = {**card.sizes, **dict(spec.sizes)}
    return replace(
        card,
        name=spec.name,
        sizes=sizes,
        weights=weights,
        default_policy=spec.policy,
        res_range=(min(ends), max(ends)),
    )


def _start(spec: TrainSpec, before: WeightsCard | None) -> str:
    if not spec.start_from:
        return "from scratch"
    origin = f" ({before.sha256[:8]}, {before.images_seen:,} images)" if before else ""
    return f"from {Path(spec.start_from).name}{origin}"


def _options(spec: TrainSpec) -> str:
    """The options of the objective in words, files by name: which teacher, which views."""
    options = [
        f"{key} {Path(value).stem if isinstance(value, str) else value}" for key, value in spec.objective
    ]
    return f" Objective: {', '.join(options)}." if options else ""


def _command(name: str) -> str:
    """The command that is running, its files by name alone; the preset's where a page or a test trains."""
    words = sys.argv[1:3]
    verb, what = words if len(words) == 2 and words[0] in ("train", "papers") else ("train", name)
    return f"python -m core {verb} {Path(what).stem}"


def publish(
    run: TrainingRun, metrics: dict[str, Any], notes: str = "", folder: Path = WEIGHTS_FOLDER
) -> Path:
    """Copy a run's weights and card to where the app finds them, with measured metrics in the card.

    Raises RunError.
    """
    name = run.spec().name
    source = run.folder / "weights"
    try:
        card = json.loads((source / f"{name}.json").read_text())
        content = (source / f"{name}.safetensors").read_bytes()
    except (OSError, ValueError) as problem:
        raise RunError(
            f"The run in {run.folder} has no weights to publish yet ({problem}): "
            "wait until it has saved a checkpoint."
        ) from problem
    card["weights"]["metrics"] = metrics
    card["weights"]["notes"] = " ".join(filter(None, [card["weights"]["notes"], notes]))
    write_atomic(folder / f"{name}.safetensors", content)
    return write_atomic(folder / f"{name}.json", json.dumps(card, indent=1).encode() + b"\n")
