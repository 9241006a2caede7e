"""``embudo train``: from a data set to a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.options import INPUT, DataSource, Word, data_options, output_option
from embudo.cli.output import check_output
from embudo.cli.processes import leads, several_processes
from embudo.cli.recipe import Recipe, fit_and_save, recipe_options
from embudo.cli.tables import print_facts, print_table
from embudo.cli.watching import Watched, watch_options
from embudo.errors import InvalidParameter

if TYPE_CHECKING:
    from embudo.models.autoencoder import Autoencoder
    from embudo.models.stacked import StackedAutoencoder


@click.command()
@click.argument("data", type=INPUT)
@output_option("The model file: .safetensors.")
@click.option("--validation", type=INPUT, help="Data to measure after each epoch, not learnt from.")
@click.option(
    "--fine-tune",
    type=Word(["reconstruction", "none"]),
    default="reconstruction",
    show_default=True,
    help="What a stack is trained on as a whole, after its levels.",
)
@watch_options
@recipe_options()
@data_options
@several_processes
def train(
    data: Path,
    output: Path,
    validation: Path | None,
    fine_tune: str | None,
    watched: Watched,
    source: DataSource,
    recipe: Recipe,
) -> None:
    """Train an autoencoder on DATA, or with --stack one on the code of another, write the model.

    DATA is a .npy, .npz, .csv, .parquet, .idx or .idx.gz file, a Zarr array, or a folder of Parquet files or images.
    Those larger than 128 MiB are read a part at a time, but for .npz and .idx files.
    Parts are given as text; "none" stands for None.
    """
    check_output(output, [".safetensors"])
    stacked = recipe.sizes is not None
    for name in () if stacked else ("fine_tune", "fine_tuning"):
        if name in recipe.given:
            raise InvalidParameter(
                f"--{name.replace('_', '-')} is for a stack: give the sizes of its codes by --stack."
            )
    model = recipe.build(recipe.training_of_the_whole if stacked else recipe.training, fine_tune)
    model.set_params(**{"random_state": recipe.random_state, **recipe.settings})
    X = source.open(data)
    shape = getattr(X, "sample_shape", X.shape[1:])
    X_val = None if validation is None else source.open(validation, shape)
    with watched(f"{data.name} to {output.name}"):
        seconds = fit_and_save(model, output, X, X_val=X_val)
    if not leads():
        return
    _print_summary(model, X, X_val, seconds)
    click.echo(f"Model written to {output}")


def _print_summary(model: Autoencoder | StackedAutoencoder, X: Any, X_val: Any, seconds: float) -> None:
    learnt, held_out = _learnt_and_held_out(model, X, X_val)
    stages, facts = getattr(model, "stages_", None), []
    if stages:
        _print_stages(stages)
    else:
        history, last = model.history_, _kept_epoch(model)
        facts += [("epochs", f"{len(history['epoch'])}"), ("training loss", f"{history['loss'][last]:.5g}")]
        if "validation_loss" in history:
            facts.append(("validation loss", f"{history['validation_loss'][last]:.5g}"))
    measured, where = (learnt, "training") if held_out is None else (held_out, "held-out")
    error = model.reconstruction_error(measured).mean()
    print_facts(
        [
            *facts,
            (f"reconstruction error, {where} samples", f"{error:.5g}"),
            (f"PCA's, {model.n_components_} components", _pca_error(model, learnt, measured)),
            ("time", f"{seconds:.1f} s"),
        ]
    )


def _print_stages(stages: dict[str, list[Any]]) -> None:
    """Print what each stage of a stack came to, one below the other."""
    names = {"n_components": "code", "training_error": "training error", "validation_error": "held-out error"}
    print_table(
        [names.get(column, column) for column in stages],
        [
            [f"{cell:.5g}" if isinstance(cell, float) else str(cell) for cell in row]
            for row in zip(*stages.values(), strict=True)
        ],
    )


def _kept_epoch(model: Autoencoder | StackedAutoencoder) -> int:
    """Return the row of the history whose weights the model has: with patience the best, else the last."""
    losses = model.history_.get("validation_loss")
    if losses is None or model.training_.patience is None:
        return -1
    return losses.index(min(losses))


def _learnt_and_held_out(model: Autoencoder | StackedAutoencoder, X: Any, X_val: Any) -> tuple[Any, Any]:
    """Return the samples that `fit` learnt from, and those that it held out or None."""
    from embudo.data.batches import split
    from embudo.data.streams import Stream, divided

    if X_val is not None or model.training_.validation_fraction == 0:
        return X, X_val
    if isinstance(X, Stream):
        return divided(X, model.training_.validation_fraction, model.seed_)
    learnt, held_out = split(X.shape[0], model.training_.validation_fraction, model.seed_)
    rows = getattr(X, "iloc", X)
    return rows[learnt], rows[held_out]


def _pca_error(model: Autoencoder | StackedAutoencoder, learnt: Any, measured: Any) -> str:
    """Return PCA's reconstruction error of `measured`, with the model's scaling and code size, or why there is none."""
    import numpy as np
    import scipy.sparse
    from sklearn.decomposition import PCA

    from embudo.data.batches import slices
    from embudo.data.streams import Stream

    if scipy.sparse.issparse(learnt):
        return "not computed for sparse data"
    n_components, scaler = model.n_components_, model.scaler_
    if isinstance(learnt, Stream) or isinstance(measured, Stream):
        return _streamed_pca_error(model, learnt, measured)
    learnt, measured = map(_rows, (learnt, measured))
    if n_components > min(learnt.shape):
        return f"none of {learnt.shape[0]} samples x {learnt.shape[1]} features"
    with np.errstate(invalid="ignore"):  # it divides by the variance of all, which may be 0
        pca = PCA(n_components, random_state=0).fit(scaler.apply(learnt).astype(np.float32, copy=False))
    total = 0.0
    for _, rows in slices(measured, 1000):
        z = scaler.apply(rows).astype(np.float32, copy=False)
        found = scaler.invert(pca.inverse_transform(pca.transform(z)).astype(np.float64))
        total += float(np.square(found - rows).sum())
    return f"{total / len(measured):.5g}"


def _rows(X: Any) -> Any:
    """Return samples as an array of shape (n_samples, n_features)."""
    import numpy as np

    return np.asarray(X, dtype=getattr(X, "dtype", np.float64)).reshape(len(X), -1)


def _streamed_pca_error(model: Autoencoder | StackedAutoencoder, learnt: Any, measured: Any) -> str:
    """Return what `_pca_error` does of data larger than memory, by the covariance of the features."""
    import numpy as np

    from embudo.data.batches import slices
    from embudo.data.streams import Stream
    from embudo.metrics.variance import MOST_FEATURES, Covariance

    learnt, measured = (rows if isinstance(rows, Stream) else _rows(rows) for rows in (learnt, measured))
    n_samples, n_features = learnt.shape
    if not model.n_components_ <= min(n_samples, n_features) <= MOST_FEATURES:
        return f"not computed for {n_samples} samples x {n_features} features"
    scaler, covariance = model.scaler_, Covariance()
    for _, rows in slices(learnt, 1000):
        covariance.update(scaler.apply(rows))
    pca, total = covariance.pca(model.n_components_), 0.0
    for _, rows in slices(measured, 1000):
        y = scaler.invert(pca.reconstruct(scaler.apply(rows)))
        total += float(np.square(y - rows, dtype=np.float64).sum())
    return f"{total / measured.shape[0]:.5g}"
