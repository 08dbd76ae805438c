import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from core.evaluation.errors import FeatureError
from core.evaluation.protocols.knn import (
    KnnSpec,
    check_finite,
    most_similar,
    overwrite_rows,
    unit_rows,
    weighted_knn,
)


def brute_force(gallery, labels, queries, k=20, tau=0.07):
    """The definition, one image at a time, in float64."""
    predictions = []
    bank = gallery.astype(np.float64) / np.linalg.norm(gallery.astype(np.float64), axis=1, keepdims=True)
    for query in queries.astype(np.float64):
        similarity = bank @ (query / np.linalg.norm(query))
        votes = np.zeros(labels.max() + 1)
        for row in np.argsort(-similarity, kind="stable")[:k]:
            votes[labels[row]] += np.exp(similarity[row] / tau)
        predictions.append(int(votes.argmax()))
    return np.array(predictions)


def sample(count, width, classes, seed, spread=1.5):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((classes, width))
    labels = rng.integers(classes, size=count)
    labels[:classes] = np.arange(classes)
    return (centres[labels] + spread * rng.standard_normal((count, width))).astype(np.float32), labels.astype(
        np.int64
    )


@pytest.mark.parametrize(("count", "k"), [(30, 20), (700, 20), (3001, 20), (3001, 1), (5000, 7)])
def test_predictions_equal_a_brute_force_loop(count, k):
    gallery, labels = sample(count, 24, 7, 0)
    queries, _ = sample(211, 24, 7, 1)
    result = weighted_knn(gallery, labels, queries, KnnSpec(k=k))
    assert (result.labels == brute_force(gallery, labels, queries, k)).all()


def test_predictions_equal_scikit_learn_with_the_same_metric_and_weights():
    gallery, labels = sample(4000, 32, 5, 2)
    queries, _ = sample(300, 32, 5, 3)
    theirs = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
    )
    ours = weighted_knn(gallery, labels, queries)
    assert (ours.labels == theirs.fit(gallery, labels).predict(queries)).all()
    _, rows = theirs.kneighbors(queries)
    assert (np.sort(rows, axis=1) == np.sort(ours.neighbours, axis=1)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25), st.integers(40, 2_600))
def test_neighbours_are_the_largest_with_ties_to_the_lower_row(seed, k, count):
    rng = np.random.default_rng(seed)
    gallery = rng.integers(-1, 2, size=(count, 4)).astype(
        np.float32
    )  # a handful of directions: ties everywhere
    queries = rng.integers(-1, 2, size=(9, 4)).astype(np.float32)
    similarity, rows = most_similar(gallery, queries, k)
    everything = np.matmul(unit_rows(queries), unit_rows(gallery).T)
    expected = np.argsort(-everything, axis=1, kind="stable")[:, :k]
    assert np.allclose(similarity, np.take_along_axis(everything, expected, axis=1), atol=1e-6)
    repeated = most_similar(gallery, queries, k)[1]
    assert (rows == repeated).all()
    for row in rows:
        assert len(set(row.tolist())) == k


def test_equal_images_are_taken_by_lower_row_first():
    gallery = np.ones((2000, 8), np.float32)
    _, rows = most_similar(gallery, np.ones((3, 8), np.float32), 5)
    assert rows.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_votes_sum_to_one_and_scale_of_features_does_not_matter():
    gallery, labels = sample(500, 16, 4, 4)
    queries, _ = sample(50, 16, 4, 5)
    once = weighted_knn(gallery, labels, queries)
    again = weighted_knn(gallery * 7.0, labels, queries * 0.25)
    assert np.allclose(once.votes.sum(axis=1), 1)
    assert (once.labels == again.labels).all()


def original_loop(features, labels, batch):
    """The original's bookkeeping: rows of batch b are written at b times the size of that batch."""
    bank, bank_labels = np.zeros_like(features), np.zeros_like(labels)
    for number, start in enumerate(range(0, len(features), batch)):
        rows = features[start : start + batch]
        where = slice(number * len(rows), number * len(rows) + len(rows))
        bank[where], bank_labels[where] = rows, labels[start : start + batch]
    return bank, bank_labels


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (12, 4), (9, 2), (3, 5), (5, 1), (100, 64)])
def test_overwrite_batch_stores_what_the_original_stores(count, batch):
    features, labels = sample(count, 6, 2, 6)
    ours, theirs = overwrite_rows(features, labels, batch), original_loop(features, labels, batch)
    assert (ours[0] == theirs[0]).all()
    assert (ours[1] == theirs[1]).all()


def test_overwrite_batch_changes_only_partial_batches():
    gallery, labels = sample(130, 8, 6, 7, spread=3.0)
    queries, _ = sample(400, 8, 6, 8, spread=3.0)
    exact = weighted_knn(gallery, labels, queries).labels
    assert (weighted_knn(gallery, labels, queries, KnnSpec(overwrite_batch=65)).labels == exact).all()
    assert (weighted_knn(gallery, labels, queries, KnnSpec(overwrite_batch=64)).labels != exact).any()


def test_a_k_larger_than_the_gallery_is_refused_with_what_to_do():
    gallery, labels = sample(12, 4, 2, 9)
    with pytest.raises(FeatureError, match="k is 20 but the gallery holds 12 images; choose k from 1 to 12"):
        weighted_knn(gallery, labels, gallery)


def test_values_that_are_not_finite_name_model_and_image():
    features = np.ones((3, 4), np.float32)
    features[1, 2] = np.nan
    with pytest.raises(FeatureError, match=r"Model 'mae_tiny' .* image 'Forest/b\.jpg'"):
        check_finite(features, model="mae_tiny", names=["a", "Forest/b.jpg", "c"])
    with pytest.raises(FeatureError, match="gallery image 1 is not finite"):
        weighted_knn(features, np.zeros(3, np.int64), np.ones((1, 4), np.float32), KnnSpec(k=1))


def test_shapes_that_do_not_agree_are_refused():
    gallery, labels = sample(30, 4, 2, 10)
    with pytest.raises(FeatureError, match="do not match"):
        weighted_knn(gallery, labels, np.ones((3, 5), np.float32))
    with pytest.raises(FeatureError, match="30 gallery vectors came with 29 labels"):
        weighted_knn(gallery, labels[:-1], gallery)
