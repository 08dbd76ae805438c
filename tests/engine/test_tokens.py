import numpy as np
import pytest

from core.engine.inputs import InputError
from core.engine.tokens import PatchSet, attention, feature_rgb, patch_vectors, similarity, transplant


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).random((3, 3, 64, 64), dtype=np.float32)


ONE = np.ones(3, np.float32)


def test_a_patch_is_most_like_itself(scale_mae, pictures):
    vectors = patch_vectors(scale_mae, pictures, ONE)
    assert vectors.shape == (3, 4, 4, 32)
    alike = similarity(vectors, (1, 2))
    assert alike[0, 1, 2] == pytest.approx(1, abs=1e-5) == alike.max()
    assert alike.min() >= -1.00001


def test_principal_components_fill_red_green_and_blue(scale_mae, pictures):
    rgb = feature_rgb(patch_vectors(scale_mae, pictures, ONE))
    assert rgb.shape == (3, 4, 4, 3) and rgb.min() == 0 and rgb.max() == 1


@pytest.mark.parametrize("name", ["scale_mae", "mae"])
def test_attention_is_what_the_block_really_computes(request, name, pictures, monkeypatch):
    import torch

    model = request.getfixturevalue(name)
    layer, seen = model.blocks[1].attn, []
    hook = layer.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    patch_vectors(model, pictures[:1], ONE[:1])
    hook.remove()
    weights = torch.from_numpy(attention(model, pictures[0], 1.0, 1))
    entering, left = seen[0]
    value = layer.qkv(entering).unflatten(2, (3, layer.num_heads, -1)).permute(2, 0, 3, 1, 4)[2][0]
    torch.testing.assert_close(
        layer.proj((weights @ value).transpose(0, 1).flatten(1)), left[0], atol=2e-5, rtol=1e-4
    )
    assert weights.shape == (2, 17, 17)


def test_missing_blocks_are_refused(scale_mae, pictures):
    with pytest.raises(InputError, match="blocks 0 to 1"):
        attention(scale_mae, pictures[0], 1.0, 2)


def test_a_patch_among_other_neighbours_is_another_vector(scale_mae, pictures):
    same = np.stack([pictures[0], pictures[0], pictures[1]])
    found = transplant(scale_mae, PatchSet(same, ONE, patch_vectors(scale_mae, same, ONE)), (2, 1))
    np.testing.assert_array_equal(found.pictures[1][:, 32:48, 16:32], pictures[0][:, 32:48, 16:32])
    np.testing.assert_array_equal(found.pictures[1][:, :32], pictures[1][:, :32])
    assert found.pasted[0] == pytest.approx(1, abs=1e-5) and found.before[0] == pytest.approx(1, abs=1e-5)
    assert found.pasted[1] < 0.99999
