"""Parquet files encoded by processes of Dask and Ray, some of which die."""

import os
import signal
from importlib import util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from embudo import BatchEncoder
from embudo.cli import engines
from embudo.data.parquet import tables


@pytest.fixture
def parts(files, tmp_path, monkeypatch):
    """The digits in three files, in row groups of 20 rows, of which two make a part."""
    digits, folder = pd.read_csv(files / "digits.csv"), tmp_path / "rows"
    folder.mkdir()
    for number, rows in enumerate((slice(0, 70), slice(70, 71), slice(71, 200))):
        digits[rows].to_parquet(folder / f"{number}.parquet", row_group_size=20, index=False)
    monkeypatch.setattr(engines, "PART", 40 * 64 * 8)
    return folder


@pytest.fixture
def forked():
    """Let the workers of Dask be forks of one process that has imported what they need: else that takes most time."""
    if not util.find_spec("distributed"):
        yield
        return
    import dask
    from distributed.utils import get_mp_context

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "embudo.models.bulk"])
        yield


def encoder_that_dies(model, marker):
    """Return an encoder whose first use kills its process as the codes are written."""

    class Mortal(BatchEncoder):  # in a function, so that it is sent as it is
        def encode(self, X, *, out=None):
            try:
                marker.touch(exist_ok=False)
                Path.chmod = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # before a file takes its place
            except FileExistsError:
                pass
            return BatchEncoder.encode(self, X, out=out)

    return Mortal(model)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the process that is killed
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray, to itself
@pytest.mark.parametrize("engine", ["dask", "ray"])
def test_no_row_is_lost_or_written_twice_where_a_worker_dies(embudo, model, parts, tmp_path, forked, engine):
    pytest.importorskip(engine)
    encoder, n_parts = encoder_that_dies(model, tmp_path / "died"), len(tables([parts], 1).cut(engines.PART))
    assert n_parts > 3
    assert engines.encode_tables(tables([parts], 1), tmp_path / "codes", encoder, engine, 2, None) == 200
    assert (tmp_path / "died").exists()
    names = [f"part-{number:06}.parquet" for number in range(n_parts)]
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == names
    assert embudo("encode", model, *sorted(parts.iterdir()), "-o", tmp_path / "codes.parquet").status == 0
    found, expected = (pd.read_parquet(tmp_path / name) for name in ("codes", "codes.parquet"))
    pd.testing.assert_frame_equal(found, expected)


def test_a_part_that_is_encoded_twice_is_there_once(model, parts, tmp_path):
    (first, *_) = tables([parts], 1).cut(engines.PART)
    part = engines.Part(first, 0, tmp_path / "codes.parquet")
    assert part.encode(BatchEncoder(model)) == part.encode(BatchEncoder(model)) == 40
    assert len(pd.read_parquet(tmp_path / "codes.parquet")) == 40


def in_this_process(parts, encoder, workers, address):
    yield from (part.encode(encoder) for part in parts)


def test_the_command_writes_a_folder_in_the_order_of_its_files(embudo, model, parts, tmp_path, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "dask", in_this_process)
    data = [parts / "2.parquet", parts / "0.parquet"]
    pd.read_parquet(data[0]).iloc[:, ::-1].assign(key=7).to_parquet(data[0], row_group_size=20)
    pd.read_parquet(data[1]).assign(key=7).to_parquet(data[1], row_group_size=20)
    pd.read_parquet(data[0])[:0].to_parquet(parts / "1.parquet")
    data.insert(1, parts / "1.parquet")
    outcome = embudo("encode", model, *data, "-o", tmp_path / "codes", "--engine", "dask")
    assert outcome.status == 0, outcome
    assert "Codes of 199 samples, 4 units each" in outcome.out
    assert embudo("encode", model, *data, "-o", tmp_path / "codes.npy").status == 0
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "codes"), np.load(tmp_path / "codes.npy"), rtol=1e-6)
    again = embudo("encode", model, *data, "-o", tmp_path / "codes", "--engine", "dask")
    assert again.status == 1
    assert again.err == f"Error: Cannot write '{tmp_path / 'codes'}': Directory not empty.\n"


def test_a_value_that_is_none_leaves_no_folder(embudo, model, parts, tmp_path, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "dask", in_this_process)
    rows = pd.read_parquet(parts / "0.parquet")
    rows.iloc[50, 3] = np.nan
    rows.to_parquet(parts / "0.parquet", row_group_size=20, index=False)
    outcome = embudo("encode", model, parts, "-o", tmp_path / "codes", "--engine", "dask")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: Among the rows from 40 on: X holds NaN in row 10, column 'pixel3'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows"]


def test_files_that_are_not_where_they_should_be_are_missed(model, parts, tmp_path, monkeypatch):
    def elsewhere(parts, encoder, workers, address):
        for part in parts:
            yield part.encode(encoder)
            if part.first == 0:
                part.target.unlink()

    monkeypatch.setitem(engines.ENGINES, "dask", elsewhere)
    with pytest.raises(engines.WorkersFailed, match="Of 200 rows 200 were encoded, and 160 are in the folder"):
        engines.encode_tables(tables([parts], 1), tmp_path / "codes", BatchEncoder(model), "dask", 2, None)
    assert not (tmp_path / "codes").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{rows}", "-o", "{tmp}/codes.npy", "--engine", "dask"], "it must be none (a folder)"),
        (["{rows}", "-o", "{tmp}/codes.npy", "--workers", "2"], "--workers is for --engine dask or ray"),
        (["{rows}", "-o", "{tmp}/codes", "--engine", "spark"], "expected one of dask, ray; got 'spark'"),
        (["{tmp}/none.parquet", "-o", "{tmp}/codes", "--engine", "ray"], "No such file or folder"),
        (["{files}/digits.csv", "-o", "{tmp}/codes", "--engine", "ray"], "neither a Parquet file nor a folder of them"),
        (["{rows}", "{rows}", "-o", "{tmp}/codes.npy", "--key", "x"], "--key does not go with Parquet files"),
    ],
)
def test_wrong_calls_are_answered_in_one_line(embudo, model, files, parts, tmp_path, words, sentence):
    outcome = embudo("encode", model, *(word.format(rows=parts, tmp=tmp_path, files=files) for word in words))
    assert outcome.status in {1, 2}
    assert sentence in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows"]


@pytest.mark.parametrize(("engine", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_missing_is_named(embudo, model, parts, tmp_path, monkeypatch, engine, module):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    outcome = embudo("encode", model, parts, "-o", tmp_path / "codes", "--engine", engine)
    assert outcome.status == 1
    assert f'pip install "embudo[{engine}]"' in outcome.err
    assert not (tmp_path / "codes").exists()
