"""Compare two models on the same images: paired tests, agreement of embeddings, invalid comparisons."""

import json
from dataclasses import replace

import numpy as np
import pytest

from core.cli.entry import main
from core.evaluation.cache import Cache
from core.evaluation.comparing import comparable, compare_results, comparisons
from core.evaluation.errors import FeatureError
from core.evaluation.plan import EvaluationPlan
from core.evaluation.protocols.agreement import linear_cka, neighbour_overlap
from core.evaluation.protocols.knn import KnnSpec
from core.evaluation.protocols.vectors import stored_vectors
from core.evaluation.results import Result
from core.evaluation.running import evaluate
from core.evaluation.stats.intervals import compare
from core.evaluation.subjects import ColourHistogram


def results(plan, subjects, cache):
    return [e for e in evaluate(plan, subjects, folders=(), cache=cache) if isinstance(e, Result)]


def test_a_pair_is_tested_and_its_vectors_are_compared(index_zip, network, tmp_path):
    cache = Cache(tmp_path / "cache")
    found = results(
        EvaluationPlan(protocol="sweep", data=(str(index_zip),), scales=(0.5, 1.0)),
        [ColourHistogram(), network],
        cache,
    )
    pairs = list(comparisons(found, cache))
    assert [(p.first.recipe.model, p.second.recipe.model, p.first.recipe.scale) for p in pairs] == [
        ("colour_histogram", "fake", 0.5), ("colour_histogram", "fake", 1.0)
    ]  # fmt: skip
    pair = pairs[1]
    first, second = (result.relabelled("knn") for result in (pair.first, pair.second))
    a, b = (cache.arrays(result.recipe)["right"] for result in (first, second))
    assert pair.paired == compare(a, b)
    assert pair.paired.difference.mean == pytest.approx(second.value - first.value)
    x, y = (stored_vectors(result.recipe, "test", cache).features for result in (first, second))
    assert pair.neighbours == 5  # less than half of the 12: all 11 others would be shared by any two models
    assert pair.cka == pytest.approx(linear_cka(x, y))
    assert pair.overlap.mean == pytest.approx(neighbour_overlap(x, y, 5).mean())
    assert pair.overlap.mean < 1
    assert "fake (native_gsd) minus colour_histogram" in pair.sentence() and "McNemar" in pair.sentence()


def test_results_on_other_images_are_not_compared(index_zip, network, tmp_path):
    cache = Cache(tmp_path)
    whole = results(EvaluationPlan(data=(str(index_zip),)), [ColourHistogram()], cache)[0]
    other = results(EvaluationPlan(data=(str(index_zip),), seed=1), [network], cache)[0]
    assert not comparable(whole, other) and not comparable(whole, whole)
    lost = replace(whole, recipe=replace(whole.recipe, k=3))
    with pytest.raises(FeatureError, match="no longer in the cache: evaluate it again"):
        compare_results(whole, lost, cache)


def test_scale_series_are_compared_under_the_same_policies(index_zip, make_network, tmp_path):
    cache, one, other = Cache(tmp_path), make_network("one"), make_network("other")
    other.default_policy = "log_gsd"
    found = results(
        EvaluationPlan(
            protocol="sweep", data=(str(index_zip),), scales=(0.5,), policies=(None, "author_eval")
        ),
        [one, other],
        cache,
    )
    pairs = list(comparisons(found, cache))
    assert [pair.to_json()["policies"] for pair in pairs] == [
        ["native_gsd", "log_gsd"],
        ["author_eval", "author_eval"],
    ]
    assert "other (author_eval) minus one (author_eval)" in pairs[1].sentence()


def test_numbers_of_other_protocols_or_neighbours_are_not_comparable(index_zip, network, tmp_path):
    cache, data = Cache(tmp_path), (str(index_zip),)
    whole = results(EvaluationPlan(data=data), [ColourHistogram()], cache)[0]
    swept = results(EvaluationPlan(protocol="sweep", data=data, scales=(1.0,)), [network], cache)[0]
    assert comparable(whole, swept)  # a sweep is kNN
    for plan in (
        EvaluationPlan(protocol="probe", data=data),
        EvaluationPlan(data=data, knn=KnnSpec(k=5)),
        EvaluationPlan(data=data, knn=KnnSpec(tau=0.5)),
    ):
        assert not comparable(whole, results(plan, [network], cache)[0])


def test_paired_test_works_without_embeddings(index_zip, network, tmp_path):
    cache = Cache(tmp_path)
    first, second = results(EvaluationPlan(data=(str(index_zip),)), [ColourHistogram(), network], cache)
    for path in (tmp_path / "vectors").glob("*.npz"):
        path.unlink()
    pair = compare_results(first, second, cache)
    assert pair.overlap is None and pair.cka is None
    assert np.isfinite(pair.paired.difference.mean)


def test_the_command_compares_and_lists_duplicates(index_zip, tmp_path, capsys):
    command = [
        "evaluate",
        str(index_zip),
        "--model",
        "colour_histogram",
        "mae_tiny",
        "--compare",
        "--duplicates",
        "--cache",
        str(tmp_path),
    ]
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["comparisons"][0]["models"] == ["colour_histogram", "mae_tiny"]
    assert 0 <= found["comparisons"][0]["cka"] <= 1
    assert found["duplicates"] == {"pack": []}
    assert "0 of 12 test images" in err
    assert main([*command, "--fresh"]) == 0
    assert "neighbours shared, linear CKA" in capsys.readouterr().out


def test_comparison_states_shots_or_mask_ratio(index_zip, network, tmp_path):
    cache, data = Cache(tmp_path), (str(index_zip),)
    shots = list(
        comparisons(
            results(
                EvaluationPlan(protocol="few-shot", data=data, shots=(1, 2), draws=2),
                [ColourHistogram(), network],
                cache,
            ),
            cache,
        )
    )
    assert [pair.sentence().split(":")[0] for pair in shots] == [
        "pack at 100 %, 1 shot",
        "pack at 100 %, 2 shots",
    ]
    hidden = list(
        comparisons(
            results(
                EvaluationPlan(protocol="reconstruction", data=data, ratios=(0.75,), limit=1),
                [network],
                cache,
            ),
            cache,
        )
    )
    assert hidden[0].sentence().startswith("pack at 100 %, 75 % hidden: ")
