"""JSON records with a checksum, so that a damaged record is never read as a different result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SEAL = "sha256"


def seal(plain: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the SHA-256 of its content, independent of the order of keys."""
    as_read = json.loads(json.dumps(plain))  # as it will be read: with lists for tuples and text keys
    return {**as_read, SEAL: _digest(as_read)}


def unseal(record: Any) -> dict[str, Any]:
    """Return a record without its checksum. Raises ValueError if the checksum is missing or wrong."""
    if not isinstance(record, dict) or SEAL not in record:
        raise ValueError("it has no checksum")
    plain = {str(name): value for name, value in record.items() if name != SEAL}
    if record[SEAL] != _digest(plain):
        raise ValueError("its checksum does not match; the file is damaged or was edited")
    return plain


def _digest(plain: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
