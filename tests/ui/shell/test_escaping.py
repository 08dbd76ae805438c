"""Every text that Streamlit renders as Markdown is our own, a number, or escaped."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from ui.shell.escaping import plain

FILES = [
    ROOT / "app.py",
    *sorted((ROOT / "pages").glob("*.py")),
    *sorted(p for p in (ROOT / "ui").rglob("*.py") if "components" not in p.parts),
]

FIRST = {
    "markdown",
    "caption",
    "error",
    "warning",
    "info",
    "success",
    "toast",
    "title",
    "subheader",
    "badge",
    "spinner",
    "status",
    "metric",
    "button",
    "download_button",
    "link_button",
    "expander",
    "popover",
    "checkbox",
    "toggle",
    "radio",
    "pills",
    "segmented_control",
    "selectbox",
    "multiselect",
    "slider",
    "select_slider",
    "number_input",
    "text_input",
    "text_area",
    "file_uploader",
    "form_submit_button",
    "dialog",
}
"""Methods whose first argument is rendered as Markdown."""

SECOND = {"metric", "progress"}
OPTIONS = {"radio", "pills", "segmented_control"}
"""Methods that render their options as Markdown too: those are constants, or escaped by `format_func`."""

WORDS = {"help", "caption", "label", "text"}
OTHERS = {"image", "page_link"}
NUMBERS = set("bcdeEfFgGn%,")

SAFE = {
    "metres",
    "duration",
    "len",
    "plain",
    "address",
    "help_text",
    "how_to_return",
    "sentence",
    "_verdict",
    "_distance",
    "_count",
    "_memory",
    "_progress_text",
    "_res_text",
    "imagery_here",
    "not_allowed",
}
"""Functions that return numbers with units, our own sentences, or text that they escape themselves."""

OURS = {
    "ui/shell/page.py": {"title", "lead", "name", "current.precision", "taken"},
    "ui/evaluate/downloads.py": {"title", "text"},
    "ui/evaluate/sections.py": {"unit", "verdict"},
    "pages/4_Evaluate.py": {"origins"},
    "ui/evaluate/following.py": {"ending", "results", "left", "status.completed"},
    "ui/evaluate/which_model.py": {"here", r"'  \n'.join(sentences)"},
    "ui/train/following.py": {"state", "saves", "caption", "named"},
    "ui/pickers/model_picker.py": {
        "cached.result_cache('model cards', 64).get_or_compute(name, lambda: _card_text(card))"
    },
    "ui/globe/panel_api.py": {"label"},
    "ui/globe/panels/find.py": {"doubled"},
    "ui/globe/panels/groups.py": {"tried", "ways"},
    "ui/globe/panels/place.py": {"gsd"},
    "ui/globe/place_search.py": {"arrival"},
    "ui/mask_lab/sections.py": {"spread.done", "spread.total"},
    "ui/scale_lab/rows.py": {"place", "done"},
    "ui/scale_lab/sections.py": {"spread", "rest", "policy_verdict(scored)"},
    "pages/6_Learn.py": {"number", "lesson.minutes"},
    "ui/learn/asking.py": {"control.label", "label", "place"},
    "ui/learn/classroom.py": {"at", "board.code", "lesson.debrief", "sentence"},
    "ui/learn/lesson_view.py": {
        "term",
        "lesson.debrief",
        "lesson.deeper.paper",
        "lesson.deeper.text",
        "lesson.place",
        "lesson.prose",
        "lesson.try_this",
    },
    "ui/learn/overview.py": {"board.code", "count", "lesson.minutes", "mark", "number"},
    "ui/learn/tour.py": {"at", "lab", "label", "step.do", "step.notice"},
}
"""Names that hold a number or our own words. Check where the value comes from before adding one."""

HOSTILE = (
    "![x](http://127.0.0.1:9/p.png) <img src=x onerror=a()> [a](javascript:b) `c` $d$ :red[e] **f** "
    "https://evil.example &#33;[g](h) me@evil.example"
)


def shown_by(call: ast.Call) -> Iterator[ast.expr]:
    """The expressions of a call that are rendered as Markdown."""
    assert isinstance(call.func, ast.Attribute)
    name = call.func.attr
    if name in FIRST:
        yield from call.args[:1]
    if name in SECOND:
        yield from call.args[1:2]
    if name in OPTIONS and not any(
        word.arg == "format_func" and _escapes(word.value) for word in call.keywords
    ):
        yield from call.args[1:2]
    if name in FIRST | SECOND | OTHERS:
        yield from (word.value for word in call.keywords if word.arg in WORDS)


def _escapes(function: ast.expr) -> bool:
    match function:
        case ast.Name(id="plain"):
            return True
        case ast.Attribute(value=ast.Name(id=name), attr="__getitem__"):
            return name.isupper()
        case ast.Lambda(body=body):
            return is_ours(body, {"n"})
    return False


def is_ours(node: ast.AST, names: set[str]) -> bool:
    """Whether an expression can only be our own text, a number or escaped text."""
    if isinstance(node, ast.expr) and ast.unparse(node) in names:
        return True
    match node:
        case ast.Constant() | ast.Compare():
            return True
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts) | ast.List(elts=parts):
            return all(is_ours(part, names) for part in parts)
        case ast.FormattedValue(value=value, format_spec=spec):
            last = spec.values[-1] if isinstance(spec, ast.JoinedStr) else None
            if isinstance(last, ast.Constant) and last.value[-1:] in NUMBERS and last.value:
                return True
            return is_ours(value, names)
        case ast.BinOp(left=left, right=right):
            return is_ours(left, names) and is_ours(right, names)
        case ast.IfExp(body=body, orelse=orelse):
            return is_ours(body, names) and is_ours(orelse, names)
        case ast.Starred(value=value) | ast.Subscript(value=value):
            return is_ours(value, names)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper()
        case ast.ListComp(elt=elt, generators=[ast.comprehension(iter=source)]):
            return is_ours(source, names) and isinstance(elt, ast.Name)
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(), attr="join"), args=[ast.GeneratorExp(elt=elt)]
        ):
            return is_ours(elt, names)
        case ast.Call(func=ast.Name(id="list"), args=[argument]):
            return is_ours(argument, names)
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)) if name in SAFE:
            return True
        case ast.Call(func=ast.Attribute(value=value, attr="get")):
            return is_ours(value, names)
    return False


def unescaped(text: str, name: str) -> list[str]:
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    found = [shown for call in calls for shown in shown_by(call) if not is_ours(shown, OURS.get(name, set()))]
    return [f"{name}:{shown.lineno}: {ast.get_source_segment(text, shown)}" for shown in found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_displayed_text_is_ours_a_number_or_escaped(path: Path):
    found = unescaped(path.read_text(), str(path.relative_to(ROOT)))
    assert not found, "wrap what came from outside in ui.shell.escaping.plain"


@pytest.mark.parametrize(
    "line",
    [
        "st.error(str(problem))",
        "st.caption(f'**{entry.title}**')",
        "st.button(name)",
        "st.button('Go', help=entry.credit)",
        "st.radio('One', names)",
        "st.image(picture, caption=key)",
        "st.progress(0.5, text=job.title)",
        "st.markdown('a' + key)",
        "st.metric('Model', model)",
        "st.caption(', '.join(names))",
        "st.expander(f'{name:>20}')",
    ],
)
def test_unescaped_text_is_detected(line):
    assert unescaped(line, "x.py")


def test_escaped_text_is_displayed_literally():
    line = plain(HOSTILE)
    assert re.sub(r"\\([^\w\s])", r"\1", line).replace("\u2060", "") == HOSTILE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gsd_m < 1 AND centre_lat > 5", r"gsd_m \< 1 AND centre_lat > 5"),
        ("# heading", r"\# heading"),
        ("> quotation", r"\> quotation"),
        ("- item", r"\- item"),
        ("1. item", "1\u2060. item"),
        ("a\n\n    code\n\n# b", "a code # b"),
        ("_it_", r"\_it\_"),
        ("a_b", "a_b"),
        ("left\u202egpj.exe", "leftgpj.exe"),
        ("http://x.y", "http\u2060\\://x.y".replace("\\", "")),
        (12, "12"),
        ("a | b ~~c~~", r"a \| b \~\~c\~\~"),
        ("::name", r"\::name"),
    ],
)
def test_markdown_syntax_is_escaped(text, shown):
    assert plain(text).replace("\\:", ":") == shown.replace("\\:", ":")
