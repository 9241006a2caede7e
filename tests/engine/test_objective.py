"""The objective: what is corrupted and what stays clean, what revives dead units, and sparsity at its word."""

import numpy as np
import pytest
import torch
from torch import nn
from zoo import digits, own_noise

from embudo import (
    L1,
    MLP,
    SGD,
    Adam,
    Autoencoder,
    BatchTopK,
    Contractive,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    TopK,
    Training,
)
from embudo.engine.objective import Reconstruction
from embudo.errors import InvalidParameter
from embudo.nn.layers import Dense, TiedDense, initialise
from embudo.nn.network import Network
from embudo.nn.sparsity import DEAD_AFTER
from embudo.parts.losses import squared_error
from embudo.parts.penalties import Penalty

SIGMOIDS = {"code_activation": "sigmoid", "output_activation": "sigmoid", "loss": "cross_entropy"}


def objective_of(sparsity=None, tied=False, **options) -> Reconstruction:
    encoder = nn.Sequential(Dense(6, 8, "identity"))
    decoder = nn.Sequential(TiedDense(encoder[0]) if tied else Dense(8, 6, "identity"))
    network = Network(encoder, decoder, sparsity.build(8) if sparsity else None)
    initialise(network, torch.Generator().manual_seed(0))
    if sparsity:
        network.sparsity.reset()
    return Reconstruction(network.double(), squared_error, **options)


def samples(n: int = 20) -> torch.Tensor:
    return torch.rand(n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Spy(Penalty):
    """Keeps the records that it was shown."""

    def __init__(self):
        object.__setattr__(self, "steps", [])

    def __call__(self, step):
        self.steps.append(step)
        return step.code.sum() * 0


@pytest.mark.parametrize("corruption", [GaussianNoise(0.3) + MaskingNoise(0.5), own_noise])
def test_the_encoder_sees_fresh_corruption_and_the_target_stays_clean(corruption):
    spy, x = Spy(), samples()
    objective = objective_of(corruption=corruption, penalty=spy)
    terms = [objective(x, x) for _ in "12"]
    first, second = spy.steps
    assert torch.equal(x, samples())
    for step, term in zip(spy.steps, terms, strict=True):
        assert not torch.equal(step.x_in, x)
        assert torch.equal(step.x, x)
        assert torch.equal(step.code, objective.network.encode(step.x_in))
        assert torch.equal(step.y, objective.network(step.x_in))
        assert torch.equal(term["reconstruction"], squared_error(step.y, x))
    assert not torch.equal(first.x_in, second.x_in)


def test_validation_is_measured_without_corruption_or_penalties():
    objective, x = objective_of(corruption=MaskingNoise(0.5), penalty=L1(1)), samples()
    expected = squared_error(objective.network(x), x)
    assert torch.equal(objective.measure(x, x)["loss"], expected)
    assert set(objective(x, x)) == {"reconstruction", "l1"}


def test_emphasis_reaches_the_loss():
    x = samples()
    full = objective_of(corruption=MaskingNoise(0.5, emphasis=1), penalty=(spy := Spy()))
    term = full(x, x)["reconstruction"]
    (step,) = spy.steps
    masked = step.x_in == 0
    assert term.item() == pytest.approx(2 * ((step.y - x) ** 2)[masked].sum().item() / len(x))


def test_random_state_decides_the_corruption():
    X = digits()
    make = {"corruption": GaussianNoise(0.5) + MaskingNoise(0.3), "training": Training(2)}
    codes = [Autoencoder(5, random_state=seed, **make).fit_transform(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])


def test_nothing_is_corrupted_after_training():
    X = digits()
    ae = Autoencoder(5, corruption=MaskingNoise(0.9), training=Training(1), random_state=0).fit(X)
    np.testing.assert_array_equal(ae.transform(X), ae.transform(X))
    by_hand = X @ ae.module_.encoder[0].weight.detach().double().numpy().T
    np.testing.assert_allclose(ae.transform(X), by_hand + ae.module_.encoder[0].bias.detach().double().numpy())


def test_a_corruption_of_ones_own_that_changes_the_shape_is_refused():
    ae = Autoencoder(5, corruption=lambda x, generator: x[:, :3], training=Training(1))
    words = r"^A corruption must return a batch of the shape it is given, \(16, 64\); it returned \(16, 3\)\.$"
    with pytest.raises(InvalidParameter, match=words):
        ae.fit(digits())


# ---------------------------------------------------------------------- dead units


DEAD = [1, 4, 6]


@pytest.mark.parametrize("tied", [False, True])
def test_the_revival_is_the_loss_of_what_the_largest_dead_units_reconstruct_by_themselves(tied):
    objective, x = objective_of(TopK(2, revive=0.5), tied, revive=(2, 0.5)), samples()
    network = objective.network
    with torch.no_grad():
        network.encoder[0].weight[DEAD] *= 1e-6  # too small to speak
        assert objective(x, x)["revival"] == 0
    network.sparsity.silent_steps[DEAD] = DEAD_AFTER
    code = torch.zeros(20, 8, dtype=torch.float64)
    code[:, DEAD] = network.encoder(x).detach()[:, DEAD]
    code.scatter_(1, code.masked_fill(code == 0, torch.inf).abs().argmin(1, keepdim=True), 0.0)  # the weakest of three
    terms = objective(x, x)
    assert terms["revival"].item() == pytest.approx(0.5 * squared_error(network.decode(code), x).item())
    terms["revival"].backward()
    taught = network.encoder[0].weight.grad.abs().sum(1) > 0
    assert taught[DEAD].all()
    if not tied:
        assert taught.sum() == len(DEAD)


def share_dead(sparsity) -> float:
    X = digits(n_samples=1000)
    training = Training(60, batch_size=32, optimizer=Adam(3e-3))
    codes = Autoencoder(256, sparsity=sparsity, training=training, random_state=0).fit_transform(X)
    return float((codes == 0).all(axis=0).mean())


@pytest.mark.parametrize("kind", [TopK, BatchTopK])
def test_fewer_than_one_unit_in_a_hundred_is_dead_with_revival_and_many_are_without(kind):
    assert share_dead(kind(8)) > 0.2
    assert share_dead(kind(8, revive=1.0)) < 0.01


def test_dead_units_are_revived_by_the_measure_that_chooses():
    assert share_dead(TopK(8, by="value", revive=1 / 32)) < 0.1  # by magnitude: more than twice as many


def test_dead_units_come_back_also_before_deep_decoders_and_cross_entropy():
    ae = Autoencoder(
        40, encoder=MLP(20), sparsity=TopK(2, revive=0.5), **SIGMOIDS, training=Training(120), random_state=0
    ).fit(digits())
    assert max(ae.history_["revival"]) > 0
    assert min(ae.history_["revival"]) == 0


# ---------------------------------------------------------------------- sparsity at its word


@pytest.mark.parametrize("running", [0.0, 0.9])
@pytest.mark.parametrize("rho", [0.05, 0.2])
def test_the_mean_activation_comes_to_rho(rho, running):
    X = digits(n_samples=1000)
    ae = Autoencoder(
        100,
        penalty=KLSparsity(rho, weight=10.0, running=running),
        **SIGMOIDS,
        training=Training(40, batch_size=50, optimizer=Adam(5e-3)),
        random_state=0,
    ).fit(X)
    assert ae.transform(X).mean() == pytest.approx(rho, rel=0.1)


@pytest.mark.parametrize(("sparsity", "encoded"), [(TopK(5), 5), (TopK(5, k_encode=15, anneal=0.5), 15)])
def test_exactly_k_units_speak_in_every_row_that_transform_returns(sparsity, encoded):
    X = digits()
    codes = Autoencoder(100, sparsity=sparsity, training=Training(3), random_state=0).fit_transform(X)
    assert ((codes != 0).sum(axis=1) == encoded).all()


def test_about_k_units_a_row_speak_after_training_with_a_batch_rule():
    X = digits(n_samples=1000)
    training = Training(30, batch_size=50)
    codes = Autoencoder(100, sparsity=BatchTopK(5), training=training, random_state=0).fit_transform(X)
    counts = (codes != 0).sum(axis=1)
    assert counts.mean() == pytest.approx(5, rel=0.1)
    assert counts.std() > 0.5


def test_a_heavier_cost_silences_more_units_of_a_jump_relu():
    X = digits(n_samples=500)
    spoken = []
    for weight in (0.0, 0.1, 1.0):
        rule = JumpReLU(weight, threshold=0.05, bandwidth=0.2)
        training = Training(30, optimizer=Adam(5e-3))
        spoken.append((Autoencoder(60, sparsity=rule, training=training, random_state=0).fit_transform(X) != 0).mean())
    assert spoken[0] > 1.5 * spoken[1] > 1.5 * spoken[2] > 0


def test_early_stopping_restores_the_threshold_with_the_weights():
    X = digits()
    training = Training(200, batch_size=16, optimizer=SGD(0.02, momentum=0.9), schedule=None, patience=2)
    ae = Autoencoder(40, sparsity=BatchTopK(5), training=training, random_state=0).fit(X[:50], X_val=X[50:])
    losses = ae.history_["validation_loss"]
    assert losses[-1] > min(losses)
    assert ae.reconstruction_error(X[50:].astype(np.float32)).mean() == pytest.approx(min(losses), rel=1e-4)


def test_a_contraction_shrinks_the_jacobian():
    X = digits(n_samples=500)
    sizes = []
    for weight in (0.0, 1.0):
        penalty = Contractive(weight)
        ae = Autoencoder(30, tied=True, penalty=penalty, **SIGMOIDS, training=Training(20), random_state=0).fit(X)
        slope = (h := ae.transform(X)) * (1 - h)
        sizes.append(np.mean(slope**2 @ np.square(ae.module_.encoder[0].weight.detach().numpy()).sum(1)))
        assert weight == 0 or ae.history_["contractive"][-1] < ae.history_["contractive"][0]
    assert sizes[1] < sizes[0] / 2


@pytest.mark.parametrize("penalty", [KLSparsity(0.1) + Contractive(0.1), Contractive(0.1, probes=1)])
def test_bfloat16_trains_with_every_part(penalty):
    ae = Autoencoder(
        40,
        corruption=GaussianNoise(0.1),
        sparsity=JumpReLU(0.01),
        penalty=penalty,
        **SIGMOIDS,
        training=Training(3, precision="bfloat16"),
        random_state=0,
    ).fit(digits())
    assert ae.history_["loss"][-1] < ae.history_["loss"][0]
