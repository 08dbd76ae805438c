from copy import deepcopy

import numpy as np
import pytest
import torch

from core.engine.inputs import InputError
from core.engine.inside import attention_distances, even_distance, layer_tokens, linear_cka
from core.engine.tokens import patch_vectors

RNG = np.random.default_rng(0)


@pytest.fixture
def images():
    return RNG.random((2, 3, 64, 64), dtype=np.float32)


def test_a_head_that_attends_evenly_looks_the_mean_distance(small_scale_mae, images):
    network = deepcopy(small_scale_mae)
    for block in network.backbone.blocks:  # without queries every weight is the same
        torch.nn.init.zeros_(block.attn.qkv.weight)
        torch.nn.init.zeros_(block.attn.qkv.bias)
    found = attention_distances(network, images, np.ones(2, np.float32))
    heads = network.backbone.blocks[0].attn.num_heads
    assert found.shape == (2, len(network.backbone.blocks), heads)
    np.testing.assert_allclose(found, even_distance(64 // network.patch_size), rtol=1e-5)


def test_the_even_distance_of_a_small_grid():
    assert even_distance(2) == pytest.approx((0 + 1 + 1 + 2**0.5) / 4)


def test_the_last_layer_leads_to_the_patch_vectors(small_scale_mae, images):
    res = np.ones(2, np.float32)
    layers = layer_tokens(small_scale_mae, images, res)
    backbone = small_scale_mae.backbone
    assert len(layers) == len(backbone.blocks) + 1
    with torch.inference_mode():
        last = backbone.norm(torch.from_numpy(layers[-1]))[:, 1:].numpy()
    expected = patch_vectors(small_scale_mae, images, res)
    np.testing.assert_allclose(last.reshape(expected.shape), expected, atol=1e-5)


def test_cka_ignores_rotation_and_scale_and_sees_the_rest():
    features = RNG.normal(size=(200, 8))
    turn, _ = np.linalg.qr(RNG.normal(size=(8, 8)))
    assert linear_cka(features, 3 * features @ turn + 1) == pytest.approx(1)
    assert linear_cka(features, RNG.normal(size=(200, 8))) < 0.2
    half = np.concatenate([features[:, :4], RNG.normal(size=(200, 4))], axis=1)
    assert 0.3 < linear_cka(features, half) < 0.7
    # against the definition with Gram matrices, HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))
    centre = np.eye(200) - 1 / 200
    k, m = (centre @ (x @ x.T) @ centre for x in (features, half))
    expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert linear_cka(features, half) == pytest.approx(expected)


@pytest.mark.parametrize("shapes", [((5, 2), (6, 2)), ((2, 2), (2, 2)), ((5,), (5,))])
def test_cka_of_other_shapes_is_refused(shapes):
    with pytest.raises(InputError, match="same examples"):
        linear_cka(*(np.zeros(shape) for shape in shapes))
