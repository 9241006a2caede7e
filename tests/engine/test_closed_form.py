"""The step whose gradient is written out: the same gradient as automatic differentiation, to the last digits."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from embudo import (
    L1,
    L2,
    MLP,
    Adam,
    Autoencoder,
    BatchTopK,
    Contractive,
    ConvNet,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    Neighbours,
    TopK,
    Training,
)
from embudo.engine.arithmetic import NumPy, Torch
from embudo.engine.closed_form import ClosedFormStep
from embudo.engine.fitting import make_step
from embudo.engine.objective import Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import AutogradStep
from embudo.nn.activations import ACTIVATIONS
from embudo.nn.layers import initialise
from embudo.nn.network import Network
from embudo.nn.sparsity import DEAD_AFTER
from embudo.parts.losses import resolve_loss

N, N_FEATURES, N_COMPONENTS = 12, 6, 9
CORRUPTIONS = (None, GaussianNoise(0.2), MaskingNoise(0.3, emphasis=0.8))
RULES = (None, TopK(4, revive=0.3), BatchTopK(4, by="value"), JumpReLU(0.1, threshold=0.2, bandwidth=0.3))
PENALTIES = (None, L1(0.1) + L2(0.2) + Contractive(0.3) + KLSparsity(0.2), KLSparsity(0.2, running=0.9), Neighbours())
LOSSES = (("squared_error", "identity"), ("squared_error", "tanh"), ("cross_entropy", "sigmoid"), ("huber", "softplus"))
#: largest difference of two gradients, as a share of the largest entry
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def objective_of(
    *,
    hidden=(),
    code="sigmoid",
    activation="tanh",
    loss="squared_error",
    output="identity",
    tied=False,
    rule=None,
    dtype=torch.float64,
    **parts,
) -> Reconstruction:
    mlp = MLP(hidden, activation=activation)
    encoder = mlp.build_encoder((N_FEATURES,), N_COMPONENTS, code)
    decoder = mlp.mirrored().build_decoder(N_COMPONENTS, (N_FEATURES,), output, encoder if tied else None)
    sparsity = None if rule is None else rule.build(N_COMPONENTS)
    if sparsity is not None:
        sparsity.reset()
    network = Network(encoder, decoder, sparsity)
    initialise(network, torch.Generator().manual_seed(0))
    revive = None if rule is None else rule.revival
    objective = Reconstruction(network.to(dtype), resolve_loss(loss, output), revive=revive, **parts).train()
    if revive is not None:
        torch.nn.init.constant_(encoder[0].bias[:3], -10.0)  # three units that the rule does not choose
        sparsity.silent_steps = torch.full((N_COMPONENTS,), DEAD_AFTER, dtype=torch.int32)
    return objective


def assert_same_gradient(dtype=torch.float64, **composition) -> None:
    """Hold the steps against each other, two batches each, so that what is remembered counts too.

    The second computes by NumPy, the third by torch.
    """
    runtime, generator = Runtime(torch.device("cpu"), dtype), torch.Generator().manual_seed(1)
    steps = [
        kind(objective_of(dtype=dtype, **composition), Training(), runtime)
        for kind in (AutogradStep, ClosedFormStep, ClosedFormStep)
    ]
    steps[2].small_product = 0
    for _ in range(2):
        x = torch.rand(N, N_FEATURES, dtype=dtype, generator=generator)
        place = torch.rand(N, N_COMPONENTS, dtype=dtype, generator=generator)
        terms = []
        for step in steps:
            with torch.no_grad(), step.at_work():
                terms.append(step.differentiate(x, torch.cat([x, place], 1)))
        for step, found in zip(steps[1:], terms[1:], strict=True):
            assert found.keys() == terms[0].keys()
            for name, value in terms[0].items():
                assert found[name].item() == pytest.approx(
                    value.item(), rel=10 * TOLERANCE[dtype], abs=TOLERANCE[dtype]
                )
            for (name, a), b in zip(steps[0].objective.named_parameters(), step.parameters, strict=True):
                atol = TOLERANCE[dtype] * float(a.grad.abs().max())
                assert_close(b.grad, a.grad, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}")
    assert [step.layers.by for step in steps[1:]] == [NumPy, Torch]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_composition_of_parts(rule, tied, dtype):
    for corruption, penalty, (loss, output) in itertools.product(CORRUPTIONS, PENALTIES, LOSSES):
        assert_same_gradient(
            dtype, loss=loss, output=output, tied=tied, rule=rule, corruption=corruption, penalty=penalty
        )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
def test_every_activation_in_deep_networks_and_contracted_codes(activation, tied):
    assert_same_gradient(hidden=(8, 7), activation=activation, code=activation, tied=tied)
    assert_same_gradient(code=activation, tied=tied, penalty=Contractive(0.5), rule=TopK(4))


class CubedL1(L1):
    """A cost of one's own, which inherits the gradient of another."""

    def __call__(self, step):
        return super().__call__(step) ** 3


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({}, ClosedFormStep),
        ({"encoder": MLP((8, 4), activation="gelu"), "penalty": L1(0.1)}, ClosedFormStep),
        ({"encoder": MLP(8), "penalty": Contractive(0.1)}, AutogradStep),
        ({"penalty": CubedL1(0.1)}, AutogradStep),
        ({"penalty": Contractive(0.1, probes=1)}, AutogradStep),
        ({"encoder": ConvNet((2,), image_shape=(8, 8))}, AutogradStep),
        ({"loss": lambda y, x: (y - x).square().sum(1)}, AutogradStep),
        ({"sparsity": TopK(2, revive=0.1)}, ClosedFormStep),
        ({"training": Training(1, precision="bfloat16")}, AutogradStep),
    ],
)
def test_it_is_chosen_where_all_derivatives_are_written_out(parts, kind):
    ae = Autoencoder(4, random_state=0, **({"training": Training(1)} | parts)).fit(torch.rand(40, 64).numpy())
    assert type(ae._make_step()) is kind


def test_a_batch_of_another_size_and_a_step_in_between_do_not_matter():
    objective = objective_of(hidden=(8,), rule=TopK(4))
    runtime = Runtime(torch.device("cpu"), torch.float64)
    step = make_step(objective, Training(), runtime)
    other = AutogradStep(objective, Training(), runtime)
    x = torch.rand(N, N_FEATURES, dtype=torch.float64)
    with step.at_work():
        step(x, x)
    other(x[:5], x[:5])
    with torch.no_grad(), step.at_work():
        found = {name: value.item() for name, value in step.differentiate(x[:5], x[:5]).items()}
        gradient = [p.grad.clone() for p in step.parameters]
        expected = other.differentiate(x[:5], x[:5])
    assert found == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-12)
    for a, b in zip(gradient, other.parameters, strict=True):
        assert_close(a, b.grad, rtol=1e-10, atol=1e-12)


def test_adam_without_what_surrounds_it_is_torchs():
    weights = [torch.randn(3, 4), torch.randn(4)]
    ours, theirs = ([torch.nn.Parameter(w.clone()) for w in weights] for _ in range(2))
    optimizers = [
        Adam(1e-2, weight_decay=0.1, betas=(0.8, 0.9)).build(ours),
        torch.optim.AdamW(
            [{"params": theirs[:1]}, {"params": theirs[1:], "weight_decay": 0.0}],
            lr=1e-2,
            weight_decay=0.1,
            betas=(0.8, 0.9),
            fused=True,
        ),
    ]
    for step in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = b.grad = torch.randn_like(a) if step != 1 or a.ndim > 1 else None
        for optimizer in optimizers:
            optimizer.step()
        assert_close(ours, theirs, rtol=0, atol=0)
