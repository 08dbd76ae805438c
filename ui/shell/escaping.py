"""Escape untrusted text: Streamlit renders labels, messages and tooltips as Markdown with links."""

from __future__ import annotations

import re

_SYNTAX = re.compile(r"([\\`*\[\]<$~|{}]|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)|:(?=[A-Za-z:]))")
_AT_START = re.compile(r"^(\s*)([#>+\-=:]|\d+(?=[.)]))")
_LINK = re.compile(r"(?i)(https?|ftp|www|mailto|@)(?=[:.\w])")
_INVISIBLE = re.compile(
    r"[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
JOINER = "\u2060"
"""Zero-width character that keeps http, www and @ in escaped text from becoming Markdown links."""


def plain(text: object) -> str:
    """Escape untrusted text (a link, file name, table value, or an error that quotes one) for Streamlit.

    The result is displayed literally on one line: no image, link, HTML, formula, icon or emphasis, and no
    character that reorders others.
    """
    line = " ".join(_INVISIBLE.sub("", str(text)).split())
    line = _LINK.sub(rf"\1{JOINER}", line)
    line = _SYNTAX.sub(r"\\\1", line)
    return _AT_START.sub(_escaped_start, line)


def _escaped_start(found: re.Match[str]) -> str:
    """Escape the start of a heading, quotation, list or rule; insert a joiner between number and period."""
    return f"{found[1]}{found[2]}{JOINER}" if found[2].isdigit() else f"{found[1]}\\{found[2]}"
