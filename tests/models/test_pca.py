"""The linear autoencoder and PCA; the first weights."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from zoo import digits

from embudo import MLP, SGD, Adam, Autoencoder, Training, stream
from embudo.errors import InvalidParameter

STILL = Training(1, optimizer=SGD(1e-30))  # weights stay as they begin


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_learns_the_subspace_of_pca_from_random_weights(tied):
    X = StandardScaler().fit_transform(load_digits().data)
    training = Training(1000, batch_size=1797, optimizer=Adam(0.03), schedule="cosine")
    ae = Autoencoder(16, tied=tied, scale=None, training=training, random_state=0).fit(X)
    pca = PCA(16).fit(X)
    weight = ae.module_.decoder[0].weight.detach().numpy()
    assert np.degrees(subspace_angles(weight, pca.components_.T)).max() < 1
    pca_error = np.square(X - pca.inverse_transform(pca.transform(X))).sum(axis=1).mean()
    assert -ae.score(X) == pytest.approx(pca_error, rel=1e-3)


@pytest.mark.parametrize("scale", [None, "standard", "minmax"])
@pytest.mark.parametrize("tied", [False, True])
def test_init_pca_begins_at_the_solution_of_pca(tied, scale):
    X = digits()
    ae = Autoencoder(5, init="pca", tied=tied, scale=scale, training=STILL, random_state=0).fit(X)
    scaled = ae.scaler_.apply(X)
    pca = PCA(5).fit(scaled)
    expected = ae.scaler_.invert(pca.inverse_transform(pca.transform(scaled)))
    np.testing.assert_allclose(ae.reconstruct(X), expected, atol=1e-5)
    np.testing.assert_allclose(np.abs(ae.transform(X)), np.abs(pca.transform(scaled)), atol=1e-5)


@pytest.mark.parametrize("scale", [None, "standard", "minmax"])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_init_pca_of_a_stream_is_that_of_the_array(scale, shift):
    X = digits() * np.arange(1, 65) + shift  # no two axes explain the same
    ae = Autoencoder(5, init="pca", scale=scale, training=STILL, random_state=0)
    of_array, of_stream = clone(ae).fit(X), clone(ae).fit(stream(np.sort(X, axis=0), window=2**15))
    of_array.fit(np.sort(X, axis=0))
    for one, other in zip(of_array.module_.parameters(), of_stream.module_.parameters(), strict=True):
        np.testing.assert_allclose(*(weight.detach().numpy() for weight in (other, one)), rtol=1e-4, atol=1e-4)


def test_covariances_of_great_and_of_many_numbers():
    great = 1e8 + np.random.default_rng(0).normal(size=(500, 3)) * [3, 2, 1]
    ae = Autoencoder(2, init="pca", scale="standard", training=STILL, random_state=0)
    one, other = clone(ae).fit(great), clone(ae).fit(stream(great, window=2**12))
    np.testing.assert_allclose(one.transform(great), other.transform(great), rtol=1e-5, atol=1e-5)
    wide = stream(np.zeros((40, 5001), np.float32), window=2**15)
    with pytest.raises(InvalidParameter, match="of its features, of 5000 at most; X has 5001: use init="):
        ae.fit(wide)
    with pytest.raises(InvalidParameter, match="finds at most 3 components in 500 samples of 3 features"):
        Autoencoder(4, init="pca").fit(stream(great, window=2**12))


@pytest.mark.parametrize(("output", "atol"), [("identity", 1e-6), ("sigmoid", 0.011)])
def test_the_output_begins_at_the_mean_of_the_data(output, atol):
    X = digits()
    ae = Autoencoder(5, encoder=MLP(9), output_activation=output, training=STILL, random_state=0).fit(X)
    with torch.no_grad():
        start = torch.zeros(1, 9)
        for layer in list(ae.module_.decoder)[2:]:
            start = layer(start)
    np.testing.assert_allclose(start[0], X.mean(axis=0), atol=atol)


def test_defaults_beat_pca_on_digits():
    X, unseen = load_digits().data[:1400] / 16, load_digits().data[1400:] / 16
    ae = Autoencoder(8, encoder=MLP((128, 64)), random_state=0).fit(X)
    pca = PCA(8).fit(X)
    pca_error = np.square(unseen - pca.inverse_transform(pca.transform(unseen))).sum(axis=1).mean()
    assert -ae.score(unseen) < 0.9 * pca_error


@pytest.mark.parametrize(("n_samples", "epochs"), [(20, 1000), (1797, 96), (60_000, 20)])
def test_epochs_auto_makes_2000_steps_but_no_fewer_than_20_epochs(n_samples, epochs):
    training = Training()
    assert training.n_epochs(n_samples) == epochs
    assert epochs * -(-n_samples // training.batch_rows(n_samples)) >= 2000
