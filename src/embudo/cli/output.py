"""Results on their way to files: checked before the work begins, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudo.errors import FileFormatError, InvalidParameter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from embudo.models.autoencoder import Autoencoder

ARRAY_ENDINGS = (".npy", ".npz", ".csv", ".parquet")


def json_text(facts: dict[str, Any]) -> str:
    """Return `facts` as JSON, with null for numbers that JSON has no form for."""
    return json.dumps(_finite(facts), indent=2)


def _finite(value: Any) -> Any:
    """Return `value` with numbers that JSON has no form for as null."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check_output(path: Path, endings: Sequence[str]) -> None:
    """Refuse an output file that could not be written, before anything is computed.

    Raises
    ------
    InvalidParameter
        If the ending of `path` is none of `endings`; "" stands for a folder.
    FileFormatError
        If its folder is missing or not writable, or a folder is in its place.
    """
    if path.suffix.lower() not in endings:
        allowed = " or ".join(ending or "none (a folder)" for ending in endings)
        raise InvalidParameter(f"Cannot tell what to write from the ending of '{path}': it must be {allowed}.")
    if not path.parent.is_dir():
        raise FileFormatError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    if path.is_dir() == bool(path.suffix) and path.exists():
        raise FileFormatError(f"Cannot write '{path}': it is a {'folder' if path.suffix else 'file'}.")
    if not os.access(path if path.is_dir() else path.parent, os.W_OK):
        raise FileFormatError(f"Cannot write '{path}': no permission.")


def size_text(n_bytes: int) -> str:
    """Return the size of a file in words.

    Examples
    --------
    >>> size_text(420_000), size_text(12_300)
    ('0.4 MB', '12 kB')
    """
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 100_000 else f"{n_bytes / 1e3:.0f} kB"


def write_array(path: Path, array: np.ndarray, columns: Sequence[str], key: str) -> None:
    """Write samples to an array file or a table, by the ending of `path`.

    Parameters
    ----------
    path : Path
        Ends in one of `ARRAY_ENDINGS`.
    array : ndarray or sparse matrix of shape (n_samples, ...)
        Flattened for tables.
    columns : sequence of str
        Names for the columns of a table.
    key : str
        Name of the array in an ``.npz`` file.
    """
    import numpy as np
    import pandas as pd
    import scipy.sparse

    from embudo.data.files import write_atomically

    buffer = io.BytesIO()
    if scipy.sparse.issparse(array):
        if path.suffix.lower() != ".npz":
            raise InvalidParameter(f"Sparse codes are written to .npz files; '{path}' is none.")
        scipy.sparse.save_npz(buffer, array)
        write_atomically(path, buffer.getvalue())
        return
    match path.suffix.lower():
        case ".npy":
            np.save(buffer, array)
        case ".npz":
            arrays: Any = {key: array}
            np.savez_compressed(buffer, **arrays)
        case _:
            write_table(path, pd.DataFrame(array.reshape(len(array), -1), columns=list(columns)))
            return
    write_atomically(path, buffer.getvalue())


def as_it_comes(samples: Any, path: Path) -> Path | None:
    """Return `path` where samples are a stream, of which results can be written to that file as they come."""
    from embudo.data.streams import Stream

    return path if isinstance(samples, Stream) and path.suffix.lower() in {".npy", ".parquet"} else None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table to a .csv or .parquet file."""
    from embudo.data.files import write_atomically
    from embudo.data.readers import require_pyarrow

    buffer = io.BytesIO()
    if path.suffix.lower() == ".csv":
        table.to_csv(buffer, index=False)
    else:
        require_pyarrow()
        table.to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())


def write_tables(path: Path, tables: Iterable[pd.DataFrame]) -> None:
    """Write tables, one below the other, to a .csv or .parquet file, as they come."""
    from embudo.data.files import replaced_whole
    from embudo.data.readers import require_pyarrow

    with replaced_whole(path) as temporary, contextlib.ExitStack() as stack:
        if path.suffix.lower() == ".csv":
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            for number, table in enumerate(tables):
                table.to_csv(file, index=False, header=number == 0)
            return
        require_pyarrow()
        import pyarrow
        import pyarrow.parquet

        writer = None
        for table in tables:
            rows = pyarrow.Table.from_pandas(table, preserve_index=False)
            writer = writer or stack.enter_context(pyarrow.parquet.ParquetWriter(temporary, rows.schema))
            writer.write_table(rows)


def write_samples(path: Path, samples: np.ndarray, model: Autoencoder, names: Sequence[Path] | None = None) -> None:
    """Write samples in the units of the data: to an array file, a table, or a folder of PNG files.

    Parameters
    ----------
    path : Path
        Checked by `check_samples_output`.
    samples : ndarray of shape (n_samples, ...)
    model : Autoencoder
        Knows the names of features and the range of pixels.
    names : sequence of Path, optional
        Names of the images, relative to the folder. None numbers them.
    """
    if path.suffix:
        columns = getattr(model, "feature_names_in_", None)
        if columns is None:
            columns = [f"x{i}" for i in range(model.n_features_in_)]
        write_array(path, samples, columns, "samples")
    else:
        _write_images(path, samples * _white(model), names or [Path(f"{i:06}.png") for i in range(len(samples))])


def check_samples_output(path: Path, model: Autoencoder) -> None:
    """Refuse a folder as output of a model whose samples are not images."""
    shape = model.sample_shape_
    if not path.suffix and (shape is None or len(shape) not in {2, 3} or shape[2:] not in {(), (1,), (3,)}):
        raise InvalidParameter(
            f"'{path}' would be a folder of images, but the model was not fitted on images: "
            f"end it in {', '.join(ARRAY_ENDINGS)}."
        )


def _white(model: Autoencoder) -> float:
    """Return what brings white to 255: images that "auto" left unscaled lie in [0, 1]."""
    return 255.0 if model.scaler_.kind is None and model.scale == "auto" else 1.0


def _write_images(folder: Path, images: Any, names: Sequence[Path]) -> None:
    import numpy as np
    from PIL import Image

    from embudo.data.files import write_atomically

    for image, name in zip(images, names, strict=True):
        pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels.squeeze(2) if pixels.shape[2:] == (1,) else pixels).save(buffer, "png")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, buffer.getvalue())
