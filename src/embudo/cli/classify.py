"""``embudo classify``: a classifier from an autoencoder and labels, of which few will do."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.loading import in_columns_of, load_as, load_autoencoder
from embudo.cli.options import INPUT, PATH, ClassWeight, DataSource, data_options, output_option
from embudo.cli.output import check_output, write_table
from embudo.cli.recipe import PARAMETERS, Recipe, fit_and_save, recipe_options
from embudo.cli.tables import print_facts
from embudo.cli.watching import Watched, watch_options
from embudo.errors import FileFormatError, InvalidData, InvalidParameter, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from embudo.apps.classification import AutoencoderClassifier

TABLES = (".csv", ".tsv", ".parquet")


@click.group(invoke_without_command=True)
@click.pass_context
def classify(ctx: click.Context) -> None:
    """Learn to classify, from all samples and the labels of some; predict classes."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@classify.command()
@click.argument("data", type=INPUT)
@click.option(
    "--labels",
    metavar="NAME|FILE",
    help="The labels: a column of a table or an array of an .npz file by its name, or a file. Not needed for images in "
    "a folder for each class.",
)
@output_option("The classifier: .safetensors.")
@click.option("--validation", type=PATH, help="Data to measure after each epoch, not learnt from.")
@click.option("--validation-labels", metavar="FILE", help="Their labels, where --labels names a file.")
@click.option("--model", type=PATH, help="A trained autoencoder to start from, instead of training one.")
@click.option("--pretrain/--no-pretrain", default=True, help="Train the autoencoder first.", show_default=True)
@click.option(
    "--fine-tune/--no-fine-tune",
    default=True,
    help="Let the encoder learn from the labels too, not the softmax layer alone.",
    show_default=True,
)
@click.option("--class-weight", type=ClassWeight(), help='"balanced", or weights by class such as spam=5,ham=1.')
@watch_options
@recipe_options(n_components=256, code_activation="leaky_relu", corruption="MaskingNoise(0.25)")
@data_options
def train(
    data: Path,
    labels: str | None,
    output: Path,
    validation: Path | None,
    validation_labels: str | None,
    model: Path | None,
    watched: Watched,
    source: DataSource,
    recipe: Recipe,
    **params: Any,
) -> None:
    """Train a classifier on DATA: an autoencoder on all samples, then all of it on those that have labels.

    Empty cells, -1, and images in no folder or one named "unlabelled" are samples without a label. The options of
    training hold for both, unless --fine-tuning says how the second is trained. A stack is pretrained level by level.
    """
    check_output(output, [".safetensors"])

    from embudo.apps.classification import AutoencoderClassifier

    first, shape = first_autoencoder(model, recipe)
    X, y = read_labelled(source, data, labels, shape)
    X_val = None
    if validation is not None:
        shape = getattr(X, "sample_shape", X.shape[1:]) or shape
        X_val = only_labelled(*read_labelled(source, validation, validation_labels or labels, shape))
    weight = params.pop("class_weight")
    classifier = AutoencoderClassifier(
        first,
        **params,
        class_weight=weights_of_classes(weight, y) if isinstance(weight, dict) else weight,
        training=recipe.training_of_the_whole,
        random_state=recipe.random_state,
    )
    classifier.set_params(**recipe.settings)
    with watched(f"{data.name} to {output.name}"):
        seconds = fit_and_save(classifier, output, X, y, X_val=X_val)
    print_summary(classifier, X, y, seconds)
    click.echo(f"Classifier written to {output}")


def first_autoencoder(path: Path | None, recipe: Recipe) -> tuple[Any, tuple[int, ...] | None]:
    """Return the autoencoder to start from, and the shape of the samples that it knows, where it has learnt.

    Raises
    ------
    InvalidParameter
        If a trained one is given, and what it shall be too.
    """
    if path is None:
        return recipe.build(recipe.training_of_a_part, fine_tune=None), None
    for option in click.get_current_context().command.params:
        if option.name in recipe.given & {*PARAMETERS, "sizes", "pretrain"}:
            raise InvalidParameter(f"--model gives an autoencoder that is trained: omit {option.opts[0]}.")
    from sklearn.frozen import FrozenEstimator

    autoencoder = load_autoencoder(path)
    return FrozenEstimator(autoencoder), autoencoder.sample_shape_


@classify.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT)
@output_option(".csv or .parquet.")
@click.option("--labels", metavar="NAME|FILE", help="Labels to measure the accuracy by, given as for training.")
@data_options
def predict(model: Path, data: Path, output: Path, labels: str | None, source: DataSource) -> None:
    """Write the class of each sample in DATA, and the probability of every class.

    With labels, the accuracy is printed.
    """
    check_output(output, [".csv", ".parquet"])

    import pandas as pd

    from embudo.apps.classification import AutoencoderClassifier
    from embudo.data.images import list_images
    from embudo.data.sources import is_data_folder

    classifier = load_as(AutoencoderClassifier, model)
    X, y = read_both(source, data, labels, classifier.sample_shape_)
    probabilities = classifier.predict_proba(in_columns_of(classifier, X))
    predicted = classifier.classes_[probabilities.argmax(axis=1)]
    columns: dict[str, Any] = {}
    if data.is_dir() and not is_data_folder(data):
        columns["image"] = [str(path.relative_to(data)) for path in list_images(data)]
    columns["predicted"] = predicted
    columns |= {f"probability_{name}": probabilities[:, i] for i, name in enumerate(classifier.classes_)}
    accuracy = None if y is None else accuracy_text(classifier, predicted, y, required=labels is not None)
    write_table(output, pd.DataFrame(columns))
    click.echo(f"Classes of {len(predicted)} samples written to {output}")
    if accuracy:
        click.echo(accuracy)


def accuracy_text(
    classifier: AutoencoderClassifier, predicted: np.ndarray, labels: np.ndarray, *, required: bool
) -> str | None:
    """Return what share of the labels was predicted; None where no label is a class, and none need be."""
    import numpy as np

    from embudo.apps.labels import UNLABELLED

    classes = classifier.classes_.astype(str)
    known = np.array([label is not None and (label != UNLABELLED or str(label) in classes) for label in labels])
    truth = labels[known].astype(str)  # classes learnt from a table may be numbers, those of folders are text
    if not np.isin(truth, classes).any():
        if required:
            raise InvalidData(
                f"None of the labels is a class of the model, which knows {', '.join(classes[:8])}"
                f"{', ...' if len(classes) > 8 else ''}."
            )
        return None
    right = predicted[known].astype(str) == truth
    return f"Accuracy {right.mean():.2%} on {len(right)} labelled samples: {np.count_nonzero(~right)} wrong"


def read_labelled(
    source: DataSource, data: Path, labels: str | None, shape: tuple[int, ...] | None
) -> tuple[Any, np.ndarray]:
    """Return samples and their labels, by `read_both`.

    Raises
    ------
    InvalidParameter
        If it is not said where the labels are.
    InvalidData
        If there is none.
    """
    X, y = read_both(source, data, labels, shape)
    if y is None:
        raise InvalidParameter(f"Give the labels of '{data}' by --labels: the name of a column, or a file.")
    if all(label is None for label in y):
        where = f"{labels!r} holds none" if labels else "put those of a class into a folder named after it"
        raise InvalidData(f"None of the samples in '{data}' has a label: {where}.")
    return X, y


def read_both(
    source: DataSource, data: Path, labels: str | None, shape: tuple[int, ...] | None
) -> tuple[Any, np.ndarray | None]:
    """Return samples and their labels, None where there are none.

    Parameters
    ----------
    source : DataSource
    data : Path
    labels : str or None
        Name of a column or an array in `data`, or of a file. None takes the folders that images lie in.
    shape : tuple of int or None
        That images are brought to.
    """
    from embudo.data.labels import as_labels, folder_labels, read_labels
    from embudo.data.readers import read
    from embudo.data.sources import is_data_folder
    from embudo.data.streams import Stream

    if labels is not None and (both := streamed_table(source, data, labels)):
        return both
    X = source.open(data, shape)
    if isinstance(X, Stream):
        X.survey()
    if labels is None:
        return X, folder_labels(data) if data.is_dir() and not is_data_folder(data) else None
    kind, within = data.suffix.lower(), f"{labels!r} of '{data}'"
    columns = getattr(X, "columns", ())
    if kind in TABLES and labels in columns:
        return X.drop(columns=labels), as_labels(X[labels], within)
    if kind in TABLES and not Path(labels).exists():
        guess = did_you_mean(labels, map(str, columns))
        raise InvalidParameter(f"--labels: '{data}' has no column {labels!r}{guess}, and there is no such file.")
    if kind == ".npz" and not Path(labels).exists():
        y = as_labels(read(data, key=labels).reshape(-1), within)
    else:
        y = read_labels(Path(labels))
    if len(y) != X.shape[0]:
        raise FileFormatError(f"'{labels}' holds {len(y)} labels, but '{data}' {X.shape[0]} samples: expected as many.")
    return X, y


def streamed_table(source: DataSource, data: Path, column: str) -> tuple[Any, np.ndarray] | None:
    """Return a column of a table larger than memory as labels, and a stream of the others; None of another, or none."""
    import pandas as pd

    from embudo.data.labels import as_labels
    from embudo.data.readers import read_chunks

    if data.suffix.lower() not in TABLES or not data.is_file():
        return None
    first = next(read_chunks(data, rows=1), None)
    if first is None or column not in first.columns:
        return None
    X = dataclasses.replace(source, drop=(*source.drop, column)).stream(data)
    if X is None:
        return None
    X.survey()
    return X, as_labels(pd.concat([chunk[column] for chunk in read_chunks(data)]), f"{column!r} of '{data}'")


def only_labelled(X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return the samples that have a label, and it."""
    import numpy as np

    from embudo.data.streams import subset

    known = np.flatnonzero([label is not None for label in y])
    return subset(getattr(X, "iloc", X), known), np.array(y[known].tolist())


def weights_of_classes(weights: dict[str, float], labels: np.ndarray) -> dict[Any, float]:
    """Return weights by class instead of by its name as text.

    Raises
    ------
    InvalidParameter
        If no label has such a name.
    """
    classes = {str(label): label for label in labels if label is not None}
    for name in weights:
        if name not in classes:
            raise InvalidParameter(f"--class-weight: no label is {name!r}{did_you_mean(name, classes)}.")
    return {classes[name]: weight for name, weight in weights.items()}


def print_summary(classifier: AutoencoderClassifier, X: Any, y: np.ndarray, seconds: float) -> None:
    """Print what was learnt from, and how well."""
    import numpy as np

    from embudo.data.streams import subset

    known = np.flatnonzero(np.isin(y.astype(str), classifier.classes_.astype(str)))
    rows, labels = subset(getattr(X, "iloc", X), known), y[known].astype(classifier.classes_.dtype)
    facts = [
        ("samples", f"{X.shape[0]:,}, {len(known):,} of them labelled"),
        ("classes", f"{len(classifier.classes_)}"),
        ("epochs with labels", f"{len(classifier.history_['epoch'])}"),
        ("accuracy, labelled samples", f"{classifier.score(rows, labels):.2%}"),
    ]
    if "validation_accuracy" in classifier.history_:
        accuracies = classifier.history_["validation_accuracy"]
        kept = max(accuracies) if classifier.training_.patience else accuracies[-1]
        facts.append(("accuracy, held-out samples", f"{kept:.2%}"))
    print_facts([*facts, ("time", f"{seconds:.1f} s")])
