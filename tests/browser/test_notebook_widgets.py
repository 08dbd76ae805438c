"""The widgets of notebooks, given a model as anywidget gives it, without a notebook around them."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from playwright.sync_api import Page, expect

pytest.importorskip("anywidget")

from core import GlobeView
from core.atlas import EmbeddingTable, make_rows
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

# JupyterLab renders a widget into a node without a size, and shows it later.
RENDER_THEN_SHOW = """async ([code, state, binary]) => {
    const module = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    const traits = { data: JSON.parse(state) };
    for (const [name, text] of Object.entries(binary)) traits[name] = bytes(text);
    const model = { get: (name) => traits[name], set() {}, save_changes() {}, on() {}, off() {} };
    const el = document.createElement("div");
    module.default.render({ model, el });
    document.body.replaceChildren(el);
}"""


def test_a_globe_rendered_before_it_is_shown_has_its_points(page: Page, component_url: str) -> None:
    places = {"centre_lon": np.linspace(-40, 60, 60), "centre_lat": np.linspace(-50, 60, 60)}
    vectors = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    view = GlobeView(EmbeddingTable.from_rows(make_rows(vectors, places)))
    code = (ROOT / "core" / "notebook" / "assets" / "linked_globe.js").read_text(encoding="utf-8")
    binary = {name: base64.b64encode(getattr(view, name)).decode() for name in ("points", "colours")}
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if "globe" in message.text else None)
    page.goto(component_url)
    page.evaluate(RENDER_THEN_SHOW, [code, json.dumps(view.data), binary])
    expect(page.locator(".counted")).to_have_text("60 points")
    page.wait_for_function("performance.getEntriesByName('linked-globe:highlight').length > 0")
    assert not errors
