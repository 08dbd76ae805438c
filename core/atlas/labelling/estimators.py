"""What learns from labelled rows: scikit-learn's estimators on unit vectors, by a short name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ..errors import LabelError
from .reading import Kind

Method = Literal["linear", "knn", "forest", "mlp"]
TITLES: dict[Method, dict[Kind, str]] = {
    "linear": {"class": "Logistic regression", "number": "Ridge regression"},
    "knn": {"class": "k nearest neighbours", "number": "k nearest neighbours"},
    "forest": {"class": "Random forest", "number": "Random forest"},
    "mlp": {"class": "Small neural network (MLP)", "number": "Small neural network (MLP)"},
}
NEIGHBOURS, TREES, HIDDEN = 10, 100, 64
STRENGTH = 0.05
"""C of the logistic regression on standardised values; chosen so that 200 labels of 192 values do not
overfit."""


def estimator(method: Method, kind: Kind, rarest: int, *, seed: int = 0) -> Any:
    """Return an unfitted estimator of unit vectors (s, d); `rarest` counts the rows of the rarest class.

    Raises LabelError for an unknown method.
    """
    makers: dict[str, Callable[[], Any]] = {
        "linear": lambda: _linear(kind),
        "knn": lambda: _knn(kind, rarest),
        "forest": lambda: _forest(kind, seed),
        "mlp": lambda: _mlp(kind, rarest, seed),
    }
    if method not in makers:
        raise LabelError(f"There is no method {method!r:.40}: choose one of {', '.join(makers)}.")
    return makers[method]()


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)


def _linear(kind: Kind) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV

    if kind == "class":
        return _scaled(LogisticRegression(C=STRENGTH, tol=1e-3, max_iter=300))
    return _scaled(RidgeCV(alphas=(1.0, 10.0, 100.0, 1000.0)))


def _knn(kind: Kind, rarest: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    make = KNeighborsClassifier if kind == "class" else KNeighborsRegressor
    return make(n_neighbors=max(1, min(NEIGHBOURS, rarest)), algorithm="brute")


def _forest(kind: Kind, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    make = RandomForestClassifier if kind == "class" else RandomForestRegressor
    features: Any = "sqrt" if kind == "class" else 1 / 3
    return make(TREES, min_samples_leaf=2, max_features=features, n_jobs=2, random_state=seed)


def _mlp(kind: Kind, rarest: int, seed: int) -> Any:
    from sklearn import neural_network
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    networks: Any = neural_network
    settings: dict[str, Any] = {"alpha": 1e-2, "max_iter": 200, "random_state": seed}
    if rarest >= 20:
        settings |= {"early_stopping": True, "n_iter_no_change": 8}
    if kind == "class":
        return _scaled(networks.MLPClassifier((HIDDEN,), **settings))
    return TransformedTargetRegressor(
        _scaled(networks.MLPRegressor((HIDDEN,), **settings)), transformer=StandardScaler()
    )
