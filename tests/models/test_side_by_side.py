"""Other libraries' networks with the same weights give the same numbers.

Skipped where a library is missing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.atlas.schema import make_rows
from core.atlas.store.table import EmbeddingTable
from core.evaluation.protocols.knn import KnnSpec, unit_rows, weighted_knn
from core.models import load_checkpoint
from core.models.base import Reconstructor
from core.models.layers.vit import gsd_positions, prepare_timm
from core.models.mae import MAE
from tests.thorough import a_few


@pytest.fixture
def torchgeo_models() -> Any:
    prepare_timm()
    return pytest.importorskip("torchgeo.models", reason="torchgeo is not installed", exc_type=ImportError)


@pytest.fixture
def transformers() -> Any:
    prepare_timm()
    return pytest.importorskip("transformers", reason="transformers is not installed", exc_type=ImportError)


@pytest.mark.parametrize("res", a_few([0.5, 1.0, 2.5], 1))
def test_torchgeos_scale_mae_gives_the_same_tokens(torchgeo_models: Any, res: float, tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    theirs = torchgeo_models.ScaleMAE(
        res=res,
        img_size=64,
        patch_size=16,
        embed_dim=64,
        depth=3,
        num_heads=4,
        qkv_bias=True,
        num_classes=0,
        norm_layer=norm,
    ).eval()
    torch.save(theirs.state_dict(), tmp_path / "scalemae.pth")
    ours = load_checkpoint(tmp_path / "scalemae.pth", num_heads=4)
    assert ours.card.gsd_aware
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.forward_features(images)
        found = ours.encode(images, torch.full((3,), res))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("layout", a_few(["as saved", "in memory"], 1))
def test_vit_mae_of_transformers_reconstructs_the_same(
    transformers: Any, layout: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = transformers.ViTMAEConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=64,
        patch_size=16,
        decoder_hidden_size=32,
        decoder_num_hidden_layers=2,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=128,
    )
    theirs = transformers.ViTMAEForPreTraining(config).eval()
    theirs.vit.embeddings.position_embeddings.data.copy_(gsd_positions(64, 4, torch.ones(1)))
    theirs.decoder.decoder_pos_embed.data.copy_(gsd_positions(32, 4, torch.ones(1)))
    theirs.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    if layout == "in memory":
        file = tmp_path / "state.pth"
        torch.save(theirs.state_dict(), file)
    ours = load_checkpoint(file)
    assert isinstance(ours, MAE) and isinstance(ours, Reconstructor)
    images, noise = torch.randn(2, 3, 64, 64), torch.rand(2, 16)
    keep, res = noise.argsort(1)[:, :4], torch.ones(2)
    with torch.no_grad():
        expected = theirs(images, noise=noise).logits
        found = ours.decode(ours.encode(images, res, keep), res, keep, 4)[:, 1:]
    assert torch.allclose(found, expected, atol=2e-5)  # LayerNorm adds 1e-12 there and 1e-6 here


def test_five_neighbours_vote_as_in_torchgeos_benchmark() -> None:
    """Its recipe for m-eurosat: the five nearest by Euclidean distance, one vote each.

    On vectors of length one those are the most similar ones, and a high temperature makes their votes equal.
    """
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((10, 64))
    labels = rng.integers(0, 10, 3000)
    vectors = unit_rows((centres[labels] + 2.5 * rng.standard_normal((3000, 64))).astype(np.float32))
    gallery, queries = vectors[:2000], vectors[2000:]
    theirs = KNeighborsClassifier(5, algorithm="brute").fit(gallery, labels[:2000])
    shares = np.sort(theirs.predict_proba(queries), axis=1)
    clear = shares[:, -1] > shares[:, -2]  # a tie goes to the lower class there, to the nearer neighbour here
    assert 500 < clear.sum() < 1000
    found = weighted_knn(gallery, labels[:2000], queries, KnnSpec(k=5, tau=1e6)).labels
    assert (found[clear] == theirs.predict(queries)[clear]).all()


def test_a_table_becomes_a_batch_of_torchgeos_embedding_data_sets() -> None:
    vectors = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    rows = make_rows(
        vectors,
        {"unique_id": ["a", "b", "c"], "centre_lon": [10.0, 20.0, None], "centre_lat": [1.0, 2.0, None]},
    )
    sample = EmbeddingTable.from_rows(rows).to_torch()
    assert sorted(sample) == ["embedding", "x", "y"]
    assert torch.equal(sample["embedding"], torch.from_numpy(vectors))
    assert sample["x"][:2].tolist() == [10.0, 20.0]
    assert sample["y"][:2].tolist() == [1.0, 2.0]
    assert bool(sample["x"][2].isnan())
