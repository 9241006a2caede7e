"""``--stack``: from sizes to a stack, to its levels and back."""

import json

import numpy as np
import pandas as pd
import pytest
from interruption import epochs_begun

from embudo import Adam, Autoencoder, MaskingNoise, Training, load, make_stack

OPTIONS = ("--stack", "20,10,4", "--code-activation", "sigmoid", "--epochs", 3, "--seed", 0)


@pytest.fixture(scope="session")
def stack(files, run_quietly):
    path = files / "stack.safetensors"
    run_quietly("train", files / "digits.csv", "-o", path, *OPTIONS)
    return path


def test_a_stack_is_what_make_stack_makes_of_the_same_options(embudo, files, digits, tmp_path):
    path = tmp_path / "m.safetensors"
    options = ("--corruption", "MaskingNoise(0.3)", "--validation-fraction", 0.1, "--set", "level3__corruption=none")
    done = embudo("train", files / "digits.npy", "-o", path, *OPTIONS, *options, "--set", "level2__tied=true")
    assert done.status == 0, done.err
    quick = Training(3, verbose=True)
    template = Autoencoder(code_activation="sigmoid", corruption=MaskingNoise(0.3), training=quick)
    whole = Training(3, optimizer=Adam(1e-3), validation_fraction=0.1, verbose=True)
    expected = make_stack(template, (20, 10, 4), training=whole, random_state=0)
    expected.set_params(level3__corruption=None, level2__tied=True)
    found = load(path)
    assert repr(found) == repr(expected)
    np.testing.assert_array_equal(found.transform(digits), expected.fit(digits).transform(digits))
    for stage in ("level1 (1/3)  epoch 3/3", "level3 (3/3)", "level2: validation error", "fine-tuning: validation"):
        assert stage in done.err
    assert f"{found.stages_['validation_error'][-1]:.5g}" in done.out
    assert "PCA's, 4 components" in done.out


@pytest.mark.parametrize(
    ("options", "training"),
    [
        ((), Training(3, optimizer=Adam(1e-3))),
        (("--optimizer", "Adam(0.02)"), Training(3, optimizer=Adam(0.02))),
        (("--fine-tuning", "Training(5, patience=2)", "--precision", "float64"), Training(5, patience=2)),
    ],
)
def test_what_fine_tunes_the_whole(embudo, files, tmp_path, options, training):
    options = (*OPTIONS, "--validation-fraction", 0.2, *options, "-q")
    done = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", *options)
    assert done.status == 0, done.err
    precision = "float64" if "float64" in options else "auto"
    circumstances = {"validation_fraction": 0.2, "verbose": False, "precision": precision}
    assert load(tmp_path / "m.safetensors").training == training.with_params(**circumstances)


def test_greedy_levels_are_left_as_they_are(embudo, files, tmp_path):
    done = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", *OPTIONS, "--fine-tune", "none")
    assert "fine-tuning" not in done.err + done.out
    assert load(tmp_path / "m.safetensors").stages_["stage"] == ["level1", "level2", "level3"]


@pytest.mark.parametrize(("level", "size"), [("level1", 20), ("level2", 10), (None, 4)])
def test_levels_are_encoded_and_decoded(embudo, files, stack, tmp_path, level, size):
    named = () if level is None else ("--level", level)
    codes, decoded = tmp_path / "codes.csv", tmp_path / "decoded.npy"
    assert embudo("encode", stack, files / "digits.csv", "-o", codes, *named).status == 0
    assert embudo("decode", stack, codes, "-o", decoded, *named).status == 0
    model, X = load(stack), pd.read_csv(files / "digits.csv")
    table = pd.read_csv(codes)
    assert table.shape == (200, size)
    assert level is None or table.columns[-1] == f"{level}_{size - 1}"
    np.testing.assert_allclose(table, model.transform(X, level=level), rtol=1e-5, atol=1e-6)
    expected = model.inverse_transform(model.transform(X, level=level), level=level)
    np.testing.assert_allclose(np.load(decoded), expected, rtol=1e-4, atol=1e-4)


def test_info_lists_levels_and_stages(embudo, stack):
    facts = json.loads(embudo("info", stack, "--json").out)
    assert {name: level["code_size"] for name, level in facts["levels"].items()} == {
        "level1": 20,
        "level2": 10,
        "level3": 4,
    }
    assert facts["levels"]["level2"]["output_activation"] == "sigmoid"
    assert facts["stages"]["fine-tuning"]["training_error"] == load(stack).stages_["training_error"][-1]
    assert "code size 20  code activation sigmoid" in embudo("info", stack).out


def test_a_stack_that_was_stopped_goes_on_at_its_level(embudo, files, tmp_path):
    args = ("train", files / "digits.npy", *OPTIONS)
    assert embudo(*args, "-o", tmp_path / "whole.safetensors", "-q").status == 0
    args += ("-o", tmp_path / "m.safetensors", "--run-dir", tmp_path / "runs")
    with epochs_begun(stop=5):
        outcome = embudo(*args)
    assert outcome.status == 130
    assert "interrupted after 1 of 3 epochs" in outcome.err.splitlines()[-1]
    assert outcome.err.endswith("The same command goes on where it was.\n")
    again = embudo(*args)
    assert again.status == 0
    assert "level1 (1/3)  already finished, after epoch 3 of 3" in again.err
    assert "level2 (2/3)  resumed after epoch 1 of 3" in again.err
    X = np.load(files / "digits.npy")
    models = [load(tmp_path / f"{name}.safetensors") for name in ("whole", "m")]
    np.testing.assert_array_equal(models[0].transform(X), models[1].transform(X))


def test_a_configuration_file_holds_a_stack(embudo, files, tmp_path):
    (tmp_path / "c.toml").write_text(
        'stack = [12, 3]\nset = "level2__encoder=MLP(7)"\nfine-tuning = "Training(2)"\nepochs = 1\nquiet = true\n'
    )
    done = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--config", tmp_path / "c.toml")
    assert done.status == 0, done.err
    model = load(tmp_path / "m.safetensors")
    assert [level.n_components_ for _, level in model.layers_] == [12, 3]
    assert model.get_params()["level2__encoder__hidden"] == (7,)
    assert model.training.epochs == 2


def test_set_reaches_the_parameters_of_one_autoencoder(embudo, files, tmp_path):
    settings = {
        "training__optimizer__lr": "1e-2",
        "encoder": "MLP(9)",
        "encoder__activation": "tanh",
        "scale": "minmax",
        "sparse_output": "True",
        "penalty": "L1(1e-3) + L2(0.1)",
        "random_state": "7",
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    done = embudo("train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--epochs", 1, "-q", *words)
    assert done.status == 0, done.err
    params = load(tmp_path / "m.safetensors").get_params()
    assert params["training__optimizer__lr"] == 0.01
    assert (params["encoder__hidden"], params["encoder__activation"]) == ((9,), "tanh")
    assert (params["scale"], params["sparse_output"], params["random_state"]) == ("minmax", True, 7)
    assert repr(params["penalty"]) == "L1(0.001) + L2(0.1)"
