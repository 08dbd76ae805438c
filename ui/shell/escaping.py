"""Text from outside, made safe to show: Streamlit renders labels, sentences and tooltips as Markdown, with pictures, links and directives."""

from __future__ import annotations

import re

_SYNTAX = re.compile(r"([\\`*\[\]<$~|{}]|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)|:(?=[A-Za-z:]))")
_AT_START = re.compile(r"^(\s*)([#>+\-=:]|\d+(?=[.)]))")
_LINK = re.compile(r"(?i)(https?|ftp|www|mailto|@)(?=[:.\w])")
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
JOINER = "\u2060"
"""Zero-width: after http, www and @ it keeps an address from becoming a link, which Markdown makes even of escaped text."""


def plain(text: object) -> str:
    """Escape what came from outside (a link, a file's name, a table's values, an error that quotes them) for any text that Streamlit shows.

    What is returned shows as the text itself, on one line: no picture, link, HTML, formula, icon or emphasis, and no character that reorders others.
    """
    line = " ".join(_INVISIBLE.sub("", str(text)).split())
    line = _LINK.sub(rf"\1{JOINER}", line)
    line = _SYNTAX.sub(r"\\\1", line)
    return _AT_START.sub(_escaped_start, line)


def _escaped_start(found: re.Match[str]) -> str:
    """Escape what would begin a heading, quotation, list or rule; of a number, the point after it does."""
    return f"{found[1]}{found[2]}{JOINER}" if found[2].isdigit() else f"{found[1]}\\{found[2]}"
