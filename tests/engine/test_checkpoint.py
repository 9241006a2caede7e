"""Run folders: a training that was stopped anywhere ends in the same weights, bit for bit, as one that was not."""

import itertools
import json
import types
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from sklearn.base import clone
from zoo import COMPOSITIONS, SIGMOIDS, digits

from embudo import L1, MLP, SGD, Autoencoder, BatchTopK, KLSparsity, MaskingNoise, TopK, Training, load
from embudo.data.batches import Batches
from embudo.data.files import checksum
from embudo.engine import checkpoint
from embudo.errors import EmbudoError, FileFormatError, InvalidParameter, TrainingInterrupted
from embudo.nn.sparsity import DEAD_AFTER

QUICK = Training(8, batch_size=16)
EARLY = Training(200, batch_size=16, optimizer=SGD(0.02, momentum=0.9), schedule=None, patience=6)
REVIVED = TopK(2, revive=0.5, anneal=0.2)

RUNS = {
    "every_part": COMPOSITIONS["every_part"],
    "corrupted": Autoencoder(30, encoder=MLP(20), corruption=MaskingNoise(0.4, emphasis=0.7), training=QUICK),
    "momentum": Autoencoder(5, training=Training(8, optimizer=SGD(0.01, momentum=0.9, nesterov=True), schedule=None)),
    "early stopping": Autoencoder(40, sparsity=BatchTopK(5), training=EARLY),
    "revival": Autoencoder(100, sparsity=REVIVED, training=Training(2 * DEAD_AFTER // 7 + 1, batch_size=32)),
    "mean activation": Autoencoder(60, penalty=KLSparsity(0.1, running=0.9), **SIGMOIDS, training=QUICK),
    "wide": Autoencoder(
        2100, decoder=MLP(unit_norm=True), sparsity=TopK(5, anneal=0.4), training=Training(4, batch_size=50, clip=1.0)
    ),
    "jump_relu": COMPOSITIONS["jump_relu"],
    "probes": COMPOSITIONS["contractive_probes"],
    "float64": COMPOSITIONS["float64"],
    "everything": COMPOSITIONS["everything"],
    "map": COMPOSITIONS["map"],
}


@pytest.fixture
def stop_in(monkeypatch):
    """Return a function that lets Ctrl-C come in the middle of an epoch, or of none; and the epochs begun since."""
    original, begun = Batches.epoch, []

    def stop_in(number):
        def epoch(self, this):
            if this > 0:
                begun.append(this)
            for taken, batch in enumerate(original(self, this)):
                if this == number and taken == 2:
                    raise KeyboardInterrupt
                yield batch

        begun.clear()
        monkeypatch.setattr(Batches, "epoch", epoch)
        return begun

    return stop_in


@pytest.fixture
def always(monkeypatch):
    """Write the state after every epoch."""
    monkeypatch.setattr(checkpoint, "REST", 0)


def run_of(name, folder=None) -> Autoencoder:
    ae = clone(RUNS[name])
    return ae.set_params(random_state=0, training__run_dir=folder)


def fitted(ae: Autoencoder) -> Autoencoder:
    return ae.fit(digits()[:120], X_val=digits()[120:]) if ae.training.patience else ae.fit(digits())


def assert_same(one: Autoencoder, other: Autoencoder) -> None:
    weights, others = one.module_.state_dict(), other.module_.state_dict()
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert weight.numpy().tobytes() == others[name].numpy().tobytes(), name
    measured = {"seconds", "samples_per_second"}
    histories = [{k: v for k, v in ae.history_.items() if k not in measured} for ae in (one, other)]
    assert histories[0] == histories[1]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", RUNS)
def test_a_training_that_was_stopped_ends_in_the_weights_of_one_that_was_not(name, tmp_path, stop_in):
    whole = fitted(run_of(name))
    last = len(whole.history_["epoch"])
    stops = [3, last] if last > 3 else [2]
    first = 1
    for stop in stops:
        begun = stop_in(stop)
        with pytest.warns(TrainingInterrupted):
            fitted(run_of(name, tmp_path))
        assert begun == list(range(first, stop + 1))
        first = stop
    begun = stop_in(None)
    assert_same(fitted(run_of(name, tmp_path)), whole)
    assert begun == list(range(first, last + 1))


def test_the_runs_hold_what_has_to_be_kept():
    stopped_early = fitted(run_of("early stopping")).history_["validation_loss"]
    assert len(stopped_early) < 200
    assert stopped_early[-1] > min(stopped_early)
    assert max(fitted(run_of("revival")).history_["revival"]) > 0


def test_a_run_folder_changes_nothing_and_a_finished_training_returns_at_once(tmp_path, stop_in):
    whole = fitted(run_of("everything"))
    kept = fitted(run_of("everything", tmp_path / "new" / "folder"))
    begun = stop_in(None)
    again = fitted(run_of("everything", tmp_path / "new" / "folder"))
    assert begun == []
    assert_same(kept, whole)
    assert_same(again, whole)
    again.save(tmp_path / "model.safetensors")
    assert_same(load(tmp_path / "model.safetensors"), whole)


def test_writing_takes_a_twentieth_of_the_time(tmp_path, monkeypatch):
    ticks = itertools.count()  # each look at the clock takes a second: a write takes one, and so does an epoch
    monkeypatch.setattr(checkpoint, "time", types.SimpleNamespace(monotonic=lambda: next(ticks)))
    written = []
    original = checkpoint.RunFolder.write
    monkeypatch.setattr(checkpoint.RunFolder, "write", lambda *args: (written.append(args[1].epochs), original(*args)))
    Autoencoder(3, training=Training(100, run_dir=tmp_path), random_state=0).fit(digits())
    assert written == [1, 21, 41, 61, 81, 100]


# ---------------------------------------------------------------------- what does not fit


def absolute(output, target):
    return (output - target).abs()


def cubed(output, target):
    return (output - target).abs() ** 3


CHANGES = {
    "epochs": {"training__epochs": 9},
    "optimizer": {"training__optimizer": SGD(0.01)},
    "precision": {"training__precision": "float64"},
    "penalty": {"penalty__weight": 0.2},
    "sparsity": {"sparsity__anneal": 0.1},
    "activation": {"encoder__activation": "tanh"},
    "loss": {"loss": cubed},
    "random_state": {"random_state": 1},
}


def stated(folder) -> Autoencoder:
    return Autoencoder(
        40,
        encoder=MLP(20),
        sparsity=TopK(5, anneal=0.2),
        penalty=L1(0.1),
        loss=absolute,
        training=Training(4, run_dir=folder),
        random_state=0,
    )


@pytest.mark.parametrize("change", [*CHANGES, "data", "targets", "validation"])
def test_the_state_of_another_training_is_refused(change, tmp_path):
    X = digits()
    stated(tmp_path).fit(X)
    other = stated(tmp_path).set_params(**CHANGES.get(change, {}))
    X_new = X.copy()
    X_new[7, 30] += 1e-3
    data = {"data": {"X": X_new}, "targets": {"X": X, "X_clean": X_new}, "validation": {"X": X, "X_val": X[:9]}}
    words = rf"^'{tmp_path}' holds the state of another training, .*: delete '{tmp_path}' to begin anew, or give"
    with pytest.raises(InvalidParameter, match=words):
        other.fit(**data.get(change, {"X": X}))


def test_what_is_shown_and_where_does_not_make_another_training(tmp_path, stop_in):
    X = digits()
    stated(tmp_path / "a").fit(X)
    (tmp_path / "a").rename(tmp_path / "b")
    begun = stop_in(None)
    other = stated(tmp_path / "b").set_params(training__verbose=False, training__device="cpu")
    other.set_params(n_components=np.int64(40)).fit(X)
    assert begun == []


def test_a_training_that_cannot_be_had_again_is_refused(tmp_path):
    ae = Autoencoder(3, training=Training(2, run_dir=tmp_path))
    with pytest.raises(InvalidParameter, match=r"^Training\.run_dir needs a random_state: .* Set random_state=0"):
        ae.fit(digits())
    assert list(tmp_path.iterdir()) == []


def test_partial_fit_keeps_no_state(tmp_path):
    Autoencoder(3, training=Training(run_dir=tmp_path)).partial_fit(digits())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidParameter, match=r"^Training\.run_dir='.*/file' cannot be made a folder \(.*\): give"):
        stated(tmp_path / "file").fit(digits())


def rewritten(path: Path, change) -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        card = json.loads(file.metadata()["embudo_training"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    del card["checksum"]
    change(card, tensors)
    card["checksum"] = checksum(card, tensors)  # as who forges a file would
    safetensors.torch.save_file(tensors, path, metadata={"embudo_training": json.dumps(card)})


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 9),
    "a model": lambda path: Autoencoder(3, training=QUICK).fit(digits()).save(path),
    "a bit flipped": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "without history": lambda path: rewritten(path, lambda card, tensors: card.pop("history")),
    "without a position": lambda path: rewritten(path, lambda card, tensors: card.update(position=None)),
    "without a generator": lambda path: rewritten(path, lambda card, tensors: tensors.pop("generator")),
    "without a weight": lambda path: rewritten(path, lambda card, tensors: tensors.pop("kept.0")),
    "of another shape": lambda path: rewritten(path, lambda card, tensors: tensors.update({"kept.0": torch.ones(1)})),
    "of no weight": lambda path: rewritten(
        path, lambda card, tensors: tensors.update({"optimizer.9.x": torch.ones(1)})
    ),
    "of another version": lambda path: rewritten(path, lambda card, tensors: card.update(format_version=1)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_refused_in_one_sentence(damage, tmp_path):
    stated(tmp_path).fit(digits())
    DAMAGES[damage](tmp_path / "state.safetensors")
    with pytest.raises(FileFormatError, match=r"^'.*state\.safetensors' .*: delete '.*' to begin anew, or give .*$"):
        stated(tmp_path).fit(digits())


def test_a_write_that_fails_leaves_the_state_as_it_was(tmp_path, monkeypatch, stop_in):
    monkeypatch.setattr(checkpoint, "REST", 0)
    stop_in(3)
    with pytest.warns(TrainingInterrupted):
        stated(tmp_path).fit(digits())
    before = (tmp_path / "state.safetensors").read_bytes()
    (tmp_path / ".state.safetensors.killed").write_bytes(before[:1000])
    stop_in(None)

    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(EmbudoError, match=r"^Cannot write '.*state.safetensors': No space left on device\.$"):
            stated(tmp_path).fit(digits())
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    assert (tmp_path / "state.safetensors").read_bytes() == before
    assert_same(stated(tmp_path).fit(digits()), stated(None).fit(digits()))


def test_optimizers_find_their_state_in_the_layout_of_the_weights():
    weight = torch.nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    value = torch.randn(4, 3, 2, 2)
    laid_out = checkpoint._laid_out_like(weight, value, torch.Tensor.copy_)
    assert laid_out.stride() == weight.stride() != value.stride()
    assert torch.equal(laid_out, value)
