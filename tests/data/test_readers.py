"""Files that are read, and what is said of those that cannot be."""

import gzip
import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embudo.data.readers import read
from embudo.errors import FileFormatError, InvalidParameter

X = np.arange(12.0).reshape(4, 3)


def idx_bytes(array, code=0x0E, shape=None):
    shape = array.shape if shape is None else shape
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + array.tobytes()


def test_npy_is_read(tmp_path):
    np.save(tmp_path / "X.npy", X)
    np.testing.assert_array_equal(read(tmp_path / "X.npy"), X)
    np.testing.assert_array_equal(read(str(tmp_path / "X.npy")), X)


def test_npz_is_read_by_key_or_where_it_holds_one_array(tmp_path):
    np.savez(tmp_path / "one.npz", X=X)
    np.savez_compressed(tmp_path / "two.npz", train=X, test=X + 1)
    np.testing.assert_array_equal(read(tmp_path / "one.npz"), X)
    np.testing.assert_array_equal(read(tmp_path / "two.npz", key="test"), X + 1)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_npz_of_a_sparse_matrix_is_read_as_sparse(form, tmp_path):
    sp.save_npz(tmp_path / "S.npz", sp.csr_array(X).asformat(form))
    matrix = read(tmp_path / "S.npz")
    assert sp.issparse(matrix)
    np.testing.assert_array_equal(matrix.toarray(), X)


def test_a_sparse_matrix_whose_indices_are_out_of_bounds_is_refused(tmp_path):
    matrix = sp.csr_array(X)
    matrix.indices[3] = 10**6
    sp.save_npz(tmp_path / "S.npz", matrix)
    with pytest.raises(FileFormatError, match=r"^Cannot read '.*S\.npz': .*ind.*\.$"):
        read(tmp_path / "S.npz")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "TABLE.CSV"])
def test_csv_with_a_header_keeps_its_names(separator, name, tmp_path):
    frame = pd.DataFrame(X, columns=["a", "long name", "c;d,e"])
    frame.to_csv(tmp_path / name, sep=separator, index=False)
    pd.testing.assert_frame_equal(read(tmp_path / name), frame)


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("1,2\n3,4\n", ["x0", "x1"], [[1, 2], [3, 4]]),
        ("1;2\r\n3;4\r\n", ["x0", "x1"], [[1, 2], [3, 4]]),
        ("0.5,0.5,0.5\n1,2,3", ["x0", "x1", "x2"], [[0.5, 0.5, 0.5], [1, 2, 3]]),
        ("1,,nan\n3,4,5\n", ["x0", "x1", "x2"], [[1, np.nan, np.nan], [3, 4, 5]]),
        ("1e-3,-inf\n3,4\n", ["x0", "x1"], [[1e-3, -np.inf], [3, 4]]),
        ("7\n8\n", ["x0"], [[7], [8]]),
        ("a\n8\n9\n", ["a"], [[8], [9]]),
        ("0,1,2\n3,4,5\n", ["0", "1", "2"], [[3, 4, 5]]),
        ('"a","b"\n"3","4"\n', ["a", "b"], [[3, 4]]),
        ('"1","2"\n"3","4"\n', ["x0", "x1"], [[1, 2], [3, 4]]),
        ("\ufeffa,b\n3,4\n", ["a", "b"], [[3, 4]]),
        ("\ufeff1,2\n3,4\n", ["x0", "x1"], [[1, 2], [3, 4]]),
        ("größe, b\n3, 4\n", ["größe", "b"], [[3, 4]]),
        (",a\n0,5\n1,6\n", ["Unnamed: 0", "a"], [[0, 5], [1, 6]]),
    ],
)
def test_csv_has_a_header_where_its_first_row_is_not_numbers(text, names, values, tmp_path):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    frame = read(tmp_path / "t.csv")
    assert list(frame.columns) == names
    np.testing.assert_array_equal(frame.to_numpy(), values)


def test_parquet_is_read_with_its_names(tmp_path):
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read(tmp_path / "t.parquet"), frame)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_are_dropped_by_name(suffix, tmp_path):
    frame = pd.DataFrame(X, columns=["id", "b", "label"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    assert list(read(tmp_path / f"t.{suffix}", drop=("id", "label")).columns) == ["b"]
    with pytest.raises(InvalidParameter, match=r"has no column 'lable' \(did you mean 'label'\?\)\.$"):
        read(tmp_path / f"t.{suffix}", drop=("lable",))


@pytest.mark.parametrize(
    "name", ["x.idx", "train-images-idx3-ubyte", "train-images.idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_idx_is_read_under_every_name_it_goes_by(name, zipped, tmp_path):
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = idx_bytes(images, 0x08)
    path = tmp_path / (f"{name}.gz" if zipped else name)
    path.write_bytes(gzip.compress(data) if zipped else data)
    found = read(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x08, ">u1"), (0x09, ">i1"), (0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_every_type_of_idx_is_read_in_native_byte_order(code, dtype, tmp_path):
    (tmp_path / "x.idx").write_bytes(idx_bytes(X.astype(dtype), code))
    found = read(tmp_path / "x.idx")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, X)


def npz_bytes(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return file.getvalue()


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def parquet_bytes():
    file = io.BytesIO()
    pd.DataFrame(X, columns=["a", "b", "c"]).to_parquet(file)
    return file.getvalue()


HUGE = idx_bytes(np.zeros(0), shape=(2**32 - 1,) * 8)
OBJECTS = np.array([{"a": 1}], dtype=object)
BAD_FILES = {
    "empty npy": ("x.npy", b"", "is not a NumPy file"),
    "text as npy": ("x.npy", b"hello, world", "is not a NumPy file"),
    "pickle as npy": ("x.npy", b"\x80\x04K\x01.", "is not a NumPy file"),
    "truncated npy": ("x.npy", npy_bytes(X)[:150], "Cannot read"),
    "npy cut in its header": ("x.npy", npy_bytes(X)[:20], "Cannot read"),
    "npy of objects": ("x.npy", npy_bytes(OBJECTS), "Python objects, which are never unpickled: save it as an array"),
    "npz of objects": ("x.npz", npz_bytes(a_npy=npy_bytes(OBJECTS)), "which are never unpickled"),
    "truncated npz": ("x.npz", npz_bytes(a_npy=npy_bytes(X))[:-30], "Cannot read"),
    "npz of text": ("x.npz", npz_bytes(readme_txt=b"hello"), "is not an array"),
    "empty csv": ("x.csv", b"", "is empty"),
    "blank csv": ("x.csv", b"\n\n", "is empty"),
    "csv without rows": ("x.csv", b"a,b,c\n", "holds the names of columns, but no rows"),
    "ragged csv": ("x.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
    "csv in latin-1": ("x.csv", "größe,b\n1,2\n".encode("latin-1"), "is not UTF-8 text: save it as UTF-8"),
    "csv in latin-1 below": ("x.csv", "a,b\n1,größe\n".encode("latin-1"), "is not UTF-8 text: save it as UTF-8"),
    "csv in UTF-16": ("x.csv", "a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text: save it as UTF-8"),
    "text as parquet": ("x.parquet", b"hello, world", "Cannot read"),
    "truncated parquet": ("x.parquet", parquet_bytes()[:-40], "Cannot read"),
    "empty idx": ("x.idx", b"", "is not an idx file"),
    "text as idx": ("x.idx", b"hello, world", "is not an idx file"),
    "idx of unknown type": ("x.idx", idx_bytes(X, 0x07), "is not an idx file"),
    "idx without dimensions": ("x.idx", idx_bytes(X, shape=()), "is not an idx file"),
    "idx cut in its header": ("x.idx", idx_bytes(X)[:9], "is truncated: it ends within its header"),
    "truncated idx": ("x.idx", idx_bytes(X)[:-1], "its header promises 96 bytes of values, and there are fewer"),
    "idx with more": ("x.idx", idx_bytes(X) + b"x", "its header promises 96 bytes of values, and there are more"),
    "idx of absurd size": ("x.idx", HUGE, "is truncated or damaged"),
    "idx.gz of absurd size": ("x.idx.gz", gzip.compress(HUGE), "is truncated or damaged"),
    "idx of absurd rank": ("x.idx", idx_bytes(np.zeros(0), shape=(0,) * 255), "Cannot read"),
    "idx.gz that is not gz": ("x.idx.gz", idx_bytes(X), "Cannot read"),
    "truncated idx.gz": ("x.idx.gz", gzip.compress(idx_bytes(X))[:-20], "Cannot read"),
    "unknown kind": ("x.docx", b"hello", r"neither an image .* nor a \.npy, \.npz, \.csv"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_cannot_be_read_gives_one_sentence_in_bounded_memory(what, tmp_path):
    name, data, words = BAD_FILES[what]
    (tmp_path / name).write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=words) as error:
        read(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sentence = str(error.value)
    assert str(tmp_path / name) in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert peak < 2**27


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    source=st.sampled_from(
        [("x.npy", npy_bytes(X)), ("x.npz", npz_bytes(a_npy=npy_bytes(X))), ("x.idx", idx_bytes(X))]
    ),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.integers(0, 400),
)
def test_damage_anywhere_is_read_or_told_in_one_sentence(source, changes, kept, tmp_path):
    name, data = source
    damaged = bytearray(data)
    for position, value in changes:
        if position < len(damaged):
            damaged[position] = value
    (tmp_path / name).write_bytes(damaged[:kept])
    sentence = "It is read."
    try:
        assert isinstance(read(tmp_path / name), np.ndarray)
    except (FileFormatError, InvalidParameter) as error:
        sentence = str(error)
    assert sentence.endswith(".")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, r"holds 2 arrays: name one with key: train, test\.$"),
        ({"key": "trian"}, r"has no array 'trian' \(did you mean 'train'\?\); it holds train, test\.$"),
        ({"drop": ("a",)}, r"drop names columns of a \.csv or \.parquet table"),
    ],
)
def test_an_option_that_does_not_fit_the_file_is_refused(options, words, tmp_path):
    np.savez(tmp_path / "two.npz", train=X, test=X)
    with pytest.raises(InvalidParameter, match=words):
        read(tmp_path / "two.npz", **options)


def test_a_key_for_a_file_without_keys_is_refused(tmp_path):
    np.save(tmp_path / "X.npy", X)
    with pytest.raises(
        InvalidParameter, match=r"key='a' names an array of an \.npz file, but '.*X\.npy' is not one\.$"
    ):
        read(tmp_path / "X.npy", key="a")


def test_a_missing_file_is_named_with_a_guess(tmp_path):
    np.save(tmp_path / "digits.npy", X)
    with pytest.raises(
        FileFormatError, match=r"^No such file or folder: '.*digit\.npy' \(did you mean 'digits\.npy'\?\)"
    ):
        read(tmp_path / "digit.npy")
    with pytest.raises(FileFormatError, match=r"^No such file or folder: '.*nowhere/x\.npy'\.$"):
        read(tmp_path / "nowhere" / "x.npy")
