"""The only module that uses Streamlit's session state and the address bar; keeps the view in both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile as Uploaded

from core.geo import TileRef
from core.session import PageView, Restored, ignored_parameter, view_from_params
from ui.shell import routes

T = TypeVar("T")

GLOBE_PARAMS = frozenset(
    {"table", "rows", "by", "cam", "area", "place", "land", "labels", "with", "search", "groups"}
)
JOBS = "jobs"
OTHER_PARAMS = frozenset({"tab", JOBS, "embed", "embed_options"}) | GLOBE_PARAMS
"""URL parameters that are not part of the view: the open tab, the key of background jobs, Streamlit's own,
and those of the Globe page (`ui/globe/globe_state.py`)."""

RENAMED_TABS = {
    "Judge": "Errors",
    "Many masks": "Uncertainty (Monte Carlo)",
    "More and more hidden": "Masking-ratio sweep",
    "Take away": "Export",
    "Response to res": "Sensitivity to the scale input",
}
"""The present names of tabs in older links."""

_VIEW, _WRITTEN, _PAGE, _WIDGETS = "the view", "the view in the address bar", "the page", "w:"
_IGNORED, _IGNORED_FOR = "ignored parts of the link", "the view that the link gave"
_ALWAYS_READ = frozenset({"embed", "embed_options", JOBS})


def session_id() -> str:
    """The id of this browser tab's session."""
    context = get_script_run_ctx()
    return context.session_id if context else "none"


def cookie() -> str | None:
    """The XSRF cookie that identifies this user's browser, if Streamlit set one."""
    return st.context.cookies.get("_streamlit_xsrf")


def upload_limit_mb() -> int:
    """The largest file that this server accepts, in MB (`server.maxUploadSize`)."""
    return int(st.get_option("server.maxUploadSize"))


def release(file: Uploaded) -> None:
    """Free an uploaded file's memory before its session ends."""
    context = get_script_run_ctx()
    if context is not None:
        manager: Any = context.uploaded_file_mgr
        with suppress(AttributeError):  # upload managers other than Streamlit's own keep it until then
            manager.remove_file(context.session_id, file.file_id)
    file.close()


def recall(name: str, default: T) -> T:
    """A value that this session stored under a name, or the default."""
    return st.session_state.get(name, default)


def end_if_replaced() -> None:
    """End this script run if the user has changed something since it began: reading the state does so."""
    _ = "anything" in st.session_state


def keep(name: str, value: object) -> None:
    """Store a value for this session."""
    st.session_state[name] = value


def widget(name: str, value: object) -> str:
    """The key of a widget; sets its initial value when it is new on the page.

    A value that the browser has not confirmed yet is set again: an interrupted run may never have reached the
    browser, and the widget would then show and report its minimum.
    """
    key = _WIDGETS + name
    if key not in st.session_state:
        st.session_state[key] = value
    elif not _is_confirmed(key):
        st.session_state[key] = st.session_state[key]
    return key


def _is_confirmed(key: str) -> bool:
    """Whether the browser sent this widget's value with the request for this run.

    Streamlit has no public API for this.
    """
    context = get_script_run_ctx()
    with suppress(AttributeError):
        widgets: Any = context.session_state._state  # pyright: ignore[reportOptionalMemberAccess]
        return widgets._key_id_mapper.get_id_from_key(key, None) in widgets._new_widget_state.states
    return True


def set_widget(name: str, value: object) -> None:
    """Set a widget that this run has not drawn yet (from a callback, or earlier in the script)."""
    st.session_state[_WIDGETS + name] = value


def open_tab(name: str) -> None:
    """Open a tab of this page in the next run (from a callback, or before the tabs are drawn)."""
    st.session_state["tab"] = name


def widget_value(name: str, default: T) -> T:
    """The value of a widget further down the page; `default` before it is first drawn."""
    return st.session_state.get(_WIDGETS + name, default)


def forget_widgets() -> None:
    """Reset every widget to the view."""
    for key in [key for key in st.session_state if str(key).startswith(_WIDGETS)]:
        del st.session_state[key]


def start_page(page: str) -> None:
    """Start a run of a page; reset the widgets if the user comes from another page.

    Streamlit treats widgets with one key on two pages as different: the second would start at its minimum.
    """
    if recall(_PAGE, page) != page:
        forget_widgets()
        keep(_IGNORED, ())
    keep(_PAGE, page)


def follows_address(written: object) -> bool:
    """Whether this run must follow the address: the first run (link, reload), and after back or forward.

    In all other runs the session state is newer: a click that comes before the browser has received the last
    written address still sends the one before.
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
    """The view of this run: from the address if that is new (link, reload, back), else the last one.

    Warnings about ignored parts of the link stay until the view changes. unused: parameters that this page
    does not use. tabs: the page's tabs, to check the link's tab. closed: returns why this user may not see a
    picture, or "".
    """
    _rename_tab()
    foreign = _foreign_params()
    params = {name: value for name, value in st.query_params.items() if name not in foreign}
    kept: PageView | None = st.session_state.get(_VIEW)
    written: dict[str, str] | None = st.session_state.get(_WRITTEN)
    if not follows_address(written) or params == written:
        return Restored(_without(kept or default, unused), recall(_IGNORED, ()))
    restored = Restored(_without(kept or default, unused))
    if params:
        forget_widgets()
        restored = view_from_params(
            params,
            default,
            models=models,
            sources=sources,
            weights=weights,
            others=foreign,
            unused=unused,
            closed=closed,
        )
        keep(_VIEW, restored.view)
        keep(_WRITTEN, params)  # read once, so that a click during a long first run is not undone
    ignored = (*restored.ignored, *_ignored_tab(tabs))
    keep(_IGNORED, ignored)
    keep(_IGNORED_FOR, None)
    return Restored(restored.view, ignored)


def _foreign_params() -> frozenset[str]:
    """Parameters that are not the view's on this page; only the Globe page has its own."""
    return OTHER_PARAMS if recall(_PAGE, "") == "Globe" else OTHER_PARAMS - GLOBE_PARAMS


def _without(kept: PageView, unused: Collection[str]) -> PageView:
    """The view without a selection, for pages that do not use it."""
    return replace(kept, selection="") if "sel" in unused else kept


def _rename_tab() -> None:
    """Let an older link open the tab that it names, under its present name.

    The tabs take their first value from the address as the browser sent it, and only a value in the session
    state comes before that.
    """
    if (name := RENAMED_TABS.get(st.query_params.get("tab", ""))) is None:
        return
    with suppress(StreamlitAPIException):  # once the tabs are drawn, they write the parameter themselves
        if follows_address(st.session_state.get(_WRITTEN)):
            st.session_state["tab"] = name
        st.query_params["tab"] = name


def _ignored_tab(tabs: Collection[str]) -> tuple[str, ...]:
    tab = st.query_params.get("tab", "")
    return (
        (f'The "tab" of the link was ignored: this page has no tab called {tab:.40}.',)
        if tab and tab not in tabs
        else ()
    )


def ignored_parameters() -> tuple[str, ...]:
    """A sentence for each URL parameter, for pages that read none."""
    return tuple(ignored_parameter(name) for name in st.query_params if name not in _ALWAYS_READ)


def publish(shown: PageView) -> None:
    """Store the view and write it to the address bar, from which it can be copied, reloaded and shared."""
    params = shown.to_params()
    foreign = _foreign_params()
    now = {name: value for name, value in st.query_params.items() if name not in foreign}
    for name in now.keys() - params.keys():
        del st.query_params[name]
    # the second condition: the browser may have sent this address before it received the last one
    if now != params or recall(_WRITTEN, params) != params:
        st.query_params.update(
            params
        )  # without the open tab, which is bound to its widget: writing it raises
    keep(_VIEW, shown)
    keep(_WRITTEN, params)
    if recall(_IGNORED_FOR, None) not in (None, params):
        keep(_IGNORED, ())
    keep(_IGNORED_FOR, params)


def address_params(names: Iterable[str]) -> dict[str, str]:
    """The URL parameters with these names, which are not the view's."""
    return {name: st.query_params[name] for name in names if name in st.query_params}


def publish_params(
    names: Iterable[str], params: Mapping[str, str], *, written: Mapping[str, str] | None = None
) -> None:
    """Write a page's own parameters to the address bar: of `names`, set those in `params`, remove the others.

    `written` holds the parameters written last, if the page knows them: the browser may not have received
    them.
    """
    now = address_params(names)
    for name in now.keys() - params.keys():
        del st.query_params[name]
    if now != params or written not in (None, params):
        st.query_params.update(params)


def owner() -> str:
    """The key of this user's background jobs; "" before the first one.

    Under `make app` it is in a cookie, which no link contains (`ui/shell/guard.py`). Under plain `streamlit
    run app.py` only the address survives a reload, and whoever receives a copy of that address has the key
    too.
    """
    stored = st.context.cookies.get(routes.OWNER_COOKIE) if routes.has_routes() else st.query_params.get(JOBS)
    key = stored or recall(JOBS, "")
    keep(JOBS, key)
    return key


def set_owner(key: str) -> None:
    """Store a key for this user so that a reload finds the jobs again."""
    keep(JOBS, key)
    publish_params((JOBS,), {} if routes.has_routes() else {JOBS: key})


def how_to_return() -> str:
    """A sentence that says how users find their jobs and tables again."""
    if routes.has_routes():
        return "They are available in this browser; a link to this page does not share them."
    return "The page's address contains the key to them: keep it to come back, and share it with care."


def jump(to: PageView) -> None:
    """Show another view: start a new run with every widget reset to it."""
    forget_widgets()
    st.session_state[_VIEW] = to
    st.rerun()


def open_page(to: PageView, page: str) -> None:
    """Open another page with this view."""
    forget_widgets()
    st.session_state[_VIEW] = to
    st.switch_page(page)
