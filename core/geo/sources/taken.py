"""The acquisition time of a raster, from its tags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

WHEN_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITIONDATE",
    "DATEACQUIRED",
    "SENSINGTIME",
    "EXIFDATETIMEORIGINAL",
    "DATETIMEORIGINAL",
    "TIFFTAGDATETIME",
)
"""Tags with the acquisition time, most reliable first, in capitals without separators."""


def when_taken(tags: Mapping[str, str]) -> str:
    """Return the acquisition time in ISO 8601 from tags in that form or as "2015:07:14 00:00:00".

    The result is empty if the time is unknown.
    """
    plain = {re.sub(r"[^A-Z]", "", name.upper()): str(value).strip() for name, value in tags.items()}
    for name in WHEN_TAGS:
        text = re.sub(r"^(\d{4})[:/](\d\d)[:/](\d\d)", r"\1-\2-\3", plain.get(name, ""))
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            continue
        if time.year > 1900:  # missing dates are often written as zeros
            return time.isoformat()
    return ""
