"""The step for wide codes: the gradient of dense automatic differentiation, by the units that speak."""

import copy

import pytest
import torch

from embudo import MLP, SGD, Adam, Autoencoder, BatchTopK, GaussianNoise, MaskingNoise, TopK, Training
from embudo.engine.sparse_step import SparseStep
from embudo.engine.step import AutogradStep
from embudo.nn.sparsity import DEAD_AFTER

N, M = 12, 2100  # units that no block divides
DESCENT = SGD(1e-3)


def data(n: int = 600) -> torch.Tensor:
    return torch.rand(n, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def steps(ae: Autoencoder, silent: int = 0, optimizer=DESCENT) -> tuple[SparseStep, AutogradStep]:
    """Return the step that the estimator takes, and the dense one of a copy, after some silence of some units."""
    training = Training(1, batch_size=300, optimizer=optimizer, precision="float64", verbose=False)
    ae.set_params(training=training, random_state=0, scale=None).partial_fit(data().numpy())
    sparse = ae._step
    assert type(sparse) is SparseStep
    for rule in sparse.objective.rules:
        rule.done = 1.0
        rule.silent_steps[:silent] = DEAD_AFTER
    dense = AutogradStep(copy.deepcopy(sparse.objective), training, sparse.runtime)
    dense.objective.generator.set_state(sparse.objective.generator.get_state())
    for step in (sparse, dense):
        step.objective.train()
    return sparse, dense


@pytest.mark.parametrize(
    ("params", "silent"),
    [
        ({"sparsity": TopK(5)}, 0),
        ({"sparsity": TopK(5, by="value"), "code_activation": "relu", "tied": True}, 0),
        ({"sparsity": BatchTopK(4)}, 0),
        ({"sparsity": BatchTopK(4, by="value", revive=0.5), "code_activation": "relu", "loss": "huber"}, 900),
        ({"sparsity": TopK(5, revive=0.3), "tied": True, "corruption": MaskingNoise(0.3, emphasis=0.7)}, 900),
        ({"sparsity": TopK(5, revive=1.0), "code_activation": "tanh"}, 3),  # fewer dead than k
        (
            {
                "sparsity": TopK(5, by="value", revive=0.3),
                "encoder": MLP(7, activation="tanh"),
                "tied": True,
                "code_activation": "softplus",
                "corruption": GaussianNoise(0.2),
                "output_activation": "sigmoid",
                "loss": "cross_entropy",
            },
            500,
        ),
    ],
    ids=str,
)
def test_the_gradient_is_that_of_dense_autograd(params, silent):
    sparse, dense = steps(Autoencoder(M, **params), silent)
    sparse.by_blocks = False
    x = data()
    for _ in range(2):  # buffers are used again
        found, expected = sparse.differentiate(x, x), dense.differentiate(x, x)
        assert found.keys() == expected.keys()
        for name, term in expected.items():
            torch.testing.assert_close(found[name], term, rtol=1e-12, atol=0)
        for mine, theirs in zip(sparse.parameters, dense.parameters, strict=True):
            assert float(theirs.grad.abs().max()) > 0
            assert float((mine.grad - theirs.grad).norm() / theirs.grad.norm()) < 1e-10
    for mine, theirs in zip(sparse.objective.rules, dense.objective.rules, strict=True):
        assert torch.equal(mine.silent_steps, theirs.silent_steps)
        assert mine.state_dict() == theirs.state_dict()


@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
def test_a_block_of_units_after_the_other_is_changed_as_all_at_once(tied, monkeypatch):
    monkeypatch.setattr("embudo.nn.active.BLOCK_UNITS", 1000)
    optimizer = Adam(1e-2, weight_decay=0.1)
    (blocks, _), (whole, _) = (
        steps(Autoencoder(M, sparsity=TopK(5), tied=tied), optimizer=optimizer) for _ in range(2)
    )
    whole.by_blocks = False
    assert blocks.by_blocks
    for seed in range(3):
        x = torch.rand(32, N, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for step in (blocks, whole):
            with torch.no_grad():
                step(x, x)
    assert all(parameter.grad is None or parameter.ndim == 1 for parameter in blocks.parameters)
    for mine, theirs in zip(blocks.parameters, whole.parameters, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("optimizer", [Adam(1e-2, weight_decay=0.1), SGD(1e-2, momentum=0.9)])
def test_trainings_are_those_of_dense_autograd(monkeypatch, optimizer):
    """Annealed first, when all units speak; clipped; kept in a run folder's form."""
    X = data(64).numpy()
    training = Training(4, batch_size=32, optimizer=optimizer, precision="float64", clip=0.5, verbose=False)
    ae = Autoencoder(M, sparsity=TopK(5, anneal=0.5), training=training, random_state=0)
    sparse = ae.fit_transform(X)
    history = ae.history_["loss"]
    monkeypatch.setattr("embudo.engine.fitting.STEPS", (AutogradStep,))
    assert ae.fit_transform(X) == pytest.approx(sparse, rel=1e-8, abs=1e-10)
    assert ae.history_["loss"] == pytest.approx(history, rel=1e-10)
