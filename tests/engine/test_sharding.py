"""Processes that divide weights, gradients and moments learn what one process does that has all of them."""

import contextlib
import os
import shutil

import numpy as np
import pytest
import torch
from processes import in_processes
from sklearn.base import clone
from zoo import COMPOSITIONS, SIGMOIDS, digits

from embudo import (
    L1,
    MLP,
    SGD,
    Adam,
    Autoencoder,
    AutoencoderClassifier,
    BatchTopK,
    Contractive,
    ConvNet,
    MaskingNoise,
    TopK,
    Training,
)
from embudo.engine import sharding
from embudo.engine.objective import Reconstruction
from embudo.engine.progress import heard_by
from embudo.errors import InvalidParameter, TrainingDiverged
from embudo.nn import sparsity
from embudo.parts.losses import squared_error

pytestmark = pytest.mark.skipif(torch.__version__ < "2.7", reason="FSDP2 runs on no CPU before torch 2.7")

X = digits(n_samples=33)  # in batches of 16 the last one is a single sample, of which one process has no share
DOUBLE = Training(2, batch_size=16, precision="float64", verbose=False)
NAMES = (
    "every_part",
    "batch_k_sparse",
    "contractive",
    "contractive_deep",
    "everything",
    "convolutional_every_part",
    "stack",
)
MODELS = {name: COMPOSITIONS[name] for name in NAMES} | {
    "classes": AutoencoderClassifier(Autoencoder(8, training=DOUBLE), pretrain=False, training=DOUBLE, random_state=0),
    "revival": Autoencoder(80, sparsity=TopK(2, revive=0.5), training=DOUBLE, random_state=0),
}


def divided(model, shard=True, **fields):
    """Return the model with all of its trainings in float64, and divided among processes where `shard` says so."""
    model = clone(model)
    for name, value in model.get_params().items():
        if name.rpartition("__")[2] == "training" and isinstance(value, Training):
            model.set_params(**{name: value.with_params(precision="float64", shard=shard, verbose=False, **fields)})
    return model


def weights_of(model):
    return {name: weight.numpy() for name, weight in model.module_.state_dict().items()}


def fitted(model, *args):
    model.fit(X, *args)
    return model.history_, weights_of(model)


def assert_same(one, other, tolerance):
    for values, others in zip(one, other, strict=True):
        assert values.keys() == others.keys()
        for name in values.keys() - {"seconds", "samples_per_second"}:
            np.testing.assert_allclose(values[name], others[name], rtol=tolerance, atol=tolerance, err_msg=name)


def test_two_processes_that_divide_the_weights_learn_with_every_part_what_one_does(monkeypatch):
    monkeypatch.setattr(sparsity, "DEAD_AFTER", 2)
    y = np.arange(33) % 3

    def learnt(shard):
        return {name: fitted(divided(model, shard, epochs=2, batch_size=16), y) for name, model in MODELS.items()}

    alone = learnt(False)
    first, second = in_processes(2, lambda: learnt(True))
    for name in MODELS:
        assert_same(first[name], second[name], 0)
        assert_same(alone[name], first[name], 1e-9)
    assert max(alone["revival"][0]["revival"]) > 0


def test_each_process_holds_its_share_of_weights_gradients_and_moments(monkeypatch):
    ae = divided(Autoencoder(8, encoder=MLP(30), tied=True, training=DOUBLE, random_state=0))
    held = []

    class Seen(sharding.ShardedStep):
        def __call__(self, x, target):
            terms = super().__call__(x, target)
            moments = [self.optimizer.state[p][name] for p in self.parameters for name in ("exp_avg", "exp_avg_sq")]
            divided = [self.parameters, [p.grad for p in self.parameters], moments]
            held.append([sum(tensor.to_local().numel() for tensor in tensors) for tensors in divided])
            assert all(parameter.numel() == 0 for parameter in ae.module_.parameters())
            return terms

    monkeypatch.setattr(sharding, "ShardedStep", Seen)

    def fit():
        return fitted(ae)[1], held[-1]

    (whole, first), (_, second) = in_processes(2, fit)
    n_weights = sum(weight.size for weight in whole.values())
    assert np.add(first, second).tolist() == [n_weights, n_weights, 2 * n_weights]
    assert max(*first, *second) <= 1.1 * n_weights


@pytest.mark.parametrize(
    ("model", "apart"),
    [
        (Autoencoder(3, encoder=MLP(5), penalty=L1(0.1)), ["encoder.0", "encoder.2", "decoder.0", "decoder.2"]),
        (Autoencoder(3, encoder=MLP(5), penalty=L1(0.1) + Contractive()), ["decoder.0", "decoder.2"]),
        (Autoencoder(3, encoder=MLP(5), tied=True), []),
        (Autoencoder(3, encoder=ConvNet(4, image_shape=(8, 8)), tied=True, training=DOUBLE), []),
    ],
)
def test_layers_whose_weights_nobody_else_reads_are_units(model, apart):
    network = clone(model).set_params(training__epochs=1).fit(X).module_
    units = sharding.read_alone(Reconstruction(network, squared_error, penalty=model.penalty))
    names = {module: name for name, module in network.named_modules()}
    assert [names[layer] for layer in units] == apart


def test_chunks_are_learnt_from_and_between_them_the_model_is_whole():
    def learnt(shard):
        training = DOUBLE.with_params(optimizer=SGD(1e-3))
        ae = divided(Autoencoder(1, training=training, random_state=0), shard)  # a component of one process alone
        codes = [ae.partial_fit(chunk).transform(X) for chunk in (X[:20], X[20:])]
        return {"first": codes[0], "second": codes[1]}, weights_of(ae)

    for result in in_processes(2, lambda: learnt(True)):
        assert_same(learnt(False), result, 1e-9)


# ---------------------------------------------------------------------- run folders


def test_a_divided_training_goes_on_with_any_number_of_processes(tmp_path):
    training = Training(4, batch_size=16, validation_fraction=0.1, patience=4, clip=0.5, optimizer=Adam(0.1))
    ae = Autoencoder(8, sparsity=BatchTopK(4), corruption=MaskingNoise(0.2), training=training, random_state=0)

    def going_on(folder, shard=True):
        return divided(ae, shard).set_params(training__run_dir=tmp_path / folder)

    def stopped_and_going_on():
        def listen(title, epoch, look):
            if epoch.number == 2:
                raise EOFError

        with heard_by(listen), contextlib.suppress(EOFError):
            fitted(going_on("two"))
        if os.environ["RANK"] == "0":
            for copy in ("three", "one"):
                shutil.copytree(tmp_path / "two", tmp_path / copy)
        unbroken, resumed = fitted(divided(ae)), fitted(going_on("two"))
        with pytest.raises(InvalidParameter, match="of another training"):
            fitted(going_on("two").set_params(n_components=9))
        return unbroken, resumed

    for unbroken, resumed in in_processes(2, stopped_and_going_on):
        assert_same(unbroken, resumed, 0)
    assert len(resumed[0]["epoch"]) == training.epochs
    assert_same(fitted(divided(ae, False)), unbroken, 1e-9)
    for result in (*in_processes(3, lambda: fitted(going_on("three"))), fitted(going_on("one", shard=False))):
        assert_same(unbroken, result, 1e-9)
    assert_same(resumed, fitted(going_on("two", shard=False)), 0)  # finished: one process reads what two have come to


# ---------------------------------------------------------------------- failure


def test_where_a_weight_of_one_process_stops_being_finite_all_have_the_last_good_ones(monkeypatch):
    class Broken(sharding.ShardedStep):
        def __call__(self, x, target):
            terms = super().__call__(x, target)
            if self.objective.world.rank == 1:
                self.parameters[0].detach().to_local()[-1, -1] = torch.nan
            return terms

    monkeypatch.setattr(sharding, "ShardedStep", Broken)
    training = DOUBLE.with_params(epochs=1, batch_size=33, shard=True)  # a single step, whose losses are finite

    def fit():
        ae = Autoencoder(8, **SIGMOIDS, training=training, random_state=0)
        with pytest.raises(TrainingDiverged, match="a weight stopped being finite"):
            ae.fit(X)
        return ae.transform(X)

    first, second = in_processes(2, fit)
    assert np.isfinite(first).all()
    assert (first == second).all()
