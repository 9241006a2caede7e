"""Codes in bulk: an encoder as a function of batches, for engines that spread work over processes and machines."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from embudo.data.tables import same_columns
from embudo.errors import InvalidData, InvalidParameter
from embudo.models.base import BaseAutoencoder
from embudo.models.inference import result_dtype
from embudo.models.persistence import load
from embudo.models.stacked import StackedAutoencoder

BATCH = 4096  #: rows that Ray gives at a time, unless it is told otherwise


class BatchEncoder:
    """The encoder of a model as a function of batches, for Dask, Ray and Spark.

    It is small where it is sent from one process to another: a model file is read once in each process that encodes.

    Parameters
    ----------
    model : str, Path, Autoencoder or StackedAutoencoder
        A file or folder that all processes can read, or a fitted model, which is sent to them.
    level : str, optional
        Name of the level of a stack; None is the topmost.
    keep : sequence of str, default=()
        Columns of a table that are not encoded, but carried along beside the codes, such as a key.
    device : str, default="auto"
        Where a model file is encoded with: CUDA where the process may use it, else the CPU.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from embudo import Autoencoder, BatchEncoder
    >>> X = pd.DataFrame(np.random.default_rng(0).random((50, 4)), columns=list("abcd"))
    >>> encoder = BatchEncoder(Autoencoder(2, random_state=0).fit(X), keep=["key"])
    >>> encoder(X.assign(key=range(50))).columns.tolist()
    ['key', 'autoencoder0', 'autoencoder1']
    """

    def __init__(
        self,
        model: str | Path | BaseAutoencoder,
        *,
        level: str | None = None,
        keep: Sequence[str] = (),
        device: str = "auto",
    ) -> None:
        self.model = Path(model).absolute() if isinstance(model, str | Path) else model
        self.level, self.device = level, device
        self.keep = [keep] if isinstance(keep, str) else list(keep)

    @property
    def autoencoder(self) -> BaseAutoencoder:
        """The model; a file is read when it is first asked for, and when it has changed.

        Raises
        ------
        FileFormatError
            If the file is missing or damaged.
        InvalidParameter
            If it holds neither an autoencoder nor a stack.
        """
        model = self.model
        if isinstance(model, Path):
            changed = model.stat().st_mtime_ns if model.exists() else 0
            model = _loaded(model, self.device, changed)
        if not isinstance(model, BaseAutoencoder):
            raise InvalidParameter(
                f"BatchEncoder.model must be an autoencoder or a stack, or its file; got a {type(model).__name__}."
            )
        return model

    @property
    def names(self) -> list[str]:
        """Names of the codes' columns."""
        model = self.autoencoder
        if self.level is None or not isinstance(model, StackedAutoencoder):
            return list(model.get_feature_names_out())
        return [f"{self.level}_{i}" for i in range(model._up_to(self.level)[-1].n_components_)]

    def encode(self, X: Any, *, out: str | Path | None = None) -> Any:
        """Return the codes of samples without columns to keep, as `Autoencoder.transform` does."""
        return self.autoencoder.transform(X, out=out, **({} if self.level is None else {"level": self.level}))

    def __call__(self, batch: Any) -> Any:
        """Return the codes of a batch, dense.

        Parameters
        ----------
        batch : ndarray, pandas.DataFrame or dict of str to ndarray
            A table is encoded by the columns that the model has learnt, or where it knows no names, by all but those
            to keep. A single column of a dict may hold whole samples, such as images.

        Returns
        -------
        ndarray, DataFrame or dict
            Of the kind of `batch`: codes of shape (n_samples, n_components), or columns beside those that are kept.
        """
        import pandas as pd

        if isinstance(batch, dict):
            samples = [name for name in batch if name not in self.keep]
            if len(samples) == 1 and np.ndim(batch[samples[0]]) > 1:
                codes = self._dense(batch[samples[0]])
                columns = dict(zip(self.names, codes.T, strict=True))
            else:
                encoded = self._table(pd.DataFrame({name: batch[name] for name in (*self.keep, *samples)}))
                columns = {name: encoded[name].to_numpy() for name in self.names}
            return {name: batch[name] for name in self.keep} | columns
        return self._table(batch) if isinstance(batch, pd.DataFrame) else self._dense(batch)

    def map(self, X: Any, **options: Any) -> Any:
        """Return the codes of a collection of Dask or Ray, as lazy as it is.

        Parameters
        ----------
        X : dask.array.Array, dask.dataframe.DataFrame or ray.data.Dataset
        **options
            Of Ray's ``map_batches``, such as ``concurrency=8, num_gpus=1``: for each of its actors the model is
            read once.

        Returns
        -------
        Array, DataFrame or Dataset
            Of the kind of X. Rows of arrays and frames keep their order; Ray reads files in an order of its own, so
            keep a key.

        Raises
        ------
        InvalidData
            If X is something else, or lacks a column.
        InvalidParameter
            If there are options that Ray does not read.
        """
        library = type(X).__module__.partition(".")[0]
        if library == "ray" and hasattr(X, "map_batches"):
            how = {"level": self.level, "keep": self.keep, "device": self.device}
            options = {"batch_size": BATCH, "batch_format": "numpy", "fn_constructor_kwargs": how, **options}
            return X.map_batches(type(self), fn_constructor_args=(self.model,), **options)
        if options:
            raise InvalidParameter(f"Options are for datasets of Ray: omit {', '.join(options)}.")
        if hasattr(X, "map_partitions"):
            self._features(X)
            return X.map_partitions(self)
        if hasattr(X, "map_blocks"):
            dtype, n_components = result_dtype(X), len(self.names)
            rows = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
            return rows.map_blocks(
                self,
                drop_axis=range(2, X.ndim),
                chunks=(rows.chunks[0], (n_components,)),
                meta=np.empty((0, 0), dtype),
            )
        raise InvalidData(
            f"BatchEncoder.map takes an array or a frame of Dask, or a dataset of Ray; got a {type(X).__name__}. "
            "Batches are encoded by calling it."
        )

    def _table(self, table: Any) -> Any:
        """Return the codes of a frame, beside the columns that are kept."""
        import pandas as pd

        features = self._features(table)
        if not hasattr(self.autoencoder, "feature_names_in_"):
            features = features.set_axis(range(features.shape[1]), axis=1)
        codes = pd.DataFrame(self._dense(features), table.index, self.names)
        return pd.concat([table[self.keep], codes], axis=1) if self.keep else codes

    def _features(self, table: Any) -> Any:
        """Return the columns of a table that are encoded.

        Raises
        ------
        InvalidData
            If one of them, or one to keep, is missing.
        """
        same_columns(table, self.keep)
        names = getattr(self.autoencoder, "feature_names_in_", None)
        return same_columns(
            table, [name for name in table.columns if name not in self.keep] if names is None else names
        )

    def _dense(self, X: Any) -> np.ndarray:
        if not len(X):
            return np.empty((0, len(self.names)), result_dtype(np.asarray(X)))
        codes = self.encode(X)
        dense: np.ndarray = codes.toarray() if scipy.sparse.issparse(codes) else codes
        return dense


@functools.lru_cache(maxsize=4)
def _loaded(path: Path, device: str, changed: int) -> Any:
    """Return the model in a file that was `changed` at that time."""
    return load(path, device=device)
