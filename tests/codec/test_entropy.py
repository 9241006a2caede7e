"""The entropy coder: what goes in comes out, at the cost that the tables promise; tables that are none are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embudo.codec.census import laplace_tables
from embudo.codec.entropy import LARGEST, MAX_INDEX, N_TABLES, PER_OCTAVE, Decoder, Encoder, Tables, split_index
from embudo.errors import FileFormatError

TABLES = laplace_tables()


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(-3, 3), st.integers(-LARGEST, LARGEST)),
            st.integers(0, MAX_INDEX),
        ),
        max_size=60,
    )
)
def test_values_come_back(pairs):
    values, index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    encoder = Encoder(TABLES)
    encoder.put(values, index)
    encoder.put(values[::-1], index[::-1])
    decoder = Decoder(TABLES, encoder.finish())
    np.testing.assert_array_equal(decoder.take(index), values)
    np.testing.assert_array_equal(decoder.take(index[::-1]), values[::-1])


@pytest.mark.parametrize("index", [8, 20, N_TABLES - 1, N_TABLES, N_TABLES + 9])
def test_laplace_values_cost_their_entropy(index):
    std = 2 ** ((index + 0.5) / PER_OCTAVE - 5)
    values = np.rint(np.random.default_rng(0).laplace(scale=std / np.sqrt(2), size=40_000)).astype(np.int64)
    encoder = Encoder(TABLES)
    encoder.put(values, np.full(len(values), index))
    _, counts = np.unique(values, return_counts=True)
    share = counts / len(values)
    entropy = -(share * np.log2(share)).sum()
    assert 8 * len(encoder.finish()) / len(values) < 1.03 * entropy + 0.003


def test_beyond_the_last_table_values_are_halved_until_one_fits():
    table, shift = split_index(np.array([0, N_TABLES - 1, N_TABLES, N_TABLES + PER_OCTAVE]))
    assert table.tolist() == [0, N_TABLES - 1, N_TABLES - PER_OCTAVE, N_TABLES - PER_OCTAVE]
    assert shift.tolist() == [0, 0, 1, 2]


def test_estimated_bits_are_those_written():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 50, size=30_000)
    values = np.rint(rng.laplace(size=index.size) * 2 ** (index / PER_OCTAVE - 5.5)).astype(np.int64)
    encoder = Encoder(TABLES)
    near = np.abs(values) <= 31
    encoder.put(values[near], index[near])
    assert TABLES.bits[index[near], np.abs(values[near])].sum() == pytest.approx(8 * len(encoder.finish()), rel=0.01)


@pytest.mark.parametrize("spoil", ["zero", "sum", "shape"])
def test_tables_that_are_none_are_refused(spoil):
    frequencies = TABLES.frequencies.copy()
    if spoil == "zero":
        frequencies[3, 0] -= frequencies[3, 5]
        frequencies[3, 5] = 0
    elif spoil == "sum":
        frequencies[3, 5] += 1
    else:
        frequencies = frequencies[:-1]
    with pytest.raises(ValueError, match="frequencies"):
        Tables(frequencies)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=40))
def test_any_stream_ends_in_values_or_an_error(stream):
    index = np.repeat([3, 25, 70], 20)
    try:
        values = Decoder(TABLES, stream).take(index)
    except FileFormatError:
        return
    assert np.abs(values).max() <= LARGEST
