"""The only place that touches Streamlit's session state and the address bar: typed get and set, PageView to and from the URL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile as Uploaded

from core.geo import TileRef
from core.session import PageView, Restored, ignored_parameter, view_from_params
from ui.shell import routes

T = TypeVar("T")

GLOBE = frozenset({"table", "rows", "by", "cam", "area", "place", "labels", "with", "search", "groups"})
JOBS = "jobs"
OTHERS = frozenset({"tab", JOBS, "embed", "embed_options"}) | GLOBE
"""Parameters of the address that are not the view's: the open tab, Streamlit's own, those of the Globe page (`ui/globe/globe_state.py`), and
the key to what runs in the background (`ui/shell/jobs.py`)."""

_VIEW, _WRITTEN, _PAGE, _WIDGETS = "the view", "the view in the address bar", "the page", "w:"
_IGNORED, _IGNORED_FOR = "what the link says in vain", "the view that the link gave"
_READ_ANYWHERE = frozenset({"embed", "embed_options", JOBS})


def session_id() -> str:
    """Names this browser tab's session, in the queue before the device and wherever something belongs to one user."""
    context = get_script_run_ctx()
    return context.session_id if context else "none"


def cookie() -> str | None:
    """What this user's browser is known by, where Streamlit's XSRF protection gives it a cookie."""
    return st.context.cookies.get("_streamlit_xsrf")


def upload_limit_mb() -> int:
    """The most that this server takes in one file, in MB (`server.maxUploadSize`)."""
    return int(st.get_option("server.maxUploadSize"))


def release(file: Uploaded) -> None:
    """Give an uploaded file's memory back before its session ends."""
    context = get_script_run_ctx()
    with suppress(AttributeError):  # other upload managers than Streamlit's own keep it until then
        if context:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)  # pyright: ignore[reportAttributeAccessIssue]
    file.close()


def recall(name: str, default: T) -> T:
    """What this session kept under a name."""
    return st.session_state.get(name, default)


def keep(name: str, value: object) -> None:
    """Keep a value for this session."""
    st.session_state[name] = value


def widget(name: str, value: object) -> str:
    """Give a widget its key and, when it is new on the page, its first value.

    What the browser has not answered yet is told again: a run that another cut short may never have reached it, and it would show, and then
    answer, the least of its values.
    """
    key = _WIDGETS + name
    if key not in st.session_state:
        st.session_state[key] = value
    elif not _answered(key):
        st.session_state[key] = st.session_state[key]
    return key


def _answered(key: str) -> bool:
    """Whether the browser said this widget's value when it asked for this run; Streamlit itself knows, but does not tell."""
    context = get_script_run_ctx()
    with suppress(AttributeError):
        inside = context.session_state._state  # pyright: ignore[reportOptionalMemberAccess]
        return inside._key_id_mapper.get_id_from_key(key, None) in inside._new_widget_state.states
    return True


def set_widget(name: str, value: object) -> None:
    """Set a widget that is not on the page yet in this run (from a callback, or before it is drawn)."""
    st.session_state[_WIDGETS + name] = value


def said(name: str, default: T) -> T:
    """What a widget further down the page says in this run; `default` before it was ever drawn."""
    return st.session_state.get(_WIDGETS + name, default)


def forget_widgets() -> None:
    """Let every widget start from the view again."""
    for key in [key for key in st.session_state if str(key).startswith(_WIDGETS)]:
        del st.session_state[key]


def enter(page: str) -> None:
    """Begin a run of a page; on the way from another page its widgets are forgotten.

    Widgets of one key on two pages are two to Streamlit: the second would find the key taken, and begin at the least of its values.
    """
    if recall(_PAGE, page) != page:
        forget_widgets()
        keep(_IGNORED, ())
    keep(_PAGE, page)


def address_is_news(written: object) -> bool:
    """Tell whether this run is to follow the address: the first of a session (a link, a reload), and one where the browser went back or forward.

    In any other run this session knows better: whoever clicks before the browser heard the last address written says an older one.
    """
    context = get_script_run_ctx()
    return written is None or bool(context and context.is_history_navigation)


def view(
    default: PageView,
    *,
    models: set[str],
    sources: set[str],
    weights: Callable[[str], str | None],
    unused: Collection[str] = (),
    tabs: Collection[str] = (),
    closed: Callable[[TileRef], str] | None = None,
) -> Restored:
    """The view of this run: what the address says when it is news (a link, reload, back), else what this session last had.

    Sentences about what the link says in vain stay until the view changes. unused: parameters that this page has no use for.
    tabs: the page's tabs, to check the one that the link opens. closed: says why a picture is not for this user, "" where it is.
    """
    passed_over = _passed_over()
    asked = {name: value for name, value in st.query_params.items() if name not in passed_over}
    kept: PageView | None = st.session_state.get(_VIEW)
    written: dict[str, str] | None = st.session_state.get(_WRITTEN)
    if not address_is_news(written) or asked == written:
        return Restored(_without(kept or default, unused), recall(_IGNORED, ()))
    restored = Restored(_without(kept or default, unused))
    if asked:
        forget_widgets()
        restored = view_from_params(
            asked,
            default,
            models=models,
            sources=sources,
            weights=weights,
            others=passed_over,
            unused=unused,
            closed=closed,
        )
        keep(_VIEW, restored.view)
        keep(_WRITTEN, asked)  # heard once: a click during a long first run is not undone
    ignored = (*restored.ignored, *_ignored_tab(tabs))
    keep(_IGNORED, ignored)
    keep(_IGNORED_FOR, None)
    return Restored(restored.view, ignored)


def _passed_over() -> frozenset[str]:
    """Parameters that are not the view's on this page: only the Globe reads its own."""
    return OTHERS if recall(_PAGE, "") == "Globe" else OTHERS - GLOBE


def _without(kept: PageView, unused: Collection[str]) -> PageView:
    """The view for a page that has no use for another page's selection."""
    return replace(kept, selection="") if "sel" in unused else kept


def _ignored_tab(tabs: Collection[str]) -> tuple[str, ...]:
    tab = st.query_params.get("tab", "")
    return (
        (f'The "tab" of the link was left out: there is no tab called {tab:.40} here.',)
        if tab and tab not in tabs
        else ()
    )


def ignored_parameters() -> tuple[str, ...]:
    """A sentence for each parameter of the address, for pages that read none."""
    return tuple(ignored_parameter(name) for name in st.query_params if name not in _READ_ANYWHERE)


def publish(shown: PageView) -> None:
    """Remember the view and write it into the address bar, where it can be copied, reloaded and shared."""
    params = shown.to_params()
    passed_over = _passed_over()
    now = {name: value for name, value in st.query_params.items() if name not in passed_over}
    for name in now.keys() - params.keys():
        del st.query_params[name]
    if (
        now != params or recall(_WRITTEN, params) != params
    ):  # the browser may have heard of the last address only since it said this one
        st.query_params.update(
            params
        )  # never the open tab's: it is bound to its widget, and writing it raises
    keep(_VIEW, shown)
    keep(_WRITTEN, params)
    if recall(_IGNORED_FOR, None) not in (None, params):
        keep(_IGNORED, ())
    keep(_IGNORED_FOR, params)


def others(names: Iterable[str]) -> dict[str, str]:
    """What the address says under names that are not the view's."""
    return {name: st.query_params[name] for name in names if name in st.query_params}


def publish_others(
    names: Iterable[str], params: Mapping[str, str], *, written: Mapping[str, str] | None = None
) -> None:
    """Write a page's own parameters into the address bar: of `names`, those in `params` are set and the others removed.

    `written` is what was written last, where the page knows: the browser may not have heard of it yet when it says what is wanted already.
    """
    now = others(names)
    for name in now.keys() - params.keys():
        del st.query_params[name]
    if now != params or written not in (None, params):
        st.query_params.update(params)


def owner() -> str:
    """The key to this user's background jobs; "" before the first one.

    Our own server keeps it in a cookie that no link carries (`ui/shell/guard.py`). Under plain `streamlit run app.py` nothing but the address
    survives a reload, and whoever receives a copy of that address has the key too.
    """
    held = st.context.cookies.get(routes.OWNER_COOKIE) if routes.served() else st.query_params.get(JOBS)
    said = held or recall(JOBS, "")
    keep(JOBS, said)
    return said


def own(key: str) -> None:
    """Make a key this user's, and have a reload find the jobs again."""
    keep(JOBS, key)
    publish_others((JOBS,), {} if routes.served() else {JOBS: key})


def how_to_return() -> str:
    """What a user needs in order to find their jobs and tables again, in a sentence."""
    if routes.served():
        return "This browser finds them again; a link to this page does not give them to others."
    return "The address above holds the key to them: keep it if you want to come back, share it with care."


def jump(to: PageView) -> None:
    """Show another view from the start of a new run: every widget begins from it again."""
    forget_widgets()
    st.session_state[_VIEW] = to
    st.rerun()


def carry(to: PageView, page: str) -> None:
    """Open another page with this view."""
    forget_widgets()
    st.session_state[_VIEW] = to
    st.switch_page(page)
