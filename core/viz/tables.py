"""Scores as rows of a table."""

from __future__ import annotations

from ..evaluation.stats.metrics import Scores
from ..judge import FILL_NAMES, Verdict
from ..units import decibels


def score_rows(verdict: Verdict, model: str) -> list[dict[str, str | float | None]]:
    """Return a row for the model and one per fill: PSNR as text, SSIM and L1, over hidden pixels."""
    rows = {model: verdict.model, **{FILL_NAMES[name]: scores for name, scores in verdict.fills.items()}}
    return [_row(name, scores) for name, scores in rows.items()]


def _row(name: str, scores: Scores) -> dict[str, str | float | None]:
    return {
        "Over hidden pixels": name,
        "PSNR": decibels(scores.psnr),
        "SSIM": round(scores.ssim, 3),
        "L1": round(scores.l1, 4),
    }
