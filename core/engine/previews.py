"""Fixed tiles reconstructed as training goes on: one sheet of pictures a preview, kept in the run's folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from core.engine.device import Device, precision, to_device, to_numpy
from core.files import write_atomic
from core.geo.crops import Crops, Imagery, draw_crops
from core.masking import MaskSpec, make_mask
from core.models.base import Reconstructor
from core.policy import Policy, res_for

TILES, SEED, RATIO = 6, 20_260, 0.75
GREY = 96


class Previews:
    """The same few crops under the same masks, drawn whenever asked: rows truth, masked, predicted and pasted, one column a tile."""

    def __init__(self, imagery: tuple[Imagery, ...], side_px: int, policy: str, folder: Path) -> None:
        self.crops: Crops = draw_crops(imagery, side_px, SEED, range(TILES))
        self.side_px, self.policy, self.folder = side_px, Policy(policy), folder

    def write(self, network: torch.nn.Module, on: Device, step: int) -> Path | None:
        """Reconstruct the tiles with `network` and write `NNNNNNN.png`; None for a network that paints nothing."""
        if not isinstance(network, Reconstructor):
            return None
        sheet = self._sheet(network, on)
        done, content = cv2.imencode(".png", sheet[:, :, ::-1])
        return write_atomic(self.folder / f"{step:07d}.png", content.tobytes()) if done else None

    def _sheet(self, network: Reconstructor, on: Device) -> NDArray[np.uint8]:
        grid = self.side_px // network.patch_size
        masks = [make_mask(MaskSpec("random", RATIO, seed), grid, grid) for seed in range(TILES)]
        truth = self.crops.pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (network.card.mean, network.card.std))
        res = [res_for(self.policy, gsd_m=float(g), input_px=self.side_px) for g in self.crops.gsd_m]
        was_training = network.training
        network.eval()
        with torch.inference_mode(), precision(on):
            keep = to_device(np.stack([m.keep for m in masks]), on)
            made = network.reconstruct(to_device((truth - mean) / std, on), to_device(np.array(res, np.float32), on), keep)
        network.train(was_training)
        combined = np.stack([cv2.resize(p.transpose(1, 2, 0), (self.side_px,) * 2, interpolation=cv2.INTER_AREA) for p in to_numpy(made.combined)])
        true = truth.transpose(0, 2, 3, 1)
        hidden = np.stack([np.kron(m.hidden, np.ones((network.patch_size,) * 2, bool)) for m in masks])[..., None]
        rows = [true, np.where(hidden, GREY / 255, true), combined, np.where(hidden, combined, true)]
        return np.vstack([np.hstack(list((np.clip(row, 0, 1) * 255).round().astype(np.uint8))) for row in rows])
