"""Previews during training: fixed tiles, reconstructed and scored; one image file for each preview."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...files import write_atomic
from ...geo.crops import Crops, draw_crops
from ...geo.imagery import Imagery
from ...masking import MaskSpec, make_mask
from ...models.base import Reconstructor
from ...policy import Policy, res_for
from ..device import Device, precision, to_device, to_numpy

SHOWN, SCORED, SEED, RATIO = 6, 24, 20_260, 0.75
GREY = 96


@dataclass(frozen=True)
class PreviewScore:
    """Mean PSNR in dB over the hidden pixels of the fixed tiles: of the network, and of the fill that its
    output is added to."""

    psnr: float
    fill_psnr: float


class Previews:
    """A fixed set of crops and masks, reconstructed on request: rows truth, masked, predicted and pasted,
    one column a tile.

    They are training imagery: they show progress, not generalisation (`core evaluate` measures that).
    """

    def __init__(self, imagery: tuple[Imagery, ...], side_px: int, policy: str, folder: Path) -> None:
        self.crops: Crops = draw_crops(imagery, side_px, SEED, 0, range(SCORED))
        self.side_px, self.policy, self.folder = side_px, Policy(policy), folder

    def write(self, network: torch.nn.Module, on: Device, step: int) -> PreviewScore | None:
        """Reconstruct the tiles with `network`, write `NNNNNNN.png` and score them.

        None for a network without a decoder.
        """
        if not isinstance(network, Reconstructor):
            return None
        sheet, progress = self._sheet(network, on)
        done, content = cv2.imencode(".png", sheet[:, :, ::-1])
        if done:
            write_atomic(self.folder / f"{step:07d}.png", content.tobytes())
        return progress

    def _sheet(self, network: Reconstructor, on: Device) -> tuple[NDArray[np.uint8], PreviewScore]:
        grid = self.side_px // network.patch_size
        masks = [make_mask(MaskSpec("random", RATIO, seed), grid, grid) for seed in range(SCORED)]
        truth = self.crops.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (network.card.mean, network.card.std))
        res = [res_for(self.policy, gsd_m=float(g), input_px=self.side_px) for g in self.crops.gsd_m]
        was_training = network.training
        network.eval()
        with torch.inference_mode(), precision(on):
            keep = to_device(np.stack([m.keep for m in masks]), on)
            made = network.reconstruct(
                to_device((truth - mean) / std, on), to_device(np.array(res, np.float32), on), keep
            )
        network.train(was_training)
        combined, fill = (
            np.stack(
                [
                    cv2.resize(p.transpose(1, 2, 0), (self.side_px,) * 2, interpolation=cv2.INTER_AREA)
                    for p in to_numpy(band)
                ]
            )
            for band in (made.combined, made.base)
        )
        true = truth.transpose(0, 2, 3, 1)
        hidden = np.stack([np.kron(m.hidden, np.ones((network.patch_size,) * 2, bool)) for m in masks])[
            ..., None
        ]
        rows = [true, np.where(hidden, GREY / 255, true), combined, np.where(hidden, combined, true)]
        sheet = np.vstack(
            [np.hstack(list((np.clip(row[:SHOWN], 0, 1) * 255).round().astype(np.uint8))) for row in rows]
        )
        return sheet, PreviewScore(_psnr(combined, true, hidden), _psnr(fill, true, hidden))


def _psnr(made: NDArray[Any], true: NDArray[Any], hidden: NDArray[np.bool_]) -> float:
    error = (np.square(np.clip(made, 0, 1) - true) * hidden).sum((1, 2, 3)) / (
        hidden.sum((1, 2, 3)) * true.shape[-1]
    )
    return round(float(np.mean(-10 * np.log10(np.maximum(error, 1e-6)))), 3)
