"""Named variants: compositions after the papers."""

import pytest
from zoo import digits

import embudo
from embudo import (
    MLP,
    Autoencoder,
    Contractive,
    GaussianNoise,
    KLSparsity,
    MaskingNoise,
    Neighbours,
    TopK,
    Training,
)

PARTS = {
    "denoising_autoencoder": {"corruption": MaskingNoise(0.25), "tied": True, "loss": "cross_entropy"},
    "sparse_autoencoder": {"penalty": KLSparsity(0.05, weight=6.0), "code_activation": "sigmoid"},
    "k_sparse_autoencoder": {"sparsity": TopK(25, anneal=0.5), "tied": True, "code_activation": "identity"},
    "contractive_autoencoder": {"penalty": Contractive(0.1), "tied": True, "code_activation": "sigmoid"},
}


@pytest.mark.parametrize("name", PARTS)
def test_a_preset_is_the_composition_of_its_paper_and_learns(name):
    ae = getattr(embudo, name)(100, training=Training(5, batch_size=20), random_state=0)
    assert type(ae) is Autoencoder
    assert {key: getattr(ae, key) for key in PARTS[name]} == PARTS[name]
    history = ae.fit(digits()).history_
    assert history["reconstruction"][-1] < history["reconstruction"][0] if "reconstruction" in history else True
    assert ae.transform(digits()).shape == (200, 100)


def test_a_preset_takes_the_parameters_of_its_variant_and_any_other():
    ae = embudo.k_sparse_autoencoder(50, k=5, tied=False, corruption=GaussianNoise(0.1))
    assert (ae.sparsity.k, ae.tied, ae.corruption) == (5, False, GaussianNoise(0.1))
    assert embudo.sparse_autoencoder(50, rho=0.1, weight=2.0).penalty == KLSparsity(0.1, weight=2.0)
    assert embudo.denoising_autoencoder(50, fraction=0.5).corruption == MaskingNoise(0.5)
    assert embudo.contractive_autoencoder(50, penalty=None).penalty is None


def test_an_autoencoder_for_maps_keeps_neighbours_or_not():
    ae = embudo.map_autoencoder(3, n_neighbors=5, encoder=MLP(8))
    assert (ae.n_components, ae.penalty, ae.encoder) == (3, Neighbours(n_neighbors=5), MLP(8))
    assert embudo.map_autoencoder(penalty=None).penalty is None
