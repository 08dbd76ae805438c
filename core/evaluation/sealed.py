"""JSON records that carry their own checksum, so that a damaged one is never taken for another number."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SEAL = "sha256"


def seal(plain: dict[str, Any]) -> dict[str, Any]:
    """Give a record with the SHA-256 of everything in it, whatever the order of its names."""
    written = json.loads(json.dumps(plain))  # as it will be read: tuples are lists then, and names are text
    return {**written, SEAL: _digest(written)}


def unseal(record: Any) -> dict[str, Any]:
    """Give a record without its checksum. Raises ValueError for one that lacks it or does not match it."""
    if not isinstance(record, dict) or SEAL not in record:
        raise ValueError("it carries no checksum")
    plain = {str(name): value for name, value in record.items() if name != SEAL}
    if record[SEAL] != _digest(plain):
        raise ValueError("its checksum does not match, so the file is damaged or was edited")
    return plain


def _digest(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
