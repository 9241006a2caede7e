"""Labels: what is read, what counts as missing, what is refused."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from embudo.data.labels import as_labels, folder_labels, read_labels
from embudo.errors import FileFormatError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], np.array([1, 2])),
        ([1.0, np.nan, -1.0], np.array([1, None, -1], object)),
        ([2.5, None], np.array([2.5, None], object)),
        (["a", "bb"], np.array(["a", "bb"])),
        (pd.Series(["a", None, "b"]), np.array(["a", None, "b"], object)),
        (pd.Categorical(["a", "b"]), np.array(["a", "b"])),
        ([True, False], np.array([True, False])),
        (np.array([3, 4], np.uint8), np.array([3, 4])),
        (np.array([b"a"]), np.array(["a"])),
    ],
)
def test_labels_keep_their_type_and_missing_ones_are_none(values, expected):
    labels = as_labels(values, "here")
    assert labels.dtype == expected.dtype
    assert labels.tolist() == expected.tolist()
    assert [type(label) for label in labels.tolist()] == [type(label) for label in expected.tolist()]


@pytest.mark.parametrize("values", [pd.to_datetime(["2020-01-01"]), [1 + 2j]])
def test_what_is_neither_number_nor_text_is_refused(values):
    with pytest.raises(FileFormatError, match=r"labels in here are of type .*: expected numbers or text"):
        as_labels(values, "here")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("class\na\n\nb\n\n", ["a", None, "b", None]), ("3\n\n5\n", [3, None, 5]), ('y\n"a"\n""\n', ["a", None])],
)
def test_a_blank_line_of_a_table_is_a_sample_without_label(tmp_path, text, expected):
    (tmp_path / "y.csv").write_text(text)
    assert read_labels(tmp_path / "y.csv").tolist() == expected


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_arrays_of_one_label_a_sample(tmp_path, shape):
    np.save(tmp_path / "y.npy", np.arange(6).reshape(shape))
    assert read_labels(tmp_path / "y.npy").tolist() == list(range(6))


@pytest.mark.parametrize("array", [np.zeros((6, 2)), np.float64(3)])
def test_arrays_of_another_shape_are_refused(tmp_path, array):
    np.save(tmp_path / "y.npy", array)
    with pytest.raises(FileFormatError, match="expected one label a sample"):
        read_labels(tmp_path / "y.npy")


def test_folders_name_the_classes_of_the_images_in_them(tmp_path):
    for name in ("cat/a", "cat/more/b", "dog/a", "loose", "unlabelled/c", "Unlabeled/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    assert folder_labels(tmp_path).tolist() == [None, "cat", "cat", "dog", None, None]
