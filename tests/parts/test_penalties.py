"""KL sparsity against its formula; the contraction stands with the Jacobians, L1 and L2 with the terms."""

import numpy as np
import pytest
import torch

from embudo import Autoencoder, Contractive, KLSparsity, Neighbours
from embudo.errors import InvalidParameter
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.penalties import Step

CODE = np.random.default_rng(0).random((9, 4))


def step_of(code, memory=None):
    x = torch.zeros(len(code), 3, dtype=torch.float64)
    memory = {} if memory is None else memory
    rest = {"place": code[:, :0], "encode": None, "encoder": None, "generator": None, "memory": memory}
    return Step(x=x, x_in=x, pre=code, code=code, y=x, **rest)


def divergence(rho, q):
    """Return KL(rho || q) of Bernoulli distributions, by torch's own."""
    p, q = (torch.distributions.Bernoulli(torch.as_tensor(v, dtype=torch.float64)) for v in (rho, q))
    return torch.distributions.kl_divergence(p, q)


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_the_penalty_is_the_divergence_from_rho_summed_over_units(rho):
    value = KLSparsity(rho, weight=0.3)(step_of(torch.tensor(CODE)))
    assert float(value) == pytest.approx(0.3 * float(divergence(rho, CODE.mean(0)).sum()), rel=1e-12)
    at_rho = KLSparsity(rho)(step_of(torch.full((3, 2), rho, dtype=torch.float64)))
    assert float(at_rho) == pytest.approx(0, abs=1e-14)


def test_its_gradient_agrees_with_finite_differences():
    code = torch.tensor(CODE, requires_grad=True)
    assert torch.autograd.gradcheck(lambda code: KLSparsity(0.1)(step_of(code)), code)


def test_a_running_mean_is_kept_from_step_to_step():
    memory, penalty = {}, KLSparsity(0.1, running=0.75)
    first, second = torch.tensor(CODE), torch.tensor(CODE[::-1] ** 2, requires_grad=True)
    assert float(penalty(step_of(first, memory))) == pytest.approx(float(divergence(0.1, CODE.mean(0)).sum()))
    value = penalty(step_of(second, memory))
    mean = 0.75 * CODE.mean(0) + 0.25 * (CODE**2).mean(0)
    np.testing.assert_allclose(memory["mean_activation"], mean)
    assert value.item() == pytest.approx(float(divergence(0.1, mean).sum()))
    (gradient,) = torch.autograd.grad(value, second)
    slope = -0.1 / mean + 0.9 / (1 - mean)
    np.testing.assert_allclose(gradient, np.tile(slope / len(CODE), (len(CODE), 1)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_units_that_always_or_never_speak_cost_a_finite_amount(value, dtype):
    cost = KLSparsity(0.1)(step_of(torch.full((4, 2), value, dtype=dtype)))
    assert 1 < float(cost) < 100


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"sigmoid"}))
def test_codes_that_can_leave_the_unit_interval_are_refused_with_the_cure(activation):
    words = rf"code_activation='{activation}' can leave \(0, 1\): set code_activation=\"sigmoid\"\.$"
    for penalty in (KLSparsity(), Contractive() + KLSparsity()):
        with pytest.raises(InvalidParameter, match=words):
            Autoencoder(2, code_activation=activation, penalty=penalty).fit(np.eye(5))


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"identity"}))
def test_codes_that_cannot_reach_every_place_are_refused_with_the_cure(activation):
    words = rf"code_activation='{activation}' do not reach everywhere: set code_activation=\"identity\"\.$"
    with pytest.raises(InvalidParameter, match=words):
        Autoencoder(2, code_activation=activation, penalty=Contractive() + Neighbours()).fit(np.eye(5))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: KLSparsity(0), r"^KLSparsity\.rho must be a number greater than 0 and less than 1; got 0\.$"),
        (lambda: KLSparsity(0.1, running=1), r"^KLSparsity\.running must be .* less than 1; got 1\.$"),
        (lambda: KLSparsity(0.1, weight=-1), r"^KLSparsity\.weight must be a number at least 0; got -1\.$"),
        (lambda: Neighbours(-1), r"^Neighbours\.weight must be a number at least 0; got -1\.$"),
        (lambda: Neighbours(n_neighbors=1), r"^Neighbours\.n_neighbors must be an integer at least 2; got 1\.$"),
        (lambda: Neighbours(min_dist=3), r"^Neighbours\.min_dist must be .* less than 3; got 3\.$"),
        (lambda: Contractive(-1), r"^Contractive\.weight must be a number at least 0; got -1\.$"),
        (lambda: Contractive(probes=0), r"^Contractive\.probes \(when not None\) must be an integer at least 1; got 0"),
        (lambda: Contractive(probes=1.5), r"^Contractive\.probes .* must be an integer at least 1; got 1\.5\.$"),
    ],
)
def test_values_out_of_bounds_are_refused(make, words):
    with pytest.raises(InvalidParameter, match=words):
        make()
