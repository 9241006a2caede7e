"""Sparse matrices, built from dense blocks without ever holding all of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.sparse

from embudo.data.arrays import Matrix


def stack_rows(blocks: Iterable[np.ndarray], n_columns: int) -> Matrix:
    """Return the rows of dense blocks, of shape (n, n_columns) each, as one CSR matrix.

    Examples
    --------
    >>> stack_rows([np.eye(2), np.zeros((1, 2))], 2).toarray().tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    values, columns, ends = [], [], [np.zeros(1, np.int64)]
    for block in blocks:
        rows, where = np.nonzero(block)
        values.append(block[rows, where])
        columns.append(where.astype(np.int32))
        ends.append(np.count_nonzero(block, axis=1))
    starts = np.concatenate(ends).cumsum()
    shape = len(starts) - 1, n_columns
    return scipy.sparse.csr_matrix((_joined(values), _joined(columns), starts), shape)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return the parts as one array; the list is emptied, so that only one kind of them is ever held twice."""
    joined = np.concatenate(parts)
    parts.clear()
    return joined
