"""Layers: initialisation, tied weights."""

import math

import pytest
import torch
from zoo import digits

from embudo import MLP, Adam, Autoencoder, Training
from embudo.nn.activations import ACTIVATIONS, make_activation
from embudo.nn.layers import Dense, TiedDense, dense_stack, initialise


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_keep_the_variance_of_a_deep_stack_in_bounds(activation):
    stack = dense_stack([400] * 8, [activation] * 7)
    initialise(stack, torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = stack(torch.randn(500, 400, generator=torch.Generator().manual_seed(1)))
    assert out.isfinite().all()
    assert 1e-3 < out.std() < 1e3


@pytest.mark.parametrize(("activation", "variance"), [("relu", 2 / 300), ("tanh", 2 / 500)])
def test_initial_variance_is_hes_before_rectifiers_and_glorots_before_others(activation, variance):
    layer = Dense(300, 200, activation)
    layer.reset_parameters(torch.Generator().manual_seed(0))
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.02)
    assert not layer.bias.any()


@pytest.mark.parametrize(
    ("name", "at_half"),
    [
        ("identity", 0.5),
        ("relu", 0.5),
        ("leaky_relu", 0.5),
        ("gelu", 0.5 * 0.5 * (1 + math.erf(0.5 / math.sqrt(2)))),
        ("tanh", math.tanh(0.5)),
        ("sigmoid", 1 / (1 + math.exp(-0.5))),
        ("softplus", math.log1p(math.exp(0.5))),
    ],
)
def test_activations_are_the_functions_of_their_names(name, at_half):
    value = make_activation(name)(torch.tensor(0.5, dtype=torch.float64))
    assert value.item() == pytest.approx(at_half, abs=1e-12)


@pytest.mark.parametrize("hidden", [(), (20,), (20, 9)])
def test_tied_weights_are_one_storage_after_training(hidden):
    training = Training(3, optimizer=Adam(1e-2, weight_decay=0.1), clip=1.0)
    ae = Autoencoder(5, encoder=MLP(hidden, activation="tanh"), tied=True, training=training, random_state=0)
    start = ae.set_params(training__epochs=1).fit(digits()).module_.encoder[0].weight.clone()
    ae.set_params(training__epochs=3).fit(digits())
    encoders = [layer for layer in ae.module_.encoder if isinstance(layer, Dense)]
    decoders = [layer for layer in ae.module_.decoder if isinstance(layer, TiedDense)]
    assert len(encoders) == len(decoders) == len(hidden) + 1
    for encoder, decoder in zip(encoders, reversed(decoders), strict=True):
        assert decoder.weight.data_ptr() == encoder.weight.data_ptr()
        assert torch.equal(decoder.weight, encoder.weight.T)
    assert not torch.equal(start, encoders[0].weight)
    n_weights = sum(p.numel() for p in ae.module_.parameters())
    assert n_weights == sum(e.weight.numel() for e in encoders) + sum(e.bias.numel() for e in encoders) + sum(
        d.bias.numel() for d in decoders
    )


def test_the_gradient_of_a_tied_weight_has_both_parts():
    encoder = dense_stack([3, 2], ["tanh"])
    decoder = dense_stack([2, 3], ["identity"], tied_to=encoder)
    initialise(encoder, torch.Generator().manual_seed(0))
    initialise(decoder, torch.Generator().manual_seed(0))
    encoder.double()
    decoder.double()
    x = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(lambda weight: decoder(encoder(x)), encoder[0].weight)  # which is moved in place
