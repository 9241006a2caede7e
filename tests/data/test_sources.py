"""What streams read: memory maps, Zarr, Parquet, folders of images, batches as they come."""

import mmap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from embudo import stream
from embudo.data.images import read_images, shape_of
from embudo.data.sources import ArrayStream, as_stream
from embudo.errors import EmbudoError, FileFormatError, InvalidData, InvalidParameter

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)).astype(np.float32)
FRAME = pd.DataFrame(X, columns=list("abcde"))
FRAMES = [FRAME[:100], FRAME[100:]]
SMALL = 2000  #: bytes of a window


def rows(stream):
    return np.concatenate(list(stream.blocks()))


def memory_map(path, X, order="C"):
    mapped = np.lib.format.open_memmap(path, "w+", X.dtype, X.shape, fortran_order=order == "F")
    mapped[:] = X
    mapped.flush()
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">f8", "f2", "u1", "i8", "?", "g"])
def test_memory_maps_of_any_type_and_order(tmp_path, dtype, order):
    values = (np.abs(X) * 50).astype(dtype)
    streamed = stream(memory_map(tmp_path / "x.npy", values, order), window=SMALL)
    assert streamed.shape == (300, 5)
    assert len(streamed.counts) > 10
    got = rows(streamed)
    assert got.dtype == streamed.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, values.astype(streamed.dtype))


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_what_a_memory_map_holds_is_never_lost(tmp_path, mode):
    memory_map(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    expected = X.copy()
    if mode != "r":
        mapped[7] = expected[7] = 42
    streamed = stream(mapped[3::2], window=SMALL)
    for _ in range(2):
        np.testing.assert_array_equal(rows(streamed), expected[3::2])
    np.testing.assert_array_equal(mapped, expected)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="pages cannot be given back here")
def test_pages_of_a_memory_map_are_given_back(tmp_path):
    def resident():  # MiB of files in memory
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssFile:")[1].split()[0]) / 1024

    mapped = memory_map(tmp_path / "x.npy", np.zeros((64, 2**18), np.float32))  # 64 MiB
    before, greatest = resident(), 0
    for _ in stream(mapped, window=2**25).blocks():
        greatest = max(greatest, resident() - before)
    assert greatest < 16
    mapped.sum()
    assert resident() - before > 48  # which is what would have stayed


@pytest.mark.parametrize("chunks", [(7, 5), (100, 2), (1000, 5)])
def test_zarr_arrays_and_folders(tmp_path, chunks):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=chunks, dtype="f4")
    array[:] = X
    for data in (array, tmp_path / "x.zarr"):
        streamed = stream(data, window=SMALL)
        assert all(count % chunks[0] == 0 for count in streamed.counts[:-1])
        np.testing.assert_array_equal(rows(streamed), X)
    zarr.create_group(tmp_path / "group.zarr")
    with pytest.raises(FileFormatError, match="is a group of Zarr arrays: name one of them"):
        stream(tmp_path / "group.zarr")


@pytest.mark.parametrize("chunks", [None, (9, 5), ((100, 100, 50, 50), (5,))], ids=["whole", "equal", "unequal"])
def test_other_arrays_that_are_read_by_slices(chunks):
    class Sliced:
        shape, dtype = X.shape, X.dtype

        def __getitem__(self, where):
            return X[where]

    Sliced.chunks = chunks
    streamed = stream(Sliced(), window=SMALL)
    assert len(streamed.counts) > 1
    np.testing.assert_array_equal(rows(streamed), X)
    np.testing.assert_array_equal(as_stream(Sliced()).load(), X)


def test_arrays_of_samples_keep_the_shape_of_a_sample(tmp_path):
    images = RNG.integers(256, size=(50, 4, 3, 2), dtype=np.uint8)
    streamed = stream(memory_map(tmp_path / "x.npy", images), window=SMALL)
    assert streamed.sample_shape == (4, 3, 2)
    assert streamed.dtype == np.uint8
    np.testing.assert_array_equal(rows(streamed), images.reshape(50, -1))
    np.testing.assert_array_equal(streamed.load(), images)


def test_parquet_files_and_folders_by_row_groups(tmp_path):
    FRAME.to_parquet(tmp_path / "one.parquet", row_group_size=40)
    folder = tmp_path / "many"
    (folder / "deeper").mkdir(parents=True)
    FRAME[:100].to_parquet(folder / "1.parquet")
    FRAME[100:][list("edcba")].to_parquet(folder / "deeper" / "2.parquet", row_group_size=150)
    (folder / "_SUCCESS").touch()
    (folder / "_metadata.parquet").touch()
    for path, counts in ((tmp_path / "one.parquet", [40] * 7 + [20]), (folder, [100, 150, 50])):
        streamed = stream(path, window=SMALL)
        assert streamed.counts == counts
        assert streamed.names == list("abcde")
        assert streamed.dtype == np.float32
        np.testing.assert_array_equal(rows(streamed), X)
        pd.testing.assert_frame_equal(streamed.load(), FRAME)
    np.testing.assert_array_equal(rows(stream(tmp_path / "one.parquet", drop=("b", "d"))), X[:, [0, 2, 4]])


def test_the_index_of_a_frame_is_no_feature(tmp_path):
    FRAME[FRAME["a"] > 0].to_parquet(tmp_path / "x.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "x.parquet").names
    np.testing.assert_array_equal(rows(stream(tmp_path / "x.parquet")), X[X[:, 0] > 0])


def test_a_row_group_is_decoded_a_few_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("embudo.data.parquet.PARQUET_BLOCK", 1000)
    FRAME.to_parquet(tmp_path / "x.parquet")
    blocks = list(stream(tmp_path / "x.parquet", window=SMALL).blocks())
    assert max(map(len, blocks)) <= 50
    np.testing.assert_array_equal(np.concatenate(blocks), X)


@pytest.mark.parametrize(
    ("columns", "dtype"),
    [
        ({"a": pa.array([1, 200], pa.uint8()), "b": pa.array([3, 4], pa.uint8())}, "u1"),
        ({"a": pa.array([1, 2], pa.int16()), "b": pa.array([0.5, 4], pa.float32())}, "f4"),
        ({"a": pa.array([1, 2], pa.int64()), "b": pa.array([0.5, 4], pa.float32())}, "f8"),
        ({"a": pa.array([True, False]), "b": pa.array([0.5, 4], pa.float32())}, "f4"),
        ({"a": pa.array([True, False])}, "f4"),
    ],
)
def test_columns_of_several_types_become_one_that_holds_them(tmp_path, columns, dtype):
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "x.parquet")
    streamed = stream(tmp_path / "x.parquet")
    assert streamed.dtype == dtype
    got = rows(streamed)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, table.to_pandas().to_numpy(float))


def test_missing_values_of_whole_numbers_are_seen(tmp_path):
    pq.write_table(pa.table({"a": pa.array([1, None, 3], pa.int64())}), tmp_path / "x.parquet")
    with pytest.raises(InvalidData, match=r"^X holds NaN in row 1, column 'a': drop or fill"):
        stream(tmp_path / "x.parquet").survey()


def test_tables_of_text_and_of_other_columns_are_refused(tmp_path):
    FRAME.assign(name="x").to_parquet(tmp_path / "1.parquet")
    with pytest.raises(InvalidData, match=r"columns that are not numeric: 'name'; leave them out with drop"):
        stream(tmp_path)
    with pytest.raises(InvalidParameter, match=r"has no column 'nane' .did you mean 'name'"):
        stream(tmp_path, drop=("nane",))
    FRAME.to_parquet(tmp_path / "1.parquet")
    FRAME.rename(columns={"e": "f"}).to_parquet(tmp_path / "2.parquet")
    with pytest.raises(InvalidData, match=r"Only one of '.*1\.parquet' and '.*2\.parquet' has the column 'e'"):
        stream(tmp_path)


def test_folders_of_images(tmp_path):
    for i in range(7):
        pixels = RNG.integers(256, size=(6, 5) if i % 2 else (6, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    for options in ({}, {"image_size": (4, 3)}, {"image_color": "grey"}):
        streamed = stream(tmp_path, window=100_000, **options)
        expected = read_images(tmp_path, options.get("image_size"), options.get("image_color", "auto"))
        assert streamed.sample_shape == expected.shape[1:]
        np.testing.assert_array_equal(streamed.load(), expected)
    assert stream(tmp_path, window=SMALL).counts == [1] * 7
    Image.fromarray(np.zeros((9, 5), np.uint8)).save(tmp_path / "9.png")
    with pytest.raises(InvalidData, match=r"images differ in size .for example 6x5 and 9x5"):
        stream(tmp_path)


def test_the_head_of_an_image_tells_the_shape_that_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 7, 3), np.uint8)).save(tmp_path / "x.jpg", exif=exif)
    assert shape_of(tmp_path / "x.jpg") == read_images(tmp_path / "x.jpg").shape[1:] == (7, 4, 3)


def in_batches():
    return (X[start : start + 70] for start in range(0, 300, 70))


@pytest.mark.parametrize(
    "data",
    [
        list(in_batches()),
        in_batches,
        DataLoader(TensorDataset(torch.tensor(X), torch.zeros(300)), batch_size=64),
        FRAMES,
        [sp.csr_matrix(X[:200]), sp.csr_matrix(X[200:])],
        [(X, "labels")],
    ],
    ids=["list", "function", "loader", "frames", "sparse", "pairs"],
)
def test_batches_of_every_kind_can_be_read_again(data):
    streamed = stream(data, window=SMALL)
    assert not streamed.once
    assert streamed.shape == (-1, 5)
    for _ in range(2):
        np.testing.assert_array_equal(rows(streamed), X)
    assert streamed.survey().n_samples == 300
    assert streamed.shape == (300, 5)
    assert streamed.names == (list("abcde") if data is FRAMES else None)


def test_an_iterator_is_read_once():
    streamed = as_stream(in_batches())
    assert streamed.once
    np.testing.assert_array_equal(rows(streamed), X)
    assert list(streamed.blocks()) == []


def test_batches_that_change_are_noticed():
    lengths = iter([3, 3, 4, 2])
    streamed = stream(lambda: [X[: next(lengths)]])  # the first is peeked at
    assert streamed.survey().n_samples == 3
    with pytest.raises(InvalidData, match="held 3 samples when it was first read, and now holds more"):
        list(streamed.blocks())
    with pytest.raises(InvalidData, match="and now holds 2: it must give the same batches"):
        list(streamed.blocks())
    with pytest.raises(InvalidData, match="Batch 1 of X has 4 features, but the first one has 5"):
        list(stream([X, X[:, :4]]).blocks())


def test_tables_of_text_are_read_in_chunks(tmp_path):
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    streamed = stream(tmp_path / "x.csv", drop=("c",))
    assert streamed.names == list("abde")
    np.testing.assert_allclose(rows(streamed), X[:, [0, 1, 3, 4]], rtol=1e-6)


def test_what_is_small_stays_what_it_is(tmp_path):
    mapped = memory_map(tmp_path / "x.npy", X)
    for same in (X, mapped, FRAME, sp.csr_matrix(X), X.tolist(), torch.tensor(X), mapped[0]):
        assert as_stream(same) is same
    assert isinstance(stream(X), ArrayStream)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.npy", "^No such file or folder"),
        ("x.txt", "cannot be streamed: expected a .npy, .parquet"),
        ("empty", "holds no image"),
        ("broken.parquet", "^Cannot read '.*broken.parquet'"),
        ("broken.npy", "^Cannot read '.*broken.npy'"),
    ],
)
def test_paths_that_cannot_be_streamed(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    for file in ("x.txt", "broken.parquet", "broken.npy"):
        (tmp_path / file).write_bytes(b"no data")
    with pytest.raises(EmbudoError, match=words):
        stream(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (5, "^Cannot stream a int"),
        (FRAME, "^Cannot stream a DataFrame"),
        (np.zeros(3), "^Reshape your data"),
        (np.zeros((3, 2), complex), "^Complex data not supported"),
    ],
)
def test_things_that_cannot_be_streamed(data, words):
    with pytest.raises(InvalidData, match=words):
        stream(data)
    with pytest.raises(InvalidParameter, match="window must be an integer at least 1"):
        stream([X], window=0)
