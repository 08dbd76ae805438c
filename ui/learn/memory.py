"""What a browser remembers of lessons and tours.

It stays in that browser (localStorage); the server keeps nothing.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from streamlit.components.v2 import component

from ui.shell import state

MOST = 60
_WORD = re.compile(r"[a-z][a-z0-9_ -]{0,39}")
_HELD = "what the browser remembers"

SCRIPT = """
const KEY = "earth-mae-learn";
export default function ({ data, setStateValue }) {
  let kept = [];
  try { kept = JSON.parse(localStorage.getItem(KEY) ?? "[]"); } catch { kept = []; }
  if (!Array.isArray(kept)) kept = [];
  const all = data.forget ? [] : [...new Set([...kept, ...data.add])];
  try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { /* storage is switched off */ }
  const told = JSON.stringify(all);
  if (told !== data.known) setStateValue("kept", told);
}
"""


@cache
def _component() -> Any:
    return component("earth-mae-learn-memory", js=SCRIPT)


def remembered() -> frozenset[str]:
    """What this browser remembers, as far as this session was told: "done <lesson>", "no tour <lab>"."""
    return state.recall(_HELD, frozenset[str]())


def remember(word: str) -> None:
    """Remember a word in this browser."""
    state.keep(_HELD, remembered() | {word})


def forget() -> None:
    """Forget everything that this browser remembers."""
    state.keep(_HELD, frozenset[str]())
    state.keep("forget in browser", True)


def synchronise() -> bool:
    """Exchange with the browser, once a run; returns whether it remembered more than this session knew."""
    now = remembered()
    forgotten = state.recall("forget in browser", False)
    state.keep("forget in browser", False)
    result = _component()(
        key="learn-memory",
        data={"add": sorted(now), "known": json.dumps(sorted(now)), "forget": forgotten},
        on_kept_change=lambda: None,
    )
    reported = read(getattr(result, "kept", None))
    news = not forgotten and not reported <= now
    if news:
        state.keep(_HELD, now | reported)
    return news


def read(text: object) -> frozenset[str]:
    """Parse what a browser sent; whatever is not a short plain word is left out."""
    try:
        words = json.loads(text) if isinstance(text, str) and len(text) < 8000 else []
    except ValueError:
        words = []
    if not isinstance(words, list):
        return frozenset()
    return frozenset(word for word in words[:MOST] if isinstance(word, str) and _WORD.fullmatch(word))
