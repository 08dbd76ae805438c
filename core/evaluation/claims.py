"""Records of the three papers' claims: what each claims, what our small runs found, and the paper's figures.

`python -m core papers` writes a record; those that come with the program are in `recorded/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import write_atomic
from .errors import RecipeError
from .paper import CMAE, SCALE_MAE_KNN, TINYMIM
from .sealed import seal, unseal

RECORDED = Path(__file__).with_name("recorded")
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Published:
    """A paper's published figures in per cent: (label, value), the measure, and how its protocol differs.

    Labels that begin with `method` are the paper's own method.
    """

    source: str
    method: str
    measure: str
    rows: tuple[tuple[str, float], ...]
    protocol: str


@dataclass(frozen=True)
class Statement:
    """A paper's claim as we test it: `ours` is the paper's method, `other` the baseline."""

    name: str
    title: str
    sentence: str
    ours: str
    other: str
    paper: Published


STATEMENTS = {
    statement.name: statement
    for statement in (
        Statement(
            "scale_mae",
            "Scale-MAE against MAE over scales",
            "A GSD-aware positional encoding, and a decoder with separate low and high bands, "
            "keep embeddings useful when images get coarser.",
            "Scale-MAE",
            "MAE",
            Published(
                "Scale-MAE, ICCV 2023, Table 1",
                "Scale-MAE",
                "kNN, mean over relative scales",
                tuple(
                    (f"{method}, {title}", SCALE_MAE_KNN[data][method])
                    for data, title in (("eurosat", "EuroSAT"), ("ucmerced", "UC Merced"))
                    for method in ("Scale-MAE", "SatMAE", "ConvMAE")
                ),
                "another protocol: ViT-L trained for 800 epochs on fMoW, other galleries, "
                "and compared with SatMAE and ConvMAE rather than MAE",
            ),
        ),
        Statement(
            "tinymim",
            "TinyMIM against the same student without a teacher",
            "A small network learns more from the relations between patches in a trained network "
            "than from masked images.",
            "TinyMIM",
            "MAE",
            Published(
                "TinyMIM, official README",
                "TinyMIM",
                "ImageNet-1K top-1 after fine-tuning, ViT-Ti",
                tuple(
                    (method, top1)
                    for method, size, top1, *_ in reversed(TINYMIM)
                    if size == "Ti" and method in ("TinyMIM", "MAE")
                ),
                "another protocol: 300 epochs of ImageNet-1K, then fine-tuned with labels",
            ),
        ),
        Statement(
            "sdmae",
            "SDMAE against MAE on 2,000 images",
            "With little data, a tiny decoder with additional location and contrastive tasks "
            "trains a better encoder than masked pixels alone.",
            "SDMAE",
            "MAE",
            Published(
                "CMAE, the preprint behind SDMAE (arXiv 2205.10546), abstract",
                "CMAE",
                "Tiny-ImageNet top-1 after fine-tuning, ViT-B",
                CMAE,
                "another protocol: 100,000 training images, 300 epochs, then fine-tuned with labels; "
                "no public table of SDMAE was found",
            ),
        ),
    )
}


@dataclass(frozen=True)
class Measured:
    """An accuracy or a difference of two, 0..1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmComparison:
    """The results of both arms on the same test images; `scale` is None for the mean over scales.

    `pooling` is that of (ours, other). `seeds` are the differences of each seed. `p_value` is McNemar's, for
    one seed and one scale. `floor` is the accuracy of a colour histogram.
    """

    data: str
    protocol: str
    scale: float | None
    pooling: tuple[str, str]
    ours: Measured
    other: Measured
    difference: Measured
    seeds: tuple[float, ...]
    p_value: float | None
    floor: float | None
    images: int
    gallery: int

    @property
    def verdict(self) -> str:
        """Return "ahead", "behind", or "open" if the interval of the difference contains 0."""
        return "ahead" if self.difference.low > 0 else "behind" if self.difference.high < 0 else "open"


@dataclass(frozen=True)
class TrainedRun:
    """A training run: seed, images seen, optimiser steps, hours, SHA-256 of its weights."""

    seed: int
    pictures: int
    steps: int
    hours: float
    weights: str


@dataclass(frozen=True)
class TrainedArm:
    """One arm of a comparison: its label, the training spec of its first run as plain values, its runs."""

    label: str
    spec: dict[str, Any]
    runs: tuple[TrainedRun, ...]


@dataclass(frozen=True)
class Claim:
    """The outcome of our runs for one paper's claim."""

    name: str
    command: str
    machine: str
    pictures: int
    gallery: str
    limit: int | None
    ours: TrainedArm
    other: TrainedArm
    comparisons: tuple[ArmComparison, ...]

    @property
    def statement(self) -> Statement:
        """The statement that was tested."""
        return STATEMENTS[self.name]

    @property
    def headlines(self) -> tuple[ArmComparison, ...]:
        """The comparisons to quote, one for each set: those that are like the first."""
        first = self.comparisons[0]
        alike = (first.protocol, first.scale, first.pooling)
        return tuple(row for row in self.comparisons if (row.protocol, row.scale, row.pooling) == alike)

    @property
    def verdict(self) -> str:
        """The verdict that all sets share; "open" if they differ."""
        verdicts = {row.verdict for row in self.headlines}
        return verdicts.pop() if len(verdicts) == 1 else "open"

    @property
    def hours(self) -> float:
        """Return the hours of training of all runs."""
        return sum(run.hours for arm in (self.ours, self.other) for run in arm.runs)

    def sentence(self) -> str:
        """Return the headlines as a sentence."""
        first, statement = self.headlines[0], self.statement
        verdicts = {
            "ahead": "is ahead of",
            "behind": "is behind",
            "open": "is not distinguishable from",
        }
        parts = []
        for row in self.headlines:
            d = row.difference
            parts.append(
                f"{verdicts[row.verdict]} {statement.other} on {row.data}: "
                f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
            )
        over_scales = ", mean over scales" if first.scale is None else ""
        return f"{statement.ours} {'; it '.join(parts)} ({first.protocol}{over_scales})."

    def to_json(self) -> dict[str, Any]:
        """Return plain values, including the paper's figures."""
        return {
            **asdict(self),
            "paper": asdict(self.statement.paper),
            "verdict": self.verdict,
            "sentence": self.sentence(),
        }


def claim_from(record: dict[str, Any], where: str) -> Claim:
    """Read the output of `to_json`. Raises RecipeError."""
    try:
        if record["name"] not in STATEMENTS:
            raise ValueError(f"no paper called {record['name']!r:.40}")
        arms = [_arm(record[side]) for side in ("ours", "other")]
        comparisons = tuple(_comparison(row) for row in record["comparisons"])
        if not comparisons or not all(arm.runs for arm in arms):
            raise ValueError("it has no comparisons")
        limit = None if record["limit"] is None else int(record["limit"])
        return Claim(
            record["name"],
            str(record["command"]),
            str(record["machine"]),
            int(record["pictures"]),
            str(record["gallery"]),
            limit,
            arms[0],
            arms[1],
            comparisons,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RecipeError(
            f"{where} is not a valid record of a claim ({problem}): "
            "write it again with python -m core papers."
        ) from problem


def _arm(record: dict[str, Any]) -> TrainedArm:
    return TrainedArm(
        str(record["label"]), dict(record["spec"]), tuple(TrainedRun(**run) for run in record["runs"])
    )


def _comparison(record: dict[str, Any]) -> ArmComparison:
    first, second = record["pooling"]
    fields: dict[str, Any] = {
        **record,
        "pooling": (str(first), str(second)),
        "seeds": tuple(map(float, record["seeds"])),
    }
    for side in ("ours", "other", "difference"):
        fields[side] = Measured(**{key: float(value) for key, value in record[side].items()})
    return ArmComparison(**fields)


def write_claim(claim: Claim, folder: Path) -> Path:
    """Write `<name>.json` atomically."""
    return write_atomic(
        folder / f"{claim.name}.json", json.dumps(seal(claim.to_json()), indent=1).encode() + b"\n"
    )


def read_claims(folder: Path = RECORDED) -> tuple[Claim, ...]:
    """Return the claims recorded in a folder, in the papers' order.

    Raises RecipeError for a damaged record.
    """
    claims: list[Claim] = []
    for name in STATEMENTS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            record = unseal(json.loads(path.read_bytes()[:MAX_BYTES]))
        except (OSError, ValueError, RecursionError) as problem:
            raise RecipeError(
                f"{path.name} cannot be read ({problem}): write it again with python -m core papers."
            ) from problem
        claims.append(claim_from(record, path.name))
    return tuple(claims)


def text_of(claims: Sequence[Claim]) -> str:
    """Return claims as text: our figures with intervals, followed by the paper's, of another protocol."""
    lines: list[str] = []
    for claim in claims:
        statement = claim.statement
        lines += [f"{statement.title}: {claim.sentence()}"]
        for row in claim.comparisons:
            scale = "mean over scales" if row.scale is None else f"{100 * row.scale:g} %"
            lines.append(
                f"  {row.data}, {row.protocol}, {scale}, {'/'.join(dict.fromkeys(row.pooling))}: "
                f"{statement.ours} {_percent(row.ours)}, {statement.other} {_percent(row.other)}, "
                f"difference {100 * row.difference.value:+.1f} "
                f"[{100 * row.difference.low:+.1f}, {100 * row.difference.high:+.1f}] points"
                + (
                    f"; seeds {', '.join(f'{100 * seed:+.1f}' for seed in row.seeds)}"
                    if len(row.seeds) > 1
                    else ""
                )
            )
        own = ", ".join(f"{label} {value:.1f}" for label, value in statement.paper.rows)
        paper = statement.paper
        lines += [f"  {paper.source}, {paper.measure}, %: {own}", f"  {paper.protocol}"]
    return "\n".join(lines)


def _percent(measured: Measured) -> str:
    return f"{100 * measured.value:.1f} [{100 * measured.low:.1f}, {100 * measured.high:.1f}]"
