"""``--run-dir``: stopped or killed, the same command goes on."""

import subprocess
import sys
import time

import pytest
import safetensors.torch
from interruption import epochs_begun

from embudo import load

TRAIN = ("--components", 30, "--corruption", "MaskingNoise(0.3)", "--epochs", 300, "--batch-size", 10, "--seed", 0)


def test_a_training_that_was_killed_goes_on_and_ends_in_the_same_weights(embudo, files, tmp_path):
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("whole", "resumed")}
    assert embudo("train", files / "digits.npy", "-o", paths["whole"], *TRAIN, "-q").status == 0
    runs = tmp_path / "run 1"
    args = ("train", files / "digits.npy", "-o", paths["resumed"], *TRAIN, "--run-dir", runs)
    for _ in range(2):
        before = (runs / "state.safetensors").stat().st_mtime_ns if runs.exists() else 0
        with subprocess.Popen([sys.executable, "-m", "embudo", *map(str, args)], stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + 60
            while not (path := runs / "state.safetensors").exists() or path.stat().st_mtime_ns == before:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(0.2)
            process.kill()
        assert process.returncode < 0  # it had not come to its end
        assert not paths["resumed"].exists()
    done = embudo(*args)
    assert done.status == 0, done.err
    assert "resumed after epoch " in done.err.splitlines()[0]
    weights = [safetensors.torch.load_file(path) for path in paths.values()]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].numpy().tobytes() == weights[1][name].numpy().tobytes() for name in weights[0])
    again = embudo(*args)
    assert again.err.splitlines() == ["already finished, after epoch 300 of 300"]


@pytest.mark.parametrize("options", [("--run-dir", "{}/runs"), ()])
def test_ctrl_c_says_that_the_same_command_goes_on(embudo, files, tmp_path, options):
    args = ["train", files / "digits.npy", "-o", tmp_path / "m.safetensors", "--epochs", 5, "--seed", 0, "-q"]
    args += [word.format(tmp_path) for word in options]
    with epochs_begun(stop=3):
        outcome = embudo(*args)
    assert outcome.status == 130
    assert outcome.err.count("\n") == 1
    assert "interrupted after 2 of 5 epochs" in outcome.err
    assert ("The same command goes on" in outcome.err) == bool(options)
    assert len(load(tmp_path / "m.safetensors").history_["epoch"]) == 2
    assert embudo(*args).status == 0
    assert len(load(tmp_path / "m.safetensors").history_["epoch"]) == 5
