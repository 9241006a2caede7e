"""Sparsity rules: who speaks, and which gradients pass."""

import pytest
import torch

from embudo import BatchTopK, JumpReLU, TopK
from embudo.errors import InvalidParameter
from embudo.nn.sparsity import DEAD_AFTER, largest

ROW = torch.tensor([[3.0, -5.0, 0.5, -0.1, 2.0]], dtype=torch.float64)


def samples(n: int = 40, m: int = 12) -> torch.Tensor:
    return torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def jump_relu(threshold: float = 0.5, bandwidth: float = 0.2, weight: float = 0.1, m: int = 5):
    module = JumpReLU(weight, threshold=threshold, bandwidth=bandwidth).build(m)
    module.reset()
    return module.double()


@pytest.mark.parametrize(
    ("by", "kept"), [("magnitude", [[0.0, -5.0, 0.0, 0.0, 0.0]]), ("value", [[3.0, 0.0, 0.0, 0.0, 0.0]])]
)
def test_the_largest_unit_is_that_of_greatest_magnitude_or_of_greatest_value(by, kept):
    assert TopK(1, by=by).build(5).select(ROW).tolist() == kept


@pytest.mark.parametrize("by", ["magnitude", "value"])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_exactly_k_units_speak_and_none_that_is_silent_is_larger(k, by):
    pre = samples()
    code = TopK(k, by=by).build(12).select(pre)
    assert ((code != 0).sum(1) == k).all()
    size = pre.abs() if by == "magnitude" else pre
    least = size.masked_fill(code == 0, torch.inf).min(1).values
    greatest_silent = size.masked_fill(code != 0, -torch.inf).max(1).values
    assert (least > greatest_silent).all()
    assert torch.equal(code[code != 0], pre[code != 0])


@pytest.mark.parametrize(("m", "k"), [(1000, 3), (1003, 7), (64, 1), (100, 100)])
def test_the_largest_in_groups_are_the_largest_of_all(m, k):
    size = samples(50, m)
    size[0] = 0  # all alike
    size[1] = torch.arange(m)
    found = largest(size, k)
    assert found.sort(1).values.diff(dim=1).ne(0).all()  # no unit twice
    assert torch.equal(size.gather(1, found).sort(1).values, size.topk(k).values.flip(1))


def test_gradients_pass_through_kept_units_alone():
    pre = samples().requires_grad_()
    module = TopK(4).build(12)
    code = module.select(pre)
    code.sum().backward()
    assert torch.equal(pre.grad, (code != 0).double())
    assert torch.autograd.gradcheck(module.select, pre)


def test_the_number_of_units_falls_from_all_to_k_while_annealing_and_is_another_when_encoding():
    module = TopK(2, k_encode=6, anneal=0.5).build(12)
    assert module.k_now == 2  # no training is going on that has an end
    counts = []
    for done in (0.0, 0.1, 0.25, 0.5, 1.0):
        module.done = done
        counts.append(int((module.select(samples()) != 0).sum(1).unique()))
    assert counts == [12, 10, 7, 2, 2]
    module.eval()
    assert ((module.select(samples()) != 0).sum(1) == 6).all()


def test_a_batch_rule_shares_its_units_among_samples():
    pre = samples() * torch.linspace(0.1, 2, 40, dtype=torch.float64)[:, None]
    code = BatchTopK(3).build(12).select(pre)
    counts = (code != 0).sum(1)
    assert counts.sum() == 40 * 3
    assert counts.min() < 3 < counts.max()
    assert pre.abs()[code != 0].min() > pre.abs()[code == 0].max()


def test_after_training_a_batch_rule_keeps_what_exceeds_its_usual_threshold():
    module = BatchTopK(3).build(12).double()
    module.reset()
    for _ in range(3):
        module.observe(module.select(samples()))
    code = module.select(samples())
    assert float(module.threshold) == pytest.approx(float(code.abs()[code != 0].min()))
    module.eval()
    assert torch.equal(module.select(samples()), code)
    assert torch.equal(module.select(samples()[:1]), code[:1])  # whoever stands beside it


def test_the_threshold_of_a_batch_rule_is_a_running_mean_and_selecting_leaves_it_alone():
    module = BatchTopK(1).build(2).double()
    module.reset()
    for least in (1.0, 2.0):
        module.observe(torch.tensor([[least, 0.0], [0.0, 9.0]], dtype=torch.float64))
    assert float(module.threshold) == pytest.approx(0.99 * 1 + 0.01 * 2)
    module.select(samples(4, 2))
    module.observe(torch.zeros(3, 2, dtype=torch.float64))  # nobody spoke
    assert float(module.threshold) == pytest.approx(1.01)


def test_a_jump_relu_keeps_values_above_the_threshold():
    module = jump_relu(0.6)
    assert module.select(ROW).tolist() == [[3.0, 0.0, 0.0, 0.0, 2.0]]
    assert module.cost(ROW).item() == pytest.approx(0.1 * 2)
    with torch.no_grad():
        module.log_threshold[0] = 2.0
    assert module.select(ROW).tolist() == [[0.0, 0.0, 0.0, 0.0, 2.0]]


def test_the_pseudo_gradients_of_a_jump_relu_are_those_published():
    """Rajamanoharan et al. 2024, equations 11 and 12, with the rectangular kernel."""
    theta, width = 0.5, 0.2
    z = samples(300, 5).mul(0.6).requires_grad_()
    upstream = samples(300, 5).flip(0)
    near = ((z.detach() - theta).abs() < width / 2).double()
    assert 0 < near.mean() < 1
    module = jump_relu(theta, width)
    (module.select(z) * upstream).sum().backward()
    assert torch.equal(z.grad, upstream * (z > theta))
    by_theta = (-(theta / width) * near * upstream).sum(0)
    torch.testing.assert_close(module.log_threshold.grad, by_theta * theta)  # d theta / d log theta is theta
    module.zero_grad()
    z.grad = None
    module.cost(z).backward()
    assert z.grad is None
    torch.testing.assert_close(module.log_threshold.grad, 0.1 / 300 * (-near / width).sum(0) * theta)


def test_the_pseudo_gradient_of_the_count_estimates_that_of_the_expected_count():
    """The derivative of P(z > theta) is minus the density of z at theta."""
    z = torch.randn(400_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = jump_relu(0.7, 0.05, 1.0, 1)
    module.cost(z).backward()
    density = torch.distributions.Normal(0, 1).log_prob(torch.tensor(0.7)).exp()
    assert module.log_threshold.grad.item() / 0.7 == pytest.approx(-float(density), rel=0.05)


def test_a_unit_is_dead_when_it_has_not_spoken_for_long():
    module = TopK(1).build(3)
    assert module.dead is None
    for _ in range(DEAD_AFTER):
        module.observe(torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]))
    assert module.dead.tolist() == [True, False, True]
    module.observe(torch.tensor([[-1.0, 0.0, 0.0]]))
    assert module.dead.tolist() == [False, False, True]
    module.reset()
    assert module.dead is None


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (TopK(13), r"^TopK\.k must be at most n_components=12; got 13\.$"),
        (TopK(2, k_encode=13), r"^TopK\.k_encode must be at most n_components=12; got 13\.$"),
        (BatchTopK(13), r"^BatchTopK\.k must be at most n_components=12; got 13\.$"),
    ],
)
def test_more_units_than_there_are_cannot_speak(rule, words):
    with pytest.raises(InvalidParameter, match=words):
        rule.build(12)
