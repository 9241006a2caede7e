"""Every parameter of the Python API is an option, and a configuration file holds the same."""

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest

from embudo import L1, L2, MLP, SGD, Autoencoder, Training, load
from embudo.cli.main import VERBS
from embudo.cli.train import train

HEAVY = {"torch", "sklearn", "pandas", "numpy", "scipy", "matplotlib", "PIL"}


def test_every_parameter_is_an_option_with_the_same_default():
    options = {option.name: option for option in train.params}
    wanted = {p.name: p.default for p in inspect.signature(Autoencoder).parameters.values() if p.name != "training"}
    wanted |= {field.name: field.default for field in dataclasses.fields(Training)}
    wanted["verbose"] = True  # on the command line, somebody looks on
    missing = set(wanted) - set(options)
    assert not missing
    defaults = {name: options[name].default for name in wanted if wanted[name] is not None}
    assert defaults == {name: default for name, default in wanted.items() if default is not None}
    assert all(options[name].help or "activation" in name or name in {"loss", "scale", "init"} for name in wanted)


ALL_OPTIONS = {
    "components": 3,
    "encoder": "MLP((9, 5), activation='tanh')",
    "decoder": "none",
    "code-activation": "sigmoid",
    "output-activation": "softplus",
    "tied": True,
    "penalty": "L2(1e-4) + L1(0.001)",
    "loss": "huber",
    "scale": "minmax",
    "init": "auto",
    "seed": 3,
    "epochs": 2,
    "batch_size": 20,
    "optimizer": "SGD(0.01, momentum=0.5)",
    "validation_fraction": 0.1,
    "patience": 4,
    "schedule": "cosine",
    "clip": 1.5,
    "device": "cpu",
    "precision": "float64",
    "compile": True,
    "shard": True,
    "run_dir": "7",
    "log_dir": "9",
    "verbose": False,
}
EXPECTED = Autoencoder(
    3,
    encoder=MLP((9, 5), activation="tanh"),
    code_activation="sigmoid",
    output_activation="softplus",
    tied=True,
    penalty=L2(1e-4) + L1(1e-3),
    loss="huber",
    scale="minmax",
    random_state=3,
    training=Training(
        2,
        batch_size=20,
        optimizer=SGD(0.01, momentum=0.5),
        validation_fraction=0.1,
        patience=4,
        schedule="cosine",
        clip=1.5,
        device="cpu",
        precision="float64",
        compile=True,
        shard=True,
        run_dir="7",
        log_dir="9",
        verbose=False,
    ),
)


def test_options_and_configuration_file_and_python_give_the_same_model(embudo, files, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.compile", lambda objective: objective)  # which would take twenty seconds
    words = []
    for name, value in ALL_OPTIONS.items():
        option = "--" + name.replace("_", "-")
        words += ([option] if value else ["--quiet"]) if isinstance(value, bool) else [option, value]
    config = tmp_path / "config.toml"
    # JSON's values are TOML's
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in ALL_OPTIONS.items()))
    data = files / "digits.npy"
    by_options = embudo("train", data, "-o", tmp_path / "a.safetensors", *words)
    by_config = embudo("train", data, "-o", tmp_path / "b.safetensors", "--config", config)
    assert (by_options.status, by_config.status) == (0, 0), (by_options.err, by_config.err)
    models = [load(tmp_path / f"{name}.safetensors") for name in "ab"]
    assert repr(models[0]) == repr(models[1]) == repr(EXPECTED)
    codes = EXPECTED.set_params(training__run_dir="8").fit(digits).transform(digits)
    assert all((model.transform(digits) == codes).all() for model in models)


def test_the_command_line_wins_over_the_configuration_file(embudo, files, tmp_path):
    (tmp_path / "c.toml").write_text(f'components = 7\nepochs = 1\nquiet = true\noutput = "{tmp_path}/m.safetensors"\n')
    args = ("--config", tmp_path / "c.toml", "--components", 2)
    outcome = embudo("train", files / "digits.npy", *args)
    assert outcome.status == 0, outcome.err
    assert "epoch" not in outcome.err
    assert load(tmp_path / "m.safetensors").n_components_ == 2


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        *([verb, "--help"] for verb in VERBS),
        *(["classify", verb, "--help"] for verb in ("train", "predict")),
        *(["detect", verb, "--help"] for verb in ("fit", "score")),
    ],
)
def test_help_loads_nothing_heavy(args):
    code = (
        "import sys\nfrom embudo.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "finally:\n    print('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    text, _, loaded = done.stdout.rpartition("LOADED")
    assert text.startswith("Usage: embudo")
    assert not HEAVY & set(loaded.split())


@pytest.mark.parametrize("args", [("train",), ("report", "m.safetensors"), ("encode", "m.safetensors")])
def test_data_that_are_not_there_are_missed_before_anything_heavy_is_loaded(args, tmp_path):
    code = (
        "import sys\nfrom embudo.cli.main import main\ntry:\n    main(sys.argv[1:])\nfinally:\n    print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, *args, tmp_path / "no.csv", "-o", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == f"Error: No such file or folder: '{tmp_path / 'no.csv'}'.\n"
    assert not HEAVY & set(done.stdout.split())


def test_debug_shows_the_traceback(tmp_path):
    command = [sys.executable, "-m", "embudo", "--debug", "info", tmp_path / "missing.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
