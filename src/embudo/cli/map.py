"""``embudo map``: samples in two or three dimensions, for looking."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.classify import read_both
from embudo.cli.loading import in_columns_of, load_autoencoder
from embudo.cli.options import INPUT, PATH, DataSource, Scalar, data_options, labels_option, output_option
from embudo.cli.output import check_output, size_text
from embudo.cli.recipe import fit_and_save, given_options
from embudo.cli.watching import Watched, watch_options
from embudo.errors import InvalidData, InvalidParameter

if TYPE_CHECKING:
    import numpy as np

    from embudo.models.base import BaseAutoencoder


@click.command()
@click.argument("data", type=INPUT)
@output_option("The page: .html.")
@labels_option("points are")
@click.option("--dimensions", type=click.IntRange(2, 3), default=2, show_default=True)
@click.option(
    "--neighbours/--no-neighbours",
    default=True,
    show_default=True,
    help="Keep neighbours together; else the code of an autoencoder as it is.",
)
@click.option(
    "--n-neighbors",
    type=click.IntRange(2),
    default=15,
    show_default=True,
    help="Size of a neighbourhood: more show the large, fewer the small.",
)
@click.option("--epochs", type=Scalar(), default="auto", show_default=True, help="Passes over the data.")
@click.option("--random-state", "--seed", type=Scalar(), default=0, show_default=True)
@click.option("--model", type=PATH, help="A trained model of two or three code units, instead of a new one.")
@click.option("--save-model", type=PATH, help="Write the model, to map new samples by --model.")
@click.option("--verbose/--quiet", "-v/-q", default=True, help="Whether progress is shown.", show_default=True)
@watch_options
@data_options
def map(
    data: Path,
    output: Path,
    labels: str | None,
    model: Path | None,
    watched: Watched,
    source: DataSource,
    **options: Any,
) -> None:
    """Draw a map of the samples in DATA: a page that shows each where its code lies.

    The page is one file, for any browser. Point at a sample to see its row, label and, of images, its picture.
    """
    check_output(output, [".html"])
    if options["save_model"] is not None:
        check_output(options["save_model"], [".safetensors"])

    from embudo.data.files import write_atomically
    from embudo.report.scatter import map_page

    started = time.perf_counter()
    known = None if model is None else known_model(model)
    X, y = read_both(source, data, labels, known.sample_shape_ if known else None)
    X = X if known is None else in_columns_of(known, X)
    with watched(f"{data.name} to {output.name}") if known is None else nullcontext():
        autoencoder = known or learn(X, **options)
    codes = autoencoder.transform(X)
    facts = {"samples": f"{len(codes):,}", **measure(autoencoder, X, codes, y)}
    images = X if getattr(X, "ndim", 2) > 2 and X.shape[3:] in {(), (1,), (3,)} else None
    page = map_page(codes, title=data.name, labels=y, images=images, facts=facts)
    write_atomically(output, page.encode())
    for name, value in facts.items():
        click.echo(f"{name}: {value}")
    click.echo(f"Map written to {output}, {size_text(len(page))}, after {time.perf_counter() - started:.0f} s")


def known_model(path: Path) -> BaseAutoencoder:
    """Return the model in a file, to draw a map by.

    Raises
    ------
    InvalidParameter
        If an option says how to train one, or its code cannot be looked at.
    """
    training = {"dimensions", "neighbours", "n_neighbors", "epochs", "random_state", "save_model", "watch"}
    if trains := given_options() & training:
        raise InvalidParameter(f"--model gives a model that is trained: omit --{min(trains).replace('_', '-')}.")
    autoencoder = load_autoencoder(path)
    if autoencoder.n_components_ not in {2, 3}:
        raise InvalidParameter(
            f"A map needs a code of 2 or 3 units, but that of '{path}' has {autoencoder.n_components_}: train one with "
            "--components 2, or omit --model."
        )
    return autoencoder


def learn(
    X: Any,
    *,
    dimensions: int,
    neighbours: bool,
    n_neighbors: int,
    epochs: Any,
    random_state: Any,
    save_model: Path | None,
    verbose: bool,
) -> BaseAutoencoder:
    """Return an autoencoder that has learnt to map X, and write it where it shall be kept."""
    from embudo import map_autoencoder

    autoencoder = map_autoencoder(dimensions, n_neighbors=n_neighbors, random_state=random_state)
    autoencoder.set_params(training__epochs=epochs, training__verbose=verbose)
    if not neighbours:
        autoencoder.set_params(penalty=None)
    fit_and_save(autoencoder, save_model, X, X_val=None)
    return autoencoder


def measure(autoencoder: BaseAutoencoder, X: Any, codes: np.ndarray, y: np.ndarray | None) -> dict[str, str]:
    """Return how well the map keeps neighbours and classes together, PCA's figures beside."""
    import numpy as np
    import scipy.sparse
    from sklearn.decomposition import PCA

    from embudo.metrics.neighbourhood import trustworthiness

    if scipy.sparse.issparse(X):
        raise InvalidData("A map of sparse data is not drawn: make them dense.")
    rows = autoencoder.scaler_.apply(np.asarray(X).reshape(len(X), -1))
    maps = [codes]
    if min(rows.shape) >= codes.shape[1]:
        maps.append(PCA(codes.shape[1], random_state=0).fit_transform(rows))
    found: dict[str, list[float | None]] = {"trustworthiness": [trustworthiness(rows, places) for places in maps]}
    if y is not None and (known := np.array([label is not None for label in y])).sum() >= 10:
        found["accuracy of the 5 nearest"] = [accuracy(places[known], y[known]) for places in maps]
    return {name: beside(*values) for name, values in found.items() if None not in values}


def beside(value: float | None, pca: float | None = None) -> str:
    """Return a figure with PCA's, where there is one."""
    return f"{value:.3f}" if pca is None else f"{value:.3f} (PCA's {pca:.3f})"


def accuracy(codes: np.ndarray, y: np.ndarray) -> float | None:
    """Return the accuracy by which the nearest codes of four fifths tell the class of others; None for quantities."""
    import numpy as np

    from embudo.data.batches import split
    from embudo.metrics.neighbourhood import knn_accuracy

    classes, places = np.unique(y.astype(str), return_inverse=True)
    if len(classes) > len(y) / 5:
        return None
    known, new = split(len(y), 0.2, seed=0)
    return knn_accuracy(codes[known], places[known], codes[new], places[new])
