import numpy as np
import pytest

from core.engine.embed import embed
from core.engine.inputs import InputError
from core.policy import Policy

IMAGES = np.random.default_rng(0).random((5, 3, 64, 64), dtype=np.float32)


@pytest.mark.parametrize(("pooling", "width"), [("cls", 32), ("mean", 32), ("cls+mean", 64)])
def test_shapes_and_batches_do_not_matter(scale_mae, pooling, width):
    together = embed(scale_mae, IMAGES, gsd_m=2.0, pooling=pooling)
    apart = embed(scale_mae, IMAGES, gsd_m=2.0, pooling=pooling, batch=2)
    assert together.shape == (5, width) and together.dtype == np.float32
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_bytes_are_the_same_as_their_floats(scale_mae):
    grey = (IMAGES * 255).astype(np.uint8)
    np.testing.assert_allclose(
        embed(scale_mae, grey, gsd_m=1.0),
        embed(scale_mae, (grey / 255).astype(np.float32), gsd_m=1.0),
        atol=1e-5,
    )


def test_res_changes_vectors_of_gsd_aware_models_only(scale_mae, mae):
    near, far = (embed(scale_mae, IMAGES, gsd_m=g, policy=Policy("native_gsd")) for g in (1.0, 8.0))
    assert np.abs(near - far).max() > 1e-3
    assert np.array_equal(embed(mae, IMAGES, gsd_m=1.0), embed(mae, IMAGES, gsd_m=8.0))
    each = embed(scale_mae, IMAGES, gsd_m=[1.0, 8.0, 1.0, 1.0, 8.0], policy=Policy("native_gsd"))
    np.testing.assert_allclose(each[1], far[1], atol=1e-5)
    np.testing.assert_allclose(each[2], near[2], atol=1e-5)


def test_an_empty_batch_is_empty_and_unknown_poolings_are_refused(scale_mae):
    assert embed(scale_mae, IMAGES[:0], gsd_m=1.0, pooling="cls+mean").shape == (0, 64)
    with pytest.raises(InputError, match="pooling"):
        embed(scale_mae, IMAGES, gsd_m=1.0, pooling="max")
