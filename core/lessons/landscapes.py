"""Names of large landscapes, which the list of towns does not have, and about where their middle lies."""

from __future__ import annotations

LANDSCAPES: dict[str, tuple[float, float]] = {
    "amazon": (-62.0, -4.0),
    "antarctica": (20.0, -80.0),
    "arabian": (49.0, 22.0),
    "atacama": (-69.3, -24.0),
    "congo basin": (21.0, 0.0),
    "gobi": (104.0, 42.5),
    "great plains": (-100.0, 40.0),
    "great victoria": (128.0, -29.0),
    "greenland": (-41.0, 74.0),
    "kalahari": (22.0, -23.0),
    "karakum": (59.0, 39.5),
    "mojave": (-116.0, 35.0),
    "namib": (15.0, -23.5),
    "outback": (132.0, -25.0),
    "patagonia": (-69.0, -45.0),
    "pacific": (-150.0, 0.0),
    "sahara": (10.0, 23.0),
    "siberia": (105.0, 62.0),
    "sonoran": (-112.0, 32.0),
    "taklamakan": (83.0, 39.0),
    "thar": (71.0, 27.0),
    "tibet": (88.0, 32.0),
}
"""Longitude and latitude in degrees by a lower-case name, without words such as "desert"."""

WORDS = ("desert", "rainforest", "peninsula", "plateau", "ocean", "the", "australian")
"""Words around a name that are ignored."""


def landscape(text: str) -> tuple[str, float, float] | None:
    """Find a landscape by its name: label, longitude and latitude; None if it is not in the table."""
    name = " ".join(word for word in text.lower().split() if word not in WORDS)
    return (text.strip(), *LANDSCAPES[name]) if name in LANDSCAPES else None
