"""The card for links: always of the size that previews show, whatever the table is called."""

import io

import numpy as np
import pytest
from PIL import Image

from core.viz.share_card import SIZE, share_card

RED = np.full((100, 200, 3), [250, 0, 0], np.uint8)
GREEN = np.full((100, 100, 3), [0, 250, 0], np.uint8)


@pytest.mark.parametrize("title", ["The world", "", "x" * 500, "北京 <b>"])
@pytest.mark.parametrize("globe", [RED, None])
def test_card_has_its_size_and_shows_the_maps(title, globe):
    card = np.asarray(Image.open(io.BytesIO(share_card(title, ["one", "two", "three"], globe, GREEN))))
    assert card.shape == (SIZE[1], SIZE[0], 3)
    assert ((card == [0, 250, 0]).all(axis=2)).sum() > 100_000
    assert bool((card == [250, 0, 0]).all(axis=2).any()) is (globe is not None)


def test_title_is_drawn():
    cards = [share_card(title, [], None, GREEN) for title in ("one", "other")]
    assert cards[0] != cards[1]
