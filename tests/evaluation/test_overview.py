"""The overview of models: only comparable results share a column, floors stay, ties are marked."""

from dataclasses import replace

from core.evaluation.overview import ALWAYS, CLASSIFY, CLASSIFY_COARSE, answers, overview
from core.evaluation.recorded_numbers import read_numbers
from core.models import cards
from core.viz.which_model import unmeasured, which_model

SWEPT = next(r for r in read_numbers() if r.recipe.protocol == "sweep" and r.recipe.scale == 1.0)


def scored(model, value, half=0.01, count=100, **recipe):
    changed = replace(SWEPT.recipe, model=model, policy=recipe.pop("policy", "log_gsd"), **recipe)
    return replace(SWEPT, recipe=changed, value=value, low=value - half, high=value + half, count=count)


def test_models_are_sorted_and_the_floors_are_always_rows():
    table = overview([scored("worse", 0.5), scored("better", 0.9), scored("colour_histogram", 0.7)])
    assert table.rows[:3] == ("better", "colour_histogram", "worse") and set(ALWAYS) <= set(table.rows)
    assert unmeasured(table, cards()) == ["Untrained Scale-MAE Tiny (floor)", "EfficientNet-Lite0 (teacher)"]


def test_results_on_other_images_or_at_other_scales_get_columns_of_their_own():
    results = [
        scored("one", 0.5),
        scored("two", 0.6, count=50, limit=5),
        scored("two", 0.4, scale=0.25),
        scored("two", 0.3, scale=0.5),
    ]
    table = overview(results)
    assert [(task.kind, task.count) for task in table.tasks] == [
        (CLASSIFY, 100),
        (CLASSIFY, 50),
        (CLASSIFY_COARSE, 100),
    ]
    assert all(
        table.best(task) == (name,) for task, name in zip(table.tasks, ("one", "two", "two"), strict=True)
    )


def test_a_model_is_shown_with_its_own_pooling_and_policy_whatever_the_order():
    results = [
        scored("one", 0.5, pooling="cls"),
        scored("one", 0.6, pooling="cls", policy="author_eval"),
        scored("one", 0.7, pooling="vector"),
    ]
    for pooling, policy, value in (
        ("cls", "log_gsd", 0.5),
        ("cls", "author_eval", 0.6),
        ("vector", "author_eval", 0.7),
    ):
        for order in (results, results[::-1]):
            table = overview(order, {"one": (pooling, policy)})
            assert [cell.value for cell in table.cells.values()] == [value]


def test_overlapping_intervals_are_a_tie():
    near = [scored("best", 0.80, half=0.03), scored("close", 0.76, half=0.03), scored("far", 0.6)]
    assert answers(overview(near)) == [(CLASSIFY, ("best", "close"))]


def test_table_states_n_limit_and_interval_and_escapes_names():
    html = which_model(overview([scored("<b>x", 0.5, limit=50, count=7), scored("mae_tiny", 0.7)]), cards())
    assert "n = 7, limit 50 a class" in html and "95 % interval 0.490 to 0.510" in html
    assert "&lt;b&gt;x" in html and "<b>x" not in html and "MAE Tiny" in html
    assert "not measured" in html, "floors without results"


def test_recorded_results_fill_the_table():
    table = overview(read_numbers())
    assert len(table.tasks) >= 6 and table.rows[0] == "scale_contrast_tiny"
