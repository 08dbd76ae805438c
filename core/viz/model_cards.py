"""A model's card as text: what it is, what it was trained on, what it is good at, and how it scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ..engine.results import CENTRES
from ..evaluation.baselines.colours import COLOUR_HISTOGRAM
from ..evaluation.gsd_awareness import gsd_awareness
from ..judge import FILL_NAMES

if TYPE_CHECKING:  # the registry imports torch
    from ..models.registry import ModelCard

SETS = {
    "atlanta_buildings": "Atlanta buildings",
    "bluemarble": "Blue Marble",
    "eurosat": "EuroSAT",
    "harvey": "Hurricane Harvey",
    "nc_landcover": "North Carolina land cover",
    "neon": "NEON",
    "overhead_mix": "a mix of overhead imagery",
    "scenes": "Landsat and Sentinel-2 scenes",
    "ucmerced": "UC Merced",
}
"""Data sets and imagery packs by the names that cards use, as people write them."""
KNN = "knn_"
BASELINES = {
    COLOUR_HISTOGRAM: "Colour histogram (floor)",
    "efficientnet_lite0": "EfficientNet-Lite0 (teacher)",
    **FILL_NAMES,
}
"""Names of what is compared with networks."""
UNTRAINED = "untrained_"


def model_title(name: str, known: Mapping[str, ModelCard]) -> str:
    """The name that people read, of a preset, `untrained_PRESET` or a baseline; else `name` itself."""
    if (bare := name.removeprefix(UNTRAINED)) != name and bare in known:
        return f"Untrained {known[bare].title} (floor)"
    if name not in known:
        return BASELINES.get(name, name)
    return known[name].title if known[name].trained else f"{known[name].title} (untrained)"


def about(card: ModelCard) -> list[str]:
    """Say what is built into a network, how far it uses the GSD, and where its weights come from."""
    lines: list[str] = []
    if (centre := card.sizes.get("centre", "dataset")) in CENTRES:
        lines.append(f"Built in: its output is {CENTRES[centre]}, so that baseline is part of it.")
    if not card.gsd_aware:
        lines.append("Its positions are static: it ignores the GSD.")
    elif card.weights and (use := gsd_awareness(card.name, card.weights.sha256)):
        lines.append(use)
    if card.weights:
        lines.append(
            f"{card.weights.images_seen:,} images seen in {card.weights.hours:g} hours "
            f"(`{card.weights.command}`). Licence: {card.weights.licence}."
        )
        if card.weights.notes:
            lines.append(card.weights.notes)
    return lines


def trained_on(card: ModelCard) -> str:
    """Name the imagery that a model was trained on; "" for an untrained one."""
    return ", ".join(SETS.get(name, name) for name in card.weights.data) if card.weights else ""


def good_at(card: ModelCard, known: Iterable[ModelCard]) -> str:
    """Say what a model is good at, from its recorded scores among those of the other `known` models."""
    if card.weights is None:
        return "Nothing yet: its weights are random. Train it, or use it as a floor that trained models beat."
    trained = [each for each in known if each.weights is not None]
    firsts = [
        _subject(name)
        for name, value in _numbers(card).items()
        if len(rivals := [_numbers(each)[name] for each in trained if name in _numbers(each)]) > 1
        and value == max(rivals)
        and not name.startswith("best_fill")
    ]
    bands = " as low and high frequencies" if card.two_bands else ""
    gives = (
        f"Reconstructs hidden patches{bands} and embeds images" if card.reconstructs else "Embeds images only"
    )
    gives += ", with positions scaled by the ground sample distance" if card.gsd_aware else ""
    best = f" Highest recorded score of the bundled models in {_joined(firsts)}." if firsts else ""
    return f"{gives}.{best}"


def score_lines(card: ModelCard) -> list[str]:
    """Return the scores recorded on a card as text, with the fill that a reconstruction has to beat."""
    numbers = _numbers(card)
    lines = []
    for name, value in numbers.items():
        if name.startswith("psnr_"):
            fill = numbers.get(f"best_fill_{name}")
            beaten = f"; the best fill without a network reaches {fill:.2f} dB" if fill else ""
            lines.append(f"{value:.2f} dB PSNR with {name.removeprefix('psnr_')} % hidden{beaten}")
        elif name.startswith(KNN):
            data, _, gallery = name.removeprefix(KNN).partition("_gallery_")
            few = f", {int(gallery):,} training images" if gallery.isdecimal() else ""
            lines.append(f"{100 * value:.1f} % kNN accuracy on {SETS.get(data, data)}{few}")
    return lines


def _numbers(card: ModelCard) -> dict[str, float]:
    metrics = card.weights.metrics if card.weights else {}
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _subject(metric: str) -> str:
    if metric.startswith("psnr_"):
        return f"reconstruction with {metric.removeprefix('psnr_')} % hidden"
    return f"kNN on {SETS.get(metric.removeprefix(KNN), metric.removeprefix(KNN))}"


def _joined(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
