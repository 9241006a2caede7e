"""Squared Frobenius norms of Jacobians: closed form, vector-Jacobian products and probes, against each other."""

import pytest
import torch
from torch import nn

from embudo import MLP, BatchTopK, Contractive, ConvNet, JumpReLU, TopK
from embudo.nn.activations import ACTIVATIONS, derivative, make_activation
from embudo.nn.jacobian import dense_norm, estimated_norm, exact_norm, is_dense
from embudo.nn.layers import initialise
from embudo.nn.network import Network
from embudo.parts.penalties import Step

RULES = {"none": None, "top": TopK(3), "top by value": TopK(3, by="value"), "jump": JumpReLU(threshold=0.3)}
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(n: int = 6, *shape: int) -> torch.Tensor:
    return torch.randn(n, *(shape or (7,)), dtype=torch.float64, generator=generator(3))


def network(activation: str, hidden: tuple[int, ...] = (), rule=None, n_components: int = 5) -> Network:
    encoder = MLP(hidden, activation="tanh").build_encoder((7,), n_components, activation)
    sparsity = rule.build(n_components) if rule is not None else None
    made = Network(encoder, nn.Sequential(), sparsity)
    initialise(made, generator())
    if sparsity is not None:
        sparsity.reset()
    return made.double()


def norm_by_definition(encode, x: torch.Tensor) -> torch.Tensor:
    """Return the sum of all squared partial derivatives of each sample's code, a sample at a time."""
    jacobians = [torch.autograd.functional.jacobian(lambda one: encode(one[None])[0], one) for one in x]
    return torch.stack([jacobian.square().sum() for jacobian in jacobians])


def closed_form(made: Network, x: torch.Tensor) -> torch.Tensor:
    pre = made.encoder(x)
    return dense_norm(made.encoder, x, pre, made.select(pre))


@every_activation
def test_the_slope_of_an_activation_is_its_derivative(activation):
    module = None if activation == "identity" else make_activation(activation)
    z = samples(50).flatten().requires_grad_()
    h = z if module is None else module(z)
    (slope,) = torch.autograd.grad(h.sum(), z, retain_graph=True)
    torch.testing.assert_close(derivative(module, h, lambda: z), slope)


def test_an_activation_of_unknown_slope_is_refused():
    with pytest.raises(TypeError, match="No derivative is known for Hardtanh"):
        derivative(nn.Hardtanh(), torch.zeros(1), lambda: torch.zeros(1))


@every_activation
@pytest.mark.parametrize("rule", RULES)
def test_the_closed_form_equals_vector_jacobian_products_and_the_definition(activation, rule):
    made, x = network(activation, rule=RULES[rule]), samples()
    assert is_dense(made.encoder)
    expected = norm_by_definition(made.encode, x)
    assert expected.sum() > 0
    torch.testing.assert_close(closed_form(made, x), expected)
    torch.testing.assert_close(exact_norm(made.encode, x), expected)


@every_activation
def test_jacrev_agrees(activation):
    made, x = network(activation, hidden=(6,)), samples()
    jacobian = torch.vmap(torch.func.jacrev(lambda one: made.encode(one[None])[0]))(x)
    torch.testing.assert_close(exact_norm(made.encode, x), jacobian.square().sum((1, 2)))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("hidden", [(6,), (9, 4)])
def test_deep_encoders_have_the_norm_of_the_definition(hidden, rule):
    made, x = network("sigmoid", hidden, RULES[rule]), samples()
    assert not is_dense(made.encoder)
    torch.testing.assert_close(exact_norm(made.encode, x), norm_by_definition(made.encode, x))


def test_a_rule_that_looks_at_the_whole_batch_leaves_its_choice_as_it_was():
    made, x = network("sigmoid", rule=BatchTopK(2)), samples()
    made.sparsity.threshold.fill_(0.5)
    torch.testing.assert_close(exact_norm(made.encode, x), closed_form(made, x))
    assert made.sparsity.threshold == 0.5


class Norm(nn.Module):
    """The mean norm as a function of the weights, for finite differences."""

    def __init__(self, made: Network, how: str) -> None:
        super().__init__()
        self.made, self.how = made, how

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.how == "closed":
            return closed_form(self.made, x).mean()
        if self.how == "exact":
            return exact_norm(self.made.encode, x).mean()
        return estimated_norm(self.made.encode, x, 3, generator()).mean()


@pytest.mark.parametrize(("how", "hidden"), [("closed", ()), ("exact", ()), ("exact", (4,)), ("estimated", (4,))])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "gelu", "leaky_relu"])
@pytest.mark.parametrize("rule", ["none", "top"])
def test_gradients_agree_with_finite_differences(how, hidden, activation, rule):
    norm, x = Norm(network(activation, hidden, RULES[rule]), how), samples(3)
    weights = {name: p.detach().clone().requires_grad_() for name, p in norm.named_parameters()}
    assert torch.autograd.gradcheck(
        lambda *values: torch.func.functional_call(norm, dict(zip(weights, values, strict=True)), x),
        tuple(weights.values()),
    )


def assert_unbiased(estimates: torch.Tensor, expected: torch.Tensor) -> None:
    """Compare the mean over the first axis with what it estimates, at four standard errors."""
    error = estimates.std(0) / len(estimates) ** 0.5
    assert ((estimates.mean(0) - expected).abs() <= 4 * error).all()
    assert (error < 0.1 * expected).all()


def test_the_estimate_by_probes_is_unbiased_and_more_probes_vary_less():
    made, x = network("sigmoid", (6,)), samples()
    draw = generator()
    one, four = (torch.stack([estimated_norm(made.encode, x, p, draw) for _ in range(2000)]) for p in (1, 4))
    expected = norm_by_definition(made.encode, x)
    assert_unbiased(one, expected)
    assert_unbiased(four, expected)
    torch.testing.assert_close(four.var(0), one.var(0) / 4, rtol=0.3, atol=0)


CONVNETS = [ConvNet(3, activation="tanh"), ConvNet((3, 2), kernel_size=4, residual_blocks=1, activation="softplus")]


def convolutional(part: ConvNet) -> nn.Sequential:
    torch_generator = generator(1)
    made = part.build_encoder((5, 4, 2), 4, "sigmoid").double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(generator=torch_generator, std=0.5)
    return made


@pytest.mark.parametrize("part", CONVNETS)
def test_images_and_convolutional_encoders_have_the_norm_of_the_definition(part):
    encode, x = convolutional(part), samples(5, 40)
    expected = norm_by_definition(encode, x)
    assert not is_dense(encode)
    torch.testing.assert_close(exact_norm(encode, x), expected)
    torch.testing.assert_close(exact_norm(encode[:2], x), norm_by_definition(encode[:2], x))  # code: feature maps
    draw = generator()
    assert_unbiased(torch.stack([estimated_norm(encode, x, 1, draw) for _ in range(2000)]), expected)


@pytest.mark.parametrize("part", CONVNETS)
def test_gradients_through_convolutions_agree_with_finite_differences(part):
    encode, x = convolutional(part), samples(2, 40)
    weight = encode[1].weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda w: exact_norm(lambda x: torch.func.functional_call(encode, {"1.weight": w}, x), x), weight
    )


def test_the_norm_is_differentiable_only_where_gradients_are_wanted():
    made, x = network("sigmoid", (6,)), samples()
    with torch.no_grad():
        plain = exact_norm(made.encode, x)
    assert plain.grad_fn is None
    assert torch.equal(plain, exact_norm(made.encode, x).detach())


def test_the_closed_form_holds_no_jacobian_in_memory():
    made, x = network("sigmoid", n_components=5), samples(400)
    sizes = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        closed_form(made, x)
    assert max(sizes) <= 400 * 7  # a Jacobian a sample would be 400 * 7 * 5


def step_of(made: Network, x: torch.Tensor) -> Step:
    pre = made.encoder(x)
    return Step(
        x=x,
        x_in=x,
        pre=pre,
        code=made.select(pre),
        y=x,
        place=x[:, :0],
        encode=made.encode,
        encoder=made.encoder,
        generator=generator(),
        memory={},
    )


@pytest.mark.parametrize("hidden", [(), (6,)])
@pytest.mark.parametrize("probes", [None, 2000])
def test_the_penalty_is_the_weighted_mean_of_the_norms(hidden, probes):
    made, x = network("sigmoid", hidden), samples()
    expected = 0.3 * norm_by_definition(made.encode, x).mean().item()
    penalty = Contractive(0.3, probes=probes)(step_of(made, x)).item()
    assert penalty == pytest.approx(expected, rel=1e-9 if probes is None else 0.05)
