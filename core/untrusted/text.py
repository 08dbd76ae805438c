"""Untrusted TOML and JSON, parsed to plain values of limited size."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from ..errors import ExplorerError
from .process import Limits, call

MAX_BYTES = 128 * 2**10
"""A recipe has about 1 kB, a training spec 2 kB, a complete result 20 kB."""
MAX_DEPTH, MAX_VALUES = 16, 20_000
_LIMITS = Limits(cpu_s=4.0, wall_s=30.0, memory_mb=256, answer_mb=16)


def parse(content: bytes | str, name: str, kind: str, error: type[ExplorerError]) -> Any:
    """Parse a text of `kind` "toml" or "json". Raises `error` if it is too large, too deep or malformed."""
    data = content.encode(errors="replace") if isinstance(content, str) else content
    if len(data) > MAX_BYTES:
        raise error(f"'{name}' is larger than {MAX_BYTES // 2**10} kB: use the file that this program wrote.")
    return call(parsed, data, name, kind, name=name, error=error, limits=_LIMITS)


def parsed(data: bytes, name: str, kind: str) -> Any:
    """Parse a text; for the child process."""
    try:
        plain = json.loads(data.decode()) if kind == "json" else tomllib.loads(data.decode())
        _count(plain)
    except (ValueError, RecursionError) as problem:
        why = str(problem) if len(str(problem)) < 200 else type(problem).__name__
        raise ExplorerError(
            f"'{name}' is not valid {kind.upper()} ({why}): correct it, or export it again."
        ) from None
    return plain


def _count(plain: Any) -> None:
    """Check the values. Raises ValueError if there are too many, too deep, or of an unsupported type."""
    waiting, found = [(plain, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        found += 1
        if depth > MAX_DEPTH or found > MAX_VALUES:
            raise ValueError(
                "too many values" if found > MAX_VALUES else f"more than {MAX_DEPTH} nested levels"
            )
        if isinstance(value, dict | list):
            waiting += [(each, depth + 1) for each in (value.values() if isinstance(value, dict) else value)]
        elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
            raise ValueError("an integer of more than 64 bits")
        elif value is not None and not isinstance(value, str | int | float):
            raise ValueError(f"{type(value).__name__} is not supported")
