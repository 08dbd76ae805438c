from dataclasses import replace

import numpy as np
import pytest

from core.engine.in_turn import reconstruct_in_turn
from core.engine.inputs import InputError, feed, read_ground
from core.engine.prediction import reconstruct_batch, reconstruct_each
from core.engine.reconstruct import ReconstructionRequest, reconstruct
from core.engine.results import shrink
from core.engine.turns import Turns
from core.geo.tile import TileRef, TileSpec
from core.masking import Mask, MaskSpec, make_mask
from core.policy import Policy

from .conftest import plain_tile


def test_two_heads_give_twice_the_size_and_the_true_ground_where_there_is_some(scale_mae):
    out = reconstruct(scale_mae, plain_tile(256), MaskSpec(ratio=0.5))
    assert out.input.shape == out.low.shape == (3, 64, 64)
    assert out.combined.shape == out.high.shape == out.target.shape == (3, 128, 128)
    assert "the ground at 2 m" in out.recipe.target
    assert out.recipe.gsd == pytest.approx(4)
    np.testing.assert_allclose(shrink(out.target, 64), out.input, atol=2e-3)


def test_a_source_without_finer_pixels_is_reported(scale_mae):
    out = reconstruct(scale_mae, plain_tile(64), MaskSpec())
    assert "enlarged" in out.recipe.target
    small = reconstruct(scale_mae, plain_tile(20), MaskSpec())
    assert "bicubic" in small.recipe.resampling


@pytest.mark.parametrize("name", ["scale_mae", "mae"])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 15 / 16, 1.0])
def test_every_ratio_gives_finite_pictures(request, name, ratio):
    out = reconstruct(request.getfixturevalue(name), plain_tile(64), MaskSpec(ratio=ratio))
    assert np.isfinite(out.combined).all() and np.isfinite(out.low).all() and np.isfinite(out.high).all()
    assert out.hidden.mean() == pytest.approx(ratio)
    visible = ~out.hidden_high
    np.testing.assert_array_equal(out.pasted[:, visible], out.target[:, visible])
    np.testing.assert_array_equal(out.pasted[:, out.hidden_high], out.combined[:, out.hidden_high])


def test_the_network_sees_exactly_the_mask(scale_mae, monkeypatch):
    seen = []
    real = type(scale_mae)._reconstruct

    def spy(self, images, res, keep):
        seen.append(keep.numpy().copy())
        return real(self, images, res, keep)

    monkeypatch.setattr(type(scale_mae), "_reconstruct", spy)
    generator = np.random.default_rng(0)
    for _ in range(200):
        hidden = generator.random((4, 4)) < generator.random()
        out = reconstruct(scale_mae, plain_tile(64), Mask(hidden))
        assert np.array_equal(seen[-1][0], np.flatnonzero(~hidden))
        assert np.array_equal(out.cells, hidden)


def test_larger_grids_than_the_cards_own(scale_mae):
    out = reconstruct(scale_mae, plain_tile(200), MaskSpec(), size_px=28 * 16)
    assert out.recipe.grid == (28, 28) and out.input.shape == (3, 448, 448)
    with pytest.raises(InputError, match="multiple"):
        reconstruct(scale_mae, plain_tile(64), MaskSpec(), size_px=70)


def test_holes_are_filled_counted_and_left_out_of_scores(scale_mae):
    tile = plain_tile(64)
    valid = tile.valid.copy()
    valid[:10] = False
    tile = replace(tile, pixels=np.where(valid, tile.pixels, 0).astype(np.uint8), valid=valid)
    out = reconstruct(scale_mae, tile, MaskSpec(ratio=1.0))
    assert out.recipe.invalid_px == 640
    assert any("640 of 4096" in warning for warning in out.warnings)
    assert not out.scored[:10].any() and out.scored[10:].all()
    assert out.input[:, 0, 0] == pytest.approx(out.input[:, out.valid].mean(axis=1), abs=1e-5)


def test_a_tile_without_data_is_refused():
    tile = plain_tile(64)
    with pytest.raises(InputError, match="no data"):
        feed(replace(tile, valid=np.zeros_like(tile.valid)), 64)


def test_warnings_are_sentences(scale_mae):
    out = reconstruct(scale_mae, plain_tile(64, bands=1, gsd_m=300.0), MaskSpec(), Policy("native_gsd"))
    text = " ".join(out.warnings)
    assert "untrained" in text and "single band" in text and "300" in text


def test_a_mask_of_another_grid_is_refused(scale_mae):
    with pytest.raises(InputError, match="create it for this grid"):
        reconstruct(scale_mae, plain_tile(64), Mask(np.zeros((7, 7), bool)))


def test_a_batch_is_the_same_as_one_by_one_whatever_the_masks(scale_mae):
    generator = np.random.default_rng(1)
    images = generator.random((6, 3, 64, 64), dtype=np.float32)
    hidden = np.stack(
        [
            make_mask(MaskSpec(ratio=r, seed=n), 4, 4).hidden
            for n, r in enumerate((0.5, 0.75, 0.5, 1.0, 0.25, 0.75))
        ]
    )
    res = np.linspace(0.5, 9, 6)
    together = reconstruct_batch(scale_mae, images, hidden, res)
    for n in range(6):
        alone = reconstruct_batch(scale_mae, images[n : n + 1], hidden[n : n + 1], res[n : n + 1])
        np.testing.assert_allclose(together.combined[n], alone.combined[0], atol=2e-5)


def test_one_picture_serves_many_masks_as_they_come(mae):
    image = plain_tile(64)
    fed = feed(image, 64)
    hidden = np.stack([make_mask(MaskSpec(seed=n), 4, 4).hidden for n in range(5)])
    pieces = list(reconstruct_each(mae, fed.unit[None], hidden, [1.0] * 5, batch=2))
    assert [len(which) for which, _ in pieces] == [2, 2, 1]
    assert sorted(n for which, _ in pieces for n in which.tolist()) == list(range(5))


def test_the_recipe_is_json_and_names_the_hidden_cells(scale_mae):
    import json

    from core.masking import mask_from_text

    out = reconstruct(scale_mae, plain_tile(64), MaskSpec("blob", 0.4, 3))
    stored = json.loads(json.dumps(out.recipe.to_json()))
    again = make_mask(mask_from_text(stored["hidden"]), 4, 4)
    assert np.array_equal(again.hidden, out.cells)
    assert stored["mask"] == "blob-40-s3"


class Ground:
    """A source of one picture, 1 m native, that records its requests."""

    def __init__(self, across: int = 512, native: float = 1.0) -> None:
        self.asked, self.across, self.native = [], across, native

    def read(self, spec: TileSpec):
        self.asked.append(spec)
        gsd = spec.gsd_m or self.across * self.native / spec.size_px
        return plain_tile(spec.size_px, gsd_m=gsd, native_gsd_m=self.native)


@pytest.mark.parametrize(
    ("across", "gsd_m", "got_px"), [(512, None, 128), (100, None, 64), (512, 4.0, 128), (512, 1.5, 64)]
)
def test_ground_is_read_at_twice_the_size_where_the_source_is_that_fine(across, gsd_m, got_px):
    ground = Ground(across)
    assert read_ground(ground.read, TileSpec(TileRef("a", "b"), gsd_m=gsd_m), 64).width == got_px


def test_requests_that_share_a_call_get_the_same_result_as_alone():
    """Seven people, three mask ratios and two tiles: requests with the same ratio share a call."""
    from concurrent.futures import ThreadPoolExecutor

    from core.engine.loaded import load

    for name in ("scale_mae_tiny", "mae_tiny"):
        model, turns, calls = load(name), Turns(), []
        real = turns._answer
        turns._answer = lambda tickets, work, real=real, calls=calls: (
            calls.append(len(tickets)),
            real(tickets, work),
        )  # counts, then works
        tiles = (plain_tile(112), plain_tile(224, gsd_m=3.0))
        requests = [
            ReconstructionRequest(
                tiles[n % 2], MaskSpec(ratio=(0.75, 0.5, 0.9)[n % 3], seed=n), Policy("log_gsd")
            )
            for n in range(7)
        ]
        alone = [reconstruct(model, one.tile, one.mask, one.policy) for one in requests]
        with ThreadPoolExecutor(7) as pool:
            with turns.turn():
                asked = [
                    pool.submit(reconstruct_in_turn, model, one, turns, n) for n, one in enumerate(requests)
                ]
                while turns.waiting() < 8:
                    pass
            together = [one.result(60) for one in asked]
        assert sorted(calls) == [2, 2, 3]
        for one, other in zip(alone, together, strict=True):
            assert one.recipe == other.recipe
            for band in ("low", "high", "combined", "pasted"):
                # some CPUs round a batch differently from a single image
                np.testing.assert_allclose(getattr(one, band), getattr(other, band), rtol=0, atol=1e-5)
