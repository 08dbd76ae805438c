"""The chart over scales: a model keeps its colour on every set and under every policy."""

from dataclasses import replace

import numpy as np

from core.evaluation.recipes import EvaluationRecipe
from core.evaluation.results import Result
from core.viz.evaluation import confusion_figure, scale_chart


def number(model: str, data: str, policy: str | None, scale: float) -> Result:
    recipe = EvaluationRecipe("knn", data, "hash", model, "none", scale=scale, policy=policy)
    return Result(recipe, "accuracy", scale / 2, scale / 2 - 0.1, scale / 2 + 0.2, 10)


def test_colour_tells_the_model_mark_the_set_and_dashes_the_policy() -> None:
    asked = [
        (model, data, policy) for model in ("a", "b") for data in ("x", "y") for policy in ("log_gsd", None)
    ]
    figure = scale_chart([number(*one, scale) for one in asked for scale in (1.0, 0.5)])
    looks = {trace.name: (trace.line.color, trace.marker.symbol, trace.line.dash) for trace in figure.data}
    assert len(set(looks.values())) == 8
    for place, part_of in enumerate((lambda name: name[0], lambda name: name[1], lambda name: name[2])):
        parts = {name: part_of(name.split(", ")) for name in looks}
        assert len({(parts[name], looks[name][place]) for name in looks}) == 2
    line = figure.data[0]
    assert list(line.x) == [50, 100] and list(line.y) == [0.25, 0.5]
    assert [round(low, 6) for low in line.error_y.arrayminus] == [0.1, 0.1] and [
        round(high, 6) for high in line.error_y.array
    ] == [0.2, 0.2]


def test_numbers_of_other_weights_or_fewer_images_are_lines_of_their_own() -> None:
    new, old = ([number("a", "x", "log_gsd", scale) for scale in (0.5, 1.0)] for _ in range(2))
    old = [replace(one, recipe=replace(one.recipe, weights="0123456789", limit=50)) for one in old]
    figure = scale_chart([*new, *old])
    assert [list(line.x) for line in figure.data] == [[50, 100], [50, 100]]
    assert {line.name for line in figure.data} == {
        "a, x, log_gsd, weights none, limit none",
        "a, x, log_gsd, weights 01234567, limit 50",
    }


def test_no_results_give_an_empty_chart() -> None:
    assert not scale_chart([]).data


def test_a_confusion_matrix_names_its_axes_and_counts_where_cells_are_large() -> None:
    small = confusion_figure(np.array([[3, 0], [1, 2]]), ["a", "b"])
    assert (
        small.layout.yaxis.title.text == "true class" and small.layout.xaxis.title.text == "predicted class"
    )
    heatmap = small.data[1]
    assert list(zip(heatmap.y, heatmap.x, heatmap.text, strict=True)) == [
        ("a", "a", "3"),
        ("b", "a", "1"),
        ("b", "b", "2"),
    ]
    assert heatmap.textfont.color[0] != heatmap.textfont.color[1], (
        "white on dark cells, and a colour that is readable in both themes on pale ones"
    )
    many = confusion_figure(np.eye(45, dtype=int), [str(number) for number in range(45)])
    assert len(many.data) == 1 and "%{customdata}" in many.data[0].hovertemplate


def test_the_full_size_result_belongs_to_the_line_of_either_gallery():
    full, half = (number("a", "eurosat", "log_gsd", scale) for scale in (1.0, 0.5))
    half = replace(half, recipe=replace(half.recipe, scaled_px=32))
    native = replace(half, recipe=replace(half.recipe, gallery="native", gallery_px=64, gallery_res=2.0))
    assert [len(line.x) for line in scale_chart([full, half]).data] == [2]
    both = scale_chart([full, half, native])
    assert sorted(line.name[-14:] for line in both.data) == ["gallery native", "gallery scaled"]
    assert [list(line.x) for line in both.data] == [[50, 100], [50, 100]]
