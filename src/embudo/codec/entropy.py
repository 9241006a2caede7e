"""Entropy coding: integers to bits and back, by range coding with tables of integer frequencies.

Each value comes with the index of the table that says how likely it is; values of one table are coded together. All is
integer arithmetic, so that the same bits give the same values on every machine. The range coder is that of constriction
(Bamler 2022, Understanding entropy coding with asymmetric numeral systems).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import constriction
import numpy as np

from embudo.errors import FileFormatError

#: indices an octave: table k is for values of a standard deviation of about 2 ** (k / PER_OCTAVE - BELOW)
PER_OCTAVE = 4
BELOW = 5
N_TABLES = 8 * PER_OCTAVE
REACH = 31  #: values from -REACH to REACH have a symbol of their own; the last symbol announces all others
N_SYMBOLS = 2 * REACH + 2
TOTAL = 2**16  #: sum of the frequencies of a table
MAX_SHIFT = 12  #: low bits that are written plainly, at most
MAX_INDEX = N_TABLES + MAX_SHIFT * PER_OCTAVE - 1
LARGEST = 2**16 - 1  #: magnitude of a value
_TAIL_BITS = 16

_Uniform = constriction.stream.model.Uniform


class Tables:
    """Frequencies of the values, a table a scale.

    Beyond the last table the values are halved until one of its octave fits, and the bits that are lost are written
    as they are.

    Parameters
    ----------
    frequencies : ndarray of shape (N_TABLES, N_SYMBOLS), integer
        Positive; each row sums to `TOTAL`.

    Raises
    ------
    ValueError
        If they do not.
    """

    def __init__(self, frequencies: np.ndarray) -> None:
        frequencies = np.asarray(frequencies)
        whole = frequencies.dtype.kind in "iu" and frequencies.shape == (N_TABLES, N_SYMBOLS)
        if not whole or (frequencies < 1).any():
            raise ValueError(f"frequencies must be {N_TABLES} x {N_SYMBOLS} positive integers")
        frequencies = frequencies.astype(np.int64)
        if (frequencies.sum(axis=1) != TOTAL).any():
            raise ValueError(f"the frequencies of a table must sum to {TOTAL}")
        self.frequencies = frequencies

    def __getstate__(self) -> dict[str, Any]:
        return {"frequencies": self.frequencies}  # the range coder's own tables cannot be copied

    @cached_property
    def bits(self) -> np.ndarray:
        """The cost of each value from 0 to REACH + 1 by index, shape (MAX_INDEX + 1, REACH + 2): an estimate."""
        cost = -np.log2(self.frequencies / TOTAL)
        half = np.concatenate([cost[:, REACH:-1], cost[:, -1:] + 5], axis=1)
        table, shift = split_index(np.arange(MAX_INDEX + 1))
        values = np.minimum((np.arange(REACH + 2)[None] + _half(shift)[:, None]) >> shift[:, None], REACH + 1)
        bits: np.ndarray = (half[table[:, None], values] + shift[:, None]).astype(np.float32)
        return bits

    @cached_property
    def models(self) -> list[constriction.stream.model.Categorical]:
        """The tables as the range coder takes them: n / 2^16 is exact in floating point."""
        return [constriction.stream.model.Categorical(row / TOTAL, perfect=False) for row in self.frequencies]


class Encoder:
    """Writes values to a stream."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.coder = constriction.stream.queue.RangeEncoder()

    def put(self, values: np.ndarray, index: np.ndarray) -> None:
        """Write values, integers of at most `LARGEST` in magnitude, each with the index of its table.

        Parameters
        ----------
        values, index : ndarray of shape (n,)
        """
        for table, shift, members in _groups(index):
            chosen = values[members].astype(np.int32)
            symbols = symbols_of(chosen, shift)
            self.coder.encode(symbols, self.tables.models[table])
            beyond = symbols == N_SYMBOLS - 1
            if beyond.any():
                self._put_tail((chosen[beyond] + _half(shift)) >> shift)
            if shift:
                self.coder.encode((chosen + _half(shift)) & ((1 << shift) - 1), _Uniform(1 << shift))

    def _put_tail(self, values: np.ndarray) -> None:
        """Write values beyond REACH: sign, number of bits, and bits of the excess (an Exp-Golomb code)."""
        excess = np.abs(values) - REACH
        lengths = np.frexp(excess)[1].astype(np.int32) - 1
        self.coder.encode((values < 0).astype(np.int32), _Uniform(2))
        self.coder.encode(lengths, _Uniform(_TAIL_BITS))
        for length in np.unique(lengths[lengths > 0]):
            same = lengths == length
            self.coder.encode((excess[same] - (1 << length)).astype(np.int32), _Uniform(1 << int(length)))

    def finish(self) -> bytes:
        """Return the stream."""
        words: np.ndarray = self.coder.get_compressed()
        return words.astype(">u4").tobytes().rstrip(b"\0")  # the decoder reads zeros beyond the end


class Decoder:
    """Reads what an `Encoder` with the same tables wrote."""

    def __init__(self, tables: Tables, stream: bytes) -> None:
        self.tables = tables
        words = np.frombuffer(stream + bytes(-len(stream) % 4), ">u4").astype(np.uint32)
        self.coder = constriction.stream.queue.RangeDecoder(words)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the next values, given the index of each one's table; shape and type of `index` as in `put`.

        Raises
        ------
        FileFormatError
            If the stream cannot have been written with these indices.
        """
        values = np.empty(index.shape, np.int32)
        try:
            for table, shift, members in _groups(index):
                high = self.coder.decode(self.tables.models[table], len(members)) - REACH
                beyond = np.flatnonzero(high == N_SYMBOLS - 1 - REACH)
                if beyond.size:
                    high[beyond] = self._take_tail(len(beyond))
                if shift:
                    low = self.coder.decode(_Uniform(1 << shift), len(members))
                    high = (high << shift) + low - _half(shift)
                values[members] = high
        except AssertionError:
            raise FileFormatError("The .emb file is damaged: its codes cannot be decoded.") from None
        if np.abs(values).max(initial=0) > LARGEST:
            raise FileFormatError("The .emb file is damaged: it holds a code that is out of range.")
        return values

    def _take_tail(self, n: int) -> np.ndarray:
        negative = self.coder.decode(_Uniform(2), n)
        lengths = self.coder.decode(_Uniform(_TAIL_BITS), n)
        excess = np.left_shift(1, lengths)
        for length in np.unique(lengths[lengths > 0]):
            same = lengths == length
            excess[same] += self.coder.decode(_Uniform(1 << int(length)), int(same.sum()))
        values: np.ndarray = np.where(negative, -1, 1) * (excess + REACH)
        return values


def split_index(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the table of each index, and by how many bits its values are shifted."""
    over = np.maximum(index - N_TABLES, -1)
    shift = over // PER_OCTAVE + 1
    return np.where(shift > 0, index - shift * PER_OCTAVE, index), shift


def symbols_of(values: np.ndarray, shift: Any) -> np.ndarray:
    """Return the symbols of a table, int32, for values without their last `shift` bits."""
    high = (values + _half(shift)) >> shift
    return np.where(np.abs(high) > REACH, N_SYMBOLS - 1, high + REACH).astype(np.int32)


def _half(shift: Any) -> Any:
    return (1 << shift) >> 1


def _groups(index: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield table, shift, and where they hold, in an order that encoder and decoder share."""
    order = np.argsort(index.astype(np.uint8), kind="stable")
    counts = np.bincount(index, minlength=1)
    tables, shifts = split_index(np.arange(len(counts)))
    for k, members in enumerate(np.split(order, np.cumsum(counts)[:-1])):
        if members.size:
            yield int(tables[k]), int(shifts[k]), members
