"""The linear head: it learns what is linear in the tokens and rare classes, ignores unlabelled pixels, and is
deterministic."""

import numpy as np
import pytest

from core.engine.training import segment
from core.engine.training.segment import UNLABELLED, train_head


@pytest.fixture(autouse=True)
def shorter(monkeypatch):
    """Half of the steps: enough for eight numbers a token."""
    monkeypatch.setattr(segment, "STEPS", 80)


def learnt(tokens, masks, classes, seed=0, balance=0.5):
    return train_head(tokens, masks, classes, 2e-2, balance, seed)


def sample(count=12, grid=6, px=24, share=0.3, seed=0):
    """Noisy tokens whose third value is the class of their patch; masks of whole patches."""
    rng = np.random.default_rng(seed)
    cells = rng.random((count, grid, grid)) < share
    tokens = rng.standard_normal((count, grid, grid, 8)).astype(np.float32)
    tokens[..., 2] = 5 + 3 * cells
    masks = cells.repeat(px // grid, axis=1).repeat(px // grid, axis=2).astype(np.uint8)
    return tokens, masks, cells


def middle(masks, grid=6):
    step = masks.shape[-1] // grid
    return masks[:, step // 2 :: step, step // 2 :: step]


def test_the_head_generalises_to_other_tokens():
    tokens, masks, _ = sample()
    others, _, truth = sample(seed=1)
    found = learnt(tokens, masks, 2)(others)
    assert found.dtype == np.uint8 and found.shape == (12, 24, 24)
    assert (middle(found) == truth).mean() > 0.9


def test_the_same_seed_gives_the_same_head_and_half_precision_will_do():
    tokens, masks, _ = sample()
    first, again = (
        learnt(tokens.astype(np.float16), masks, 2, 3)(tokens.astype(np.float16)) for _ in range(2)
    )
    assert np.array_equal(first, again)


def test_pixels_without_a_label_are_ignored():
    tokens, masks, cells = sample()
    lied = masks.copy()
    lied[:6] = 1 - lied[:6]
    lied[:6] = UNLABELLED
    found = learnt(tokens, lied, 2)(tokens)
    assert (middle(found) == cells).mean() > 0.85


def test_a_rare_class_is_not_given_up():
    tokens, masks, cells = sample(count=40, share=0.03)
    found = middle(learnt(tokens, masks, 3)(tokens))
    assert found[cells].mean() > 0.5
    assert set(np.unique(found)) <= {0, 1}


def test_balance_decides_how_much_a_rare_class_counts():
    tokens, masks, cells = sample(count=40, share=0.03)
    tokens[..., 2] += np.random.default_rng(5).normal(0, 1.5, cells.shape)
    alike, balanced = (
        middle(learnt(tokens, masks, 2, balance=balance)(tokens))[cells].mean() for balance in (0.0, 0.5)
    )
    assert balanced > alike + 0.2
