import numpy as np
import pytest

from core.engine.embedding.spec import EmbeddingSpec
from core.geo.tile import Tile, TileRef
from core.models import create
from tests.engine.embedding.runs import MODEL, SIDE, picture, write


def plain_tile(
    side: int = 64, *, bands: int = 3, gsd_m: float = 1.0, native_gsd_m: float | None = None, seed: int = 0
) -> Tile:
    """A smooth synthetic 8-bit tile, for shapes and edge cases."""
    wave = np.sin(np.linspace(0, 9 + seed, side))[:, None] + np.cos(np.linspace(0, 5, side))[None]
    planes = np.stack([wave * (40 + 10 * band) + 128 for band in range(bands)])
    shown = (0, 1, 2) if bands >= 3 else (0, 0, 0)
    return Tile(
        ref=TileRef("made", f"wave-{side}"),
        pixels=planes.astype(np.uint8),
        gsd_m=(gsd_m, gsd_m),
        bands=tuple("rgbnsxyz"[:bands]),
        footprint=None,
        valid=np.ones((side, side), np.bool_),
        value_range=((0.0, 255.0),) * bands,
        rgb=shown,
        native_gsd_m=native_gsd_m or gsd_m,
    )


SMALL = {"img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}
SMALL_DECODER = {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 2}


@pytest.fixture(scope="session")
def scale_mae():
    return create(
        "scale_mae", **SMALL, **SMALL_DECODER, fcn_dim=16, fcn_layers=1, band_config=(4, 8)
    ).requires_grad_(False)


@pytest.fixture(scope="session")
def mae():
    return create("mae", **SMALL, **SMALL_DECODER, band_config=(4, 8)).requires_grad_(False)


@pytest.fixture
def spec(tmp_path):
    source = write(tmp_path / "scene.tif", picture())
    return EmbeddingSpec((source,), str(tmp_path / "out"), MODEL, tile_px=SIDE, batch=8, shard_tiles=24)
