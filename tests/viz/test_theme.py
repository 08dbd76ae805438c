"""Colours that must be distinguishable."""

import re
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.viz import theme
from core.viz.maps import scale_bar
from core.viz.pictures import heat
from core.viz.theme import CLASSES, ERROR, UNKNOWN, colour_map, rgb

EYES = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""What an eye makes of linear red, green and blue (Machado, Oliveira and Fernandes 2009, severity 1)."""


def lab(colours, eye):
    """Colours (n, 3) in CIELAB as an eye sees them."""
    rgb = np.array([[int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)] for text in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(EYES[eye])
    seen = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(1e-9, 1) ** (1 / 2.4) - 0.055
    ).clip(0, 1)
    return cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


@pytest.mark.parametrize("eye", EYES)
def test_any_two_classes_can_be_distinguished_by_any_eye(eye):
    seen = lab(CLASSES, eye)
    apart = {
        (CLASSES[a], CLASSES[b]): float(np.linalg.norm(seen[a] - seen[b]))
        for a, b in combinations(range(len(CLASSES)), 2)
    }
    closest = min(apart, key=apart.__getitem__)
    assert apart[closest] > 15, f"{closest} are {apart[closest]:.1f} apart"


def test_what_is_unknown_looks_like_no_class():
    assert np.linalg.norm(lab(CLASSES, "usual") - lab([UNKNOWN], "usual"), axis=1).min() > 15


def test_the_theme_alone_holds_colours():
    """Builders take colours by name, so that the error maps and their legend cannot differ."""
    literal = re.compile(r"#[0-9a-fA-F]{6}\b|rgba?\(\d|COLORMAP|\(255, 255, 255|cmap=")
    folder = Path(theme.__file__).parent
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(folder.glob("*.py"))
        if path.name != "theme.py"
        for line in path.read_text().splitlines()
        if literal.search(line)
    ]
    assert not found


def test_error_maps_and_their_legend_share_their_colours():
    colours = heat(np.array([[0.0, 0.5, 1.0, 2.0]]), 1.0)[0].tolist()
    anchors = colour_map(ERROR, 9)
    assert [tuple(pixel) for pixel in (colours[0], colours[2], colours[3])] == [
        rgb(anchors[at]) for at in (0, 8, 8)
    ]
    assert np.abs(np.array(colours[1]) - rgb(anchors[4])).max() <= 1
    assert all(colour in scale_bar(1.0, "error") for colour in anchors)
