"""Clusters, outliers and labels by example."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from core.atlas import EmbeddingTable, SearchError
from core.atlas.analysis.cluster import cluster
from core.atlas.analysis.label import Marks, expected_calibration_error, fit, suggest, variety
from core.atlas.analysis.outliers import outliers_by_density, outliers_by_loss
from core.atlas.analysis.project import Axes
from core.atlas.search.neighbors import example_query, similarities


def test_the_number_of_clusters_is_found(rows):
    table = EmbeddingTable.from_rows(rows(n=400, groups=5))
    found = cluster(table)
    assert found.k == 5
    assert max(found.silhouette, key=found.silhouette.get) == 5
    for group in range(5):
        assert len(set(found.labels[group::5])) == 1
    for label, typical in enumerate(found.representatives):
        assert len(typical) == 6
        assert {found.labels[row] for row in typical} == {label}
    np.testing.assert_array_equal(found.labels, cluster(table).labels)


def test_asking_for_too_many_groups(rows):
    with pytest.raises(SearchError, match="cannot make 9 groups"):
        cluster(EmbeddingTable.from_rows(rows(n=4)), 9)
    assert cluster(EmbeddingTable.from_rows(rows(n=40)), 3).k == 3


def test_clusters_do_not_depend_on_the_blocks_in_which_rows_are_read(rows, monkeypatch):
    vectors = rows(n=400, groups=5)
    whole = cluster(EmbeddingTable.from_rows(vectors), 5)
    read = []
    monkeypatch.setattr("core.atlas.analysis.cluster.BLOCK_ROWS", 64)
    monkeypatch.setattr(
        Axes, "of_rows", lambda *a, work=Axes.of_rows: read.append(len(found := work(*a))) or found
    )
    found = cluster(EmbeddingTable.from_rows(vectors), 5)
    assert max(read) == 64, "no more rows are held at a time"
    np.testing.assert_array_equal(found.labels, whole.labels)
    assert found.representatives == whole.representatives
    assert found.fitted == 400
    monkeypatch.setattr("core.atlas.analysis.cluster.FIT_ROWS", 100)
    sampled = cluster(EmbeddingTable.from_rows(vectors), 5)
    assert sampled.fitted == 100
    np.testing.assert_array_equal(np.bincount(sampled.labels), np.full(5, 80))


def test_outliers_of_a_large_table_are_found_in_a_stated_sample(rows, monkeypatch):
    table = EmbeddingTable.from_rows(rows(n=400))
    assert "sample" not in outliers_by_density(table).meaning
    monkeypatch.setattr("core.atlas.analysis.outliers.MOST_PAIRS", 400 * 50)
    monkeypatch.setattr("core.atlas.analysis.outliers.LEAST_SAMPLE", 20)
    assert "in a sample of 50 rows" in outliers_by_density(table).meaning


def test_outliers_by_loss(rows):
    high = np.full(200, 0.1, np.float32)
    high[[3, 77]], high[5] = (0.9, 0.5), np.nan
    table = EmbeddingTable.from_rows(
        rows(recon_loss_high=high, recon_loss_low=np.linspace(0, 0.01, 200, dtype=np.float32))
    )
    assert outliers_by_loss(table, 2, "high").rows.tolist() == [3, 77]
    assert set(outliers_by_loss(table, 2).rows) == {3, 77}
    with pytest.raises(SearchError, match="no reconstruction losses"):
        outliers_by_loss(EmbeddingTable.from_rows(rows()))


def test_outliers_by_density(rows):
    original = rows(n=300)
    vectors = np.stack(original["embedding"].to_pylist()).astype(np.float32)
    vectors[42] *= -1
    column = [vectors.tolist()]
    table = EmbeddingTable.from_rows(
        original.set_column(original.schema.get_field_index("embedding"), "embedding", column)
    )
    assert outliers_by_density(table, 1).rows.tolist() == [42]
    assert outliers_by_density(table, 1, sample=100).rows.tolist() == [42]


@pytest.fixture
def marked(rows):
    table = EmbeddingTable.from_rows(rows(n=600, d=32, groups=6, seed=3))
    return table, Marks((0, 6, 12, 18, 24), (1, 2, 3, 4, 5))


def test_labels_find_the_group(marked):
    table, marks = marked
    truth = np.arange(600) % 6 == 0
    labeller = fit(table, marks)
    probability = labeller.scores(table)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert average_precision_score(truth, probability) > 0.99
    assert (
        average_precision_score(truth, similarities(table, example_query(table, marks.yes, marks.no))) > 0.9
    )
    assert labeller.accuracy >= 0.8
    assert labeller.average_precision > 0.9


def test_suggestions_are_doubtful_distinct_and_unmarked(rows):
    table, marks = (
        EmbeddingTable.from_rows(rows(n=6000, d=32, groups=6, seed=3)),
        Marks((0, 6, 12, 18, 24), (1, 2, 3, 4, 5)),
    )
    labeller = fit(table, marks)
    chosen = suggest(table, labeller, 8)
    assert len(set(chosen.tolist())) == 8
    assert not set(chosen) & {*marks.yes, *marks.no}
    doubt = np.abs(labeller.scores(table) - 0.5)
    assert doubt[chosen].max() < np.quantile(doubt, 0.2)
    np.testing.assert_array_equal(chosen, suggest(table, labeller, 8, probability=labeller.scores(table)))


def test_probabilities_of_many_marks_are_calibrated():
    generator = np.random.default_rng(0)
    points = generator.standard_normal((6000, 8)).astype(np.float32)
    points[:, 7] = 6
    truth = generator.random(6000) < 1 / (1 + np.exp(-1.5 * points[:, 0]))
    from core.atlas import make_rows

    table = EmbeddingTable.from_rows(make_rows(points, {}))
    yes, no = np.flatnonzero(truth)[:300], np.flatnonzero(~truth)[:300]
    probability = fit(table, Marks(tuple(yes.tolist()), tuple(no.tolist()))).scores(table)
    assert expected_calibration_error(probability, truth) < 0.06


def test_calibration_error_of_known_cases():
    assert expected_calibration_error(np.array([1.0, 0.0, 1.0]), [True, False, True]) == 0
    assert expected_calibration_error(np.full(10, 0.8), [True] * 5 + [False] * 5) == pytest.approx(0.3)


def test_invalid_marks_are_reported(marked):
    table, _ = marked
    for marks, sentence in (
        (Marks((1,), ()), "at least one"),
        (Marks((1, 2), (2,)), "both yes and no"),
        (Marks((1,), (9999,)), "no usable vector"),
    ):
        with pytest.raises(SearchError, match=sentence):
            fit(table, marks)
    assert fit(table, Marks((1,), (2,))).accuracy is None


def test_fits_without_unmarked_rows_equal_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    from core.atlas.analysis.logistic import fit_all

    generator = np.random.default_rng(1)
    units = generator.standard_normal((14, 40)) / 6
    truth = np.array([1.0] * 5 + [0.0] * 9)
    seen = np.ones((2, 14), bool)
    seen[1, [0, 7]] = False
    fits = fit_all(units, truth, np.zeros((0, 40)), seen)
    for s, strength in enumerate((1.0, 10.0, 100.0)):
        for b in range(2):
            theirs = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000, tol=1e-9).fit(
                units[seen[b]], truth[seen[b]]
            )
            np.testing.assert_allclose(
                fits.weight[s, b], theirs.coef_[0], atol=1e-4 * np.abs(theirs.coef_).max()
            )
            assert fits.bias[s, b] == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_a_rare_class_is_not_predicted_everywhere(marked):
    table, marks = marked
    probability = fit(table, marks).scores(table)
    assert np.arange(600)[probability > 0.5].size < 200
    assert probability.mean() < 0.4


def test_suggestions_keep_to_the_rows_allowed(marked):
    table, marks = marked
    labeller = fit(table, marks)
    among = np.zeros(600, bool)
    among[[0, 100, 101, 200]] = True
    assert set(suggest(table, labeller, 8, among=among).tolist()) == {100, 101, 200}
    with pytest.raises(SearchError, match="nothing left"):
        suggest(table, labeller, 8, among=np.zeros(600, bool))


def test_variety_shows_every_group_before_it_repeats_one(rows):
    table = EmbeddingTable.from_rows(rows(n=600, d=32, groups=6, seed=3))
    assert {row % 6 for row in variety(table, 6).tolist()} == set(range(6))
    assert {row % 6 for row in variety(table, 5, beside=[0, 6, 12]).tolist()} == {1, 2, 3, 4, 5}
    assert variety(table, 6, seed=1).tolist() != variety(table, 6).tolist()
