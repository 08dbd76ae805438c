"""Compare two pictures of one place by wiping, flipping or fading."""

from __future__ import annotations

from typing import Literal

from .picture import picture_url
from .registered import renderer


def compare(
    left: bytes | str,
    right: bytes | str,
    *,
    left_label: str = "Truth",
    right_label: str = "Prediction",
    mode: Literal["wipe", "flip", "opacity"] = "wipe",
    value_range: tuple[float, float] = (0.0, 255.0),
    digits: int = 0,
    max_width_px: int = 560,
    key: str = "compare",
) -> None:
    """Show two pictures of one size on top of each other; a probe reads both under the pointer.

    left, right: PNG or JPEG bytes, a data URL or a path on this server. mode: how it starts; the reader may
    switch. value_range: what grey levels 0 and 255 stand for in the probe; digits: decimals shown there.
    """
    renderer("compare")(
        key=key,
        data={
            "left": picture_url(left),
            "right": picture_url(right),
            "leftLabel": left_label,
            "rightLabel": right_label,
            "mode": mode,
            "range": list(value_range),
            "digits": digits,
            "maxWidth": max_width_px,
        },
    )
