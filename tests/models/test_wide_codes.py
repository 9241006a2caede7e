"""Wide codes of which few units speak: where they begin, what is kept of their weights, and decoding by active rows."""

import copy

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.optimize import minimize
from zoo import digits

from embudo import MLP, SGD, Adam, Autoencoder, BatchTopK, TopK, Training, load
from embudo.data.moments import geometric_median

M = 2100
ONCE = Training(1, batch_size=50, verbose=False)


def norms(ae):
    return torch.linalg.vector_norm(ae.module_.decoder[0].weight.detach(), dim=0).numpy()


def test_what_a_unit_sends_out_lies_together(tmp_path):
    ae = Autoencoder(M, sparsity=TopK(5), training=ONCE, random_state=0)
    ae.fit(np.random.default_rng(0).random((64, 12)))
    ae.save(tmp_path / "model.safetensors")
    for model in (ae, load(tmp_path / "model.safetensors"), copy.deepcopy(ae)):
        assert model.module_.decoder[0].weight.t().is_contiguous()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("sparsity", [TopK(5, by="value"), BatchTopK(5)])
def test_sparse_codes_are_decoded_by_the_units_that_speak(tied, sparsity, tmp_path):
    X = digits(np.float32)
    ae = Autoencoder(M, tied=tied, sparsity=sparsity, sparse_output=True, training=ONCE, random_state=0).fit(X)
    codes = ae.transform(X)
    assert scipy.sparse.issparse(codes)
    dense = ae.inverse_transform(codes.toarray())
    ae.save(tmp_path / "m.safetensors")
    by_rows = ae.inverse_transform(codes)
    np.testing.assert_allclose(by_rows, dense, rtol=1e-4, atol=1e-5)
    restored = load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(restored.inverse_transform(codes), by_rows)
    np.testing.assert_array_equal(restored.transform(X).toarray(), codes.toarray())
    assert ae.inverse_transform(codes[:0]).shape == (0, 64)


@pytest.mark.parametrize("step", [5, 300])  # by the units that speak, and by autograd
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.01)])
def test_what_a_unit_sends_out_keeps_norm_1(step, tied, optimizer):
    training = Training(2, batch_size=50, optimizer=optimizer, verbose=False)
    part = MLP(unit_norm=True)
    ae = Autoencoder(M, encoder=part, tied=tied, sparsity=TopK(step), training=training, random_state=0)
    np.testing.assert_allclose(norms(ae.fit(digits())), 1, rtol=1e-5)
    free = ae.set_params(encoder=None).fit(digits())
    assert np.abs(norms(free) - 1).max() > 0.1


def test_the_first_layer_of_a_deep_decoder_is_the_one_that_is_scaled():
    ae = Autoencoder(30, encoder=MLP(20), decoder=MLP(20, unit_norm=True), training=ONCE, random_state=0).fit(digits())
    np.testing.assert_allclose(norms(ae), 1, rtol=1e-5)
    second = torch.linalg.vector_norm(ae.module_.decoder[2].weight.detach(), dim=0)
    assert float((second - 1).abs().max()) > 0.1


@pytest.mark.parametrize("tied", [False, True])
def test_a_dictionary_begins_at_the_geometric_median(tied):
    still = Training(1, optimizer=Adam(1e-30), verbose=False)
    X = digits() + np.random.default_rng(0).normal(0, 0.1, (200, 64))
    X[:5] *= 1000
    ae = Autoencoder(100, init="dictionary", tied=tied, scale=None, training=still, random_state=0).fit(X)
    encoder, decoder = ae.module_.encoder[0], ae.module_.decoder[0]
    median = decoder.bias.detach().numpy()
    found = minimize(lambda m: np.linalg.norm(X - m, axis=1).sum(), X.mean(axis=0), tol=1e-9).x
    np.testing.assert_allclose(median, found, atol=1e-3)
    assert np.abs(X.mean(axis=0) - found).max() > 1
    np.testing.assert_allclose(ae.transform(median[None]), 0, atol=1e-5)
    np.testing.assert_allclose(norms(ae), 1, rtol=1e-5)
    assert torch.equal(encoder.weight.t(), decoder.weight)


def test_the_geometric_median_of_equal_samples_is_that_sample():
    assert geometric_median(np.full((5, 3), 7.0)).tolist() == [7, 7, 7]
