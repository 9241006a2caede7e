"""Data larger than a window, read and written by the commands as they come."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from embudo import Training, load
from embudo.apps import classification
from embudo.cli import detect
from embudo.data import streams
from embudo.data.batches import StreamBatches

TRAIN = ("--components", 4, "--epochs", 2, "--batch-size", 20, "--seed", 0, "-q")


@pytest.fixture(autouse=True)
def small_window(monkeypatch):
    monkeypatch.setattr(streams, "WINDOW", 2**12)


@pytest.fixture
def epochs(monkeypatch):
    """The epochs of streams that were begun."""
    original, begun = StreamBatches.epoch, []

    def epoch(self, number):
        begun.append(number)
        return original(self, number)

    monkeypatch.setattr(StreamBatches, "epoch", epoch)
    return begun


HELD_OUT = ("--validation-fraction", 0.2)


@pytest.mark.parametrize(
    ("source", "options", "endings"),
    [
        ("digits.csv", (), [".csv"]),
        ("digits.npy", HELD_OUT, [".npy"]),
        ("digits.parquet", (), [".parquet", ".npz"]),
        ("images", HELD_OUT, [".npy"]),
    ],
)
def test_large_data_are_streamed_without_being_asked(embudo, files, tmp_path, epochs, read, source, options, endings):
    data, model = files / source, tmp_path / "m.safetensors"
    trained = embudo("train", data, "-o", model, *TRAIN, *options)
    assert trained.status == 0, trained.err
    assert epochs == [1, 2]
    assert f"reconstruction error, {'held-out' if options else 'training'} samples" in trained.out
    assert float(trained.out.split("PCA's, 4 components")[1].split()[0]) > 0
    ae, n_samples = load(model), 20 if source == "images" else 200
    for ending in endings:
        codes, back, decoded = (tmp_path / f"{name}{ending}" for name in ("codes", "back", "decoded"))
        assert embudo("encode", model, data, "-o", codes).status == 0
        assert embudo("reconstruct", model, data, "-o", back).status == 0
        assert embudo("decode", model, codes, "-o", decoded).status == 0
        assert read(codes).shape == (n_samples, 4)
        assert read(back).reshape(n_samples, -1).shape == (n_samples, ae.n_features_in_)
        np.testing.assert_allclose(read(decoded), read(back), rtol=1e-3, atol=1e-3)
    assert embudo("diagnose", model, data).status == 0


def test_pcas_error_is_that_of_data_in_memory(embudo, files, tmp_path, monkeypatch):
    printed = []
    for window in (2**12, 2**27):
        monkeypatch.setattr(streams, "WINDOW", window)
        options = ("--validation", files / "digits.npy")
        trained = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", *TRAIN, *options)
        printed.append(float(trained.out.split("PCA's, 4 components")[1].split()[0]))
    assert printed[0] == pytest.approx(printed[1], rel=1e-3)


def test_stacks_and_runs_that_go_on(embudo, files, tmp_path, epochs):
    stack = ("--stack", "10,4", "--epochs", 2, "--batch-size", 20, "--seed", 0, "-q")
    trained = embudo("train", files / "digits.parquet", "-o", tmp_path / "s.safetensors", *stack)
    assert trained.status == 0, trained.err
    assert len(epochs) > 2
    runs = ("--run-dir", tmp_path / "run", *TRAIN)
    for name, begun in (("0", [0, 1, 2]), ("1", [0])):  # epoch 0 tells which training it is
        epochs.clear()
        trained = embudo("train", files / "digits.npy", "-o", tmp_path / f"{name}.safetensors", *runs)
        assert trained.status == 0, trained.err
        assert epochs == begun


def test_folders_of_parquet_and_zarr_arrays_are_read(embudo, digits, tmp_path):
    zarr = pytest.importorskip("zarr")
    (tmp_path / "rows").mkdir()
    for i, part in enumerate(np.array_split(digits, 3)):
        pd.DataFrame(part).rename(columns=str).to_parquet(tmp_path / "rows" / f"{i}.parquet")
    zarr.create_array(tmp_path / "x.zarr", data=digits, chunks=(50, 64))
    for window in (2**12, 2**27):
        streams.WINDOW = window  # which the fixture sets back
        for data in ("rows", "x.zarr"):
            trained = embudo("train", tmp_path / data, "-o", tmp_path / "m.safetensors", *TRAIN)
            assert trained.status == 0, trained.err


def test_folders_of_tables_that_cannot_be_learnt_from_say_why(embudo, tmp_path):
    pd.DataFrame({"a": [1.0], "name": ["x"]}).to_parquet(tmp_path / "x.parquet")
    outcome = embudo("train", tmp_path, "-o", tmp_path / "m.safetensors", *TRAIN)
    assert outcome.status != 0
    assert "columns that are not numeric: 'name'; leave them out with drop" in outcome.err


def test_reconstructions_of_a_stream_of_images_keep_their_names(embudo, files, tmp_path):
    embudo("train", files / "images", "-o", tmp_path / "m.safetensors", *TRAIN)
    assert embudo("reconstruct", tmp_path / "m.safetensors", files / "images", "-o", tmp_path / "back").status == 0
    names = sorted(path.name for path in (tmp_path / "back").iterdir())
    assert names == [f"tile{i:02}.png" for i in range(20)]
    with Image.open(tmp_path / "back" / names[0]) as image:
        assert image.size == (5, 6)


def test_there_is_no_half_file(embudo, files, tmp_path):
    embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", *TRAIN)
    bad = np.load(files / "digits.npy")
    bad[150, 7] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    outcome = embudo("encode", tmp_path / "m.safetensors", tmp_path / "bad.npy", "-o", tmp_path / "codes.npy")
    assert outcome.status != 0
    assert "X holds infinity in row 150, column 7" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.npy", "m.safetensors"]


def test_large_data_are_streamed_to_a_detector(embudo, files, tmp_path, epochs):
    quickly = ("--components", 8, "--epochs", 3, "--subsampled", 1, "--seed", 0, "-q")
    rows = np.load(files / "digits.npy")
    frame = pd.DataFrame(rows).rename(columns=str)
    frame["0"] = pd.array(np.where(np.arange(len(frame)) % 5, frame["0"], None), dtype="Float64")
    (tmp_path / "rows").mkdir()
    for i in range(4):
        frame[50 * i : 50 * i + 50].to_parquet(tmp_path / "rows" / f"{i}.parquet")
    frame[frame.columns[::-1]].to_parquet(tmp_path / "one.parquet")
    for data, options in {
        files / "digits.npy": ("--false-alarm-rate", 0.1),
        files / "digits.csv": ("--trimming", 0.1),
        tmp_path / "rows": ("--false-alarm-rate", 0.1, "--calibration", tmp_path / "one.parquet"),
    }.items():
        epochs.clear()
        fitted = embudo("detect", "fit", data, "-o", tmp_path / "d.safetensors", *quickly, *options)
        assert fitted.status == 0, fitted.err
        assert epochs[:3] == [1, 2, 3]
        assert re.search(r"samples +(160|200)\b", fitted.out)
        scored = embudo("detect", "score", tmp_path / "d.safetensors", data, "-o", tmp_path / "s.csv", "--top", 2)
        assert scored.status == 0, scored.err
        scores, model = pd.read_csv(tmp_path / "s.csv"), load(tmp_path / "d.safetensors")
        X = {"rows": frame, "digits.csv": pd.read_csv(files / "digits.csv")}.get(data.name, rows)
        np.testing.assert_allclose(scores["score"], model.score_samples(X), rtol=1e-4)
    assert model.table_ is not None


def test_rows_of_a_stream_are_numbered_in_what_is_printed(embudo, files, tmp_path, monkeypatch):
    monkeypatch.setattr(detect, "CHUNK", 60)
    rows = np.load(files / "digits.npy")
    rows[150] = 400
    np.save(tmp_path / "x.npy", rows)
    embudo("detect", "fit", files / "digits.npy", "-o", tmp_path / "d.safetensors", "--epochs", 2, "--seed", 0, "-q")
    scored = embudo("detect", "score", tmp_path / "d.safetensors", tmp_path / "x.npy", "-o", tmp_path / "s.csv")
    assert re.search(r"\n *150 ", scored.out), scored.out


def test_images_of_a_stream_are_scored_by_their_names(embudo, files, tmp_path, monkeypatch):
    monkeypatch.setattr(detect, "CHUNK", 8)
    fitted = embudo("detect", "fit", files / "images", "-o", tmp_path / "d.safetensors", "--epochs", 2, "-q")
    assert fitted.status == 0, fitted.err
    assert embudo("detect", "score", tmp_path / "d.safetensors", files / "images", "-o", tmp_path / "s.csv").status == 0
    assert pd.read_csv(tmp_path / "s.csv")["image"].tolist() == sorted(
        path.name for path in (files / "images").iterdir()
    )


def test_first_weights_of_pca(embudo, files, tmp_path):
    trained = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--init", "pca", *TRAIN)
    assert trained.status == 0, trained.err


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npy"])
def test_large_data_are_streamed_to_a_classifier(embudo, files, tmp_path, epochs, monkeypatch, ending):
    monkeypatch.setattr(classification, "HEAD_TRAINING", Training(steps=20))
    X, y = np.load(files / "digits.npy"), load_digits().target[:200]
    names = np.where(np.arange(200) % 3, np.array(list("abcdefghij"))[y], None)
    table = pd.DataFrame(X).add_prefix("p").assign(digit=names, id=range(200))
    if ending == ".npy":
        np.save(tmp_path / "x.npy", X)
        pd.DataFrame({"digit": names}).to_csv(tmp_path / "y.csv", index=False)
    elif ending == ".csv":
        table.to_csv(tmp_path / "x.csv", index=False)
    else:
        table.to_parquet(tmp_path / "x.parquet", row_group_size=30)
    data, labels = tmp_path / f"x{ending}", tmp_path / "y.csv" if ending == ".npy" else "digit"
    options = ("--labels", labels, *(() if ending == ".npy" else ("--drop", "id")))
    model, quickly = tmp_path / "c.safetensors", ("--components", 20, "--epochs", 2, "--seed", 0, "-q")
    validation = ("--validation", data, *(("--validation-labels", labels) if ending == ".npy" else ()))
    trained = embudo("classify", "train", data, "-o", model, *options, *validation, *quickly)
    assert trained.status == 0, trained.err
    assert epochs[:2] == [1, 2]
    assert "200, 133 of them labelled" in trained.out
    predicted = embudo("classify", "predict", model, data, "-o", tmp_path / "p.csv", *options)
    assert predicted.status == 0, predicted.err
    assert "on 133 labelled samples" in predicted.out
    assert load(model).n_features_in_ == 64
    assert len(pd.read_csv(tmp_path / "p.csv")) == 200
