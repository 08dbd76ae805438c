"""The pages' stylesheet: readable contrast, and space reserved for content that is still loading.

The server puts it into the page's head (`StyledHead`), so that it applies to the first thing that is drawn.
`page` adds it too, for `streamlit run app.py`, where Streamlit sends the page itself.
"""

from __future__ import annotations

import json

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config

from core.viz.theme import CODE_COLOURS, ON_PRIMARY, QUIET_TEXT, WARNING_TEXT, by_theme

CONTROLS = "controls"
"""Anchor of the controls, to which a link leads past the pictures on a narrow screen."""
DRAWN = "page-drawn"
"""Marks a page whose first run has ended."""
FOLLOWED = "followed"
"""The key of a container that updates itself: its contents do not fade while an update is being computed."""
PAINTER_ROOM = "painter-room"
"""The key of a container for a painter, which keeps its height free before it loads."""
GROUP = "control-group"
"""Class of the title above a group of controls."""
LOUPE = "loupe-room"
"""The key of a container for the loupe's toolbar, which keeps its height free before it loads."""
STRIP, DOORS = "strip", "doors"
"""Keys of containers whose cards are links as a whole."""
MAPS_AND_PANEL = "maps-and-panel"
"""The key of the container with the Globe's two columns, maps and panel."""
PANEL = "panel"
"""The key of the container beside the Globe's maps, in which the open panel is drawn."""
NARROW_PX, SIDEBAR_PX, SIDEBAR_FROM_PX = 640, 240, 769
"""Up to NARROW_PX Streamlit stacks columns; from SIDEBAR_FROM_PX its sidebar is beside the page."""
BESIDE_FROM_PX, PANEL_COLUMNS_PX = 1360, 600
"""From BESIDE_FROM_PX the Globe's panel is beside its maps; a panel narrower than PANEL_COLUMNS_PX
has at most two columns of its own, and stacks them unless both are about as wide."""

_QUIET, _ON_PRIMARY, _CODE = by_theme(QUIET_TEXT), by_theme(ON_PRIMARY), by_theme(CODE_COLOURS["plain"])
_CONTRAST = f"""
[data-testid=stCaptionContainer], [data-testid=stCaptionContainer] > * {{ opacity: 1; color: {_QUIET} }}
[data-testid=stCaptionContainer] .stMarkdownColoredText {{ color: {by_theme(WARNING_TEXT)} !important }}
[data-testid=stExpandSidebarButton] span, [data-testid=stSidebarCollapseButton] span {{
  color: {_QUIET} !important }}
[data-testid^=stBaseButton-primary], [data-testid^=stBaseButton-primary] *,
[data-testid=stMultiSelect] [data-tag], [data-testid=stMultiSelect] [data-tag] * {{
  color: {_ON_PRIMARY} !important }}
.js-plotly-plot .main-svg text:not([style*="fill: rgb(255, 255, 255)"]) {{ fill: {_QUIET} !important }}
[data-testid^=stBaseButton-secondary] kbd {{ opacity: 1; color: {_QUIET} !important }}
[data-testid=stCode] code, [data-testid=stCode] code span, [data-testid=stJson] * {{
  color: {_CODE} !important }}
""" + "".join(
    f"[data-testid=stCode] code span.token:is({tokens}) {{ color: {by_theme(CODE_COLOURS[kind])} !important "
    "}}\n"
    for kind, tokens in {
        "keyword": ".keyword,.operator,.function,.builtin,.decorator,.parameter",
        "string": ".string,.triple-quoted-string,.string-interpolation",
        "number": ".number,.boolean",
        "comment": ".comment,.punctuation",
    }.items()
)

_CARDS = f"""
.st-key-{STRIP} {{ overflow-x: auto; flex-wrap: nowrap !important; padding-bottom: .4rem }}
.st-key-{STRIP} > div {{ flex: none }}
.st-key-{STRIP} [class*=st-key-{STRIP}-] {{ position: relative; gap: .3rem }}
.st-key-{STRIP} img {{ aspect-ratio: 1; object-fit: cover; border-radius: 8px }}
.st-key-{STRIP} button {{
  padding: 0; min-height: 2.4rem; align-items: start; justify-content: start; text-align: left }}
.st-key-{STRIP} button p {{ font-size: .8rem; line-height: 1.25 }}
.st-key-{STRIP} [data-testid=stElementToolbar] {{ display: none }}
:is(.st-key-{STRIP}, .st-key-{DOORS}) [data-testid=stElementContainer] {{ position: static }}
.st-key-{STRIP} button::after, .st-key-{DOORS} a::after {{ content: ""; position: absolute; inset: 0 }}
.st-key-{DOORS} [data-testid=stColumn] [data-testid=stVerticalBlock] {{ position: relative }}
.st-key-{DOORS} [data-testid=stVerticalBlock]:has(> [data-testid=stElementContainer] a:hover) {{
  border-color: var(--st-primary-color) }}
"""

_PICTURES = f"""
.{GROUP} {{ font-size: .8rem; font-weight: 600; color: {_QUIET}; text-transform: uppercase;
  letter-spacing: .04em; border-bottom: 1px solid var(--st-border-color); padding-bottom: .2rem }}
.st-key-{LOUPE} {{ min-height: 36px }}
html[data-pictures=even] .sheet:has(> div + div) {{
  display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(max(138px, 21%), 1fr)) }}
html[data-pictures=even] .sheet > div:has(~ div), html[data-pictures=even] .sheet > div ~ div {{
  display: contents !important }}
"""
"""The layout that the loupe's toolbar chooses: a row of large pictures above smaller ones, or all alike."""

_GLOBE_COLUMN = (
    f".st-key-{MAPS_AND_PANEL} > [data-testid=stLayoutWrapper] > [data-testid=stHorizontalBlock] > "
    "[data-testid=stColumn]"
)
_COLUMNS = f"""
.st-key-{PANEL} {{ container-type: inline-size }}
@container (max-width: {PANEL_COLUMNS_PX}px) {{
  .st-key-{PANEL} [data-testid=stColumn] {{ min-width: 46% }}
  .st-key-{PANEL} [data-testid=stHorizontalBlock] {{ row-gap: 1rem }} }}
.st-key-{PANEL} [role=tablist] {{ flex-wrap: wrap; row-gap: 0 }}
@media (max-width: {BESIDE_FROM_PX - 1}px) {{
  {_GLOBE_COLUMN} {{ min-width: 100% }} }}
@media (min-width: {BESIDE_FROM_PX}px) {{
  {_GLOBE_COLUMN}:first-child {{ position: sticky; top: 1rem; align-self: flex-start }} }}
"""
"""The maps stay in view while a long panel scrolls past them."""

_BELOW_LOADING = "[data-testid]:has([data-testid=stSkeleton]) ~ [data-testid]"
_SPACE = f"""
[data-testid=stHeading] h1 {{ font-size: 2rem; padding: .8rem 0 .2rem }}
[data-testid=stMainBlockContainer][data-testid=stMainBlockContainer] {{
  max-width: none; width: 100%; padding: 2.6rem 1rem 3rem }}
@media (min-width: {NARROW_PX + 1}px) {{
  [data-testid=stMainBlockContainer][data-testid=stMainBlockContainer] {{
    padding-left: 2.2rem; padding-right: 2.2rem }}
  [data-testid=stElementContainer]:has(a[href$='#{CONTROLS}'], #{CONTROLS}) {{ display: none }}
}}
[data-testid=stCode] :is(pre, code) {{ white-space: pre-wrap !important; overflow-wrap: anywhere }}
[data-testid=stAppSkeleton] {{ visibility: hidden }}
[data-testid=stMultiSelectTagsContainer] input {{ min-width: 2rem !important }}
@media (min-width: {SIDEBAR_FROM_PX}px) {{
  [data-testid=stAppViewContainer] > :not([data-testid=stSidebar], [data-testid=stSidebar] ~ *) {{
    margin-left: {SIDEBAR_PX}px }}
}}
.st-key-{FOLLOWED} [data-stale=true] {{ opacity: 1 }}
.st-key-globe {{ min-height: 592px }}
@media (max-width: {NARROW_PX}px) {{
  .st-key-globe {{ min-height: 850px }}
  .st-key-{PAINTER_ROOM} {{ min-height: calc(100vw - 2rem + 112px) }}
}}
{_BELOW_LOADING}, {_BELOW_LOADING} :not(svg *) {{ visibility: hidden !important }}
@media (max-width: {NARROW_PX}px) {{
  .stApp:not(:has(.{DRAWN})) [data-testid=stColumn] ~ [data-testid=stColumn],
  .stApp:not(:has(.{DRAWN})) [data-testid=stColumn] ~ [data-testid=stColumn] :not(svg *) {{
    visibility: hidden !important }}
}}
"""
"""Elements below one that the browser is still loading stay hidden until that one has its final height. On a
narrow screen, columns stacked below another one stay hidden until the page's first run has ended. The rules
name descendants too, because Streamlit makes captions visible by a rule of their own.

`:has` is expensive where a browser has to evaluate it for each new element. Plotly adds one for every text
that it measures, and waits for the layout; rules that such elements could match froze Evaluate for eight
seconds. So what surrounds `:has` names attributes, and the elements of a chart are left out.

The field of a multiselect is as wide with focus as without: in a narrow column it would take a line of its
own, and a button below would move away while it is clicked, which loses the click.
"""

STYLE = f"<style>{_CONTRAST}{_CARDS}{_PICTURES}{_COLUMNS}{_SPACE}</style>"
BASE = "<script>window.__streamlit = {{ BACKEND_BASE_URL: location.origin + {path} }}</script>"
"""Tells Streamlit's client where the server is: it would first try below the path of the page, two 404s."""


class StyledHead:
    """ASGI middleware that adds the stylesheet and the server's address to the head of every HTML page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        path = "/" + str(config.get_option("server.baseUrlPath") or "").strip("/")
        self._head = (STYLE + BASE.format(path=json.dumps(path).replace("<", r"\u003c"))).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward everything; hold back an HTML response until it is complete."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        if b"text/html" in dict(scope["headers"]).get(b"accept", b""):  # a compressed page cannot be changed
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}
        start: Message | None = None
        body = b""

        async def styled(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                plain = message["status"] == 200 and "content-encoding" not in headers
                if plain and headers.get("content-type", "").startswith("text/html"):
                    start = message
                    return
            elif start is not None and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = body.replace(b"</head>", self._head + b"</head>", 1)
                headers = MutableHeaders(raw=start["headers"])
                headers["content-length"] = str(len(body))
                for name in ("etag", "last-modified"):  # they name the file without the stylesheet
                    del headers[name]
                await send(start)
                await send({"type": "http.response.body", "body": body})
                return
            await send(message)

        await self._app(scope, receive, styled)
