"""The command that a view writes is read back by the verb as the same view."""

import shlex

import pytest

from core.cli.entry import build_parser
from core.cli.verbs import reconstruct
from core.geo import TileRef, TileSpec, known_sources
from core.masking import MaskSpec
from core.policy import Policy
from core.session import PageView

GLOBE = TileRef("globe", known_sources().source("globe").keys()[0])
CLOUD = MaskSpec("blob", 0.6, 1, size=6, invert=True)


@pytest.mark.parametrize(
    "view",
    [
        PageView(
            "scale_mae_tiny",
            "",
            TileSpec(GLOBE, lonlat=(-70.25, -12.5), gsd_m=7500.0),
            Policy("log_gsd"),
            MaskSpec("block", 0.5, 3),
        ),
        PageView(
            "sdmae_tiny",
            "",
            TileSpec(GLOBE, window=(10, 20, 300, 300), rgb=(2, 1, 0)),
            Policy("manual", 2.5),
            CLOUD,
        ),
        PageView(
            "m",
            "",
            TileSpec(GLOBE, size_px=448),
            Policy("native_gsd"),
            MaskSpec("cells", cells=(3, 17), painted_on=(14, 14)),
        ),
        PageView(
            "m",
            "",
            TileSpec(GLOBE, gsd_m=9000.0, stated_gsd_m=8000.0),
            Policy("author_eval"),
            MaskSpec("checkerboard"),
        ),
    ],
)
def test_the_command_of_a_view_is_read_back_as_that_view(view: PageView) -> None:
    args = build_parser().parse_args(shlex.split(view.to_command())[3:])
    _, tile = reconstruct._source_and_spec(args)
    assert (args.verb, args.model, args.size_px) == ("reconstruct", view.model, view.tile.size_px)
    assert tile == TileSpec(**{**vars(view.tile), "size_px": tile.size_px})
    assert reconstruct._mask(args) == view.mask
    assert reconstruct.policy_from_text(args.policy) == view.policy
