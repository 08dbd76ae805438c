"""The table "which model for what" as HTML: values with their intervals drawn, in one column per task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from ..evaluation.overview import ALWAYS, Overview, Task
from ..evaluation.results import METRIC_LABELS, Result
from .model_cards import SETS, model_title
from .theme import GRID, MODEL, UNKNOWN

if TYPE_CHECKING:
    from ..models.registry import ModelCard

_STYLE = f"""<style>
.which{{overflow-x:auto;font-size:.85rem;line-height:1.35}}
.which table{{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}}
.which th,.which td{{padding:5px 10px 6px;border-bottom:1px solid {GRID};text-align:left;
vertical-align:bottom}}
.which thead th{{font-weight:400;min-width:104px}}
.which thead b{{font-weight:600}}
.which small{{font-size:.75rem}}
.which tbody th{{font-weight:500;white-space:nowrap;position:sticky;left:0;z-index:1;
background:var(--st-background-color,inherit)}}
.which .bar{{position:relative;height:9px;margin-top:2px;background:{GRID};border-radius:5px}}
.which .bar i{{position:absolute;top:3px;height:3px;background:{UNKNOWN};border-radius:2px}}
.which .bar u{{position:absolute;top:0;width:9px;height:9px;margin-left:-4.5px;border-radius:50%;
background:{UNKNOWN}}}
.which .best i,.which .best u{{background:{MODEL}}}
.which .first b{{font-weight:700}}
.which td b{{font-weight:400}}
@media(max-width:640px){{.which tbody th{{white-space:normal;overflow-wrap:anywhere;
min-width:96px;max-width:110px}}}}
</style>"""


def which_model(table: Overview, known: Mapping[str, ModelCard]) -> str:
    """Return the table as HTML. Green: the best of a column and all whose intervals overlap its own."""
    best = {task: table.best(task) for task in table.tasks}
    span = {task: _span(table, task) for task in table.tasks}
    kinds = Counter(task.kind for task in table.tasks)
    groups = "".join(
        f'<th scope="colgroup" colspan="{count}"><b>{escape(kind)}</b></th>' for kind, count in kinds.items()
    )
    head = "".join(f'<th scope="col">{_head(task)}</th>' for task in table.tasks)
    body = "".join(
        f'<tr><th scope="row">{escape(model_title(row, known))}</th>'
        + "".join(_cell(table.cells.get((row, task)), row, best[task], *span[task]) for task in table.tasks)
        + "</tr>"
        for row in table.rows
    )
    # a region that scrolls must be reachable with the keyboard
    return (
        f'{_STYLE}<div class="which" tabindex="0" role="region" aria-label="Which model for what"><table>'
        f'<thead><tr><th scope="col" rowspan="2"><b>Model</b></th>{groups}</tr><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def unmeasured(table: Overview, known: Mapping[str, ModelCard]) -> list[str]:
    """Titles of the rows that are always there but have no result yet."""
    measured = {name for name, _ in table.cells}
    return [model_title(name, known) for name in ALWAYS if name not in measured]


def _head(task: Task) -> str:
    limit = "no limit" if task.limit is None else f"limit {task.limit:,} a class"
    metric = METRIC_LABELS.get(task.metric, task.metric)
    data = SETS.get(task.data, task.data.replace("_", " "))
    gallery = ", gallery scaled" if task.gallery == "scaled" else ""
    return (
        f"{escape(data[:1].upper() + data[1:])}<br><small>{escape(metric)}{gallery}<br>"
        f"n = {task.count:,}, {limit}</small>"
    )


def _span(table: Overview, task: Task) -> tuple[float, float]:
    found = [result for (_, at), result in table.cells.items() if at == task]
    low, high = min(result.low for result in found), max(result.high for result in found)
    return low, max(high - low, 1e-9)


def _cell(result: Result | None, row: str, best: tuple[str, ...], low: float, width: float) -> str:
    if result is None:
        return "<td>not measured</td>"
    left, at, right = (100 * (v - low) / width for v in (result.low, result.value, result.high))
    mark = f"{'best' * (row in best)} {'first' * (row == best[0])}".strip()
    interval = f"95 % interval {result.low:.{result.digits}f} to {result.high:.{result.digits}f}"
    return (
        f'<td class="{mark}" title="{interval}"><b>{result.value:.{result.digits}f}</b>'
        f'<div class="bar" role="img" aria-label="{interval}"><i style="left:{left:.1f}%;'
        f'width:{right - left:.1f}%"></i><u style="left:{at:.1f}%"></u></div></td>'
    )
