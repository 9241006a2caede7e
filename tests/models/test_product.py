"""Every corruption with every sparsity rule and every penalty, tied and not, shallow and deep."""

import itertools

import pytest
from zoo import digits, own_noise

from embudo import (
    L1,
    L2,
    MLP,
    Adam,
    Autoencoder,
    BatchTopK,
    Contractive,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    SaltAndPepper,
    TopK,
    Training,
)

CORRUPTIONS = (None, GaussianNoise(0.1), MaskingNoise(0.2, emphasis=0.7) + SaltAndPepper(0.1), own_noise)
RULES = (None, TopK(4, revive=0.1), BatchTopK(4, by="value"), JumpReLU(0.01))
PENALTIES = (None, KLSparsity(0.1, weight=0.1), L1(0.01) + L2(0.01), Contractive(0.01), Contractive(0.01, probes=1))
SIGMOIDS = {"code_activation": "sigmoid", "output_activation": "sigmoid"}
X = digits(n_samples=40)


@pytest.mark.parametrize("encoder", [MLP(), MLP(10, activation="tanh")], ids=["shallow", "deep"])
@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_corruption_and_penalty_goes_with_every_rule(rule, tied, encoder):
    for corruption, penalty in itertools.product(CORRUPTIONS, PENALTIES):
        ae = Autoencoder(
            12,
            encoder=encoder,
            tied=tied,
            corruption=corruption,
            sparsity=rule,
            penalty=penalty,
            training=Training(6, batch_size=20, optimizer=Adam(1e-2)),
            random_state=0,
            **SIGMOIDS,
        ).fit(X)
        history = ae.history_
        assert history["loss"][-1] < history["loss"][0], ae
        assert set(penalty.terms if penalty else ()) <= set(history)
