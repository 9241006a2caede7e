"""``embudo detect``: a detector of anomalies from normal rows, and tables of scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.loading import in_columns_of, load_as
from embudo.cli.options import INPUT, PATH, DataSource, Scalar, Word, data_options, output_option
from embudo.cli.output import check_output, write_tables
from embudo.cli.recipe import Recipe, fit_and_save, recipe_options
from embudo.cli.tables import print_facts, print_table
from embudo.cli.watching import Watched, watch_options
from embudo.errors import InvalidData, InvalidParameter
from embudo.parts.optimizers import Adam
from embudo.parts.training import Training

if TYPE_CHECKING:
    import pandas as pd

    from embudo.apps.detection import AnomalyDetector

CRITERIA = ("whitened", "squared", "denoising", "density")
STREAMED = (".csv", ".tsv", ".parquet")  #: tables that are read a few rows at a time
CALIBRATED = 0.2  #: share of the data that is held out to calibrate by
CHUNK = 10_000  #: rows of a table that are read at a time
SHOWN = 5  #: most abnormal samples that are printed


@click.group(invoke_without_command=True)
@click.pass_context
def detect(ctx: click.Context) -> None:
    """Learn what is normal; find anomalies, with reasons."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@detect.command()
@click.argument("data", type=INPUT)
@output_option("The detector: .safetensors.")
@click.option(
    "--contamination",
    type=Scalar(),
    default="auto",
    show_default=True,
    help='Share of DATA that is flagged: 0 for clean data, up to 0.5, or "auto".',
)
@click.option(
    "--false-alarm-rate",
    type=Scalar(),
    help="Share of new normal samples that may be flagged; a fifth of DATA, all normal, is held out to keep to it.",
)
@click.option(
    "--calibration",
    type=PATH,
    help="Other normal samples to keep to the rate by; none of DATA is held out then.",
)
@click.option(
    "--criterion",
    type=Word(CRITERIA),
    default="denoising",
    show_default=True,
    help="What the score is made of.",
)
@click.option("--estimators", "n_estimators", type=Scalar(), default=1, show_default=True, help="Autoencoders.")
@click.option(
    "--subsampled",
    "n_subsampled",
    type=Scalar(),
    default="auto",
    show_default=True,
    help='More autoencoders that learn from 16 samples each, of data with anomalies; "auto" is 4, or 0 for clean data.',
)
@click.option(
    "--trimming",
    type=Scalar(),
    default=0.0,
    show_default=True,
    help="Share of DATA that a first fit finds most abnormal and the second leaves out.",
)
@watch_options
@recipe_options(
    n_components=128,
    encoder="MLP((128,), activation='tanh')",
    decoder="MLP()",
    code_activation="tanh",
    corruption="GaussianNoise((0.1, 2.0))",
    scale="standard",
    training=Training(batch_size=128, steps=500, optimizer=Adam(1e-2)),
)
@data_options
def fit(
    data: Path,
    output: Path,
    false_alarm_rate: Any,
    calibration: Path | None,
    watched: Watched,
    source: DataSource,
    recipe: Recipe,
    **params: Any,
) -> None:
    """Learn what is normal from DATA, most of which should be.

    Tables may hold categories, and lack values. The options of training are those of the autoencoder. Data
    larger than 128 MiB are read a part at a time, but for .npz and .idx files and tables with columns of text.
    """
    check_output(output, [".safetensors"])
    if calibration is not None and false_alarm_rate is None:
        raise InvalidParameter(
            "--calibration needs --false-alarm-rate: the share of false alarms that it shall keep to."
        )

    from embudo.apps.detection import AnomalyDetector

    autoencoder = recipe.build(recipe.training_of_the_whole if recipe.sizes else recipe.training, "reconstruction")
    detector = AnomalyDetector(autoencoder, **params, random_state=recipe.random_state)
    detector.set_params(**recipe.settings)
    X, X_normal = source.open(data), None
    if calibration is not None:
        X_normal = source.open(calibration, getattr(X, "sample_shape", X.shape[1:]))
    elif false_alarm_rate is not None:
        X, X_normal = split(X, recipe.random_state)
    if X_normal is not None:
        from embudo.apps.calibration import check_enough

        if X_normal.shape[0] >= 0:  # else only a pass over them tells how many they are
            check_enough(X_normal.shape[0], false_alarm_rate)
        X_normal = named_as(X_normal, X)

    def calibrate() -> None:
        if X_normal is not None:
            detector.calibrate(X_normal, false_alarm_rate)

    with watched(f"{data.name} to {output.name}"):
        seconds = fit_and_save(detector, output, X, finish=calibrate)
    print_summary(detector, X, seconds)
    click.echo(f"Detector written to {output}")


def split(X: Any, seed: int | None) -> tuple[Any, Any]:
    """Return samples to learn from and to calibrate by, drawn by `seed`."""
    import numpy as np

    from embudo.data.streams import Stream, subset

    if isinstance(X, Stream):
        X.survey(allow_nan=True)
    order = np.random.default_rng(seed).permutation(X.shape[0])
    n_held_out = round(CALIBRATED * len(order))
    rows = getattr(X, "iloc", X)
    return subset(rows, np.sort(order[n_held_out:])), subset(rows, np.sort(order[:n_held_out]))


@detect.command()
@click.argument("model", type=PATH)
@click.argument("data", type=INPUT)
@output_option(".csv or .parquet.")
@click.option(
    "--top", type=click.IntRange(min=0), default=3, show_default=True, help="Features that are named for each sample."
)
@data_options
def score(model: Path, data: Path, output: Path, top: int, source: DataSource) -> None:
    """Write a score for each sample in DATA, whether it is an anomaly, and the features that make it one.

    The lower the score, the more abnormal. Tables are read and written a few rows at a time, whatever their size; their
    columns are found by name.
    """
    from embudo.apps.detection import AnomalyDetector

    check_output(output, [".csv", ".parquet"])
    detector = load_as(AnomalyDetector, model)
    tally = Tally()
    write_tables(output, map(tally.count, scored(detector, data, source, top)))
    tally.show()
    click.echo(f"Scores of {tally.n_samples:,} samples written to {output}")


def scored(detector: AnomalyDetector, data: Path, source: DataSource, top: int) -> Iterator[pd.DataFrame]:
    """Yield tables of scores for chunks of the data."""
    import pandas as pd

    from embudo.apps.explanation import examine
    from embudo.data.images import list_images
    from embudo.data.sources import is_data_folder

    images = data.is_dir() and not is_data_folder(data)
    names, start = [str(path.relative_to(data)) for path in list_images(data)] if images else None, 0
    for chunk in chunks_of(detector, data, source):
        scores, reasons = examine(detector, chunk, top) if top else (detector.score_samples(chunk), {})
        index = getattr(chunk, "index", range(start, start + len(scores)))
        start += len(scores)
        columns: dict[str, Any] = {} if names is None else {"image": names[start - len(scores) : start]}
        columns |= {"score": scores, "anomaly": scores < detector.offset_}
        if detector.calibration_ is not None:
            columns["p_value"] = detector.calibration_.p_values(scores)
        for rank in range(min(top, detector.n_features_in_)):
            facts = {name: array[:, rank] for name, array in reasons.items()}
            columns[f"feature_{rank + 1}"] = facts["feature"].astype(str)
            columns[f"share_{rank + 1}"] = facts["share"]
            columns[f"value_{rank + 1}"] = list(map(in_words, facts["value"]))
            columns[f"expected_{rank + 1}"] = list(map(in_words, facts["expected"]))
        yield pd.DataFrame(columns, index=index)


def in_words(value: Any) -> str:
    """Return a value of a table as text."""
    if value is None or value != value:
        return ""
    return str(value) if isinstance(value, str | bool) else f"{float(value):.6g}"


def chunks_of(detector: AnomalyDetector, data: Path, source: DataSource) -> Iterator[Any]:
    """Yield the data, tables and streams in chunks, with the columns that the detector knows; all else at once."""
    import pandas as pd

    from embudo.data.readers import read_chunks
    from embudo.data.streams import Stream

    if data.suffix.lower() in STREAMED and data.is_file():
        for chunk in read_chunks(data, drop=source.drop, rows=CHUNK):
            yield in_columns_of(detector, chunk)
        return
    X = in_columns_of(detector, source.open(data, detector.sample_shape_))
    if not isinstance(X, Stream):
        yield X
        return
    for where, rows in X.slices(CHUNK, allow_nan=detector._takes_gaps()):
        yield rows if X.names is None else pd.DataFrame(rows, range(where.start, where.stop), X.names)


def named_as(X: Any, other: Any) -> Any:
    """Return a table with the columns of another, where both are tables."""
    from embudo.data.parquet import ParquetStream
    from embudo.data.tables import same_columns

    if not (hasattr(X, "columns") and hasattr(other, "columns")):
        return X
    return X.select(other.columns) if isinstance(X, ParquetStream) else same_columns(X, other.columns)


def print_summary(detector: AnomalyDetector, X: Any, seconds: float) -> None:
    """Print what was learnt from, and where the threshold lies."""
    import numpy as np

    columns = detector.table_.columns if detector.table_ else ()
    n_categories = sum(column.categories is not None for column in columns)
    gaps = sum(column.missing for column in columns)
    kinds = [f"{n_categories} of categories"] * bool(n_categories) + [f"{gaps} with gaps"] * bool(gaps)
    facts = [
        ("samples", f"{X.shape[0]:,}"),
        ("features", ", ".join([f"{detector.n_features_in_:,}", *kinds])),
        ("score", detector.criterion),
        ("autoencoders", f"{len(detector.autoencoders_)}"),
    ]
    if detector.calibration_ is not None:
        facts.append(("false alarms asked for", f"{detector.calibration_.false_alarm_rate:.2%}"))
        facts.append(("calibrated on", f"{len(detector.calibration_.scores):,} normal samples"))
    flagged = np.count_nonzero(detector.predict(X) == -1)
    facts.append(("anomalies among the samples", f"{flagged:,}, {flagged / X.shape[0]:.2%}"))
    print_facts([*facts, ("threshold", f"{detector.offset_:.5g}"), ("time", f"{seconds:.1f} s")])


class Tally:
    """Counts what passes, and keeps the samples that are most abnormal."""

    def __init__(self) -> None:
        self.n_samples = self.n_anomalies = 0
        self.worst: pd.DataFrame | None = None

    def count(self, table: pd.DataFrame) -> pd.DataFrame:
        """Count the samples of a table of scores, and return it."""
        import pandas as pd

        self.n_samples += len(table)
        self.n_anomalies += int(table["anomaly"].sum())
        self.worst = pd.concat([self.worst, table]).nsmallest(SHOWN, "score")
        return table

    def show(self) -> None:
        """Print how many anomalies there are, and the most abnormal samples."""
        if self.worst is None:
            raise InvalidData("The data hold no samples.")
        p_value = ["p_value"] if "p_value" in self.worst else []
        rows = []
        for row, facts in self.worst.iterrows():
            reasons = [
                f"{facts[f'feature_{i}']} = {facts[f'value_{i}'] or 'none'} ({facts[f'share_{i}']:.0%}, "
                f"expected {facts[f'expected_{i}']})"
                for i in (1, 2)
                if f"feature_{i}" in self.worst
            ]
            p = [f"{facts[name]:.2g}" for name in p_value]
            rows.append((str(facts.get("image", row)), f"{facts['score']:.4g}", *p, "; ".join(reasons)))
        head = ("row", "score", *(["p-value"] if p_value else []), "because of")
        title = f"{self.n_anomalies:,} anomalies; the lowest scores:"
        print_table(head, rows, text=(0, len(head) - 1), title=title)
