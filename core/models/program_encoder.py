"""Exported networks, ONNX and .pt2 files, as encoders. They run in a child process with limits.

A program takes pictures (b, 3, s, s), and may also take their `res` (b,). Of its outputs, a vector (b, d),
tokens (b, n, d) or a feature map (b, d, h, w) is used, the first of each kind.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..files import file_sha256
from ..untrusted import Limits, onnx_file
from ..untrusted.held import HeldProcess
from .base import MAX_GRID, ModelInputError
from .checkpoints import exported
from .checkpoints.files import CheckpointError, checked_size, require_memory
from .foreign import ForeignEncoder
from .registry import ModelCard, weights_of_file

SUFFIXES = {".onnx": onnx_file, ".pt2": exported}
DEFAULT_PX, DEFAULT_PATCH_PX = 224, 16
AT_ONCE = 32
"""Pictures sent to the child process at a time."""
RES_NAMES = ("res", "gsd")
FLOATS = ("tensor(float)", "torch.float32")


@dataclass(frozen=True)
class Signature:
    """What a program takes and gives: names of its inputs and of the outputs that are used (empty: none).

    `side` and `batch` are None where they are free.
    """

    images: str
    res: str
    side: int | None
    batch: int | None
    vector: str
    tokens: str


class ProgramEncoder(ForeignEncoder):
    """An exported network behind a child process."""

    def __init__(self, path: Path, signature: Signature, process: HeldProcess, card: ModelCard) -> None:
        super().__init__()
        self.path, self.signature, self.process, self.card = path, signature, process, card
        self.place = nn.Parameter(torch.zeros(0), requires_grad=False)  # says which device vectors go to
        self.in_chans = 3
        self.patch_size, self.embed_dim = card.patch_px, card.embed_dim
        self.vector_dim = card.embed_dim
        self.offered = ("vector",) if signature.vector else ("mean",)
        if signature.tokens:
            self.offered = tuple(dict.fromkeys((*self.offered, "mean", "cls")))

    def vector(self, images: Tensor, res: Tensor) -> Tensor:
        """The program's own vector of each picture."""
        return self._run(self.signature.vector, images, res)

    def tokens(self, images: Tensor, res: Tensor) -> Tensor:
        """The program's tokens or feature map; without a first token, the patches' mean stands in its
        place."""
        if not self.signature.tokens:
            raise ModelInputError(
                f"{self.card.name} gives one vector for each picture and none for its patches: "
                "choose the pooling vector, or export it with its tokens."
            )
        found = self._run(self.signature.tokens, images, res)
        patches = (images.shape[-1] // self.patch_size) ** 2
        if found.ndim == 4:
            found = found.flatten(2).transpose(1, 2)
        if found.shape[1] < patches:
            raise ModelInputError(
                f"{self.card.name} gives {found.shape[1]} tokens for pictures of {images.shape[-1]} px: "
                f"choose {self.card.input_px} px."
            )
        first, rest = found[:, :1], found[:, found.shape[1] - patches :]
        if found.shape[1] == patches:
            first = rest.mean(1, keepdim=True)
        return torch.cat([first, rest], dim=1)

    def _run(self, output: str, images: Tensor, res: Tensor) -> Tensor:
        side, batch = self.signature.side, self.signature.batch or AT_ONCE
        if side is not None and images.shape[-2:] != (side, side):
            raise ModelInputError(
                f"{self.card.name} takes pictures of {side} px, not {images.shape[-1]} px: choose that input "
                "size."
            )
        pictures, scales = images.cpu().numpy(), res.cpu().numpy().astype(np.float32)
        parts: list[Any] = []
        for start in range(0, len(pictures), batch):
            piece = np.arange(start, start + (self.signature.batch or min(batch, len(pictures) - start)))
            piece = np.minimum(piece, len(pictures) - 1)  # a fixed batch is filled up with the last picture
            arrays = {self.signature.images: np.ascontiguousarray(pictures[piece])}
            if self.signature.res:
                arrays[self.signature.res] = np.ascontiguousarray(scales[piece])
            found = self.process.call(
                SUFFIXES[self.path.suffix].run, str(self.path), os.cpu_count() or 1, arrays, output
            )
            parts.append(found[: len(pictures) - start])
        together = np.concatenate(parts)
        if not np.isfinite(together).all():
            raise ModelInputError(f"{self.card.name} returns values that are not finite: export it again.")
        return torch.from_numpy(together.astype(np.float32)).to(self.place.device)


def program_encoder(path: Path) -> ProgramEncoder:
    """The encoder of an ONNX or .pt2 file. Raises CheckpointError for what cannot be opened or does not embed
    pictures of three bands."""
    beside = onnx_file.parts_beside(path)
    size = checked_size(path) + sum(part.stat().st_size for part in beside)
    require_memory(path, 2 * size)
    limits = Limits(cpu_s=600.0, wall_s=300.0, memory_mb=4096 + 4 * size // 2**20, answer_mb=1024)
    process = HeldProcess(path.name, CheckpointError, limits)
    described = process.call(SUFFIXES[path.suffix].described, str(path.resolve()))
    signature = _signature(path.name, described)
    side = signature.side or DEFAULT_PX
    card = ModelCard(
        name=path.stem,
        family="program",
        paper="",
        description=f"{path.name}, an exported network: it embeds and cannot reconstruct.",
        sizes={},
        reconstructs=False,
        two_bands=False,
        gsd_aware=bool(signature.res),
        input_px=side,
        patch_px=DEFAULT_PATCH_PX if side % DEFAULT_PATCH_PX == 0 else side,
        embed_dim=1,
        pooling="vector" if signature.vector else "mean",
        licence="not stated",
        weights=weights_of_file(path.name, file_sha256(path, *beside), "not stated"),
    )
    return _measured(ProgramEncoder(path.resolve(), signature, process, card))


def _signature(name: str, described: dict[str, Any]) -> Signature:
    pictures = [each for each in described["inputs"] if each[1] in FLOATS and len(each[2]) == 4]
    scales = [each for each in described["inputs"] if each[0] in RES_NAMES and len(each[2]) == 1]
    if len(pictures) != 1 or len(pictures) + len(scales) != len(described["inputs"]):
        taken = ", ".join(f"{each[0]:.30} {each[1]:.20}" for each in described["inputs"][:4])
        raise CheckpointError(
            f"{name} takes {taken or 'nothing'}, where one float32 picture (b, 3, s, s) is expected, and "
            "optionally res (b,): export the encoder alone."
        )
    sizes = pictures[0][2]
    if sizes[1] not in (3, None):
        raise CheckpointError(
            f"{name} takes {sizes[1]} bands, and tiles are shown to networks as red, green and blue: "
            "export it for three bands."
        )
    if sizes[2] != sizes[3] or (sizes[2] or DEFAULT_PX) > 4096:
        raise CheckpointError(f"{name} takes pictures of {sizes[3]} x {sizes[2]} px: export it for squares.")
    outputs = [each for each in described["outputs"] if "float" in each[1]]
    vector = next((each[0] for each in outputs if len(each[2]) == 2), "")
    tokens = next((each[0] for each in outputs if len(each[2]) in (3, 4)), "")
    if not vector and not tokens:
        raise CheckpointError(
            f"{name} gives no vector (b, d), tokens (b, n, d) or feature map (b, d, h, w): export an encoder."
        )
    return Signature(pictures[0][0], scales[0][0] if scales else "", sizes[2], sizes[0], vector, tokens)


def _measured(model: ProgramEncoder) -> ProgramEncoder:
    """Find the width of the vectors and the size of a patch by running one grey picture."""
    from dataclasses import replace

    card, signature = model.card, model.signature
    grey, res = torch.zeros(1, 3, card.input_px, card.input_px), torch.ones(1)
    found = model._run(signature.tokens or signature.vector, grey, res)
    patch = card.patch_px
    if found.ndim == 4:
        patch = card.input_px // max(found.shape[2], 1)
        width = found.shape[1]
    else:
        width = found.shape[-1]
    if found.ndim == 3:
        grid = math.isqrt(found.shape[1])
        patch = card.input_px // max(grid, 1)
    if not 1 <= card.input_px // max(patch, 1) <= MAX_GRID or card.input_px % patch:
        raise CheckpointError(
            f"{model.path.name} gives {found.shape[1]} tokens for pictures of {card.input_px} px, "
            "which do not form a square grid: export its vector alone."
        )
    model.vector_dim = (
        int(model._run(signature.vector, grey, res).shape[-1]) if signature.vector else int(width)
    )
    model.embed_dim, model.patch_size = int(width), int(patch)
    model.card = replace(card, embed_dim=int(width), patch_px=int(patch))
    return model
