"""The loop: what one step does, when it stops, what it leaves behind."""

import dataclasses
import functools
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._inductor import config as inductor
from zoo import digits

from embudo import L1, L2, MLP, SGD, Adam, Autoencoder, KLSparsity, MaskingNoise, Training
from embudo.data.batches import Batches, TensorRows
from embudo.engine.history import Epoch, append
from embudo.engine.loop import train
from embudo.engine.objective import Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import AutogradStep
from embudo.errors import InvalidParameter, MissingDependency, TrainingDiverged, TrainingInterrupted
from embudo.nn.network import Network
from embudo.parts.losses import resolve_loss

TIMES = ("seconds", "samples_per_second")
CPU64 = Runtime(torch.device("cpu"), torch.float64)


def make_step(training: Training, penalty=None, loss="squared_error", output="identity") -> AutogradStep:
    encoder = MLP(6, activation="tanh").build_encoder((5,), 3, "sigmoid")
    decoder = MLP(6, activation="tanh").build_decoder(3, (5,), output)
    generator = torch.Generator().manual_seed(0)
    for layer in [*encoder, *decoder]:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters(generator)
    network = Network(encoder, decoder).double()
    return AutogradStep(Reconstruction(network, resolve_loss(loss, output), penalty=penalty), training, CPU64)


def samples(n: int = 40) -> torch.Tensor:
    return torch.rand(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def test_a_step_of_gradient_descent_equals_one_by_hand():
    step = make_step(Training(optimizer=SGD(0.01)), penalty=L1(0.3) + L2(0.2))
    weights = [p.detach().clone().requires_grad_() for p in step.parameters]
    x = samples()
    code = torch.sigmoid(F.linear(torch.tanh(F.linear(x, *weights[:2])), *weights[2:4]))
    y = F.linear(torch.tanh(F.linear(code, *weights[4:6])), *weights[6:])
    expected = {
        "reconstruction": (y - x).square().sum(1).mean(),
        "l1": 0.3 * code.abs().sum(1).mean(),
        "l2": 0.2 * code.square().sum(1).mean(),
    }
    gradients = torch.autograd.grad(sum(expected.values()), weights)
    terms = step(x, x)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({k: v.item() for k, v in expected.items()})
    for parameter, weight, gradient in zip(step.parameters, weights, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), (weight - 0.01 * gradient).detach(), rtol=1e-12, atol=1e-14)


def test_cross_entropy_on_logits_equals_that_of_probabilities():
    step = make_step(Training(), loss="cross_entropy", output="sigmoid")
    x = samples()
    y = step.objective.network(x)
    expected = F.binary_cross_entropy(y, x, reduction="none").sum(1).mean()
    assert step.objective(x, x)["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-12)
    assert step.objective.measure(x, x)["loss"].item() == pytest.approx(expected.item(), rel=1e-12)


def test_weight_decay_shrinks_weights_and_spares_biases():
    step = make_step(Training(optimizer=Adam(0.1, weight_decay=0.5)))
    with torch.no_grad():
        for p in step.parameters:
            p.fill_(1.0)
    step.objective.loss = lambda output, target, weight: 0.0 * output.sum()
    step(samples(), samples())
    for p in step.parameters:
        expected = 1 - 0.1 * 0.5 if p.ndim > 1 else 1.0
        torch.testing.assert_close(p.detach(), torch.full_like(p, expected))


def test_clipping_bounds_the_whole_gradient():
    step = make_step(Training(optimizer=SGD(1.0), clip=1e-3))
    before = [p.detach().clone() for p in step.parameters]
    step(samples(), samples())
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(step.parameters, before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.01, momentum=0.9)])
def test_means_of_dead_units_do_not_fade_into_subnormal_numbers(monkeypatch, optimizer):
    """They take a CPU up to a hundred times as long; what is learnt is the same."""
    X, training = samples().float(), Training(250, batch_size=10, optimizer=optimizer)
    losses = []
    for settled, fades in ((64, False), (10**9, True)):
        monkeypatch.setattr("embudo.engine.loop.SETTLED", settled)
        ae = Autoencoder(3, code_activation="relu", training=dataclasses.replace(training, epochs=1), random_state=0)
        step = ae.partial_fit(X.numpy())._step
        with torch.no_grad():
            step.objective.network.encoder[0].bias[:2] = -100.0
        with step.at_work():
            losses.append(list(train(step, Batches(TensorRows(X), 10, seed=0), training))[-1].terms)
        faded = (values.abs() for state in step.optimizer.state.values() for values in state.values())
        assert any(((v > 0) & (v < torch.finfo(v.dtype).tiny)).any() for v in faded) is fades
    assert losses[0] == losses[1]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential", "warmup_cosine"])
def test_schedules_move_the_learning_rate_a_step_at_a_time(schedule):
    training = Training(10, batch_size=10, optimizer=Adam(0.1), schedule=schedule)
    step = make_step(training)
    rates = []
    original = step.set_progress
    step.set_progress = lambda done: (original(done), rates.append(step.lr))
    epochs = list(train(step, Batches(TensorRows(samples()), 10, 0), training))
    assert rates == [0.1 * training.learning_rate_share(i / 40) for i in range(40)]
    assert epochs[-1].learning_rate == step.optimizer.param_groups[0]["lr"] == rates[-1] < 0.02


def test_the_loss_of_an_epoch_is_the_mean_over_samples_also_with_a_short_last_batch():
    training = Training(1, optimizer=SGD(1e-30))
    step = make_step(training, penalty=L2(0.1))
    x = samples(37)
    (epoch,) = train(step, Batches(TensorRows(x), 10, 0), training, validation=(TensorRows(x), TensorRows(x)))
    expected = {name: value.item() for name, value in step.objective(x, x).items()}
    assert epoch.terms == pytest.approx(expected)
    assert epoch.loss == pytest.approx(sum(expected.values()))
    assert epoch.validation["loss"] == pytest.approx(expected["reconstruction"])


def test_history_is_a_table_that_pandas_reads():
    ae = Autoencoder(3, penalty=L2(0.1), training=Training(4, validation_fraction=0.2), random_state=0).fit(digits())
    table = pd.DataFrame(ae.history_)
    assert list(table.epoch) == [1, 2, 3, 4]
    np.testing.assert_allclose(table.loss, table.reconstruction + table.l2)
    assert (table[["validation_loss", "seconds", "samples_per_second", "learning_rate"]] > 0).all(axis=None)
    table = pd.DataFrame(ae.partial_fit(digits()).history_)  # which holds nothing out
    assert list(table.validation_loss.isna()) == [False] * 4 + [True]


def test_early_stopping_restores_the_best_weights():
    X = digits(n_samples=60)
    training = Training(200, batch_size=8, optimizer=Adam(0.02), patience=3)
    ae = Autoencoder(20, encoder=MLP(100), training=training, scale=None, random_state=0)
    ae.fit(X[:20], X_val=X[20:])
    losses = ae.history_["validation_loss"]
    assert len(losses) < 200
    assert np.argmin(losses) == len(losses) - 4
    assert ae.reconstruction_error(X[20:]).mean() == pytest.approx(min(losses), rel=1e-5)
    assert losses[-1] > min(losses)


def test_a_validation_fraction_is_held_out():
    X = digits(n_samples=100)
    ae = Autoencoder(3, training=Training(2, validation_fraction=0.25, batch_size=1000), random_state=0)
    seen = []
    original = Batches.epoch
    try:
        Batches.epoch = lambda self, number: (seen.append(self.n_samples) or batch for batch in original(self, number))
        ae.fit(X)
    finally:
        Batches.epoch = original
    assert set(seen) == {75}


@pytest.mark.parametrize("optimizer", [Adam(1e25), SGD(1e10)])
def test_a_diverging_fit_says_so_and_keeps_the_last_good_weights(optimizer):
    ae = Autoencoder(3, encoder=MLP(8), training=Training(20, optimizer=optimizer), random_state=0)
    with pytest.raises(TrainingDiverged, match=r"in epoch \d+ .*smaller learning rate"):
        ae.fit(digits())
    assert np.isfinite(ae.transform(digits())).all()
    assert np.isfinite(ae.history_.get("loss", [])).all()


def test_a_validation_loss_that_is_not_finite_ends_the_fit():
    def nan_without_gradient(output, target):
        return (output - target).square().sum(1) * (1.0 if output.requires_grad else float("nan"))

    ae = Autoencoder(3, loss=nan_without_gradient, training=Training(3), random_state=0)
    with pytest.raises(TrainingDiverged, match="validation_loss"):
        ae.fit(digits(), X_val=digits())


def test_interruption_keeps_the_model_and_says_so():
    ae = Autoencoder(3, training=Training(100_000), random_state=0)
    # again, as what is raised in a callback of the garbage collector, such as hypothesis has, is lost
    timers = [threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in (0.5, 15, 30)]
    for timer in timers:
        timer.start()
    with pytest.warns(TrainingInterrupted, match=r"after \d+ of 100000 epochs"):
        ae.fit(digits())
    for timer in timers:
        timer.cancel()
        timer.join()
    assert 0 < len(ae.history_["loss"]) < 100_000
    assert ae.score(digits()) > -100


def test_interrupted_where_gradients_are_switched_they_are_left_as_they_were(monkeypatch):
    def interrupt(self, *error):
        monkeypatch.undo()
        raise KeyboardInterrupt

    def first_batch(x, generator):
        monkeypatch.setattr(torch.no_grad, "__exit__", interrupt)
        return x

    with pytest.warns(TrainingInterrupted):
        Autoencoder(3, corruption=first_batch, training=Training(3), random_state=0).fit(digits())
    assert torch.is_grad_enabled()


def test_partial_fit_goes_on_where_it_stopped():
    X = digits()
    ae = Autoencoder(8, training=Training(optimizer=Adam(1e-2)), random_state=0)
    scores = [ae.partial_fit(X).score(X) for _ in range(5)]
    assert scores == sorted(scores)
    assert ae.history_["epoch"] == [1, 2, 3, 4, 5]
    assert len(ae.set_params(training__epochs=7).fit(X).history_["epoch"]) == 7


def test_a_callable_loss_is_minimised():
    def absolute(output, target):
        return (output - target).abs()

    X = digits()
    ae = Autoencoder(8, loss=absolute, training=Training(5), random_state=0).fit(X)
    assert ae.history_["loss"][-1] < ae.history_["loss"][0]
    fixed = Autoencoder(8, loss=absolute, training=Training(1, optimizer=SGD(1e-30)), random_state=0).fit(X)
    assert fixed.history_["loss"][0] == pytest.approx(np.abs(fixed.reconstruct(X) - X).sum(1).mean(), rel=1e-5)


def test_float64_is_float64_throughout():
    ae = Autoencoder(3, encoder=MLP(8), training=Training(2, precision="float64"), random_state=0).fit(digits())
    assert {p.dtype for p in ae.module_.parameters()} == {torch.float64}


def test_bfloat16_trains_close_to_float32():
    X = digits()
    errors = {
        precision: Autoencoder(8, training=Training(10, precision=precision), random_state=0).fit(X).score(X)
        for precision in ("float32", "bfloat16")
    }
    assert errors["bfloat16"] == pytest.approx(errors["float32"], rel=0.05)


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    Autoencoder(3, training=Training(1), random_state=0).fit(digits())
    assert torch.get_num_threads() == before


BITS = """
import hashlib, sys
sys.path.insert(0, {tests!r})
from zoo import COMPOSITIONS, digits
for name in ("every_part", "tied", "float64"):
    print(hashlib.sha256(COMPOSITIONS[name].fit(digits()).transform(digits()).tobytes()).hexdigest())
"""


def test_the_same_seed_gives_the_same_bits_here_and_in_another_process(pytestconfig):
    code = BITS.format(tests=str(pytestconfig.rootpath / "tests"))
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in "12"
    ]
    assert runs[0] == runs[1]
    assert len(set(runs[0].split())) == 3


def test_another_seed_gives_other_weights():
    codes = [Autoencoder(3, training=Training(1), random_state=seed).fit_transform(digits()) for seed in (0, 1)]
    assert not np.allclose(*codes)


def test_epochs_append_rows_of_equal_length():
    history = {}
    for number in (1, 2):
        append(history, Epoch(number, {"reconstruction": 1.0, "l1": 0.5}, {"loss": 2.0}, 1e-3, 0.1, 100.0))
    assert {len(column) for column in history.values()} == {2}
    assert history["loss"] == [1.5, 1.5]


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InvalidParameter, match=r"device='cuda:7' is not available here"):
        Autoencoder(3, training=Training(device="cuda:7")).fit(digits())


def test_training_loads_neither_torchs_compiler_nor_computer_algebra():
    code = (
        "import sys\nimport numpy as np\nimport torch\nfrom embudo import SGD, Autoencoder, ConvNet, Training\n"
        "before = {*sys.modules}\n"  # torch 2.6 imports sympy by itself
        "X = np.random.default_rng(0).random((40, 16))\n"
        "Autoencoder(2, training=Training(1)).fit(X).transform(X)\n"
        "convolutions = ConvNet((2,), image_shape=(4, 4))\n"
        "Autoencoder(2, encoder=convolutions, training=Training(1, optimizer=SGD(1e-3))).fit(X)\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in {*sys.modules} - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning", "ignore:Guards may run slower:RuntimeWarning")
def test_compiled_it_learns_the_same(monkeypatch):
    # what is traced is tested, not torch's code generator, which takes twenty seconds
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    losses = {}
    for compiled in (False, True):
        ae = Autoencoder(
            4,
            code_activation="sigmoid",
            corruption=MaskingNoise(0.3),
            penalty=KLSparsity(0.1, weight=0.5),
            training=Training(3, precision="float64", compile=compiled, verbose=False),
            random_state=0,
        ).fit(digits())
        losses[compiled] = [values for name, values in ae.history_.items() if name not in TIMES]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_without_a_compiler_one_sentence_says_so(monkeypatch):
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "/no/compiler"))
    with pytest.raises(
        MissingDependency, match=r"^Training\(compile=True\) needs .* C\+\+ compiler.*leave compile out\.$"
    ):
        Autoencoder(2, training=Training(1, compile=True), random_state=0).fit(digits())
