"""The stylesheet is in the page's head, colours have contrast, pictures and headings are accessible."""

import ast
import re
import tomllib

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import config

from core.viz.theme import CODE_COLOURS, ON_PRIMARY, QUIET_TEXT, WARNING_TEXT
from tests.conftest import ROOT
from ui.shell.style import BASE, STYLE, StyledHead

THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
SOURCES = [
    ROOT / "app.py",
    *(path for folder in ("ui", "pages") for path in sorted((ROOT / folder).rglob("*.py"))),
]
PAGE = f"<html><head><title>x</title></head><body>{'text ' * 400}</body></html>"


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("side", "base"), enumerate(("light", "dark")))
def test_text_colours_have_sufficient_contrast(side, base):
    theme = THEME[base]
    backgrounds = [theme["backgroundColor"], theme["secondaryBackgroundColor"], *theme["sidebar"].values()]
    texts = [
        theme["textColor"],
        QUIET_TEXT[side],
        WARNING_TEXT[side],
        *(pair[side] for pair in CODE_COLOURS.values()),
    ]
    assert [(text, ground) for text in texts for ground in backgrounds if contrast(text, ground) < 4.5] == []
    assert contrast(ON_PRIMARY[side], theme["primaryColor"]) >= 4.5
    assert contrast(theme["primaryColor"], theme["backgroundColor"]) >= 4.5


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/page", lambda _: HTMLResponse(PAGE, headers={"ETag": '"1"'})),
        Route("/text", lambda _: PlainTextResponse("</head>")),
    ]
    return TestClient(
        Starlette(
            routes=routes, middleware=[Middleware(StyledHead), Middleware(GZipMiddleware, minimum_size=1)]
        )
    )


def test_head_of_a_page_contains_the_stylesheet(client):
    answer = client.get("/page", headers={"Accept": "text/html"})
    script = BASE.format(path='"/"')
    assert answer.text == PAGE.replace("</head>", f"{STYLE}{script}</head>")
    assert int(answer.headers["content-length"]) == len(answer.content) and "etag" not in answer.headers


def test_the_address_of_the_server_includes_its_base_path(monkeypatch):
    option = config.get_option
    monkeypatch.setattr(
        config, "get_option", lambda name: "/maps/" if name == "server.baseUrlPath" else option(name)
    )
    app = Starlette(
        routes=[Route("/page", lambda _: HTMLResponse(PAGE))], middleware=[Middleware(StyledHead)]
    )
    assert 'location.origin + "/maps" }' in TestClient(app).get("/page").text


def test_other_responses_are_unchanged(client):
    assert client.get("/text").text == "</head>"
    assert client.get("/page", headers={"Accept": "*/*"}).text == PAGE, (
        "compressed: not requested by a browser"
    )
    assert client.get("/nothing").status_code == 404


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == name
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_pictures_have_names_and_headings_skip_no_level(path):
    tree = ast.parse(path.read_text())
    assert [
        call.lineno for call in calls(tree, "image") if not any(k.arg == "alt" for k in call.keywords)
    ] == [], "st.image without alt"
    assert re.findall(r'markdown\(f?"(#{3,}|# )', path.read_text()) == [], (
        "a section is headed by ##: the title is the page's only h1"
    )
