"""MkDocs hooks: write the help of every verb into the page on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "<!-- help -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the placeholder of docs/reference/cli.md by a section for each verb."""
    return markdown.replace(PLACEHOLDER, help_of_verbs()) if PLACEHOLDER in markdown else markdown


def help_of_verbs() -> str:
    """Give the help of every verb as Markdown."""
    sys.path.insert(0, str(ROOT))
    from core.cli.entry import build_parser

    os.environ["COLUMNS"] = "100"  # argparse wraps at the width of the terminal
    actions = build_parser()._actions
    verbs = next(action for action in actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(
        f"## {name}\n\n```text\n{parser.format_help().strip()}\n```" for name, parser in verbs.choices.items()
    )
