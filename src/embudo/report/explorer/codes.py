"""An autoencoder to explore: samples, their codes, and what codes decode to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embudo.data.arrays import as_array, as_dense
from embudo.data.images import read_images
from embudo.data.readers import read
from embudo.errors import InvalidData, check_choice
from embudo.parts.corruptions import GaussianNoise, MaskingNoise, SaltAndPepper
from embudo.report.codes import MapDisplay
from embudo.report.display import check_labels, dense, image_shape_of, n_rows, rows_at, spread
from embudo.report.explorer.subject import Subject, as_file, asked_number, floats
from embudo.report.reconstruction import corrupted
from embudo.report.scatter import help_on, map_data

if TYPE_CHECKING:
    from embudo.models.base import BaseAutoencoder

MOST_SLIDERS = 64
MOST_MEASURED = 5000  #: samples that tell how far values and units go, evenly spaced
TABLES = {".npy", ".npz", ".csv", ".tsv", ".parquet"}
NOISES = {"Gaussian": GaussianNoise, "masking": MaskingNoise, "salt and pepper": SaltAndPepper}
#: how far the sliders of units go where no samples tell, by activation; others go as far as an identity
REACH = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, 4.0), "identity": (-4.0, 4.0)}


class CodeExplorer(Subject):
    """An autoencoder or a stack, and samples where there are some.

    Parameters
    ----------
    autoencoder : Autoencoder or StackedAutoencoder
        Fitted.
    X : like that of its `fit`, optional
        Samples to choose from.
    y : array of shape (n_samples,), optional
        Labels, by which the map is coloured.
    title : str, default="Autoencoder"
    image_shape : tuple of int, optional
        (height, width) or (height, width, 3), where rows of features are images.
    """

    template = "codes.html"

    def __init__(
        self,
        autoencoder: BaseAutoencoder,
        X: Any = None,
        y: Any = None,
        *,
        title: str = "Autoencoder",
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.autoencoder, self.X, self.title = autoencoder, X, title
        self.image_shape = image_shape_of(autoencoder, image_shape)
        names = getattr(autoencoder, "feature_names_in_", None)
        self.names = None if names is None else [str(name) for name in names]
        self.n_samples = 0 if X is None else n_rows(X)
        self.summary = (
            f"{autoencoder.n_features_in_:,} features through {autoencoder.n_components_:,} code units"
            f"{f'; {self.n_samples:,} samples' if self.n_samples else ''}."
        )
        self.calls = {
            "sample": self.sample,
            "upload": self.upload,
            "noise": self.noise,
            "encode": self.encode,
            "decode": self.decode,
        }
        self.low, self.high = self._ranges()
        self.facts = self._facts(check_labels(y, self.n_samples))

    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """Return least and greatest value of each feature; those of images are one range."""
        ae, scaler = self.autoencoder, self.autoencoder.scaler_
        if scaler.kind == "pixels":
            low, high = np.zeros(1), np.full(1, 255.0)
        elif self.X is not None:
            rows = self._flat(spread(self.n_samples, MOST_MEASURED))
            low, high = rows.min(axis=0), rows.max(axis=0)
        else:
            reach = (-2.0, 2.0) if scaler.kind == "standard" else (0.0, 1.0)
            low, high = (scaler.invert(np.full(ae.n_features_in_, end)) for end in reach)
        if self.image_shape is not None:
            low, high = low.min(), high.max()
        return (np.broadcast_to(end, ae.n_features_in_).astype(np.float64) for end in (low, high))  # type: ignore[return-value]

    def _facts(self, labels: np.ndarray | None) -> dict[str, Any]:
        ae = self.autoencoder
        if self.X is None:
            reach = REACH.get(ae.code_activation, REACH["identity"])
            units, ends = np.arange(ae.n_components_), np.tile(reach, (ae.n_components_, 1))
            places = None
        else:
            codes = dense(ae.transform(self.X))
            units = np.argsort(-codes.std(axis=0), kind="stable")
            ends = np.quantile(codes[spread(self.n_samples, MOST_MEASURED)], [0.01, 0.99], axis=0).T
            places = MapDisplay(codes).places
        return {
            "n_samples": self.n_samples,
            "n_features": ae.n_features_in_,
            "n_components": ae.n_components_,
            "image_shape": None if self.image_shape is None else [*self.image_shape, 1][:3],
            "names": self.names,
            "low": self.low.tolist() if self.image_shape is None else float(self.low[0]),
            "high": self.high.tolist() if self.image_shape is None else float(self.high[0]),
            "dark": self._is_dark(),
            "units": units[:MOST_SLIDERS].tolist(),
            "ends": ends.tolist(),
            "first": ae.scaler_.invert(np.zeros(ae.n_features_in_)).tolist() if self.X is None else None,
            "noises": list(NOISES),
            "help": "" if places is None else help_on(places.shape[1]),
            "map": None if places is None else map_data(places, labels, self._images()),
        }

    def _flat(self, indices: Any) -> np.ndarray:
        return dense(rows_at(self.X, indices)).reshape(-1, self.autoencoder.n_features_in_)

    def _images(self) -> np.ndarray | None:
        """Return the samples as images for the map, where they are images."""
        if self.image_shape is None:
            return None
        return np.asarray(as_dense(as_array(self.X))).reshape(-1, *self.image_shape)

    def _is_dark(self) -> bool:
        """Tell whether images are light on dark, as those of digits mostly are: so is what is drawn, then."""
        if self.image_shape is None or self.X is None:
            return True
        rows = self._flat(spread(self.n_samples, 200))
        return bool(np.median(rows) <= (self.low[0] + self.high[0]) / 2)

    def _as_sample(self, row: np.ndarray) -> Any:
        """Return a row as the model takes samples."""
        if self.names is not None:
            import pandas as pd

            return pd.DataFrame(row[np.newaxis], columns=self.names)
        return row.reshape(1, *(self.autoencoder.sample_shape_ or row.shape))

    # ------------------------------------------------------------------ what the page asks

    def sample(self, query: Mapping[str, str], body: bytes) -> np.ndarray:
        """Return the sample of a number."""
        if self.X is None:
            raise InvalidData('There are no samples to choose from: name some, "embudo explore MODEL DATA".')
        number = asked_number(query, "number", 0, self.n_samples - 1, integer=True)
        row: np.ndarray = self._flat([number])[0]
        return row

    def upload(self, query: Mapping[str, str], body: bytes) -> np.ndarray:
        """Return the sample in a file: an image, brought to the size that is wanted, or the first row of a table."""
        with as_file(query, body) as path:
            if path.suffix.lower() in TABLES:
                return self._first_row(read(path), path)
            if self.image_shape is None:
                raise InvalidData(
                    f"'{path}' is no table, and the model takes rows of {self.autoencoder.n_features_in_} numbers: "
                    "choose a file that ends in .npy, .npz, .csv, .tsv or .parquet."
                )
            grey = self.image_shape[2:] != (3,)
            pixels = read_images(path, (self.image_shape[0], self.image_shape[1]), "grey" if grey else "rgb")
            values: np.ndarray = self.low + pixels.reshape(-1) / 255 * (self.high - self.low)
            return values

    def _first_row(self, table: Any, path: Path) -> np.ndarray:
        known = self.names is not None and hasattr(table, "columns") and set(self.names) <= set(table.columns)
        rows = table[self.names] if known else table
        first = dense(rows_at(rows, [0] if n_rows(rows) else [])).reshape(-1)
        if first.size != self.autoencoder.n_features_in_:
            raise InvalidData(
                f"A row of '{path}' has {first.size} numbers: expected {self.autoencoder.n_features_in_}, those of "
                "one sample."
            )
        return first

    def noise(self, query: Mapping[str, str], body: bytes) -> np.ndarray:
        """Return a sample with noise, between scaled values; the same noise each time."""
        kind = query.get("kind", "")
        check_choice("kind", kind, NOISES)
        amount = asked_number(query, "amount", 0, 1)
        row = floats(body, self.autoencoder.n_features_in_)
        return dense(corrupted(self.autoencoder, self._as_sample(row), NOISES[kind](amount))).reshape(-1)

    def encode(self, query: Mapping[str, str], body: bytes) -> np.ndarray:
        """Return the code of a sample, and after it the reconstruction."""
        ae = self.autoencoder
        code = dense(ae.transform(self._as_sample(floats(body, ae.n_features_in_))))
        return np.concatenate([code.reshape(-1), ae.inverse_transform(code).reshape(-1)])

    def decode(self, query: Mapping[str, str], body: bytes) -> np.ndarray:
        """Return what a code decodes to."""
        ae = self.autoencoder
        row: np.ndarray = ae.inverse_transform(floats(body, ae.n_components_)[np.newaxis]).reshape(-1)
        return row
