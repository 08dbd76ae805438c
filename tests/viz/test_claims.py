"""Figures of the papers' claims: intervals drawn as measured, the paper's own figures never on our axis."""

from dataclasses import replace

import pytest

from core.evaluation.claims import STATEMENTS, ArmComparison, Claim, Measured, TrainedArm, TrainedRun
from core.viz.claims import claim_figure, paper_figure


def claim(name: str, *rows: ArmComparison) -> Claim:
    statement = STATEMENTS[name]
    arms = [
        TrainedArm(label, {}, (TrainedRun(0, 64, 1, 0.1, "ab"),))
        for label in (statement.ours, statement.other)
    ]
    return Claim(name, "", "CPU", 64, "all", None, arms[0], arms[1], rows)


ROW = ArmComparison(
    "eurosat",
    "knn",
    1.0,
    ("cls", "cls"),
    Measured(0.6, 0.58, 0.63),
    Measured(0.5, 0.49, 0.52),
    Measured(0.1, 0.07, 0.13),
    (0.1,),
    0.01,
    0.75,
    100,
    50,
)


def test_scales_become_lines_with_their_intervals() -> None:
    figure = claim_figure(
        claim(
            "scale_mae",
            replace(ROW, scale=None),
            ROW,
            replace(ROW, scale=0.125, ours=Measured(0.4, 0.3, 0.5)),
        )
    )
    ours, other, floor = figure.data
    assert (ours.name, other.name, floor.name) == ("Scale-MAE", "MAE", "colour histogram")
    assert list(ours.x) == [12.5, 100] and list(ours.y) == pytest.approx([40, 60])
    assert list(ours.error_y.array) == pytest.approx([10, 3]) and list(
        ours.error_y.arrayminus
    ) == pytest.approx([10, 2])
    assert list(floor.y) == [75, 75]


def test_one_scale_becomes_a_row_for_each_way_to_score() -> None:
    figure = claim_figure(
        claim(
            "tinymim",
            replace(ROW, pooling=("block11_mean", "mean")),
            replace(ROW, protocol="probe", floor=None),
        )
    )
    ours, other, floor = figure.data
    assert list(figure.layout.yaxis.ticktext) == ["kNN of the mean", "linear probe of CLS"]
    assert all(
        a < place < b for a, place, b in zip(ours.y, figure.layout.yaxis.tickvals, other.y, strict=True)
    )
    assert (
        list(ours.error_x.array) == pytest.approx([3, 3]) and list(floor.y) == [0] and list(floor.x) == [75]
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_paper_s_figures_stand_apart_hatched(name: str) -> None:
    statement = STATEMENTS[name]
    (bars,) = paper_figure(statement).data
    assert list(zip(bars.y, bars.x, strict=True)) == list(statement.paper.rows)
    assert bars.y[0].startswith(statement.paper.method) and bars.marker.color[0] != bars.marker.color[-1]
    assert bars.marker.pattern.shape == "/" and max(bars.x) <= 100
    assert paper_figure(statement).layout.xaxis.title.text.startswith(statement.paper.measure)


def test_rows_are_named_in_words_and_have_room_each() -> None:
    asked = [
        (data, how, pool)
        for data in ("eurosat", "ucmerced")
        for how in ("knn", "probe")
        for pool in ("cls", "mean")
    ]
    rows = [
        replace(ROW, data=data, protocol=how, pooling=(f"block11_{pool}", pool)) for data, how, pool in asked
    ]
    figure = claim_figure(claim("tinymim", *rows))
    assert list(figure.layout.yaxis.ticktext)[:2] == ["EuroSAT,<br>kNN of CLS", "EuroSAT,<br>kNN of the mean"]
    assert not any("block" in text for text in figure.layout.yaxis.ticktext)
    assert figure.layout.height >= 150 + 40 * len(rows), "two lines of text a row"
    assert figure.data[0].customdata[0] == "block11_cls / cls"


def test_a_legend_grows_upwards_from_above_the_plot() -> None:
    for shown in (claim("scale_mae", ROW, replace(ROW, scale=0.5)), claim("sdmae", ROW)):
        legend = claim_figure(shown).layout.legend
        assert legend.yanchor == "bottom" and legend.y > 1


def test_every_set_s_colour_histogram_has_a_line_of_its_own() -> None:
    figure = claim_figure(
        claim(
            "scale_mae",
            *(
                replace(ROW, data=data, scale=scale)
                for data in ("eurosat", "ucmerced")
                for scale in (0.5, 1.0)
            ),
        )
    )
    floors = {trace.name: trace.line.dash for trace in figure.data if trace.name.startswith("colour")}
    assert len(set(floors.values())) == 2 and set(floors) == {
        "colour histogram, EuroSAT",
        "colour histogram, UC Merced",
    }
