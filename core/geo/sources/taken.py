"""When a raster was taken, from the tags that it carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

WHEN_TAGS = (
    "ACQUISITIONDATETIME", "ACQUISITIONDATE", "DATEACQUIRED", "SENSINGTIME", "EXIFDATETIMEORIGINAL", "DATETIMEORIGINAL", "TIFFTAGDATETIME",
)  # fmt: skip
"""Tags that say when a raster was taken, the surest first, in capitals without what joins their words."""


def when_taken(tags: Mapping[str, str]) -> str:
    """Find in tags when a raster was taken, "2015:07:14 00:00:00" and ISO 8601 alike; gives ISO 8601, empty where no tag makes sense."""
    plain = {re.sub(r"[^A-Z]", "", name.upper()): str(value).strip() for name, value in tags.items()}
    for name in WHEN_TAGS:
        text = re.sub(r"^(\d{4})[:/](\d\d)[:/](\d\d)", r"\1-\2-\3", plain.get(name, ""))
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            continue
        if found.year > 1900:  # what writes no date at all often writes zeros
            return found.isoformat()
    return ""
