"""Losses, penalties, optimizers and layers against closed forms, in float64."""

import numpy as np
import pytest
import torch

from embudo import L1, L2, MLP, SGD, Adam, Neighbours
from embudo.errors import InvalidParameter
from embudo.parts.losses import LOSSES, resolve_loss
from embudo.parts.penalties import Step

RNG = np.random.default_rng(0)
OUTPUT, TARGET = RNG.normal(size=(7, 5)) * 3, RNG.random((7, 5))
SIGMOID = 1 / (1 + np.exp(-OUTPUT))
ERROR = OUTPUT - TARGET
CLOSED = {
    "squared_error": (ERROR**2).sum(1).mean(),
    "cross_entropy": -(TARGET * np.log(SIGMOID) + (1 - TARGET) * np.log(1 - SIGMOID)).sum(1).mean(),
    "huber": np.where(np.abs(ERROR) <= 1, ERROR**2 / 2, np.abs(ERROR) - 0.5).sum(1).mean(),
}


def tensor(array, **options):
    return torch.tensor(array, dtype=torch.float64, **options)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_summed_over_features_and_averaged_over_samples(name):
    loss = resolve_loss(name, "sigmoid")
    assert float(loss(tensor(OUTPUT), tensor(TARGET))) == pytest.approx(CLOSED[name], rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_agrees_with_finite_differences(name):
    assert torch.autograd.gradcheck(LOSSES[name], (tensor(OUTPUT, requires_grad=True), tensor(TARGET)))


def test_cross_entropy_of_extreme_logits_is_finite_and_exact():
    value = LOSSES["cross_entropy"](tensor([[800.0, -800.0]]), tensor([[0.0, 0.0]]))
    assert float(value) == pytest.approx(800)


@pytest.mark.parametrize(
    "own",
    [
        lambda y, x: (y - x).square(),
        lambda y, x: (y - x).square().sum(1),
        lambda y, x: (y - x).square().sum(1).mean(),
    ],
    ids=["of each entry", "of each sample", "their mean"],
)
def test_a_callable_may_return_entries_samples_or_their_mean(own):
    loss = resolve_loss(own, "identity")
    assert float(loss(tensor(OUTPUT), tensor(TARGET))) == pytest.approx(CLOSED["squared_error"], rel=1e-12)


def test_an_unknown_loss_and_one_that_does_not_suit_are_refused():
    with pytest.raises(InvalidParameter, match=r"got 'squared_eror' \(did you mean 'squared_error'\?\)\.$"):
        resolve_loss("squared_eror", "identity")
    with pytest.raises(InvalidParameter, match=r"output_activation='relu' can leave \(0, 1\): set output_activation="):
        resolve_loss("cross_entropy", "relu")


def step_of(code, place=None):
    x = tensor(TARGET)
    rest = {"encode": None, "encoder": None, "generator": None, "memory": {}}
    return Step(x=x, x_in=x, pre=code, code=code, y=x, place=place, **rest)


@pytest.mark.parametrize(
    ("penalty", "closed"),
    [
        (L1(0.3), 0.3 * np.abs(OUTPUT).sum(1).mean()),
        (L2(0.3), 0.3 * (OUTPUT**2).sum(1).mean()),
        (L1(0), 0.0),
    ],
)
def test_a_penalty_has_its_closed_form_and_the_gradient_of_finite_differences(penalty, closed):
    assert float(penalty(step_of(tensor(OUTPUT)))) == pytest.approx(closed, rel=1e-12)
    assert torch.autograd.gradcheck(lambda code: penalty(step_of(code)), tensor(OUTPUT, requires_grad=True))


def test_neighbours_has_its_closed_form_and_the_gradient_of_finite_differences():
    places = np.random.default_rng(1).normal(size=OUTPUT.shape)
    closed = 0.3 * np.log(1 + ((OUTPUT - places) ** 2).sum(1)).mean()
    code, place = tensor(OUTPUT, requires_grad=True), tensor(places)
    assert float(Neighbours(0.3)(step_of(code, place)).detach()) == pytest.approx(closed, rel=1e-12)
    assert torch.autograd.gradcheck(lambda code: Neighbours(0.3)(step_of(code, place)), code)


def test_the_terms_of_a_sum_are_weighed_each_by_itself():
    step = step_of(tensor(OUTPUT))
    values = {kind: float(term(step)) for kind, term in (L2(0.5) + L1(2)).terms.items()}
    assert values == {"l2": float(L2(0.5)(step)), "l1": float(L1(2)(step))}


def one_step(optimizer, start, gradient):
    weight = torch.nn.Parameter(tensor([[start]]))
    bias = torch.nn.Parameter(tensor([start]))
    built = optimizer.build([weight, bias])
    weight.grad, bias.grad = tensor([[gradient]]), tensor([gradient])
    built.step()
    return weight.item(), bias.item()


def test_sgd_steps_down_the_gradient_and_decays_weights_but_not_biases():
    weight, bias = one_step(SGD(0.1, weight_decay=0.5), 2.0, 3.0)
    assert weight == pytest.approx(2 - 0.1 * (3 + 0.5 * 2))
    assert bias == pytest.approx(2 - 0.1 * 3)


def test_adam_steps_by_its_rate_first_and_decays_weights_but_not_biases():
    weight, bias = one_step(Adam(0.1, weight_decay=0.5), 2.0, 3.0)
    assert weight == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1, rel=1e-6)
    assert bias == pytest.approx(2 - 0.1, rel=1e-6)


@pytest.mark.parametrize("hidden", [(), (7,), (7, 3)])
def test_an_mlp_builds_its_layers_and_mirrors_them(hidden):
    mlp = MLP(hidden, activation="tanh")
    encoder, decoder = mlp.build_encoder((5,), 2, "sigmoid"), mlp.mirrored().build_decoder(2, (5,), "relu")
    sizes = [layer.in_features for half in (encoder, decoder) for layer in half if isinstance(layer, torch.nn.Linear)]
    assert sizes == [5, *hidden, 2, *hidden[::-1]]
    assert decoder(encoder(torch.zeros(4, 5))).shape == (4, 5)
    assert mlp.mirrored().hidden == hidden[::-1]
    assert mlp.mirrored().mirrored() == mlp
