"""``embudo detect``: detectors from tables and images, scores with reasons, chunk by chunk."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embudo import AnomalyDetector, load
from embudo.apps.scores import SCORES
from embudo.cli import detect
from embudo.data import readers

QUICKLY = ("--subsampled", 0, "--components", 16, "--epochs", 20, "--seed", 0, "-q")


def visits(n, seed):
    """A table whose ward follows from age, with gaps and a name for each row."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 10, n)
    frame = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "age": age, "weight": age + rng.normal(20, 3, n)})
    frame["ward"] = np.where(age > 55, "north", np.where(age > 45, "east", "south"))
    frame.loc[rng.random(n) < 0.1, "weight"] = np.nan
    return frame


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    visits(600, 0).to_csv(folder / "usual.csv", index=False)
    visits(300, 1).to_csv(folder / "more.csv", index=False)
    new = visits(500, 2)
    new.loc[7, "ward"] = "moon"
    new.loc[450, "weight"] = 500
    new.to_csv(folder / "new.csv", index=False)
    new[new.columns[::-1]].to_parquet(folder / "new.parquet")
    return folder


@pytest.fixture(scope="session")
def detector(tables, run_quietly):
    path = tables / "detector.safetensors"
    run_quietly(
        *("detect", "fit", tables / "usual.csv", "-o", path, "--drop", "id", "--false-alarm-rate", 0.05, *QUICKLY[:-1])
    )
    return path


@pytest.mark.parametrize("name", ["new.csv", "new.parquet"])
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_of_scores_names_what_is_abnormal(embudo, tables, detector, name, ending, tmp_path, monkeypatch):
    monkeypatch.setattr(detect, "CHUNK", 64)
    outcome = embudo("detect", "score", detector, tables / name, "-o", tmp_path / f"scores{ending}", "--top", 2)
    assert outcome.status == 0, outcome.err
    scores = pd.read_csv(tmp_path / "scores.csv") if ending == ".csv" else pd.read_parquet(tmp_path / "scores.parquet")
    assert list(scores.columns[:5]) == ["score", "anomaly", "p_value", "feature_1", "share_1"]
    assert len(scores) == 500
    model = load(detector)
    frame = visits(500, 2)[["age", "weight", "ward"]]
    frame.loc[7, "ward"], frame.loc[450, "weight"] = "moon", 500
    np.testing.assert_allclose(scores["score"], model.score_samples(frame))
    np.testing.assert_array_equal(scores["anomaly"], model.predict(frame) == -1)
    np.testing.assert_allclose(scores["p_value"], model.p_values(frame))
    assert scores.loc[[7, 450], "anomaly"].all()
    assert scores.loc[[7, 450], "feature_1"].tolist() == ["ward", "weight"]
    assert scores.loc[7, "value_1"] == "moon"
    assert 50 < float(scores.loc[450, "expected_1"]) < 200
    assert 0.01 < scores["anomaly"].mean() < 0.12
    assert f"{scores['anomaly'].sum()} anomalies" in outcome.out
    assert "moon" in outcome.out
    assert "500 samples" in outcome.out


def test_a_fifth_is_held_out_to_calibrate_by_or_other_samples_are(embudo, tables, detector, tmp_path):
    assert len(load(detector).calibration_.scores) == 120
    path = tmp_path / "detector.safetensors"
    options = ("--drop", "id", "--false-alarm-rate", 0.02, "--calibration", tables / "more.csv", *QUICKLY)
    outcome = embudo("detect", "fit", tables / "usual.csv", "-o", path, *options)
    assert outcome.status == 0, outcome.err
    assert "300 normal samples" in outcome.out
    assert "3, 1 of categories, 1 with gaps" in outcome.out
    calibration = load(path).calibration_
    assert (len(calibration.scores), calibration.false_alarm_rate) == (300, 0.02)


def test_every_parameter_is_an_option(embudo, tables, tmp_path):
    path = tmp_path / "detector.safetensors"
    options = (
        *("--contamination", 0.1, "--criterion", "squared", "--estimators", 2, "--subsampled", 0, "--trimming", 0.05),
        *("--stack", "12,3", "--fine-tuning", "Training(2)", "--set", "autoencoder__level1__code_activation=tanh"),
    )
    outcome = embudo("detect", "fit", tables / "usual.csv", "-o", path, "--drop", "id", *QUICKLY[4:], *options)
    assert outcome.status == 0, outcome.err
    model = load(path)
    assert model.get_params(deep=False) | {"autoencoder": None} == {
        **{"autoencoder": None, "contamination": 0.1, "criterion": "squared", "n_estimators": 2, "trimming": 0.05},
        "n_subsampled": 0,
        "random_state": 0,
    }
    assert model.autoencoders_[1].layers_[0][1].code_activation == "tanh"
    assert model.autoencoders_[1].training_.epochs == 2
    assert np.mean(model.predict(visits(600, 0).drop(columns="id")) == -1) == 0.1


def test_the_options_without_a_value_are_the_defaults_of_the_class():
    options = {option.name: option.default for option in detect.fit.params}
    params = AnomalyDetector().get_params(deep=False)
    assert {name: options[name] for name in params if name in options and name != "random_state"} == {
        name: value for name, value in params.items() if name not in {"autoencoder", "random_state"}
    }
    assert tuple(SCORES) == detect.CRITERIA
    default = AnomalyDetector._default_parts["autoencoder"]
    for name, value in default.get_params(deep=False).items():
        if name in options and value is not None:
            assert str(options[name]) == str(value), name
    for name, value in default.training.get_params(deep=False).items():
        assert name == "verbose" or options[name] == value, name


def test_images_are_scored_by_their_names(embudo, tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = np.full((8, 8), 40) + rng.integers(20, size=(8, 8)) + 100 * (np.arange(8) > 3)
        Image.fromarray((255 - pixels if i == 39 else pixels).astype(np.uint8)).save(tmp_path / f"{i:02}.png")
    model, scores = tmp_path / "d.safetensors", tmp_path / "scores.csv"
    options = ("--encoder", "ConvNet(4)", "--scale", "auto", "--corruption", "none", "--criterion", "squared", *QUICKLY)
    assert embudo("detect", "fit", tmp_path, "-o", model, *options).status == 0
    outcome = embudo("detect", "score", model, tmp_path, "-o", scores, "--top", 0)
    assert outcome.status == 0, outcome.err
    table = pd.read_csv(scores)
    assert list(table.columns) == ["image", "score", "anomaly"]
    assert table.loc[table["score"].idxmin(), "image"] == "39.png"
    assert "39.png" in outcome.out


def test_info_tells_what_a_detector_is(embudo, detector):
    facts = json.loads(embudo("info", detector, "--json").out)
    assert facts["model"] == "AnomalyDetector"
    assert facts["categories"] == {"ward": 3}
    assert facts["columns_with_gaps"] == ["weight"]
    assert (facts["false_alarm_rate"], facts["calibrated_on"]) == (0.05, 120)
    assert facts["autoencoder"]["code_size"] == 16
    assert "threshold" in embudo("info", detector).out


def test_a_table_is_never_read_whole(embudo, tables, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "read", None)
    monkeypatch.setattr(detect, "CHUNK", 100)
    sizes = []
    examine = "embudo.apps.explanation.examine"
    from embudo.apps import explanation

    real = explanation.examine
    monkeypatch.setattr(examine, lambda d, X, top: sizes.append(len(X)) or real(d, X, top))
    for name in ("new.csv", "new.parquet"):
        assert embudo("detect", "score", detector, tables / name, "-o", tmp_path / "scores.csv").status == 0
    assert sizes == [100] * 10


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("fit", "{usual}", "-o", "{out}", "--calibration", "{usual}"), 2, "--calibration needs --false-alarm-rate"),
        (("fit", "{usual}", "-o", "{out}", "--false-alarm-rate", "0.001"), 1, "needs at least 999 normal samples"),
        (("fit", "{usual}", "-o", "{out}", "--false-alarm-rate", "2"), 2, "false_alarm_rate must be a number greater"),
        (("fit", "{usual}", "-o", "{out}"), 1, "Column 'id' holds another text in each row"),
        (("fit", "{usual}", "-o", "{out}", "--contamination", "0.7"), 2, "contamination must be"),
        (("fit", "{usual}", "-o", "{out}", "--criterion", "squard"), 2, "did you mean 'squared'"),
        (("score", "{usual}", "{usual}", "-o", "{out}.csv"), 1, "is not a model file"),
        (("score", "{model}", "{usual}", "-o", "{out}"), 2, "must be .csv or .parquet"),
        (("score", "{model}", "{usual}", "--drop", "age", "-o", "{out}.csv"), 1, "The table has no column 'age'"),
        (("score", "{model}", "nothing.csv", "-o", "{out}.csv"), 1, "No such file or folder: 'nothing.csv'"),
    ],
)
def test_a_bad_call_is_answered_in_one_line(refused, tables, detector, tmp_path, arguments, status, words):
    places = {"usual": tables / "usual.csv", "model": detector, "out": tmp_path / "out.safetensors"}
    refused(("detect", *(argument.format(**places) for argument in arguments)), status, words)


def test_a_detector_is_refused_by_the_other_verbs(refused, detector, tables, tmp_path):
    args = ("encode", detector, tables / "new.csv", "-o", tmp_path / "codes.npy")
    refused(args, 1, '"embudo detect score" works with it')
