"""The mask painter on a view: what was painted, and the painter itself."""

from __future__ import annotations

from collections.abc import Callable

from core.engine.results import Reconstruction
from core.judge import alike
from core.masking import MaskSpec, make_mask
from core.session import PageView
from core.viz.pictures import stretch_of
from core.viz.sheet import jpeg
from ui.pickers import controls
from ui.shell import cached


def grid_of(view: PageView) -> int:
    """The number of patches along a side of the view's tile."""
    card = cached.card_of(view.model)
    return (view.tile.size_px or card.input_px) // card.patch_px


def painted_mask(
    view: PageView, key: str, shown: Callable[[], Reconstruction], similar_share: float
) -> MaskSpec | None:
    """The mask that was just painted, or None.

    A click with the dropper also hides the `similar_share` of patches that are most like the clicked one;
    `shown` gives the picture to compare them in.
    """
    from earth_mae_components import painted

    grid = grid_of(view)
    drawing = painted(grid, grid, key)
    if drawing is None:
        return None
    hidden = drawing.mask
    if drawing.pick is not None:
        patch_px = cached.card_of(view.model).patch_px
        hidden = hidden | alike(shown().input, patch_px, drawing.pick, similar_share)
    return controls.painted(hidden)


def painter(view: PageView, key: str, shown: Reconstruction, max_width_px: int) -> None:
    """Show the painter with the view's mask on the true picture of a reconstruction."""
    from earth_mae_components import mask_painter

    grid = grid_of(view)
    image = jpeg(stretch_of(shown).draw(shown.target))
    hidden = make_mask(view.mask, grid, grid).hidden
    mask_painter(image, grid, grid, hidden, key, label="Patches to hide", max_width_px=max_width_px)
