"""An even sample of a stream, of bounded size."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from embudo.data.arrays import Matrix


class EvenSample:
    """Rows of a stream, each with the same chance to be kept: those with the least of random keys.

    Parameters
    ----------
    size : int
        Rows to keep at most.
    seed : int
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.rng = size, np.random.default_rng(seed)
        self.keys, self.rows = np.empty(0), None

    def add(self, rows: Matrix) -> Matrix:
        """Take in more rows, also of a stream, and return those that are kept now."""
        keys = np.concatenate([self.keys, self.rng.random(rows.shape[0])])
        kept = np.sort(np.argsort(keys, kind="stable")[: self.size])
        old, new = np.split(kept, [np.searchsorted(kept, len(self.keys))])
        rows = rows[new - len(self.keys)]
        if self.rows is not None:
            both = [self.rows[old], rows]
            rows = scipy.sparse.vstack(both, format="csr") if scipy.sparse.issparse(rows) else np.concatenate(both)
        self.keys, self.rows = keys[kept], rows
        return self.rows
