"""Neighbours among samples: their graph, and its layout in a few dimensions."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from embudo.data.batches import Rows
from embudo.engine.progress import say
from embudo.nn.affinity import affinity_logit
from embudo.parts.penalties import Neighbours

DIRECTIONS = 64  #: in more dimensions than these, candidates are sought along the leading principal directions
CANDIDATES = 3  #: for each neighbour that is wanted: of MNIST's neighbours 99.9 % are among them
ITERATIONS = 500
RATE = 1.0  #: of Adam at the start; it falls to 0
SPREAD = 5.0  #: standard deviation of the layout at the start, in each dimension
REPULSION = 5.0  #: what a pair that is drawn at random weighs, beside one of neighbours


def placed(
    rows: Rows,
    part: Neighbours,
    n_components: int,
    seed: int,
    encode: Callable[[Tensor], Tensor] | None,
    verbose: bool | str,
) -> Tensor:
    """Return where the penalty `part` wants the codes of samples, float32, and say how long that took.

    Parameters
    ----------
    rows : Rows
    part : Neighbours
    n_components, seed
        As of `layout`.
    encode : callable or None
        Gives the codes from where the samples are laid out; None lays them out anew.
    verbose : {"auto", True, False}
        As of `Training`.
    """
    X, start = torch.cat([block.cpu() for block in rows.blocks()]).numpy(), None
    if encode is not None:
        with torch.inference_mode():
            start = torch.cat([encode(block).cpu() for block in rows.blocks()]).numpy()
    begun = time.perf_counter()
    places = layout(X, n_components, part.n_neighbors, min_dist=part.min_dist, seed=seed, start=start)
    took = time.perf_counter() - begun
    say(f"{len(X):,} samples laid out by {part.n_neighbors} neighbours in {took:.1f} s", verbose)
    return torch.from_numpy(places)


def layout(
    X: np.ndarray,
    n_components: int,
    n_neighbors: int,
    *,
    min_dist: float = 0.1,
    seed: int = 0,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return a place for each sample, neighbours near each other and others far.

    What falls is the cross-entropy of the graph of neighbours and the affinities of places, as in UMAP (McInnes, Healy
    and Melville 2018): by Adam, each step on all edges of the graph and as many random pairs.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    n_components : int
    n_neighbors : int
        As of `neighbour_graph`.
    min_dist : float, default=0.1
        As of `affinity_curve`.
    seed : int, default=0
    start : ndarray of shape (n_samples, n_components), optional
        Where the samples lie first; by default where their leading principal components are.

    Returns
    -------
    ndarray of shape (n_samples, n_components), float32
    """
    graph, n = neighbour_graph(X, n_neighbors), len(X)
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.from_numpy(ends.astype(np.int64)) for ends in (graph.row, graph.col))
    weight = torch.from_numpy(graph.data / graph.data.sum()).float()
    places = torch.from_numpy(principal_places(X, n_components) if start is None else start).float()
    places += 1e-3 * torch.randn(places.shape, generator=generator)  # equal samples must be able to part
    optimizer = torch.optim.Adam([places.requires_grad_()], RATE)
    for step in range(ITERATIONS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / ITERATIONS)
        ends = first, second, *torch.randint(n, (2, len(first)), generator=generator)
        here, there, one, other = (places.index_select(0, indices) for indices in ends)
        attraction = weight @ F.softplus(-affinity_logit(here, there, min_dist))
        repulsion = F.softplus(affinity_logit(one, other, min_dist)).mean()
        optimizer.zero_grad()
        (attraction + REPULSION * repulsion).backward()
        optimizer.step()
    return places.detach().numpy()


def principal_places(X: np.ndarray, n_components: int) -> np.ndarray:
    """Return the leading principal components of X, with the standard deviation `SPREAD`; 0 where there is none."""
    places = np.zeros((len(X), n_components))
    known = min(n_components, *X.shape)
    with np.errstate(invalid="ignore"):  # a single sample, or equal ones, have no variance to take shares of
        components = PCA(known, random_state=0).fit_transform(X)
    places[:, :known] = SPREAD * components / np.maximum(components.std(axis=0), np.finfo(np.float32).tiny)
    return places


def neighbour_graph(X: np.ndarray, n_neighbors: int) -> scipy.sparse.coo_array:
    """Return how sure it is that two samples are neighbours: the fuzzy graph of UMAP.

    A sample's nearest neighbour is one for sure, and those further away by ``exp(-(d - d_nearest) / sigma)``, with the
    sigma by which the neighbours of each sample sum to ``log2(n_neighbors)``. Two samples are neighbours if either
    takes the other for one: ``p + q - p q`` (McInnes, Healy and Melville 2018).

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
    certainty: np.ndarray = np.exp(-beyond / sigma[:, np.newaxis])
    return certainty
