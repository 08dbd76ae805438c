"""The text of a model's card: names, strengths, scores."""

from dataclasses import replace

import pytest

from core.models import cards
from core.models.registry import WeightsCard
from core.viz.model_cards import good_at, model_title, score_lines, trained_on


def trained(name: str, **metrics: float):
    weights = WeightsCard("w", "0" * 64, "Apache-2.0", ("eurosat", "own"), 1, 1, 1.0, 0, "train", metrics)
    return replace(cards()[name], weights=weights)


def test_every_preset_has_a_name_of_its_own_without_underscores():
    titles = [card.title for card in cards().values()]
    assert len(set(titles)) == len(titles) and not any("_" in title for title in titles)
    assert cards()["scale_mae_tiny"].title == "Scale-MAE Tiny"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("mae_tiny", "MAE Tiny"),
        ("mae_large", "MAE Large (untrained)"),
        ("untrained_scale_mae_tiny", "Untrained Scale-MAE Tiny (floor)"),
        ("colour_histogram", "Colour histogram (floor)"),
        ("harmonic", "Harmonic (Laplace)"),
        ("mine.safetensors", "mine.safetensors"),
    ],
)
def test_title_of_any_name_in_results(name, title):
    assert model_title(name, cards()) == title


def test_strengths_follow_the_recorded_scores():
    one = trained("mae_tiny", psnr_75=30.0, knn_eurosat=0.5, best_fill_psnr_75=29.0)
    other = trained("scale_mae_tiny", psnr_75=29.0, knn_eurosat=0.8)
    assert "reconstruction with 75 % hidden." in good_at(one, [one, other]) and "kNN" not in good_at(
        one, [one, other]
    )
    assert "kNN on EuroSAT." in good_at(other, [one, other])
    assert "Highest" not in good_at(one, [one]), "nothing to compare with"
    assert "random" in good_at(cards()["mae_large"], [one])


def test_scores_name_the_fill_to_beat_and_small_galleries():
    card = trained("mae_tiny", psnr_75=27.191, best_fill_psnr_75=26.0, knn_eurosat_gallery_2000=0.6434)
    assert score_lines(card) == [
        "27.19 dB PSNR with 75 % hidden; the best fill without a network reaches 26.00 dB",
        "64.3 % kNN accuracy on EuroSAT, 2,000 training images",
    ]
    assert trained_on(card) == "EuroSAT, own" and trained_on(cards()["mae_large"]) == ""
