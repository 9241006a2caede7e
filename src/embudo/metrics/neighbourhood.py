"""Measures of maps: whether neighbours in a code are neighbours in the data, and of one class."""

from __future__ import annotations

import numpy as np


def knn_accuracy(codes: np.ndarray, y: np.ndarray, new_codes: np.ndarray, new_y: np.ndarray, k: int = 5) -> float:
    """Return the share of new samples whose class most of the `k` nearest codes have.

    Parameters
    ----------
    codes, new_codes : ndarray of shape (n_samples, n_components)
        Of samples whose classes are known, and of those to classify.
    y, new_y : ndarray of shape (n_samples,)
        Their classes.
    k : int, default=5
    """
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(k).fit(codes, y).score(new_codes, new_y))


def trustworthiness(X: np.ndarray, codes: np.ndarray, k: int = 15, max_samples: int = 5000, seed: int = 0) -> float:
    """Return how far the `k` nearest codes of a sample are of its neighbours in the data: 1 if all are.

    Venna and Kaski 2001, Neighborhood preservation in nonlinear projection methods; as scikit-learn computes it.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    codes : ndarray of shape (n_samples, n_components)
    k : int, default=15
        Fewer where there are not more than twice as many samples.
    max_samples : int, default=5000
        Of more samples as many are drawn, as time and memory grow with the square.
    seed : int, default=0

    Examples
    --------
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> trustworthiness(X, X[:, :1], k=2)
    1.0
    """
    from sklearn.manifold import trustworthiness as trust

    if len(X) > max_samples:
        chosen = np.random.default_rng(seed).choice(len(X), max_samples, replace=False)
        X, codes = X[chosen], codes[chosen]
    return float(trust(X, codes, n_neighbors=max(1, min(k, (len(X) - 1) // 2))))
