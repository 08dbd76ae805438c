"""Places that are worth seeing from space, and about where their middle lies."""

from __future__ import annotations

SIGHTS: dict[str, tuple[float, float]] = {
    "Okavango Delta, Botswana": (22.9, -19.3),
    "Namib Sand Sea, Namibia": (15.3, -24.5),
    "Lake Natron and the Rift Valley, Tanzania": (36.0, -2.4),
    "Nile Delta, Egypt": (31.0, 30.8),
    "Richat Structure, Mauritania": (-11.4, 21.1),
    "Sundarbans and the mouths of the Ganges, Bangladesh": (89.5, 22.2),
    "Kaibab Plateau and Grand Canyon, United States": (-112.1, 36.2),
    "Great Salt Lake, United States": (-112.6, 41.1),
    "Salar de Uyuni, Bolivia": (-67.5, -20.2),
    "Southern Patagonian Ice Field, Chile": (-73.4, -49.8),
    "Amazon at Manaus, Brazil": (-60.0, -3.1),
    "The Alps, Switzerland": (8.0, 46.5),
    "Vatnajökull, Iceland": (-16.8, 64.4),
    "Aral Sea, Kazakhstan": (59.5, 45.0),
    "Lake Baikal, Russia": (108.0, 53.5),
    "Mount Fuji and the bay of Tokyo, Japan": (139.2, 35.3),
    "Turpan Depression, China": (89.2, 42.8),
    "Great Barrier Reef, Australia": (147.7, -19.0),
    "Lake Eyre, Australia": (137.3, -28.5),
    "Southern Alps, New Zealand": (170.3, -43.6),
}
"""Longitude and latitude in degrees, by name."""
