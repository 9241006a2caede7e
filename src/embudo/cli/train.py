"""``embudo train``: from a data set to a model file."""

from __future__ import annotations

import dataclasses
import time
import tomllib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.options import DataSource, PartText, Scalar, Word, data_options, field_options
from embudo.cli.output import check_output
from embudo.errors import FileFormatError, InvalidParameter, TrainingInterrupted, did_you_mean
from embudo.nn.activations import ACTIVATIONS
from embudo.parts.losses import LOSSES
from embudo.parts.training import Training

if TYPE_CHECKING:
    from embudo.models.autoencoder import Autoencoder


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Make the values of a TOML file the defaults of the command's options.

    Raises
    ------
    FileFormatError
        If the file cannot be read.
    InvalidParameter
        If it holds a key that is not the name of an option.
    """
    if path is None:
        return
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"'{path}' is not a TOML file: {error}.") from None
    options = {  # name in the file: (name of the value, whether it is the opposite, such as --quiet)
        name[2:].replace("-", "_"): (option.name or "", name in option.secondary_opts)
        for option in ctx.command.params
        if isinstance(option, click.Option) and option is not param
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }
    defaults = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in options:
            guess = did_you_mean(name, options)
            raise InvalidParameter(f"'{path}' has an unknown key {key!r}{guess}: keys are the names of options.")
        if isinstance(value, dict):
            raise InvalidParameter(f"'{path}' holds a table for {key!r}: expected a value, parts as text.")
        target, opposite = options[name]
        defaults[target] = not value if opposite else value
    ctx.default_map = defaults


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The model file: .safetensors.")
@click.option(
    "--validation", type=click.Path(path_type=Path), help="Data to measure after each epoch, not learnt from."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="A TOML file that holds options by name; the command line wins.",
)
@click.option("--components", "n_components", type=Scalar(), help="Size of the code.  [default: half the features]")
@click.option(
    "--encoder", type=PartText(), help='Hidden layers before the code: "MLP((512, 256))", "ConvNet((32, 64))".'
)
@click.option("--decoder", type=PartText(), help="Hidden layers after the code.  [default: the encoder's, mirrored]")
@click.option("--code-activation", type=Word(ACTIVATIONS), default="identity", show_default=True)
@click.option("--output-activation", type=Word(ACTIVATIONS), default="identity", show_default=True)
@click.option("--tied/--untied", default=False, help="Use the encoder's weights, transposed, in the decoder.")
@click.option("--corruption", type=PartText(), help='What the encoder sees, such as "MaskingNoise(0.25)".')
@click.option("--sparsity", type=PartText(), help='Which units may speak, such as "TopK(25)".')
@click.option("--penalty", type=PartText(), help='What else costs, such as "L2(1e-4) + L1(1e-3)".')
@click.option("--loss", type=Word(LOSSES), default="squared_error", show_default=True)
@click.option("--scale", type=Word(["auto", "standard", "minmax", "none"]), default="auto", show_default=True)
@click.option("--sparse-output/--dense-output", default=False, help="Encode to a sparse matrix.", show_default=True)
@click.option("--init", type=Word(["auto", "pca"]), default="auto", show_default=True)
@click.option("--random-state", "--seed", type=Scalar(), help="Decides first weights and order: same seed, same model.")
@field_options(Training, {"optimizer": PartText(), "run_dir": click.Path(), "verbose": False})
@click.option("--verbose/--quiet", "-v/-q", default=True, help="Whether progress is shown.", show_default=True)
@data_options
@click.pass_context
def train(
    ctx: click.Context, /, data: Path, output: Path, validation: Path | None, source: DataSource, **params: Any
) -> None:
    """Train an autoencoder on DATA, write the model.

    DATA is a .npy, .npz, .csv, .parquet, .idx or .idx.gz file, or a folder of images.
    Parts are given as text; "none" stands for None.
    """
    check_output(output, [".safetensors"])
    training = Training(**{field.name: params.pop(field.name) for field in dataclasses.fields(Training)})

    from embudo.models.autoencoder import Autoencoder

    model = Autoencoder(**params, training=training)
    X = source.read(data)
    shape = X.shape[1:] if X.ndim == 4 else None
    X_val = None if validation is None else source.read(validation, shape)
    started = time.perf_counter()
    interruption = fit(model, X, X_val)
    seconds = time.perf_counter() - started
    model.save(output)
    if interruption:
        goes_on = "" if training.run_dir is None else " The same command goes on where it was."
        click.echo(f"{interruption} It is in '{output}'.{goes_on}", err=True)
        ctx.exit(130)
    _print_summary(model, X, X_val, seconds)
    click.echo(f"Model written to {output}")


def fit(model: Autoencoder, X: Any, X_val: Any) -> str | None:
    """Fit `model`; return the sentence of the warning where Ctrl-C stopped it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingInterrupted)
        model.fit(X, X_val=X_val)
    interruption = None
    for warning in caught:
        if issubclass(warning.category, TrainingInterrupted):
            interruption = str(warning.message)
        else:
            warnings.warn(warning.message, stacklevel=2)
    return interruption


def _print_summary(model: Autoencoder, X: Any, X_val: Any, seconds: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    learnt, held_out = _learnt_and_held_out(model, X, X_val)
    history, last = model.history_, _kept_epoch(model)
    table = Table(box=box.SIMPLE_HEAD, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("epochs", f"{len(history['epoch'])}")
    table.add_row("training loss", f"{history['loss'][last]:.5g}")
    if "validation_loss" in history:
        table.add_row("validation loss", f"{history['validation_loss'][last]:.5g}")
    measured, where = (learnt, "training") if held_out is None else (held_out, "held-out")
    error = model.reconstruction_error(measured).mean()
    table.add_row(f"reconstruction error, {where} samples", f"{error:.5g}")
    table.add_row(f"PCA's, {model.n_components_} components", _pca_error(model, learnt, measured))
    table.add_row("time", f"{seconds:.1f} s")
    Console().print(table)


def _kept_epoch(model: Autoencoder) -> int:
    """Return the row of the history whose weights the model has: with patience the best, else the last."""
    losses = model.history_.get("validation_loss")
    if losses is None or model.training_.patience is None:
        return -1
    return losses.index(min(losses))


def _learnt_and_held_out(model: Autoencoder, X: Any, X_val: Any) -> tuple[Any, Any]:
    """Return the samples that `fit` learnt from, and those that it held out or None."""
    from embudo.data.batches import split

    if X_val is not None or model.training_.validation_fraction == 0:
        return X, X_val
    learnt, held_out = split(X.shape[0], model.training_.validation_fraction, model.seed_)
    rows = getattr(X, "iloc", X)
    return rows[learnt], rows[held_out]


def _pca_error(model: Autoencoder, learnt: Any, measured: Any) -> str:
    """Return PCA's reconstruction error of `measured`, with the model's scaling and code size, or why there is none."""
    import numpy as np
    import scipy.sparse
    from sklearn.decomposition import PCA

    if scipy.sparse.issparse(learnt):
        return "not computed for sparse data"
    n_components, scaler = model.n_components_, model.scaler_
    learnt, measured = (np.asarray(rows, dtype=np.float32).reshape(len(rows), -1) for rows in (learnt, measured))
    if n_components > min(learnt.shape):
        return f"none of {learnt.shape[0]} samples x {learnt.shape[1]} features"
    pca = PCA(n_components, random_state=0).fit(scaler.apply(learnt))
    difference = scaler.invert(pca.inverse_transform(pca.transform(scaler.apply(measured)))) - measured
    return f"{np.square(difference, dtype=np.float64).sum(axis=1).mean():.5g}"
