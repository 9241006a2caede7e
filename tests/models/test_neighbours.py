"""Neighbours: their graph beside umap-learn's, their layout, and codes that lie where it says."""

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.utils import shuffle
from zoo import COMPOSITIONS, digits

from embudo import (
    L1,
    MLP,
    Autoencoder,
    Contractive,
    JumpReLU,
    MaskingNoise,
    Neighbours,
    StackedAutoencoder,
    TopK,
    Training,
)
from embudo.metrics.neighbourhood import knn_accuracy, trustworthiness
from embudo.models.neighbours import layout, nearest, neighbour_graph
from embudo.nn.affinity import affinity_curve, affinity_logit

#: of the first twelve digits, as umap-learn 0.5.12 weighs them: fuzzy_simplicial_set(X, 5, ..., "euclidean")
EDGES = """
0 5 0.560842, 0 8 0.414932, 0 9 0.745851, 0 10 1.0, 1 2 1.0, 1 3 0.582344, 1 4 0.343608, 1 6 0.779925, 1 7 0.618645,
1 11 1.0, 2 6 0.110214, 2 7 1.0, 2 8 0.771963, 2 11 0.823359, 3 5 1.0, 3 8 0.745178, 3 9 0.632295, 4 6 1.0,
4 10 0.710122, 4 11 0.711952, 5 8 1.0, 5 9 1.0, 5 11 0.348246, 6 8 0.235544, 6 10 0.791772, 7 8 0.311548,
7 11 0.391739, 8 9 0.658395, 9 10 0.389171
"""


def test_the_graph_is_that_of_umap():
    graph = neighbour_graph(digits()[:12], 5)
    expected = [edge.split() for edge in EDGES.split(",")]
    found = {(int(i), int(j)): p for i, j, p in zip(graph.row, graph.col, graph.data, strict=True)}
    assert set(found) == {(int(i), int(j)) for i, j, _ in expected}
    for i, j, p in expected:
        assert found[int(i), int(j)] == pytest.approx(float(p), abs=1e-5)


def test_the_affinity_curve_is_that_of_umap():
    # umap-learn 0.5.12: find_ab_params(1.0, 0.1) and (1.0, 0.5)
    assert affinity_curve(0.1) == pytest.approx((1.5769434602697652, 0.8950608778515733), rel=1e-9)
    assert affinity_curve(0.5) == pytest.approx((0.5830300203414425, 1.3341669924314914), rel=1e-9)


def test_the_gradient_of_the_affinity_agrees_with_finite_differences_also_in_one_place():
    x = torch.tensor([[0.3, -1.0], [2.0, 2.0]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[0.1, 0.5], [2.0, 2.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: affinity_logit(x, y, 0.1), x)
    distance = float((x[0] - y[0]).detach().square().sum()) + 1e-3
    a, b = affinity_curve(0.1)
    assert float(affinity_logit(x.detach(), y, 0.1)[0]) == pytest.approx(-np.log(a * distance**b))


def test_neighbours_in_many_dimensions_are_nearly_those_of_a_search_in_all():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 12)) @ rng.normal(size=(12, 300)) + 0.5 * rng.normal(size=(400, 300))
    found, distances = nearest(X, 10)
    every = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(every, np.inf)
    wanted = every.argsort(axis=1)[:, :10]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, wanted, strict=True)]) > 9.9
    np.testing.assert_allclose(distances, np.take_along_axis(every, found, 1))


@pytest.mark.parametrize("X", [np.zeros((1, 3)), np.zeros((6, 3)), np.eye(2), np.repeat(np.eye(3), 4, axis=0)])
def test_few_and_equal_samples_have_finite_places(X):
    places = layout(X, 2, 15)
    assert places.shape == (len(X), 2)
    assert np.isfinite(places).all()


def test_clusters_are_laid_out_apart_and_the_same_way_again():
    X, y = shuffle(*load_digits(n_class=6, return_X_y=True), n_samples=300, random_state=0)
    places = layout(X, 2, 10, seed=3)
    assert trustworthiness(X, places) > trustworthiness(X, PCA(2).fit_transform(X)) + 0.03
    assert knn_accuracy(places[:200], y[:200], places[200:], y[200:]) > 0.95
    np.testing.assert_array_equal(layout(X, 2, 10, seed=3), places)
    assert not np.array_equal(layout(X, 2, 10, seed=4), places)


def test_a_layout_may_begin_where_samples_lie():
    X = load_digits(n_class=4).data[:200]
    first = layout(X, 2, 10)
    again = layout(X, 2, 10, start=first)
    moved = np.linalg.norm(again - first, axis=1)
    assert np.median(moved) < np.median(np.linalg.norm(first - first.mean(0), axis=1)) / 3


def test_new_samples_lie_with_their_class_and_come_back():
    X, y = load_digits(return_X_y=True)
    ae = Autoencoder(
        2, encoder=MLP((64, 64)), penalty=Neighbours(), training=Training(60, batch_size=64), random_state=0
    )
    codes, new = ae.fit_transform(X[:1000]), ae.transform(X[1000:])
    plain = clone(ae).set_params(penalty=None).fit(X[:1000])
    accuracy = knn_accuracy(codes, y[:1000], new, y[1000:])
    assert accuracy > knn_accuracy(plain.transform(X[:1000]), y[:1000], plain.transform(X[1000:]), y[1000:]) + 0.05
    error = np.square(ae.inverse_transform(new) - X[1000:]).sum(1).mean()
    assert error < np.square(X[1000:] - X[:1000].mean(0)).sum(1).mean()


@pytest.mark.parametrize("rule", [None, TopK(2), JumpReLU(0.01)])
@pytest.mark.parametrize("penalty", [Neighbours(), Neighbours(n_neighbors=4) + Contractive(0.01) + L1(1e-3)])
def test_it_goes_with_rules_penalties_noise_and_measured_pairs(rule, penalty):
    X = digits(n_samples=60)
    ae = Autoencoder(
        3, encoder=MLP(10), sparsity=rule, penalty=penalty, corruption=MaskingNoise(0.1), training=Training(40)
    )
    for target in (None, 1 - X):
        history = clone(ae).set_params(random_state=0).fit(X, X_clean=target).history_
        assert history["loss"][-1] < history["loss"][0]
        assert set(penalty.terms) < set(history)


def test_sparse_data_have_the_map_of_dense_ones():
    X = digits(n_samples=80)
    ae = Autoencoder(2, penalty=Neighbours(), scale=None, training=Training(3), random_state=0)
    codes = ae.fit_transform(X)
    np.testing.assert_allclose(clone(ae).fit_transform(scipy.sparse.csr_matrix(X)), codes, atol=1e-5)


def test_a_stack_is_fine_tuned_towards_its_map():
    levels = [("one", Autoencoder(20, training=Training(3))), ("two", Autoencoder(2, training=Training(3)))]
    stack = StackedAutoencoder(levels, penalty=Neighbours(), training=Training(10), random_state=0).fit(digits())
    assert stack.history_["neighbours"][-1] < stack.history_["neighbours"][0]


def test_each_chunk_is_laid_out_from_where_its_codes_are():
    X, ae = digits(), clone(COMPOSITIONS["map"])
    before = ae.set_params(training__epochs=60).fit(X).transform(X)
    for chunk in (X[:100], X[100:]):
        ae.partial_fit(chunk)
    spread = np.linalg.norm(before - before.mean(0), axis=1)
    assert np.median(np.linalg.norm(ae.transform(X) - before, axis=1)) < np.median(spread)
