import numpy as np
from sklearn.metrics import confusion_matrix

from core.evaluation.stats.mistakes import confusion, recall, worst_mistakes


def test_the_confusion_matrix_equals_scikit_learns():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(4, size=200), rng.integers(4, size=200)
    ours = confusion(truth, predicted, 4)
    assert (ours == confusion_matrix(truth, predicted, labels=range(4))).all()
    assert np.isnan(recall(confusion(truth, predicted, 5))[4])


def test_the_most_confident_mistakes_come_first():
    truth, predicted = np.array([0, 1, 1, 2]), np.array([0, 2, 0, 0])
    found = worst_mistakes(
        np.array([10, 11, 12, 13]), truth, predicted, np.array([0.99, 0.5, 0.8, 0.8]), count=2
    )
    assert [(m.row, m.truth, m.predicted) for m in found] == [(12, 1, 0), (13, 2, 0)]
