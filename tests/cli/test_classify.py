"""``embudo classify``: labels in every form, classes and probabilities out."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.utils import shuffle

from embudo import Adam, Autoencoder, AutoencoderClassifier, MaskingNoise, StackedAutoencoder, Training, load
from embudo.data.batches import Batches

NAMES = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
LEARNT, FRESH = slice(0, 600), slice(600, 1000)
X, Y = shuffle(*load_digits(return_X_y=True), random_state=0)
X = X.astype(np.float32)
OPTIONS = ("--components", 60, "--epochs", 10, "--batch-size", 32, "--seed", 0, "-q")


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """Digits to learn from, of which 200 have labels, and others to predict, in every form."""
    folder = tmp_path_factory.mktemp("labelled")
    columns = [f"pixel{i}" for i in range(64)]
    few, none = np.where(np.arange(600) < 200, Y[LEARNT], -1), np.arange(600) >= 200
    for name, where in (("train", LEARNT), ("test", FRESH)):
        table = pd.DataFrame(X[where], columns=columns).assign(digit=NAMES[Y[where]], number=Y[where])
        if name == "train":
            table.loc[none, ["digit", "number"]] = None
        table.to_csv(folder / f"{name}.csv", index=False)
        table.to_parquet(folder / f"{name}.parquet")
        np.save(folder / f"{name}.npy", X[where])
    np.savez(folder / "train.npz", x=X[LEARNT], y=few)
    np.save(folder / "labels.npy", few)
    np.save(folder / "test_labels.npy", Y[FRESH])
    (folder / "labels.csv").write_text("digit\n" + "".join(f"{NAMES[y]}\n" if y >= 0 else "\n" for y in few))
    header = bytes([0, 0, 0x08, 1]) + (600).to_bytes(4, "big")
    (folder / "labels-idx1-ubyte").write_bytes(header + Y[LEARNT].astype(np.uint8).tobytes())
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The same digits as images, in a folder for each class and one without labels."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, (x, y) in enumerate(zip(X[:300], Y[:300], strict=True)):
        place = folder / ("unlabelled" if i > 250 else NAMES[y] if i > 10 else ".")
        place.mkdir(exist_ok=True)
        Image.fromarray((x.reshape(8, 8) * 15).astype(np.uint8)).save(place / f"{i:03}.png")
    return folder


FORMS = {
    "column of text": ("train.csv", "digit", ("--drop", "number"), NAMES),
    "column of numbers": ("train.parquet", "number", ("--drop", "digit"), range(10)),
    "array file": ("train.npy", "{}/labels.npy", (), range(10)),
    "array within": ("train.npz", "y", ("--key", "x"), range(10)),
    "table of one column": ("train.npy", "{}/labels.csv", (), NAMES),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_read_from(embudo, labelled, tmp_path, form):
    data, labels, options, classes = FORMS[form]
    path = tmp_path / "clf.safetensors"
    labels = labels.format(labelled)
    done = embudo("classify", "train", labelled / data, "--labels", labels, "-o", path, *OPTIONS, *options)
    assert done.status == 0, done.err
    assert "600, 200 of them labelled" in done.out
    found = load(path)
    assert list(found.classes_) == sorted(classes)
    ae = Autoencoder(60, code_activation="leaky_relu", corruption=MaskingNoise(0.25))
    ae.set_params(training=Training(10, batch_size=32, verbose=False))
    training = Training(10, batch_size=32, optimizer=Adam(1e-3), verbose=False)
    y = np.where(np.arange(600) < 200, np.asarray(classes)[Y[LEARNT]].astype(object), None)
    expected = AutoencoderClassifier(ae, training=training, random_state=0)
    assert repr(found) == repr(expected)
    columns = {"columns": [f"pixel{i}" for i in range(64)]} if "column of" in form else None
    rows = X if columns is None else pd.DataFrame(X, **columns)
    # a table's numbers are float64, through which the fit is the same
    np.testing.assert_allclose(found.predict_proba(rows), expected.fit(rows[LEARNT], y).predict_proba(rows), atol=1e-3)


def test_all_labels_of_an_idx_file(embudo, labelled, tmp_path):
    args = ("--labels", labelled / "labels-idx1-ubyte", "-o", tmp_path / "clf.safetensors", *OPTIONS)
    done = embudo("classify", "train", labelled / "train.npy", *args)
    assert "600, 600 of them labelled" in done.out


@pytest.fixture(scope="session")
def classifier(labelled, run_quietly):
    path = labelled / "clf.safetensors"
    args = ("--labels", "digit", "--drop", "number", *OPTIONS[:-1], "--epochs", 60)
    run_quietly("classify", "train", labelled / "train.csv", "-o", path, *args)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_classes_and_probabilities_are_written(embudo, labelled, classifier, tmp_path, ending):
    path, options = tmp_path / f"out{ending}", ("--labels", "digit", "--drop", "number")
    done = embudo("classify", "predict", classifier, labelled / "test.csv", "-o", path, *options)
    assert done.status == 0, done.err
    table = pd.read_csv(path) if ending == ".csv" else pd.read_parquet(path)
    model, rows = load(classifier), pd.read_csv(labelled / "test.csv").drop(columns=["digit", "number"])
    assert list(table.columns) == ["predicted", *(f"probability_{name}" for name in sorted(NAMES))]
    np.testing.assert_array_equal(table["predicted"], model.predict(rows))
    np.testing.assert_allclose(table.iloc[:, 1:], model.predict_proba(rows), atol=1e-6)
    right = (table["predicted"] == NAMES[Y[FRESH]]).mean()
    assert right > 0.8
    assert f"Accuracy {right:.2%} on 400 labelled samples" in done.out
    without = embudo(
        "classify", "predict", classifier, labelled / "test.csv", "-o", path, "--drop", "digit", *options[2:]
    )
    assert "Accuracy" not in without.out


def test_numbers_that_name_classes_of_text_are_compared_as_text(embudo, labelled, tmp_path):
    (tmp_path / "labels.csv").write_text("\n".join(f'"{y}"' for y in ["label", *Y[LEARNT]]))
    path = tmp_path / "clf.safetensors"
    embudo("classify", "train", labelled / "train.npy", "--labels", tmp_path / "labels.csv", "-o", path, *OPTIONS)
    args = (path, labelled / "test.npy", "-o", tmp_path / "out.csv", "--labels", labelled / "test_labels.npy")
    done = embudo("classify", "predict", *args)
    assert "on 400 labelled samples" in done.out, done.err


def test_images_in_a_folder_for_each_class(embudo, pictures, tmp_path):
    path = tmp_path / "clf.safetensors"
    options = ("--encoder", "ConvNet((4, 8))", "--validation", pictures / "zero", "-v")
    done = embudo("classify", "train", pictures, "-o", path, *OPTIONS)
    assert done.status == 0, done.err
    assert "300, 240 of them labelled" in done.out
    assert list(load(path).classes_) == sorted(NAMES)
    done = embudo("classify", "predict", path, pictures, "-o", tmp_path / "out.csv")
    assert "on 240 labelled samples" in done.out
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["image"].iloc[0] == "000.png"
    assert {f"{NAMES[Y[20]]}/020.png", "unlabelled/299.png"} <= set(table["image"])
    done = embudo("classify", "predict", path, pictures / "unlabelled", "-o", tmp_path / "out.csv")
    assert "Accuracy" not in done.out
    convolutional = embudo("classify", "train", pictures, "-o", path, *OPTIONS, *options[:2])
    assert convolutional.status == 0, convolutional.err


def test_a_stack_is_pretrained_level_by_level_and_options_reach_the_classifier(embudo, labelled, tmp_path):
    path = tmp_path / "clf.safetensors"
    options = ("--stack", "40,20", "--fine-tuning", "Training(8, patience=3)", "--validation-fraction", 0.25)
    options += ("--class-weight", "3=2.5,7=0.5", "--set", "corruption=GaussianNoise(0.1)")
    options += ("--set", "autoencoder__level2__tied=true")
    args = ("--labels", labelled / "labels.npy", "-o", path, "--epochs", 2, "--seed", 0, *options)
    done = embudo("classify", "train", labelled / "train.npy", *args)
    assert done.status == 0, done.err
    assert "fine-tuning" not in done.err
    assert "level2 (2/2)  epoch 2/2" in done.err
    model = load(path)
    assert isinstance(model.autoencoder_, StackedAutoencoder)
    assert (model.autoencoder.fine_tune, model.autoencoder.layers[1][1].tied) == (None, True)
    assert model.training == Training(8, patience=3, validation_fraction=0.25, verbose=True)
    assert model.class_weight == {3: 2.5, 7: 0.5}
    assert repr(model.corruption) == "GaussianNoise(0.1)"
    assert f"{max(model.history_['validation_accuracy']):.2%}" in done.out


def test_a_trained_autoencoder_is_started_from(embudo, labelled, tmp_path):
    ae, path = tmp_path / "ae.safetensors", tmp_path / "clf.safetensors"
    embudo("train", labelled / "train.npy", "-o", ae, "--components", 30, "--epochs", 5, "-q", "--seed", 0)
    args = ("--labels", labelled / "labels.npy", "-o", path, "--model", ae, "--seed", 0, "--epochs", 5, "-q")
    done = embudo("classify", "train", labelled / "train.npy", *args, "--no-fine-tune")
    assert done.status == 0, done.err
    model = load(path)
    assert isinstance(model.autoencoder, FrozenEstimator)
    assert len(model.history_["epoch"]) == 5
    np.testing.assert_array_equal(model.autoencoder_.transform(X), load(ae).transform(X))
    facts = json.loads(embudo("info", path, "--json").out)
    assert facts["classes"] == list(range(10))
    assert facts["autoencoder"]["code_size"] == 30


def test_random_weights_for_comparison(embudo, labelled, tmp_path):
    path = tmp_path / "clf.safetensors"
    args = ("--labels", labelled / "labels.npy", "-o", path, *OPTIONS, "--no-pretrain")
    assert embudo("classify", "train", labelled / "train.npy", *args).status == 0
    assert load(path).autoencoder_.history_ == {}


def test_validation_data_have_labels_of_their_own(embudo, labelled, tmp_path):
    path = tmp_path / "clf.safetensors"
    args = ("--labels", labelled / "labels.npy", "--validation", labelled / "test.npy", "-o", path, *OPTIONS)
    refused = embudo("classify", "train", labelled / "train.npy", *args)
    assert (refused.status, path.exists()) == (1, False)
    assert "holds 600 labels, but" in refused.err
    done = embudo(
        "classify", "train", labelled / "train.npy", *args, "--validation-labels", labelled / "test_labels.npy"
    )
    assert done.status == 0, done.err
    assert load(path).score(X[FRESH], Y[FRESH]) == pytest.approx(load(path).history_["validation_accuracy"][-1])
    table = ("--labels", "digit", "--drop", "number", "--validation", labelled / "train.csv", "-o", path, *OPTIONS)
    assert embudo("classify", "train", labelled / "train.csv", *table).status == 0


def test_a_classifier_that_was_stopped_goes_on_at_its_stage(embudo, labelled, tmp_path, monkeypatch):
    args = ("classify", "train", labelled / "train.npy", "--labels", labelled / "labels.npy")
    args += ("--components", 20, "--epochs", 3, "--seed", 0)
    assert embudo(*args, "-o", tmp_path / "whole.safetensors").status == 0
    args += ("-o", tmp_path / "clf.safetensors", "--run-dir", tmp_path / "runs")
    epoch = Batches.epoch

    def stopped(self, number):
        begun.extend([number] * (number > 0))
        if begun[-2:] == [1, 2] and begun.count(1) == trainings:
            raise KeyboardInterrupt
        return epoch(self, number)

    said = []
    # stopped in the autoencoder's training, then in the last one, after the rest of that and the softmax's
    for trainings, written in ((1, False), (2, True)):  # noqa: B007 (used by `stopped`)
        begun = []
        with monkeypatch.context() as patch:
            patch.setattr(Batches, "epoch", stopped)
            outcome = embudo(*args)
        assert (outcome.status, (tmp_path / "clf.safetensors").exists()) == (130, written)
        said.append(outcome.err.splitlines()[-1])
    assert "The labels are not learnt yet, and nothing is written. The same command goes on" in said[0]
    assert "clf.safetensors'. The same command goes on" in said[1]
    again = embudo(*args)
    assert again.status == 0
    assert "autoencoder  already finished" in again.err
    assert "classifier  resumed after epoch 1 of 3" in again.err
    models = [load(tmp_path / f"{name}.safetensors") for name in ("whole", "clf")]
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))


def test_a_table_and_a_folder_without_any_label_are_refused(embudo, labelled, pictures, tmp_path):
    table = pd.read_csv(labelled / "train.csv").drop(columns="number").assign(digit=None)
    table.to_csv(tmp_path / "none.csv", index=False)
    path = tmp_path / "clf.safetensors"
    refused = embudo("classify", "train", tmp_path / "none.csv", "--labels", "digit", "-o", path, *OPTIONS)
    assert (refused.status, path.exists()) == (1, False)
    assert "none.csv' has a label: 'digit' holds none." in refused.err
    refused = embudo("classify", "train", pictures / "zero", "-o", path, *OPTIONS)
    assert "has a label: put those of a class into a folder named after it." in refused.err
