"""``embudo export``: from a model file to an ONNX file, or a folder for Hugging Face's hub."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.loading import in_columns_of, load_as
from embudo.cli.options import PATH, DataSource, Word, data_options, output_option
from embudo.cli.output import check_output
from embudo.errors import InvalidParameter


@click.command()
@click.argument("model", type=PATH)
@output_option(".onnx, or a folder.")
@click.option(
    "--part",
    type=Word(["reconstruction", "encoder", "decoder", "grey", "colour"]),
    help="Of an autoencoder, or kind of images of a denoiser.  [default: all, or the first]",
)
@click.option("--check", type=PATH, help="Samples to compare on.  [default: random ones]")
@data_options
def export(model: Path, output: Path, part: str | None, check: Path | None, source: DataSource) -> None:
    """Write MODEL as an ONNX file that needs no embudo, for any number of rows; or as a folder for Hugging Face's hub.

    Scaling and thresholds are inside. It is written after onnxruntime has computed with it what the model does. A
    folder holds the model itself, and a card to read; verbs that take a model take it too.
    """
    check_output(output, [".onnx", ""])
    if not output.suffix:
        export_folder(model, output, part, check)
        return

    from embudo.models.export import Exportable

    estimator = load_as(Exportable, model)
    X = None if check is None else source.read(check, getattr(estimator, "sample_shape_", None))
    difference = estimator.to_onnx(output, part, X=in_columns_of(estimator, X))
    click.echo(f"Written to {output}; onnxruntime computes the same but for {difference:.1g}")


def export_folder(path: Path, folder: Path, part: str | None, check: Path | None) -> None:
    """Write a model as a folder.

    Raises
    ------
    InvalidParameter
        If an option is given that is for ONNX.
    """
    from embudo.models.folder import write_folder
    from embudo.models.persistence import load

    if part is not None or check is not None:
        raise InvalidParameter(f"--part and --check are for .onnx files; '{folder}' would be a folder.")
    write_folder(load(path), folder)
    click.echo(f"Written to {folder}: model, description and card")
