"""Event files of TensorBoard, read back."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embudo import L1, Autoencoder, ConvNet, StackedAutoencoder, Training, stream
from embudo.errors import InvalidParameter, MissingDependency

pytest.importorskip("tensorboard")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def training(folder, epochs=3, **options):
    return Training(epochs, verbose=False, log_dir=folder, **options)


@pytest.mark.parametrize("streamed", [False, True])
def test_each_term_of_each_epoch_and_the_codes_are_shown(tmp_path, streamed):
    how = training(tmp_path / "log", validation_fraction=0.2)
    data = stream(X, window=500) if streamed else X
    ae = Autoencoder(2, penalty=L1(1e-3), training=how, random_state=0).fit(data)
    seen = events(tmp_path / "log")
    columns = {"train/loss": "loss", "train/reconstruction": "reconstruction", "train/l1": "l1"}
    columns |= {"validation/loss": "validation_loss", "learning_rate": "learning_rate"}
    for tag, column in columns.items():
        assert [event.step for event in seen.Scalars(tag)] == [1, 2, 3]
        np.testing.assert_allclose([event.value for event in seen.Scalars(tag)], ae.history_[column], rtol=1e-6)
    assert seen.Tags()["images"] == []
    (codes,) = (tmp_path / "log").rglob("tensors.tsv")
    shown = pd.read_csv(codes, sep="\t", header=None).to_numpy()
    assert len(shown) > 30
    learnt = ae.transform(X)
    assert all(np.abs(learnt - code).sum(axis=1).min() < 1e-5 for code in shown[:5])


@pytest.mark.parametrize("n_channels", [1, 3])
def test_images_are_shown_beside_their_reconstructions(tmp_path, n_channels):
    images = RNG.integers(256, size=(20, 8, 6, n_channels), dtype=np.uint8)
    ae = Autoencoder(3, encoder=ConvNet((4,)), training=training(tmp_path), random_state=0).fit(images)
    seen = events(tmp_path)
    assert set(seen.Tags()["images"]) == {"samples", "reconstructions"}
    for tag, expected in (("samples", images), ("reconstructions", ae.reconstruct(images))):
        (event,) = seen.Images(tag)
        assert event.step == 3
        shown = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))[:8, :6]
        low, high = float(images.min()), float(images.max())
        whole = np.clip((expected[0].astype(np.float32) - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(shown, np.broadcast_to(whole, (8, 6, 3)), atol=1)
    assert list(tmp_path.rglob("sprite.png"))


def test_parts_of_a_whole_have_folders_of_their_own(tmp_path):
    levels = [("edges", Autoencoder(4, training=Training(1))), ("parts", Autoencoder(2, training=Training(2)))]
    StackedAutoencoder(levels, training=training(tmp_path), random_state=0).fit(X)
    steps = {}
    for folder in tmp_path.iterdir():
        steps[folder.name] = len(events(folder).Scalars("train/loss"))
    assert steps == {"edges": 1, "parts": 2, "fine-tuning": 3}


def test_a_training_that_goes_on_does_so_on_the_board_and_is_the_same_without_one(tmp_path):
    def fit(**options):
        how = Training(4, verbose=False, run_dir=tmp_path / "run", **options)
        return Autoencoder(2, training=how, random_state=0).fit(X)

    plain = fit()
    assert (fit(log_dir=tmp_path / "log").transform(X) == plain.transform(X)).all()
    assert "train/loss" not in events(tmp_path / "log").Tags()["scalars"]


def test_fitted_again_the_curves_are_those_of_the_last_time(tmp_path):
    ae = Autoencoder(2, training=training(tmp_path), random_state=0)
    ae.fit(X)
    ae.set_params(training__epochs=2).fit(X)
    assert [event.step for event in events(tmp_path).Scalars("train/loss")] == [1, 2]


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidParameter, match=r"log_dir='.*file' cannot be written to"):
        Autoencoder(2, training=training(tmp_path / "file")).fit(X)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependency, match=r'pip install "embudo\[tensorboard\]"'):
        Autoencoder(2, training=training(tmp_path / "log")).fit(X)
