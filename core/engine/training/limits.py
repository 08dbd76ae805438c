"""Limits of training runs started from a page: paths inside the folder of runs, bounded sizes, memory,
previews and hours.

The command line has none of these limits, because its user owns the machine; a page may be public.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .runs import ROOT, RunError, TrainSpec

MOST_HOURS = 24.0
MOST_PREVIEWS = 500
MOST_STEPS = 1_000_000
MEMORY_SHARE = 0.5
"""How much of the device's memory a run started from a page may take."""

WIDEST, DEEPEST, LARGEST_INPUT_PX, LARGEST_OPTION = 4096, 64, 1024, 65_536
MOST_POSITIONS = 2**24
"""Numbers in the table of positions, tokens by width: it is computed before anything else is known of a
network."""
_BYTES_A_WEIGHT = 5 * 4
"""Weight, gradient, two moments and the moving average, float32 each."""
_FLOATS_A_TOKEN = 34
"""Activations that a transformer block keeps for the backward pass, in multiples of its width."""


def check_shared(spec: TrainSpec, runs: Path) -> None:
    """Raise RunError for a spec that a page must not start: paths outside `runs`, or too much memory or
    too many previews."""
    wrong = [*_paths_outside(spec, runs), *_oversized(spec)]
    if wrong:
        raise RunError(f"This page cannot start that run: {'; '.join(wrong)}.")
    from ..device import device, memory

    room = int(memory(device()).total * MEMORY_SHARE)
    needed = memory_needed(spec)
    if needed > room:
        raise RunError(
            f"This run would take about {needed / 2**30:.1f} GB, and a run started from this page may "
            f"take {room / 2**30:.1f} GB: lower batch, sides_px "
            "or the model's sizes, or run `python -m core train` on this machine."
        )


def _paths_outside(spec: TrainSpec, runs: Path) -> Iterator[str]:
    """Every file of the spec must be below the folder of runs.

    Messages do not reveal which files exist elsewhere.
    """
    texts = {"start_from": spec.start_from} | {
        key: value for key, value in (*spec.objective, *spec.sizes) if isinstance(value, str)
    }
    for key, text in texts.items():
        if not text or (_is_plain_word(text) and key != "start_from"):
            continue
        if "\0" in text or not (ROOT / text).resolve().is_relative_to(runs.resolve()):
            example = (
                (runs.relative_to(ROOT) if runs.is_relative_to(ROOT) else runs)
                / "NAME"
                / "weights"
                / "NAME.safetensors"
            )
            kinds = "" if key == "start_from" else "a plain word or "
            yield f"{key} must be {kinds}a file of one of the runs here, such as {example}"


def _is_plain_word(text: str) -> bool:
    """A name of a model or option: nothing that the loader would take for a file."""
    return text.replace("_", "").replace("-", "").isalnum() and len(text) <= 60


def _oversized(spec: TrainSpec) -> Iterator[str]:
    if spec.steps > MOST_STEPS:
        yield f"steps must be at most {MOST_STEPS:,}"
    if spec.steps / spec.preview_every > MOST_PREVIEWS:
        yield f"preview_every must be at least {-(-spec.steps // MOST_PREVIEWS)} for {spec.steps:,} steps"
    for key, value in (*spec.sizes, *spec.objective):
        for number in value if isinstance(value, tuple) else (value,):
            if not _is_small(key, number):
                yield f"{key} = {number!r:.40} is beyond the limit of this page"


def _is_small(key: str, value: Any) -> bool:
    if value is None or isinstance(value, bool | str):
        return True
    most = DEEPEST if key.endswith(("depth", "layers")) else WIDEST if key.endswith("dim") else LARGEST_OPTION
    most = LARGEST_INPUT_PX if key == "img_size" else most
    return isinstance(value, int | float) and -LARGEST_OPTION <= value <= most


def memory_needed(spec: TrainSpec) -> int:
    """A rough estimate in bytes of what a run holds in memory, its network counted without being built.

    Raises RunError, ModelNameError.
    """
    import torch

    from ...models.registry import card_for, create, find_family

    family, preset = find_family(spec.model)
    card = card_for(family, spec.model, {**preset, **dict(spec.sizes)})
    sizes: dict[str, Any] = {**family.defaults, **card.sizes}
    try:
        patch, width, tokens = (
            int(card.patch_px),
            int(card.embed_dim),
            (int(card.input_px) // int(card.patch_px)) ** 2,
        )
        if not 1 <= tokens * max(width, int(sizes.get("decoder_embed_dim") or 0)) <= MOST_POSITIONS:
            raise RunError(
                f"img_size {card.input_px} with patch_size {patch} cannot be trained here: "
                "choose larger patches or a smaller input."
            )
        with torch.device("meta"):
            weights = sum(
                parameter.numel()
                for parameter in create(spec.model, trained=False, **dict(spec.sizes)).parameters()
            )
        return weights * _BYTES_A_WEIGHT + _step_bytes(spec, patch, sizes)
    except (TypeError, ValueError, ArithmeticError, AssertionError, RuntimeError) as problem:
        raise RunError(
            f"{spec.model} cannot be built with these sizes ({problem!s:.200}): correct [sizes]."
        ) from problem


def _step_bytes(spec: TrainSpec, patch: int, sizes: dict[str, Any]) -> int:
    """Activations of one step, attention included, and the pictures themselves at twice their side."""
    most = 0
    for side in spec.sides_px:
        count = max(1, round(spec.batch * (spec.sides_px[0] / side) ** 2))
        grid = (side // patch) ** 2 + 1
        visible = grid * (1 - min(spec.ratios)) + 1
        floats = 0.0
        for tokens, part in ((visible, ""), (grid, "decoder_")):
            width, depth, heads = (
                float(sizes.get(part + name) or 0) for name in ("embed_dim", "depth", "num_heads")
            )
            floats += count * tokens * depth * (_FLOATS_A_TOKEN * width + 3 * heads * tokens)
        most = max(most, int(4 * floats) + count * (2 * side) ** 2 * 3 * 9)
    return most
