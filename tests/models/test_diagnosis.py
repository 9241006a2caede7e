"""What `diagnose` measures, against each measure computed another way."""

import json

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from zoo import digits

from embudo import MLP, Adam, Autoencoder, Contractive, MaskingNoise, StackedAutoencoder, TopK, Training

X = digits(n_samples=1200)  # more than a block
QUICK = Training(5, batch_size=50)


def fitted(n_components=10, data=X, **params):
    return Autoencoder(n_components, **{"training": QUICK, "random_state": 0, **params}).fit(data)


@pytest.mark.parametrize("scale", [None, "standard", "minmax"])
def test_errors_and_variances_stand_beside_those_of_pca(scale):
    data = X * np.linspace(1, 9, 64)
    ae = fitted(data=data, scale=scale)
    facts = ae.diagnose(data)
    assert facts["reconstruction_error"] == pytest.approx(ae.reconstruction_error(data).mean(), rel=1e-4)
    z, y = (ae.scaler_.apply(rows) for rows in (data, ae.reconstruct(data)))
    variance = np.square(z - z.mean(axis=0)).sum(axis=1).mean()
    assert facts["fvu"] == pytest.approx(np.square(z - y).sum(axis=1).mean() / variance, rel=1e-4)
    assert facts["explained_variance"] == pytest.approx(1 - (z - y).var(axis=0).sum() / variance, rel=1e-4)
    pca = PCA(10).fit(z)
    of_pca = pca.inverse_transform(pca.transform(z))
    assert facts["pca_fvu"] == pytest.approx(np.square(z - of_pca).sum(axis=1).mean() / variance, rel=1e-4)
    assert facts["pca_explained_variance"] == pytest.approx(1 - facts["pca_fvu"])
    back = ae.scaler_.invert(of_pca)
    assert facts["pca_reconstruction_error"] == pytest.approx(np.square(data - back).sum(axis=1).mean(), rel=1e-4)


def test_a_linear_autoencoder_started_from_pca_leaves_what_pca_leaves():
    ae = fitted(init="pca", training=Training(1, optimizer=Adam(1e-30)))
    facts = ae.diagnose(X)
    assert facts["fvu"] == pytest.approx(facts["pca_fvu"], rel=1e-4)
    assert facts["reconstruction_error"] == pytest.approx(facts["pca_reconstruction_error"], rel=1e-4)


def test_there_is_no_pca_for_more_components_than_features():
    facts = fitted(65).diagnose(X)
    assert facts["pca_fvu"] is facts["pca_reconstruction_error"] is facts["pca_explained_variance"] is None
    assert all(measures["pca_fvu"] is None for measures in facts["noise"].values())


def test_units_that_speak_are_counted():
    ae = fitted(100, sparsity=TopK(5))
    facts, codes = ae.diagnose(X), ae.transform(X)
    spoken = codes != 0
    assert facts["l0"] == 5
    assert facts["dead_units"] == 100 * facts["dead_share"] == (~spoken.any(axis=0)).sum() > 0
    assert facts["mean_activation"] == pytest.approx(codes.mean(), rel=1e-4)
    density = spoken.mean(axis=0)
    assert facts["density"] == pytest.approx({"min": 0, "median": np.median(density), "max": density.max()})
    assert facts["saturation"] is None


def test_saturation_is_measured_on_codes_between_0_and_1():
    ae = fitted(20, code_activation="sigmoid")
    codes = ae.transform(X)
    assert ae.diagnose(X)["saturation"] == pytest.approx(((codes < 0.05) | (codes > 0.95)).mean(), abs=1e-4)


@pytest.mark.parametrize("encoder", [MLP(), MLP(12, activation="tanh")])
@pytest.mark.parametrize("sparsity", [None, TopK(4)])
def test_the_jacobian_norm_is_the_mean_over_samples(encoder, sparsity):
    data = X[:40]
    ae = fitted(data=data, encoder=encoder, code_activation="sigmoid", sparsity=sparsity)
    encode = ae.module_.encode
    norms = [
        torch.autograd.functional.jacobian(lambda x: encode(x[None])[0], x).norm().item()
        for x in torch.tensor(data, dtype=torch.float32)
    ]
    assert ae.diagnose(data)["jacobian_norm"] == pytest.approx(np.mean(norms), rel=1e-4)


def test_contraction_lowers_the_jacobian_norm():
    sigmoids = {"code_activation": "sigmoid", "output_activation": "sigmoid", "tied": True}
    plain, contracted = (fitted(penalty=Contractive(weight), **sigmoids) for weight in (0.0, 1.0))
    assert contracted.diagnose(X)["jacobian_norm"] < 0.7 * plain.diagnose(X)["jacobian_norm"]


def test_noise_is_measured_as_a_change_of_reconstruction_and_code():
    nothing, most = MaskingNoise(0.0), MaskingNoise(0.999999)
    ae = fitted()
    facts = ae.diagnose(X, noises=[nothing, most])["noise"]
    none, all_masked = facts[repr(nothing)], facts[repr(most)]
    assert (none["code_change"], none["reconstruction_change"]) == (0, 0)
    assert none["fvu"] == pytest.approx(ae.diagnose(X)["fvu"])
    assert none["pca_fvu"] == pytest.approx(ae.diagnose(X)["pca_fvu"])
    pca = PCA(10).fit(X)
    of_zero = pca.inverse_transform(pca.transform(np.zeros((1, 64))))
    expected = np.square(X - of_zero).sum(axis=1).mean() / X.var(axis=0).sum()
    assert all_masked["pca_fvu"] == pytest.approx(expected, rel=1e-3)
    codes, of_nothing = ae.transform(X), ae.transform(np.zeros((1, 64)))
    spread = np.square(codes - codes.mean(axis=0)).sum(axis=1).mean()
    expected = (np.square(codes - of_nothing).sum(axis=1).mean() / spread) ** 0.5
    assert all_masked["code_change"] == pytest.approx(expected, rel=1e-3)


def test_the_noise_is_the_same_at_every_call_and_more_noise_changes_more():
    ae = fitted(training=Training(20))
    first = ae.diagnose(X)
    assert first == ae.diagnose(X)
    for kind in ("GaussianNoise", "MaskingNoise", "SaltAndPepper"):
        little, much = (first["noise"][f"{kind}({level})"] for level in (0.1, 0.4))
        assert all(little[name] < much[name] for name in little)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, lambda x: x.reshape(-1, 8, 8, 1), np.float32])
def test_sparse_samples_and_images_are_measured_alike(kind):
    ae = fitted(scale=None)
    facts = fitted(data=kind(X), scale=None).diagnose(kind(X))
    assert facts["fvu"] == pytest.approx(ae.diagnose(X)["fvu"], rel=1e-3)
    json.dumps(facts)


def test_a_model_that_is_not_fitted_is_not_measured():
    with pytest.raises(NotFittedError):
        Autoencoder().diagnose(X)


def test_the_jacobian_of_two_linear_levels_is_their_product():
    X = np.random.default_rng(0).random((40, 5))
    levels = [(name, Autoencoder(n, scale=None, training=Training(2))) for name, n in (("one", 4), ("two", 2))]
    stack = StackedAutoencoder(levels, training=Training(2), random_state=0).fit(X)
    one, two = (layer.weight.detach().numpy() for layer in stack.module_.encoder)
    assert stack.diagnose(X)["jacobian_norm"] == pytest.approx(np.linalg.norm(two @ one), rel=1e-5)
