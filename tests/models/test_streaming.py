"""Models of data that are read a part at a time: what they learn, what they give, where they write it."""

import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from zoo import AUTOENCODERS, IMAGES, STACKS, digits

from embudo import (
    MLP,
    Autoencoder,
    AutoencoderClassifier,
    ConvNet,
    Neighbours,
    StackedAutoencoder,
    TopK,
    Training,
    stream,
)
from embudo.data.batches import StreamBatches
from embudo.data.sources import ArrayStream
from embudo.data.streams import Stream
from embudo.engine import checkpoint
from embudo.errors import EmbudoError, FileFormatError, InvalidData, InvalidParameter, TrainingInterrupted

X = digits(np.float32, 1000)
SMALL = 2**15  #: bytes of a window: an eighth of X
ONCE = Training(epochs=1, batch_size=50)


def streamed(rows=X, window=SMALL):
    found = stream(rows, window=window)
    assert not found.fits
    return found


def in_batches(rows):
    return stream(np.array_split(rows, 5), window=SMALL)


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(4, encoder=MLP(10), training=Training(epochs=2), random_state=0).fit(X)


def weights(ae):
    return {name: weight.numpy().tobytes() for name, weight in ae.module_.state_dict().items()}


@pytest.fixture
def sources(tmp_path):
    """X as everything that is streamed."""
    frame = pd.DataFrame(X, columns=[f"p{i}" for i in range(64)])
    np.save(tmp_path / "x.npy", X)
    frame.to_parquet(tmp_path / "x.parquet", row_group_size=90)
    found = {
        "memory map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        ".npy": tmp_path / "x.npy",
        ".parquet": tmp_path / "x.parquet",
        "batches": list(np.array_split(X, 7)),
        "function": lambda: iter(np.array_split(X, 7)),
    }
    try:
        import zarr
    except ImportError:
        return found
    array = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(60, 64), dtype="f4")
    array[:] = X
    return found | {"zarr": array}


def test_what_fits_into_a_window_is_learnt_bit_for_bit_as_the_array(sources):
    ae = Autoencoder(4, training=Training(epochs=2, validation_fraction=0.2), random_state=0)
    expected = weights(clone(ae).fit(X))
    for name in ("memory map", ".npy", ".parquet"):
        assert weights(clone(ae).fit(stream(sources[name]))) == expected, name


def test_every_source_is_learnt_as_well_as_the_array(sources):
    ae = Autoencoder(8, training=Training(epochs=10, batch_size=50), random_state=0)
    expected = -clone(ae).fit(X).score(X)
    for name, source in sources.items():
        learnt = clone(ae).fit(stream(source, window=SMALL))
        assert learnt.history_["loss"][-1] < learnt.history_["loss"][0]
        assert -learnt.score(stream(source)) < 1.1 * expected, name
        assert hasattr(learnt, "feature_names_in_") == (name == ".parquet")


@pytest.mark.parametrize("name", ["memory map", "zarr"])
def test_arrays_that_are_read_by_slices_are_streamed_without_being_asked(sources, name, monkeypatch):
    if name not in sources:
        pytest.skip("zarr is not installed")
    monkeypatch.setattr(ArrayStream, "fits", False)
    used = []
    monkeypatch.setattr(StreamBatches, "__init__", _noting(StreamBatches.__init__, used))
    ae = Autoencoder(4, training=ONCE, random_state=0).fit(sources[name])
    assert used
    np.testing.assert_array_equal(ae.transform(sources[name]), ae.transform(X))


def _noting(function, calls):
    def noting(*args):
        calls.append(args)
        return function(*args)

    return noting


def test_results_are_bit_for_bit_those_of_the_array(fitted):
    names = ("transform", "reconstruct", "reconstruction_error", "score_samples", "score")
    for name in names:
        method = getattr(fitted, name)
        np.testing.assert_array_equal(method(streamed()), method(X), err_msg=name)
    codes = fitted.transform(X)
    np.testing.assert_array_equal(fitted.inverse_transform(stream(codes, window=5000)), fitted.inverse_transform(codes))
    expected, got = (fitted.diagnose(rows) for rows in (X, streamed()))
    assert got == expected


@pytest.mark.parametrize("name", ["k_sparse", "float64", "convolutional"])
def test_results_of_other_models(name):
    ae = clone(AUTOENCODERS[name]).fit(digits())
    expected, got = ae.transform(X), ae.transform(streamed())
    assert sp.issparse(got) == sp.issparse(expected)
    np.testing.assert_array_equal(*(z.toarray() if sp.issparse(z) else z for z in (got, expected)))


def test_an_iterator_is_enough_where_one_pass_is(fitted):
    def batches():
        return iter(np.array_split(X, 9))

    np.testing.assert_array_equal(fitted.transform(batches()), fitted.transform(X))
    np.testing.assert_array_equal(fitted.reconstruct(batches()), fitted.reconstruct(X))
    np.testing.assert_array_equal(fitted.score_samples(batches()), fitted.score_samples(X))
    one, other = (Autoencoder(4, training=ONCE, random_state=0) for _ in range(2))
    one.partial_fit(batches())
    for batch in batches():
        other.partial_fit(batch)
    assert weights(one) == weights(other)
    with pytest.raises(InvalidData, match=r"^X can be read only once, .* in every epoch: give embudo\.stream a func"):
        clone(one).fit(batches())


def test_partial_fit_passes_over_a_stream_once():
    ae = Autoencoder(4, training=Training(epochs=7, batch_size=50), random_state=0)
    losses = ae.partial_fit(streamed()).partial_fit(streamed()).history_["loss"]
    assert len(losses) == 2
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", sorted(AUTOENCODERS.keys() - {"map"}))
def test_every_composition_learns_from_a_stream(name):
    ae = clone(AUTOENCODERS[name]).fit(streamed(digits(np.float32, 200), 2**13))
    assert ae.history_["loss"][-1] < ae.history_["loss"][0]


@pytest.mark.parametrize("name", ["stack", "stack_of_everything", "convolutional_stack"])
def test_stacks_learn_from_a_stream(name):
    stack = clone(STACKS[name]).fit(streamed(digits(np.float32, 200), 2**13))
    errors = next(column for title, column in stack.stages_.items() if title.endswith("_error"))
    assert len(errors) == len(stack.layers) + 1
    assert stack.transform(streamed()).shape == (1000, stack.n_components_)
    np.testing.assert_array_equal(
        stack.transform(streamed(), stack.layers[0][0]).shape, (1000, stack.layers_[0][1].n_components_)
    )


def test_images_are_learnt_and_given_back_in_their_shape(tmp_path):
    images = (X * 255).astype(np.uint8).reshape(-1, 8, 8, 1)
    ae = Autoencoder(6, encoder=ConvNet((4, 6)), training=ONCE, random_state=0).fit(streamed(images))
    assert ae.sample_shape_ == (8, 8, 1)
    assert ae.scaler_.kind == "pixels"
    np.testing.assert_array_equal(ae.reconstruct(streamed(images)), ae.reconstruct(images))
    np.testing.assert_array_equal(ae.reconstruct(images, out=tmp_path / "x.npy"), ae.reconstruct(images))
    with pytest.raises(InvalidData, match=r"samples of shape \(4, 16\), but Autoencoder was fitted on \(8, 8, 1\)"):
        ae.transform(streamed(images.reshape(-1, 4, 16)))
    assert IMAGES["image_shape"] == (8, 8)


def test_a_share_is_held_out_and_measured():
    training = Training(epochs=5, batch_size=50, validation_fraction=0.3, patience=2)
    ae = Autoencoder(4, training=training, random_state=0).fit(streamed())
    again = clone(ae).fit(streamed())
    assert ae.history_["validation_loss"] == again.history_["validation_loss"]
    assert ae.history_["validation_loss"][-1] < ae.history_["validation_loss"][0]


@pytest.mark.parametrize("held_out", [X[:100], streamed()], ids=["array", "stream"])
def test_what_is_held_out_may_be_an_array_or_a_stream(held_out):
    ae = Autoencoder(4, training=Training(epochs=3, batch_size=50, patience=1), random_state=0)
    losses = ae.fit(streamed(), X_val=held_out).history_["validation_loss"]
    rows = held_out if isinstance(held_out, np.ndarray) else X
    assert losses[-1] == pytest.approx(-ae.score(rows), rel=1e-4)  # X lies in [0, 1]: it is not scaled


RESUMED = Training(epochs=6, batch_size=50, validation_fraction=0.2, patience=5)


@pytest.mark.parametrize("name", [".npy", ".parquet", "function"])
def test_a_training_that_was_stopped_ends_in_the_same_weights(sources, tmp_path, monkeypatch, name):
    monkeypatch.setattr(checkpoint, "REST", 0)
    ae = Autoencoder(4, encoder=MLP(10), sparsity=TopK(2, anneal=0.5), training=RESUMED, random_state=0)
    expected = clone(ae).fit(stream(sources[name], window=SMALL))
    original = StreamBatches.epoch

    def stopped(self, number):
        for taken, batch in enumerate(original(self, number)):
            if number == 4 and taken == 7:
                raise KeyboardInterrupt
            yield batch

    resumable = clone(ae).set_params(training__run_dir=tmp_path / "run")
    with monkeypatch.context() as context:
        context.setattr(StreamBatches, "epoch", stopped)
        with pytest.warns(TrainingInterrupted, match="after 3 of 6 epochs"):
            clone(resumable).fit(stream(sources[name], window=SMALL))
    resumed = clone(resumable).fit(stream(sources[name], window=SMALL))
    assert weights(resumed) == weights(expected)
    assert resumed.history_["loss"] == expected.history_["loss"]
    with pytest.raises(InvalidParameter, match="holds the state of another training, of other data"):
        clone(resumable).fit(streamed(X + 1))


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_process_that_was_killed_goes_on(tmp_path):
    np.save(tmp_path / "x.npy", X)
    script = f"""
import os, signal
from embudo import Autoencoder, Training, stream
from embudo.data.batches import StreamBatches
from embudo.engine import checkpoint
checkpoint.REST = 0
original = StreamBatches.epoch
def epoch(self, number):
    for taken, batch in enumerate(original(self, number)):
        if number == 3 and taken == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
StreamBatches.epoch = epoch
ae = Autoencoder(4, training=Training(4, batch_size=50, run_dir={str(tmp_path / "run")!r}), random_state=0)
ae.fit(stream({str(tmp_path / "x.npy")!r}, window={SMALL}))
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    ae = Autoencoder(4, training=Training(4, batch_size=50), random_state=0)
    resumed = clone(ae).set_params(training__run_dir=tmp_path / "run").fit(streamed())
    assert len(resumed.history_["loss"]) == 4
    assert weights(resumed) == weights(ae.fit(streamed()))


@pytest.mark.parametrize("ending", [".npy", ".parquet"])
def test_results_are_written_as_they_come(fitted, tmp_path, ending):
    out = tmp_path / f"codes{ending}"
    for rows in (X, streamed(), iter(np.array_split(X, 3))):
        codes = fitted.transform(rows, out=out)
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
        if ending == ".npy":
            assert isinstance(codes, np.memmap)
            written = np.load(out)
            np.testing.assert_array_equal(codes, written)
        else:
            assert isinstance(codes, Stream)
            frame = pd.read_parquet(out)
            assert list(frame.columns) == list(fitted.get_feature_names_out())
            written = frame.to_numpy()
        np.testing.assert_array_equal(written, fitted.transform(X))
        assert written.dtype == np.float32
    back = tmp_path / f"back{ending}"
    fitted.inverse_transform(codes, out=back)
    direct = tmp_path / f"direct{ending}"
    fitted.reconstruct(streamed(), out=direct)
    one, other = (np.load(path) if ending == ".npy" else pd.read_parquet(path).to_numpy() for path in (back, direct))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(other, fitted.reconstruct(X))


@pytest.mark.parametrize("ending", [".npy", ".parquet"])
def test_there_is_no_half_file(fitted, tmp_path, ending):
    bad = X.copy()
    bad[900, 3] = np.nan
    out = tmp_path / f"codes{ending}"
    with pytest.raises(InvalidData, match=r"^X holds NaN in row 900, column 3"):
        fitted.transform(streamed(bad), out=out)
    assert list(tmp_path.iterdir()) == []
    fitted.transform(X, out=out)
    before = out.read_bytes()
    with pytest.raises(InvalidData):
        fitted.transform(streamed(bad), out=out)
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("kind", "out", "words"),
    [
        (InvalidParameter, "codes.csv", r"^out must end in \.npy or \.parquet; got 'codes\.csv'\.$"),
        (FileFormatError, "missing/codes.npy", "^Cannot write 'missing/codes.npy'"),
    ],
)
def test_outputs_that_cannot_be_written(fitted, kind, out, words):
    with pytest.raises(kind, match=words):
        fitted.transform(X, out=out)


def test_sparse_codes_are_not_written_as_they_come(tmp_path):
    ae = Autoencoder(40, sparsity=TopK(3), sparse_output=True, training=ONCE, random_state=0).fit(X)
    with pytest.raises(InvalidParameter, match=r"^out is for dense codes: set sparse_output=False"):
        ae.transform(X, out=tmp_path / "codes.npy")


REFUSED = {
    "pairs": (lambda: Autoencoder(2).fit(streamed(), X_clean=X), "^X and X_clean must both be streams"),
    "pairs of which one is a stream": (lambda: Autoencoder(2).fit(X, X_clean=streamed()), "must both be streams"),
    "pairs of other length": (
        lambda: Autoencoder(2).fit(streamed(), X_clean=streamed(X[:900])),
        r"^X_clean must have a row for each of the 1000 of X; got 900\.",
    ),
    "pairs that are cut otherwise": (
        lambda: Autoencoder(2).fit(streamed(), X_clean=streamed(X.astype(np.float64))),
        "^X_clean must be a stream that is cut as X is: of the same type",
    ),
    "pairs with NaN": (lambda: Autoencoder(2).fit(streamed(), X_clean=streamed(X + np.nan)), "^X holds NaN in row 0"),
    "a layout": (lambda: Autoencoder(2, penalty=Neighbours(), training=ONCE).fit(streamed()), "^Neighbours lays all"),
    "one sample": (lambda: Autoencoder(1).fit(stream([X[:1]])), "at least 2 are needed"),
    "NaN": (lambda: Autoencoder(2).fit(streamed(np.full_like(X, np.nan))), "^X holds NaN in row 0, column 0: drop"),
    "too few labels": (
        lambda: AutoencoderClassifier(Autoencoder(2)).fit(streamed(), np.zeros(900)),
        r"^y must have one label for each of the 1000 samples of X; got 900\.",
    ),
    "labels of what is held out": (
        lambda: AutoencoderClassifier(Autoencoder(2)).fit(X, X[:, 0] > 0, X_val=(streamed(), np.zeros(9, bool))),
        "^X_val holds 1000 samples and 9 labels",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_go_with_a_stream_is_said(what):
    call, words = REFUSED[what]
    with pytest.raises(EmbudoError, match=words):
        call()


@pytest.mark.parametrize("alike", [np.float32, np.uint8], ids=["one type", "types of four bytes and fewer"])
def test_pairs_of_streams_are_learnt_as_those_of_arrays(alike):
    clean = np.round(X * 255)
    noisy = np.clip(clean + 60 * np.random.default_rng(0).normal(size=X.shape), 0, 255).astype(np.float32)
    clean = clean.astype(alike)
    whole = Training(10, batch_size=1000)  # their order is nothing but rounding
    ae = Autoencoder(8, scale="standard", training=whole, random_state=0)
    val = noisy[:300], clean[:300]
    expected = clone(ae).fit(noisy, X_clean=clean, X_val=val)
    got = clone(ae).fit(in_batches(noisy), X_clean=in_batches(clean), X_val=tuple(map(in_batches, val)))
    for name in ("loss", "validation_loss"):
        np.testing.assert_allclose(got.history_[name], expected.history_[name], rtol=1e-3)
    held_out = clone(ae).set_params(training=Training(3, batch_size=50, validation_fraction=0.3))
    losses = held_out.fit(streamed(noisy), X_clean=streamed(clean)).history_
    assert losses["validation_loss"][-1] < losses["validation_loss"][0]
    error = np.square(got.scaler_.apply(got.reconstruct(noisy)) - got.scaler_.apply(clean)).sum(axis=1).mean()
    assert got.history_["loss"][-1] == pytest.approx(error, rel=0.05)


def test_a_stack_learns_pairs_of_streams():
    noisy = X + 0.2
    stack = StackedAutoencoder(
        [("a", Autoencoder(32, training=ONCE)), ("b", Autoencoder(8, training=ONCE))],
        training=Training(1, batch_size=50, validation_fraction=0.5),
        random_state=0,
    ).fit(in_batches(noisy), X_clean=in_batches(X))
    unseen = stack.stages_["validation_error"][-1]
    assert unseen == pytest.approx(np.square(stack.reconstruct(noisy) - X).sum(axis=1).mean(), rel=0.1)


def test_a_training_on_pairs_goes_on(tmp_path):
    training = Training(2, batch_size=50, validation_fraction=0.3, run_dir=tmp_path / "run")
    ae = Autoencoder(4, training=training, random_state=0)
    one, other = (clone(ae).fit(in_batches(X + 1), X_clean=in_batches(X)) for _ in range(2))
    assert weights(one) == weights(other)
    with pytest.raises(InvalidParameter, match="holds the state of another training, of other data"):
        clone(ae).fit(in_batches(X + 1), X_clean=in_batches(X + 1))


def test_features_of_a_stream_are_checked(fitted, tmp_path):
    with pytest.raises(InvalidData, match=r"X has 63 features, but Autoencoder is expecting 64 features"):
        fitted.transform(streamed(X[:, 1:]))
    with pytest.raises(InvalidData, match=r"^Codes must have shape \(n_samples, 4\)"):
        fitted.inverse_transform(streamed())
    names = [f"p{i}" for i in range(64)]
    pd.DataFrame(X, columns=names).to_parquet(tmp_path / "x.parquet")
    pd.DataFrame(X, columns=names[::-1]).to_parquet(tmp_path / "y.parquet")
    ae = Autoencoder(2, training=ONCE, random_state=0).fit(stream(tmp_path / "x.parquet", window=SMALL))
    assert list(ae.feature_names_in_) == names
    with pytest.raises(InvalidData, match=r"feature names should match those that were passed during fit"):
        ae.transform(stream(tmp_path / "y.parquet", window=SMALL))


def test_a_stack_of_streams_keeps_no_codes_in_memory():
    stack = StackedAutoencoder(
        [("a", Autoencoder(32, training=ONCE)), ("b", Autoencoder(8, training=ONCE))], training=ONCE, random_state=0
    )
    seen = []
    original = Stream.load
    try:
        Stream.load = lambda self: seen.append(self) or original(self)
        stack.fit(streamed())
    finally:
        Stream.load = original
    assert not seen
    assert stack.score(X) > -clone(stack).set_params(fine_tune=None).fit(X).reconstruction_error(X).mean() * 1.2
