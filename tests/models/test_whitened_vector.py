"""The whitened vector of a transformer: what it is made of, and that images differ in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.models.base import ModelInputError, TrainingBatch
from core.models.pooling import measure_vector, pooled, poolings, vector_width
from core.models.registry import create

SMALL = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 2,
}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network(family: str = "scale_mae", vector_dim: int = 16, **sizes: Any) -> Any:
    own = {"head_scale": 4, "fcn_dim": 8, "decoder_embed_dim": 16, "decoder_num_heads": 2}
    return create(family, **SMALL, vector_dim=vector_dim, **(own if family == "scale_mae" else {}), **sizes)


def batch(count: int = 64) -> TrainingBatch:
    images = F.interpolate(torch.randn(count, 3, 6, 6), size=(32, 32), mode="bicubic")
    return TrainingBatch(images, images, torch.full((count,), 3.0))


def mean_cosine(vectors: Tensor) -> float:
    unit = F.normalize(vectors.detach(), dim=1)
    return float((unit @ unit.T).fill_diagonal_(0).sum() / (len(unit) * (len(unit) - 1)))


def test_images_differ_in_the_whitened_vector_that_look_alike_in_cls() -> None:
    net, seen = network(), batch()
    assert mean_cosine(pooled(net, seen.images, seen.res, "cls")) > 0.5
    measure_vector(net, [seen])
    vectors = pooled(net, seen.images, seen.res, "vector")
    assert vectors.shape == (64, vector_width(net, "vector")) == (64, 16)
    assert abs(mean_cosine(vectors)) < 0.1


def test_it_is_the_default_of_a_network_that_has_one_and_offered_by_no_other() -> None:
    assert poolings(network())[0] == "vector"
    assert "vector" not in poolings(network(vector_dim=0))


def test_a_distilled_student_is_measured_before_its_untrained_tail() -> None:
    net, seen = network("tinymim"), batch(16)
    before = pooled(net, seen.images, seen.res, "vector")
    with torch.no_grad():
        for parameter in net.blocks[-1].parameters():
            parameter.add_(torch.randn_like(parameter))
    assert torch.equal(pooled(net, seen.images, seen.res, "vector"), before)


def test_colours_of_the_image_are_part_of_it() -> None:
    net, seen = network(), batch()
    measure_vector(net, [seen])
    parts = net.whitening.part_dims
    assert parts == [24, 24, 24, 6]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    brighter = pooled(net, seen.images + 1, seen.res, "vector")
    assert not torch.allclose(brighter, pooled(net, seen.images, seen.res, "vector"))


def test_a_negative_width_is_refused() -> None:
    with pytest.raises(ModelInputError, match=r"width \(vector_dim\) of 1 or more, not -5"):
        network(vector_dim=-5)
