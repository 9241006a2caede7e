"""The command line, called in this process: status, stdout and stderr; and small files to call it on."""

import signal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from embudo.cli.main import main


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Whoever starts the tests in the background leaves them deaf to it, and their processes too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def embudo(capsys):
    def run(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            main(list(map(str, args)))
        return Outcome(exit.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def refused(embudo, tmp_path):
    """Check that a call ends in its status and one line that holds the words, and leaves no file."""

    def check(args, status, words):
        before = sorted(tmp_path.rglob("*"))
        outcome = embudo(*args)
        assert outcome.status == status, outcome.err
        assert words in outcome.err
        assert outcome.err.startswith("Error: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.out == ""
        assert sorted(tmp_path.rglob("*")) == before

    return check


@pytest.fixture(scope="session")
def read():
    def read(path):
        """Return the array in a file."""
        match path.suffix:
            case ".csv":
                return pd.read_csv(path).to_numpy()
            case ".parquet":
                return pd.read_parquet(path).to_numpy()
            case ".npy":
                return np.load(path)
        return next(iter(np.load(path).values()))

    return read


@pytest.fixture(scope="session")
def digits():
    return load_digits().data[:200].astype(np.float32)


@pytest.fixture(scope="session")
def files(tmp_path_factory, digits):
    """The same digits as a table, as arrays, and a folder of small colour images; not to be changed."""
    folder = tmp_path_factory.mktemp("files")
    table = pd.DataFrame(digits, columns=[f"pixel{i}" for i in range(64)])
    table.to_csv(folder / "digits.csv", index=False)
    table.to_parquet(folder / "digits.parquet")
    table.assign(name="seven").to_csv(folder / "text.csv", index=False)
    table.assign(pixel3="word").to_csv(folder / "word.csv", index=False)
    table.loc[3] = np.nan
    table.to_csv(folder / "nan.csv", index=False)
    np.save(folder / "digits.npy", digits)
    np.savez(folder / "digits.npz", train=digits, other=digits[:3])
    (folder / "images").mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(20, 6, 5, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "images" / f"tile{i:02}.bmp")
    return folder


@pytest.fixture(scope="session")
def run_quietly():
    """For what several tests need: run a command that must succeed."""

    def run(*args):
        with pytest.raises(SystemExit) as exit:
            main([*map(str, args), "--quiet"])
        assert not exit.value.code

    return run


@pytest.fixture(scope="session")
def model(files, run_quietly):
    """A model of the digits in the table, trained by the command."""
    path = files / "digits.safetensors"
    run_quietly("train", files / "digits.csv", "-o", path, "--components", 4, "--epochs", 2, "--seed", 0)
    return path


@pytest.fixture(scope="session")
def image_model(files, run_quietly):
    path = files / "images.safetensors"
    run_quietly("train", files / "images", "-o", path, "--components", 4, "--epochs", 2)
    return path
