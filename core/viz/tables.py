"""Results as rows for a table: plain values, best first where an order is asked for."""

from __future__ import annotations

from ..evaluation.stats.metrics import Scores
from ..judge import FILL_NAMES, Verdict


def score_rows(verdict: Verdict, model: str) -> list[dict[str, str | float | None]]:
    """One row for the model and one for each fill: PSNR in dB, SSIM, mean absolute error, over hidden pixels."""
    rows = {model: verdict.model, **{FILL_NAMES[name]: scores for name, scores in verdict.fills.items()}}
    return [_row(name, scores) for name, scores in rows.items()]


def _row(name: str, scores: Scores) -> dict[str, str | float | None]:
    said = scores.to_json()
    rounded = {key: None if value is None else round(value, digits) for (key, value), digits in zip(said.items(), (2, 3, 4), strict=True)}
    return {"Over hidden pixels": name, "PSNR (dB)": rounded["psnr"], "SSIM": rounded["ssim"], "L1": rounded["l1"]}
