"""Specs from plain values: the decoded JSON of a file becomes a dataclass, every field checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ExplorerError

T = TypeVar("T")
MOST_BYTES = 2**20


def read_values(file: Path, error: type[ExplorerError]) -> dict[str, Any]:
    """Read a JSON object of at most 1 MB. Raises `error`, which names the file, for anything else."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise error(f"{file.name} is larger than {MOST_BYTES // 2**20} MB: it is not a spec.")
        values = json.loads(content)
    except OSError as problem:
        raise error(f"{file.name} cannot be read ({problem.strerror}): check the path.") from problem
    except (ValueError, RecursionError) as problem:
        raise error(f"{file.name} is not valid JSON: write it again.") from problem
    if not isinstance(values, dict):
        raise error(f"{file.name} must hold a JSON object.")
    return values


def spec_from_values(kind: type[T], values: object, error: type[ExplorerError], what: str = "spec") -> T:
    """Build a dataclass of plain values, also one that contains other dataclasses.

    Lists become tuples. Raises `error`, which names the field, for an unknown, missing or mistyped one; the
    constructor of the dataclass may raise its own errors for invalid values.
    """
    if not isinstance(values, Mapping):
        raise error(f"A {what} must be an object of fields and values; {values!r:.40} is not.")
    known = {field.name: field for field in fields(kind)}  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(map(str, values)) - set(known)):
        raise error(f"A {what} has no field {unknown[0]!r:.40}; its fields are {', '.join(known)}.")
    required = [n for n, field in known.items() if field.default is field.default_factory is MISSING]
    if missing := [name for name in required if name not in values]:
        raise error(f"The {what} lacks the field {missing[0]!r}: add it.")
    hints = get_type_hints(kind)
    plain: dict[str, Any] = {}
    for name, value in values.items():
        try:
            plain[name] = _converted(value, hints[name], error, name)
        except TypeError:
            raise error(f"The field {name!r} must be {known[name].type}; {value!r:.40} is not.") from None
    return kind(**plain)


def _converted(value: Any, hint: Any, error: type[ExplorerError], name: str) -> Any:
    """Return a value as a type hint wants it. Raises TypeError if it does not fit."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        return _converted(value, next(one for one in arguments if one is not type(None)), error, name)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_converted(item, arguments[0], error, name) for item in value)
    if is_dataclass(hint) and isinstance(hint, type):
        return spec_from_values(hint, value, error, name)
    if origin is Literal and value in arguments:
        return value
    accepted: Any = int | float if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise TypeError
    return value
