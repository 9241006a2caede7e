"""The graph of neighbours among samples."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

DIRECTIONS = 64  #: in more dimensions than these, candidates are sought along the leading principal directions
CANDIDATES = 3  #: for each neighbour that is wanted: of MNIST's neighbours 99.9 % are among them


def neighbour_graph(X: np.ndarray, n_neighbors: int) -> scipy.sparse.coo_array:
    """Return how sure it is that two samples are neighbours: the fuzzy graph of UMAP.

    A sample's nearest neighbour is one for sure, and those further away by ``exp(-(d - d_nearest) / sigma)``, with the
    sigma by which the neighbours of each sample sum to ``log2(n_neighbors)``. Two samples are neighbours if either takes
    the other for one: ``p + q - p q`` (McInnes, Healy and Melville 2018).

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        At least two samples; of one, it is its own neighbour.
    n_neighbors : int
        The sample itself included; at most as many as there are samples.

    Returns
    -------
    coo_array of shape (n_samples, n_samples)
        Upper triangular: each pair once.
    """
    n = len(X)
    if n == 1:
        return scipy.sparse.coo_array(np.ones((1, 1)))
    k = min(n_neighbors, n)
    neighbours, distances = nearest(X, k - 1)
    rows = np.repeat(np.arange(n), k - 1)
    p = scipy.sparse.csr_array((memberships(distances).ravel(), (rows, neighbours.ravel())), shape=(n, n))
    return scipy.sparse.coo_array(scipy.sparse.triu(p + p.T - p * p.T))


def nearest(X: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and distances of the `k` nearest other samples of each one, shape (n_samples, k), in order.

    In more than 64 dimensions, of the three times as many that are nearest along the leading principal directions.
    """
    if min(X.shape) <= DIRECTIONS:
        distances, neighbours = NearestNeighbors(n_neighbors=k).fit(X).kneighbors()
        return neighbours, distances
    narrow = PCA(DIRECTIONS, random_state=0).fit_transform(X)
    wide = min(CANDIDATES * k, len(X) - 1)
    candidates = NearestNeighbors(n_neighbors=wide).fit(narrow).kneighbors(return_distance=False)
    distances = np.empty(candidates.shape)
    size = max(1, 2**24 // (wide * X.shape[1]))
    for start in range(0, len(X), size):
        part = slice(start, start + size)
        difference = X[candidates[part]] - X[part, np.newaxis]
        distances[part] = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    order = distances.argsort(axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, 1), np.take_along_axis(distances, order, 1)


def memberships(distances: np.ndarray) -> np.ndarray:
    """Return how sure it is that samples at these distances, shape (n_samples, k), are neighbours of each sample."""
    apart = distances > 0
    closest = np.where(apart.any(axis=1), np.where(apart, distances, np.inf).min(axis=1), 0.0)
    beyond = np.maximum(distances - closest[:, np.newaxis], 0)
    low, sigma, high = np.zeros(len(distances)), np.ones(len(distances)), np.full(len(distances), np.inf)
    for _ in range(64):
        too_wide = np.exp(-beyond / sigma[:, np.newaxis]).sum(axis=1) > np.log2(distances.shape[1] + 1)
        low, high = np.where(too_wide, low, sigma), np.where(too_wide, sigma, high)
        sigma = np.where(np.isinf(high), 2 * sigma, (low + high) / 2)
    mean = np.where(closest > 0, distances.mean(axis=1), distances.mean())
    sigma = np.maximum(sigma, np.maximum(1e-3 * mean, np.finfo(float).tiny))
    return np.exp(-beyond / sigma[:, np.newaxis])
