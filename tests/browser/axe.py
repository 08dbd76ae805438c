"""axe-core, which finds what keeps people out of a page, run in light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Sequence

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_until_rest

GROUNDS = {"light": re.compile(r"rgb\(2\d\d,"), "dark": re.compile(r"rgb\(\d\d?,")}
VARIANTS = tuple((scheme, width) for scheme in GROUNDS for width in (1400, 400))


STREAMLITS_OWN = ("presentation-role-conflict", "stFileUploaderDropzone")
"""Streamlit gives the area for dropped files a role without meaning, a label, and no stop for the keyboard;
the button in it has all three."""


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong, as rule, help and element."""
    found = Axe().run(page).response["violations"]
    wrong = [
        f"{rule['id']}: {rule['help']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]
    ]
    return [one for one in wrong if not all(word in one for word in STREAMLITS_OWN)]


def settled(page: Page) -> None:
    """Wait until the page rests after what was last done to it."""
    page.wait_for_timeout(200)
    wait_until_rest(page)


def in_variants(page: Page, variants: Sequence[tuple[str, int]] = VARIANTS) -> dict[str, list[str]]:
    """The violations in colour schemes and widths in CSS pixels."""
    found = {}
    page.mouse.move(0, 0)  # a control under the pointer is judged amid its fade
    for scheme, width in variants:
        page.emulate_media(color_scheme=scheme)  # pyright: ignore[reportArgumentType]
        page.set_viewport_size({"width": width, "height": 900})
        settled(page)
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", GROUNDS[scheme])
        found[f"{scheme} {width}"] = violations(page)
    return {variant: wrong for variant, wrong in found.items() if wrong}
