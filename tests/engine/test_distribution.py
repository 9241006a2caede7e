"""Several processes learn what one does, agree on all they decide, and end together."""

import contextlib
import io
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from processes import in_processes
from sklearn.base import clone
from zoo import IMAGES, SIGMOIDS, digits

from embudo import (
    L1,
    L2,
    MLP,
    SGD,
    Adam,
    Autoencoder,
    AutoencoderClassifier,
    BatchTopK,
    Contractive,
    ConvNet,
    GaussianNoise,
    JumpReLU,
    KLSparsity,
    MaskingNoise,
    Neighbours,
    SaltAndPepper,
    StackedAutoencoder,
    TopK,
    Training,
    stream,
)
from embudo.cli.main import main
from embudo.data.batches import StreamBatches, StreamRows
from embudo.data.scaling import Scaler
from embudo.data.streams import Stream
from embudo.engine.distribution import launch
from embudo.engine.progress import heard_by
from embudo.errors import InvalidData, InvalidParameter, ProcessLost
from embudo.nn import sparsity

X = digits(n_samples=65)  # in batches of 16 the last one is a single sample, of which one process has no share
DOUBLE = Training(2, batch_size=16, precision="float64", verbose=False)
HELD_OUT = DOUBLE.with_params(epochs=8, validation_fraction=0.1, patience=1, clip=0.5, optimizer=Adam(1.0))
DEAD_AFTER = 2


def exchanged(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Give some entries of each sample to the next: noise for which a share of a batch is not enough."""
    return torch.where(torch.empty_like(x).uniform_(generator=generator) < 0.2, x.roll(1, 0), x)


MODELS = {
    "kl, contraction, emphasis, clip, patience": Autoencoder(
        30,
        tied=True,
        corruption=MaskingNoise(0.2, emphasis=0.8) + SaltAndPepper(0.1, emphasis=0.7),
        penalty=KLSparsity(0.1, weight=0.1) + Contractive(0.1),
        **SIGMOIDS,
        training=HELD_OUT,
    ),
    "kl's running mean, estimated contraction": Autoencoder(
        12, encoder=MLP(9), penalty=KLSparsity(0.1, running=0.9) + Contractive(0.1, probes=2), **SIGMOIDS
    ),
    "batch's largest, revival, noise between samples": Autoencoder(
        80, code_activation="relu", corruption=exchanged, sparsity=BatchTopK(2, by="value", revive=0.5)
    ),
    "largest, revival, noise of several levels": Autoencoder(
        80, corruption=GaussianNoise((0.1, 0.5)), sparsity=TopK(2, anneal=0.2, revive=0.5)
    ),
    "jumps, exact contraction, momentum": Autoencoder(
        12,
        encoder=MLP(9, activation="tanh"),
        sparsity=JumpReLU(),
        penalty=Contractive(0.01) + L1(1e-3) + L2(1e-3),
        loss="huber",
        training=DOUBLE.with_params(optimizer=SGD(1e-2, momentum=0.9)),
    ),
    "places": Autoencoder(2, penalty=Neighbours(n_neighbors=5)),
    "convolutions": Autoencoder(6, encoder=ConvNet((4, 6), **IMAGES), corruption=GaussianNoise(0.1)),
    "stack": StackedAutoencoder(
        [(name, Autoencoder(n, sparsity=BatchTopK(4), training=DOUBLE)) for name, n in (("low", 20), ("high", 8))]
    ),
    "classes": AutoencoderClassifier(Autoencoder(8, training=DOUBLE), pretrain=False, corruption=MaskingNoise(0.1)),
}
for model in MODELS.values():
    model.set_params(random_state=0, training=model.training or DOUBLE)


def fitted(model, X, *args):
    model = clone(model).fit(X, *args)
    weights = {name: weight.numpy() for name, weight in model.module_.state_dict().items()}
    return model.history_, weights


def learnt() -> dict:
    """Return history and weights of every model, and of those that learn from streams."""
    sparsity.DEAD_AFTER = DEAD_AFTER
    results = {name: fitted(model, X, np.arange(65) % 3) for name, model in MODELS.items()}
    in_order = stream([X[:40], X[40:]], window=20 * 64 * 8)
    return results | {"batches as they come": fitted(Autoencoder(8, training=DOUBLE, random_state=0), in_order)}


@pytest.fixture(autouse=True)
def dead_after(monkeypatch):
    monkeypatch.setattr(sparsity, "DEAD_AFTER", DEAD_AFTER)


def assert_same(one, other, rtol, *, timed=False):
    times = set() if timed else {"seconds", "samples_per_second"}
    for values, others in zip(one, other, strict=True):
        assert values.keys() == others.keys()
        for name in values.keys() - times:
            np.testing.assert_allclose(values[name], others[name], rtol=rtol, atol=rtol, err_msg=name)


def test_two_processes_learn_with_every_part_what_one_does():
    alone = learnt()
    first, second = in_processes(2, learnt)
    assert first.keys() == alone.keys()
    for name in alone:
        assert_same(first[name], second[name], 0, timed=True)
        tolerance = 1e-5 if name == "stack" else 1e-9  # codes are passed on in float32
        assert_same(alone[name], first[name], tolerance)
    assert len(alone["kl, contraction, emphasis, clip, patience"][0]["epoch"]) < HELD_OUT.epochs
    assert max(alone["batch's largest, revival, noise between samples"][0]["revival"]) > 0


# ---------------------------------------------------------------------- run folders


def test_a_training_goes_on_with_another_number_of_processes(tmp_path):
    training = HELD_OUT.with_params(epochs=8, patience=None, run_dir=tmp_path / "run")
    ae = Autoencoder(8, sparsity=BatchTopK(4), corruption=MaskingNoise(0.2), training=training, random_state=0)

    def stopped():
        def listen(title, epoch, look):
            if epoch.number == 4:
                raise EOFError

        with heard_by(listen), contextlib.suppress(EOFError):
            clone(ae).fit(X)
        return (tmp_path / "run" / "state.safetensors").exists()

    assert in_processes(2, stopped) == [True, True]
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    ae.set_params(training__run_dir=None)
    whole, whole_of_two = fitted(ae, X), in_processes(2, lambda: fitted(ae, X))[0]
    ae.set_params(training__run_dir=tmp_path / "copy")
    assert_same(whole_of_two, in_processes(2, lambda: fitted(ae, X))[0], 0)
    ae.set_params(training=training)
    results = in_processes(3, lambda: fitted(ae, X))
    assert_same(results[0], results[1], 0, timed=True)
    assert_same(results[0], results[2], 0, timed=True)
    assert_same(whole, results[0], 1e-9)
    assert_same(results[0], fitted(ae, X), 0, timed=True)  # finished: one process reads what three have come to
    errors = in_processes(2, lambda: fitted(ae.set_params(n_components=9), X))
    assert all(isinstance(error, InvalidParameter) and "of another training" in str(error) for error in errors)


# ---------------------------------------------------------------------- failure


def test_a_process_that_fails_ends_all_with_one_message(tmp_path):
    np.save(tmp_path / "0.npy", X)
    np.save(tmp_path / "1.npy", np.where(X > 0.9, np.nan, X))

    def train():
        with contextlib.redirect_stderr(io.StringIO()) as err, pytest.raises(SystemExit) as exit:
            main(["train", f"{tmp_path}/{os.environ['RANK']}.npy", "-o", f"{tmp_path}/m.safetensors", "-q"])
        return exit.value.code, err.getvalue()

    (status, said), (status_1, said_1) = in_processes(2, train)
    assert (status, said) == (1, "")
    assert status_1 == 1
    assert said_1.startswith("Error: X holds NaN")
    assert said_1.count("\n") == 1
    assert not (tmp_path / "m.safetensors").exists()


def test_processes_that_were_given_different_samples_are_told():
    def fit():
        return fitted(Autoencoder(2, training=DOUBLE), X[: 20 + int(os.environ["RANK"])])

    for error in in_processes(2, fit):
        assert isinstance(error, InvalidData)
        assert str(error).startswith("The processes were given 20, 21 samples: pass the same X")


def test_a_killed_process_is_told_of(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\ntest $RANK = 1 && kill -9 $$\nsleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ProcessLost, match=r"^Process 1 of 2 was killed by SIGKILL\."):
        launch([], devices=2)


# ---------------------------------------------------------------------- streams


class Fake:
    """The share of one process, written down."""

    def __init__(self, rank, size):
        self.rank, self.size, self.taken = rank, size, []

    def share(self, n):
        self.take(slice(n * self.rank // self.size, n * (self.rank + 1) // self.size), n)
        return self.taken[-1][0]

    def take(self, mine, n):
        self.taken.append((mine, n))


@pytest.mark.parametrize(("n_parts", "apart"), [(13, True), (1, False)])
def test_processes_share_a_stream_and_read_parts_of_their_own_where_there_are_enough(n_parts, apart):
    rows = np.arange(100, dtype=np.float32).reshape(-1, 1)
    parts = np.array_split(rows, n_parts)
    read = []

    class Parts(Stream):
        n_features, dtype, counts, window = 1, np.dtype(np.float32), list(map(len, parts)), 80

        def part(self, number):
            read.append(number)
            yield parts[number].copy()

    batches = StreamBatches(StreamRows(Parts(), Scaler(None), torch.float32, torch.device("cpu")), 8, 0)
    seen, shares = [], [Fake(rank, 3) for rank in range(3)]
    for share in shares:
        seen.append([x.flatten().tolist() for x, _ in batches.epoch(1, share)])
    assert len(read) == (n_parts if apart else 3 * n_parts)
    assert sorted(x for shares_of in seen for batch in shares_of for x in batch) == rows.flatten().tolist()
    for number, taken in enumerate(zip(*(share.taken for share in shares), strict=True)):
        slices, sizes = zip(*taken, strict=True)
        assert [s.stop - s.start for s in slices] == [len(batch[number]) for batch in seen]
        assert [s.start for s in slices] == [0, slices[0].stop, slices[1].stop]
        assert set(sizes) == {slices[2].stop}
    assert len(batches) == len(seen[0])
