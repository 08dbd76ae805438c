from core.evaluation.gsd_awareness import gsd_awareness
from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result


def result(data, value, low, high, weights="1" * 64, ratio=0.75):
    recipe = EvaluationRecipe("gsd", data, "0" * 16, "net", weights, ratio=ratio)
    return Result(recipe, "gsd_gain", value, low, high, 10)


def test_the_mean_over_sets_decides_and_the_interval_gives_the_verdict():
    single, mean = result("neon", 1.0, 0.9, 1.1), result("mean of neon, scenes", 0.3, 0.1, 0.5)
    text = gsd_awareness("net", "1" * 64, [single, mean])
    assert text.startswith(
        "It uses the GSD: the right one gains +0.30 [+0.10, +0.50] dB over one wrong by a factor of 4"
    )
    assert gsd_awareness("net", "1" * 64, [result("neon", 0.03, 0.01, 0.05)]).startswith(
        "It uses the GSD, but hardly: the right one gains +0.03"
    )
    assert "no measurable use" in gsd_awareness("net", "1" * 64, [result("neon", 0.0, -0.1, 0.1)])
    assert "better with a wrong GSD" in gsd_awareness("net", "1" * 64, [result("neon", -0.2, -0.3, -0.1)])


def test_results_of_other_weights_or_ratios_give_no_verdict():
    found = [result("neon", 1.0, 0.9, 1.1, weights="2" * 64), result("neon", 1.0, 0.9, 1.1, ratio=0.5)]
    assert gsd_awareness("net", "1" * 64, found) == ""
