"""Clues in a file of weights: its tensors under bare names, the training script's arguments, and the sizes
that follow from both.

What tensors cannot say comes from those arguments, else from convention, and is written down as assumed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from .files import CheckpointError, CheckpointFile
from .releases import OFFICIAL_SHA256

HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
"""Heads by width, as every published vision transformer of MAE's kind has them."""

MAX_WIDTH = 20_000
"""Wider networks are refused later; their divisors are not searched."""

PREFIXES = ("module.", "_orig_mod.", "model.", "teacher.", "backbone.", "encoder.")
"""Prefixes that wrappers put before every name: data parallelism, torch.compile, Lightning and rshf, DINO,
torchgeo, SDMAE's encoder."""

BACKBONE = "backbone."
"""Prefix of the encoder in training checkpoints that also hold heads, losses or a second encoder."""

NON_COMMERCIAL = "CC-BY-NC-4.0"
_TERMS = f"{NON_COMMERCIAL}: non-commercial use only, with credit to their authors."
SCALE_MAE_NOTICE = f"Weights published with Scale-MAE are {_TERMS}"
META_NOTICE = f"Weights published with MAE and SatMAE are {_TERMS}"
UNSTATED_NOTICE = (
    "The authors state no licence for these weights: ask them before any use beyond your own study."
)
OWNER_NOTICE = "The file states no licence: whoever trained it decides."


@dataclass
class LoadPlan:
    """How to build and fill the network of a file: `sizes` for `family`, what was `assumed` for them, and
    what the user must know."""

    family: str
    variant: str
    sizes: dict[str, Any]
    licence: str
    notices: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)


class Clues:
    """A file's tensors under bare names, and questions about them that answer with a sentence where they
    cannot."""

    def __init__(self, file: CheckpointFile, sha256: str) -> None:
        self.path, self.args, self.tensors = file.path, file.args, dict(file.tensors)
        self.sha256, self.official = sha256, OFFICIAL_SHA256.get(sha256)
        self.stripped: list[str] = []
        self.beside: tuple[str, ...] = ()
        """Tensors beside the encoder that training needs and inference does not."""
        self._strip()
        if self.has(f"{BACKBONE}cls_token") or self.has(f"{BACKBONE}model.cls_token"):
            self.beside = tuple(key for key in self.tensors if not key.startswith(BACKBONE))
            self.tensors = {key: tensor for key, tensor in self.tensors.items() if key.startswith(BACKBONE)}
            self._strip()

    def _strip(self) -> None:
        while found := next(
            (p for p in PREFIXES if self.tensors and all(key.startswith(p) for key in self.tensors)), None
        ):
            self.tensors = {key.removeprefix(found): tensor for key, tensor in self.tensors.items()}
            self.stripped.append(found)

    def has(self, start: str) -> bool:
        return any(key.startswith(start) for key in self.tensors)

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        tensor = self.tensors.get(key)
        if tensor is None or tensor.ndim != dimensions or 0 in tensor.shape:
            found = "is missing" if tensor is None else f"has the shape {tuple(tensor.shape)}"
            raise CheckpointError(
                f"{self.path.name} looks like a vision transformer, but {key} {found}: "
                "it is incomplete, use another file."
            )
        return tuple(tensor.shape)

    def count(self, stem: str) -> int:
        """Number of numbered parts `stem.0`, `stem.1`, ... without a gap."""
        numbers = {
            int(found.group(1))
            for key in self.tensors
            if (found := re.match(re.escape(stem) + r"\.(\d{1,6})\.", key))
        }
        if numbers != set(range(len(numbers))):
            raise CheckpointError(
                f"{self.path.name} has gaps between its {stem}: it is incomplete, use another file."
            )
        return len(numbers)

    def require_three_bands(self) -> None:
        """Raise CheckpointError for a network of another number of bands."""
        for key, tensor in self.tensors.items():
            if key.endswith("patch_embed.proj.weight") and tensor.ndim == 4 and tensor.shape[1] != 3:
                raise CheckpointError(
                    f"{self.path.name} takes {tensor.shape[1]} bands, and tiles are shown to networks as "
                    "red, green and blue: use a file for three bands."
                )

    def named(self, *words: str) -> bool:
        """Whether the file's name or the script's model name holds one of `words`, whatever stands between
        letters."""
        text = re.sub(r"[^a-z0-9]", "", (self.path.stem + str(self.args.get("model", ""))[:200]).lower())
        return any(word in text for word in words)

    def whole(self, key: str, low: int, high: int) -> int | None:
        """An argument that is a whole number between `low` and `high`."""
        value = self.args.get(key)
        return (
            value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None
        )

    def flag(self, key: str) -> bool | None:
        value = self.args.get(key)
        return bool(value) if isinstance(value, bool | int) else None


def backbone_sizes(clues: Clues, plan: LoadPlan, prefix: str = "") -> dict[str, Any]:
    """Sizes of the vision transformer whose names begin with `prefix`."""
    width = clues.shape(f"{prefix}cls_token", 3)[2]
    patch = clues.shape(f"{prefix}patch_embed.proj.weight", 4)[2]
    return {
        "img_size": _side(clues, plan, prefix, patch),
        "patch_size": patch,
        "embed_dim": width,
        "depth": clues.count(f"{prefix}blocks"),
        "num_heads": heads(clues, plan, "num_heads", width, HEADS.get(width)),
        "mlp_ratio": clues.shape(f"{prefix}blocks.0.mlp.fc1.weight", 2)[0] / width,
    }


def _side(clues: Clues, plan: LoadPlan, prefix: str, patch: int) -> int:
    table = clues.tensors.get(f"{prefix}pos_embed")
    if table is not None and table.ndim == 3:
        grid = math.isqrt(table.shape[1] - 1) if table.shape[1] else 0
        if grid and grid * grid == table.shape[1] - 1:
            return grid * patch
        raise CheckpointError(
            f"{clues.path.name} has {table.shape[1]} positions, which is not CLS and a square grid: "
            "use a file for square pictures."
        )
    side = clues.whole("input_size", patch, 2048) or clues.whole("img_size", patch, 2048) or 224
    side -= side % patch
    plan.assumed.append(f"input of {side} px (the file has no table of positions)")
    return max(side, patch)


def heads(clues: Clues, plan: LoadPlan, argument: str, width: int, convention: int | None) -> int:
    stated = clues.whole(argument, 1, width)
    if stated and width % stated == 0:
        return stated
    if convention and width % convention == 0:
        plan.assumed.append(
            f"{argument} = {convention} (convention for a width of {width}; files do not store it)"
        )
        return convention
    guess = (
        1
        if width > MAX_WIDTH
        else min((h for h in range(1, width + 1) if width % h == 0), key=lambda h: (abs(width / h - 64), h))
    )
    plan.assumed.append(
        f"{argument} = {guess} (a guess of about 64 a head: "
        f"neither the file nor convention says it; pass {argument}=... if you know it)"
    )
    return guess
