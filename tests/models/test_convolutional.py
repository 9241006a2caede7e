"""Convolutional autoencoders: images and rows, the gradient of the whole objective, Jacobians, first outputs."""

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from zoo import QUICK, SIGMOIDS, digits

from embudo import (
    L1,
    MLP,
    Adam,
    Autoencoder,
    Contractive,
    ConvNet,
    KLSparsity,
    MaskingNoise,
    TopK,
    Training,
    load,
)
from embudo.engine.objective import Reconstruction
from embudo.models.initialisation import initialise_network
from embudo.parts.losses import resolve_loss

IMAGES = digits().reshape(-1, 8, 8)
NET = ConvNet((4, 6))


def colour_images(n: int = 60) -> np.ndarray:
    """Return images of 7 x 5 pixels, whose three channels differ in brightness."""
    images = digits(n_samples=n).reshape(-1, 8, 8, 1)[:, :7, 1:6]
    return images * [0.9, 0.5, 0.1]


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_images_and_rows_of_their_pixels_are_one(shape):
    rows = digits()
    of_images = Autoencoder(5, encoder=NET, training=QUICK, random_state=0).fit(rows.reshape(-1, *shape))
    part = ConvNet((4, 6), image_shape=shape)
    of_rows = Autoencoder(5, encoder=part, training=QUICK, random_state=0).fit(rows)
    codes = of_images.transform(rows)
    np.testing.assert_array_equal(codes, of_images.transform(rows.reshape(-1, *shape)))
    np.testing.assert_array_equal(codes, of_rows.transform(rows))
    np.testing.assert_array_equal(codes, of_rows.transform(rows.reshape(-1, *shape)))
    assert of_images.inverse_transform(codes).shape == (200, *shape)
    assert of_rows.inverse_transform(codes).shape == (200, 64)
    of_sparse = clone(of_rows).fit(scipy.sparse.csr_matrix(rows))
    np.testing.assert_allclose(of_sparse.transform(rows), codes, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_colour_images_of_a_size_that_no_stride_divides_are_learnt(kernel_size, tmp_path):
    images = (colour_images() * 255).astype(np.uint8)
    part = ConvNet((8, 12), kernel_size=kernel_size, residual_blocks=1, activation="gelu")
    training = Training(60, batch_size=20, optimizer=Adam(1e-2))
    ae = Autoencoder(8, encoder=part, training=training, random_state=0).fit(images)
    spread = np.square(images - images.mean(axis=0)).sum(axis=(1, 2, 3)).mean()
    assert ae.reconstruct(images).shape == images.shape
    assert -ae.score(images) < 0.25 * spread
    ae.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "model.safetensors").reconstruct(images), ae.reconstruct(images))


def test_parts_of_the_network_are_nested_parameters():
    grid = {"encoder__channels": [(2,), (4, 6)], "encoder__kernel_size": [3, 4]}
    search = GridSearchCV(Autoencoder(4, encoder=NET, training=QUICK, random_state=0), grid, cv=2).fit(IMAGES)
    assert search.best_params_["encoder__channels"] == (4, 6)


def test_chunks_of_images_are_learnt_one_after_the_other():
    ae = Autoencoder(4, encoder=NET, random_state=0)
    scores = [ae.partial_fit(IMAGES[i::2]).score(IMAGES) for _ in range(5) for i in range(2)]
    assert scores[-1] > scores[0]


@pytest.mark.parametrize("output", ["identity", "sigmoid"])
def test_the_output_begins_at_the_mean_of_each_channel(output):
    images = colour_images()
    still = Training(1, optimizer=Adam(1e-30))
    ae = Autoencoder(4, encoder=NET, output_activation=output, scale=None, training=still, random_state=0).fit(images)
    with torch.no_grad():
        *_, convolution, to_rows = [layer for layer in ae.module_.decoder if not isinstance(layer, torch.nn.Sigmoid)]
        start = to_rows(convolution(torch.zeros(1, 4, 4, 3)))
    if output == "sigmoid":
        start = start.sigmoid()
    expected = np.broadcast_to(images.mean(axis=(0, 1, 2)), (7, 5, 3)).ravel()
    np.testing.assert_allclose(start[0], expected, atol=1e-6)


# ---------------------------------------------------------------------- gradients


def objective_of(seed: int = 0, **params) -> tuple[Reconstruction, torch.Tensor]:
    """Return the objective of an autoencoder of small images in float64, and a batch."""
    images = torch.rand(6, 5, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).numpy()
    training = Training(1, precision="float64")
    ae = Autoencoder(3, **{"encoder": ConvNet(2, activation="tanh"), "training": training, "random_state": 0, **params})
    rows = ae._validated(images, reset=True)
    ae._prepare(rows, rows)
    initialise_network(ae.module_, "auto", rows, ae.scaler_, seed)
    loss = resolve_loss(ae.loss, ae.output_activation)
    objective = Reconstruction(ae.module_, loss, corruption=ae.corruption, penalty=ae.penalty)
    return objective.train(), torch.from_numpy(rows)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"encoder": ConvNet((2, 2), kernel_size=4, residual_blocks=1, activation="softplus")},
        {"tied": True, "corruption": MaskingNoise(0.3, emphasis=0.8), **SIGMOIDS, "penalty": KLSparsity(0.1) + L1(0.1)},
        {"penalty": Contractive(0.1), "code_activation": "tanh"},
        {"penalty": Contractive(0.1, probes=2), "tied": True, **SIGMOIDS},
        {"encoder": MLP(4, activation="tanh"), "decoder": ConvNet(2, activation="gelu"), "sparsity": TopK(2)},
    ],
    ids=["plain", "residual", "denoising", "contractive", "probes", "mixed"],
)
def test_the_gradient_of_the_whole_objective_agrees_with_finite_differences(params):
    objective, x = objective_of(**params)
    weights = {name: p.detach().clone().requires_grad_() for name, p in objective.named_parameters()}

    def total(*values: torch.Tensor) -> torch.Tensor:
        objective.generator.manual_seed(0)  # the same corruption and probes each time
        terms = torch.func.functional_call(objective, dict(zip(weights, values, strict=True)), (x, x))
        return torch.stack(list(terms.values())).sum()

    assert torch.autograd.gradcheck(total, tuple(weights.values()))


@pytest.mark.parametrize("sparsity", [None, TopK(3)])
def test_the_jacobian_norm_of_images_is_the_mean_over_samples(sparsity):
    images = colour_images(30).astype(np.float32)
    ae = Autoencoder(5, encoder=NET, code_activation="sigmoid", sparsity=sparsity, training=QUICK, random_state=0)
    encode = ae.fit(images).module_.encode
    norms = [
        torch.autograd.functional.jacobian(lambda x: encode(x[None])[0], x).norm().item()
        for x in torch.from_numpy(images.reshape(30, -1))
    ]
    facts = ae.diagnose(images)
    assert facts["jacobian_norm"] == pytest.approx(np.mean(norms), rel=1e-4)
    assert facts["reconstruction_error"] == pytest.approx(ae.reconstruction_error(images).mean(), rel=1e-4)


def test_contraction_lowers_the_jacobian_norm_of_a_convolutional_encoder():
    longer = Training(20, verbose=False)
    norms = [
        Autoencoder(5, encoder=NET, penalty=Contractive(weight), **SIGMOIDS, training=longer, random_state=0)
        .fit(IMAGES)
        .diagnose(IMAGES)["jacobian_norm"]
        for weight in (0.0, 1.0)
    ]
    assert norms[1] < 0.9 * norms[0]
