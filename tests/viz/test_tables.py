"""Scores as a table: an exact picture has a PSNR in words, not an empty cell."""

import numpy as np

from core.evaluation.stats.metrics import score
from core.judge import Verdict
from core.viz.tables import score_rows


def test_flat_ground_is_filled_exactly_and_reads_so():
    flat = np.full((3, 32, 32), 0.5, np.float32)
    hidden = np.zeros((32, 32), bool)
    hidden[8:24] = True
    verdict = Verdict(score(flat + 0.1, flat, hidden), {"visible_mean": score(flat, flat, hidden)}, {})
    model, fill = score_rows(verdict, "mae_tiny")
    assert model["PSNR"] == "20.00 dB" and fill["PSNR"] == "exact"
    assert fill["SSIM"] == 1 and fill["L1"] == 0
