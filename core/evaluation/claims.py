"""The three papers' claims, what our small runs found of them, and the papers' own figures beside ours: plain records that a file carries.

A record is written by `python -m core papers`; those that come with the program lie in `recorded/`.
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
    """A paper's own figures, in per cent: (label, value), what was measured, and why it is another protocol than ours.

    Labels that begin with `method` are the paper's own method.
    """

    source: str
    method: str
    measure: str
    rows: tuple[tuple[str, float], ...]
    protocol: str


@dataclass(frozen=True)
class Statement:
    """What a paper claims, as we test it: `ours` is the paper's method, `other` what it is measured against."""

    name: str
    title: str
    sentence: str
    ours: str
    other: str
    paper: Published


STATEMENTS = {
    found.name: found
    for found in (
        Statement(
            "scale_mae",
            "Scale-MAE against MAE over scales",
            "Positions that know the ground sample distance, and low and high bands painted apart, keep vectors useful when pictures get coarser.",
            "Scale-MAE",
            "MAE",
            Published(
                "Scale-MAE, ICCV 2023, Table 1",
                "Scale-MAE",
                "kNN, mean over relative scales",
                tuple((f"{method}, {title}", SCALE_MAE_KNN[data][method]) for data, title in (("eurosat", "EuroSAT"), ("ucmerced", "UC Merced"))
                      for method in ("Scale-MAE", "SatMAE", "ConvMAE")),
                "another protocol: ViT-L trained for 800 epochs on fMoW, other galleries, and against SatMAE and ConvMAE rather than MAE",
            ),
        ),
        Statement(
            "tinymim",
            "TinyMIM against the same student without a teacher",
            "A small network learns more from how a trained one relates patches than from masked pictures of its own.",
            "TinyMIM",
            "MAE",
            Published(
                "TinyMIM, official README",
                "TinyMIM",
                "ImageNet-1K top-1 after fine-tuning, ViT-Ti",
                tuple((method, top1) for method, size, top1, *_ in reversed(TINYMIM) if size == "Ti" and method in ("TinyMIM", "MAE")),
                "another protocol: 300 epochs of ImageNet-1K, then fine-tuned with labels",
            ),
        ),
        Statement(
            "sdmae",
            "SDMAE against MAE on 2,000 pictures",
            "With little data, a tiny decoder with a location and a contrastive task beside it trains a better encoder than masked pixels alone.",
            "SDMAE",
            "MAE",
            Published(
                "CMAE, the preprint that SDMAE grew from (arXiv 2205.10546), abstract",
                "CMAE",
                "Tiny-ImageNet top-1 after fine-tuning, ViT-B",
                CMAE,
                "another protocol: 100,000 training pictures, 300 epochs, then fine-tuned with labels; no table of SDMAE itself was recovered",
            ),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """An accuracy or a difference of two, 0..1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ArmComparison:
    """One number of both arms on the same test images. `scale` None: the mean over the scales; `pooling` is (ours, other's).

    `seeds` holds the difference of every seed; `p_value` McNemar's, for one seed and one scale; `floor` what a colour histogram reaches.
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
        """How the difference fell: "ahead", "behind" or "open" where its interval holds 0."""
        return "ahead" if self.difference.low > 0 else "behind" if self.difference.high < 0 else "open"


@dataclass(frozen=True)
class TrainedRun:
    """One training run: `seed`, pictures seen, optimiser steps, hours, SHA-256 of its weights."""

    seed: int
    pictures: int
    steps: int
    hours: float
    weights: str


@dataclass(frozen=True)
class TrainedArm:
    """One side of a comparison: its label, the training spec of its first run as plain values, and all its runs."""

    label: str
    spec: dict[str, Any]
    runs: tuple[TrainedRun, ...]


@dataclass(frozen=True)
class Claim:
    """What our runs found of one paper's claim; `headline` is the first comparison."""

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
        """The claim that was tested."""
        return STATEMENTS[self.name]

    @property
    def headline(self) -> ArmComparison:
        """The comparison to quote."""
        return self.comparisons[0]

    @property
    def hours(self) -> float:
        """Hours of training of all runs together."""
        return sum(run.hours for arm in (self.ours, self.other) for run in arm.runs)

    def sentence(self) -> str:
        """The headline in words."""
        top, said = self.headline, self.statement
        fell = {"ahead": "is ahead of", "behind": "falls behind", "open": "cannot be told from"}[top.verdict]
        where = f"{top.data}, {top.protocol}" + (", mean over scales" if top.scale is None else "")
        d = top.difference
        return f"{said.ours} {fell} {said.other} ({where}): {100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]."

    def to_json(self) -> dict[str, Any]:
        """Plain values, the paper's own figures among them."""
        return {
            **asdict(self),
            "paper": asdict(self.statement.paper),
            "verdict": self.headline.verdict,
            "sentence": self.sentence(),
        }


def claim_from(said: dict[str, Any], where: str) -> Claim:
    """Read what `to_json` gave. Raises RecipeError."""
    try:
        if said["name"] not in STATEMENTS:
            raise ValueError(f"no paper called {said['name']!r:.40}")
        arms = [_arm(said[side]) for side in ("ours", "other")]
        found = tuple(_comparison(row) for row in said["comparisons"])
        if not found or not all(arm.runs for arm in arms):
            raise ValueError("nothing was compared")
        limit = None if said["limit"] is None else int(said["limit"])
        return Claim(
            said["name"],
            str(said["command"]),
            str(said["machine"]),
            int(said["pictures"]),
            str(said["gallery"]),
            limit,
            arms[0],
            arms[1],
            found,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RecipeError(
            f"{where} holds no comparison of a paper's claim ({problem}): write it again with python -m core papers."
        ) from problem


def _arm(said: dict[str, Any]) -> TrainedArm:
    return TrainedArm(
        str(said["label"]), dict(said["spec"]), tuple(TrainedRun(**run) for run in said["runs"])
    )


def _comparison(said: dict[str, Any]) -> ArmComparison:
    first, second = said["pooling"]
    fields: dict[str, Any] = {
        **said,
        "pooling": (str(first), str(second)),
        "seeds": tuple(map(float, said["seeds"])),
    }
    for side in ("ours", "other", "difference"):
        fields[side] = Measured(**{key: float(value) for key, value in said[side].items()})
    return ArmComparison(**fields)


def write_claim(claim: Claim, folder: Path) -> Path:
    """Write `<name>.json` in one atomic step."""
    return write_atomic(
        folder / f"{claim.name}.json", json.dumps(seal(claim.to_json()), indent=1).encode() + b"\n"
    )


def read_claims(folder: Path = RECORDED) -> tuple[Claim, ...]:
    """The claims recorded in a folder, in the papers' order; none where nothing was run yet. Raises RecipeError for a damaged record."""
    found: list[Claim] = []
    for name in STATEMENTS:
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            said = unseal(json.loads(path.read_bytes()[:MAX_BYTES]))
        except (OSError, ValueError, RecursionError) as problem:
            raise RecipeError(
                f"{path.name} cannot be read ({problem}): write it again with python -m core papers."
            ) from problem
        found.append(claim_from(said, path.name))
    return tuple(found)


def text_of(claims: Sequence[Claim]) -> str:
    """Claims as text: our figures with intervals, the paper's own below, marked as another protocol."""
    lines: list[str] = []
    for claim in claims:
        said = claim.statement
        lines += [f"{said.title}: {claim.sentence()}"]
        for row in claim.comparisons:
            lines.append(
                f"  {row.data}, {row.protocol}, {'mean over scales' if row.scale is None else f'{100 * row.scale:g} %'}, {'/'.join(dict.fromkeys(row.pooling))}: "
                f"{said.ours} {_said(row.ours)}, {said.other} {_said(row.other)}, difference {100 * row.difference.value:+.1f} "
                f"[{100 * row.difference.low:+.1f}, {100 * row.difference.high:+.1f}] points"
                + (
                    f"; seeds {', '.join(f'{100 * seed:+.1f}' for seed in row.seeds)}"
                    if len(row.seeds) > 1
                    else ""
                )
            )
        own = ", ".join(f"{label} {value:.1f}" for label, value in said.paper.rows)
        lines += [f"  {said.paper.source}, {said.paper.measure}, %: {own}", f"  {said.paper.protocol}"]
    return "\n".join(lines)


def _said(measured: Measured) -> str:
    return f"{100 * measured.value:.1f} [{100 * measured.low:.1f}, {100 * measured.high:.1f}]"
