"""``embudo decompress``: from .emb files to images."""

from __future__ import annotations

from pathlib import Path

import click

from embudo.cli.batch import Job, find_inputs, plan, run_jobs, workers_option
from embudo.cli.loading import codec_option, load_codec
from embudo.cli.options import PATH, output_option
from embudo.errors import FileFormatError


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER...", type=PATH)
@output_option("An image, or a folder for several.", required=False)
@codec_option
@workers_option
def decompress(files: tuple[Path, ...], output: Path | None, model: Path | None, workers: int) -> None:
    """Turn .emb files, or whole folders of them, back into images.

    They are written as PNG, or as the ending of the output says. A file of several images gives
    NAME-0000.png and so on.
    """
    jobs = plan(find_inputs(files, list_emb), output, ".png")
    written = [path for paths in run_jobs(decompress_one, jobs, model, workers) for path in paths]
    click.echo(f"Written: {written[0]}" if len(written) == 1 else f"{len(written)} images written")


def list_emb(folder: Path) -> list[Path]:
    """Return the .emb files in a folder and the folders in it.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    files = sorted(path for path in folder.rglob("*.emb") if path.is_file())
    if not files:
        raise FileFormatError(f"'{folder}' holds no .emb file.")
    return files


def decompress_one(job: Job, settings: Path | None) -> list[Path]:
    """Write the images of one file; return where."""
    from embudo.codec.container import unpack
    from embudo.codec.images import image_bytes, unpack_metadata
    from embudo.data.files import write_atomically

    data = job.source.read_bytes()
    try:
        pixels = load_codec(settings).decode(data)
        metadata = unpack_metadata(unpack(data))
    except FileFormatError as error:
        raise FileFormatError(f"'{job.source}': {error}") from None
    images = pixels if pixels.ndim == 4 else pixels[None]
    targets = [job.target]
    if len(images) > 1:
        targets = [job.target.with_stem(f"{job.target.stem}-{i:04}") for i in range(len(images))]
    job.target.parent.mkdir(parents=True, exist_ok=True)
    contents = [image_bytes(image, job.target.suffix, metadata) for image in images]
    for target, content in zip(targets, contents, strict=True):
        write_atomically(target, content)
    return targets
