"""``embudo compress``: from images to .emb files."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.batch import Job, find_inputs, model_option, plan, run_jobs, workers_option
from embudo.cli.output import json_text
from embudo.errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each image is compressed."""

    model: Path | None
    quality: float
    max_bytes: int | None
    bpp: float | None
    metadata: bool
    compare: bool
    pictures: Path | None


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER...", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An .emb file, or a folder for several.")
@click.option("--quality", type=float, default=50, show_default=True, help="From 1 to 100: higher is larger.")
@click.option("--max-bytes", type=int, help="Instead of a quality: the best that fits into so many bytes.")
@click.option("--bpp", type=float, help="The same in bits a pixel.")
@click.option("--metadata/--no-metadata", default=False, help="Keep ICC profile, EXIF and XMP.", show_default=True)
@click.option("--compare", is_flag=True, help="Measure JPEG, WebP and AVIF at the same size as well.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a picture of each image: original, result and difference.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@model_option
@workers_option
def compress(images: tuple[Path, ...], output: Path | None, as_json: bool, workers: int, **settings: Any) -> None:
    """Compress images, or whole folders of them, to .emb files.

    They are decoded with "embudo decompress" and the same model. EXIF orientation is applied, transparency is kept.
    """
    from embudo.data.images import list_images

    given = Settings(**settings)
    if not 1 <= given.quality <= 100:
        raise InvalidParameter(f"--quality must be from 1 to 100; got {given.quality:g}.")
    jobs = plan(find_inputs(images, list_images), output, ".emb")
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    rows = run_jobs(compress_one, jobs, given, workers)
    if as_json:
        click.echo(json_text({"images": rows}))
    else:
        print_table(rows)


def compress_one(job: Job, settings: Settings) -> dict[str, Any]:
    """Compress one image, decode the file again, and return what it came to."""
    from embudo.cli.batch import codec_of
    from embudo.data.files import write_atomically
    from embudo.data.images import read_image, read_metadata

    codec = codec_of(settings.model)
    image = read_image(job.source, alpha=True)
    metadata = read_metadata(job.source) if settings.metadata else None
    started = time.perf_counter()
    data = codec.encode(image, settings.quality, max_bytes=settings.max_bytes, bpp=settings.bpp, metadata=metadata)
    encoded = time.perf_counter()
    decoded = codec.decode(data)
    seconds = (encoded - started, time.perf_counter() - encoded)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.target, data)
    colours = image.shape[2] - (image.shape[2] % 2 == 0)
    return describe(job, settings, image[..., :colours], decoded[..., :colours], len(data), seconds)


def describe(
    job: Job, settings: Settings, image: np.ndarray, decoded: np.ndarray, size: int, seconds: tuple[float, float]
) -> dict[str, Any]:
    """Return the row of the table for one image, and draw its picture where one is wanted."""
    from embudo.codec.peers import available_peers, peer_within
    from embudo.metrics.reconstruction import psnr
    from embudo.metrics.similarity import ms_ssim

    row: dict[str, Any] = {
        "image": str(job.source),
        "file": str(job.target),
        "width": image.shape[1],
        "height": image.shape[0],
        "bytes": size,
        "bits_per_pixel": 8 * size / (image.shape[0] * image.shape[1]),
        "psnr": psnr(image, decoded),
        "ms_ssim": ms_ssim(image, decoded),
        "seconds_to_encode": seconds[0],
        "seconds_to_decode": seconds[1],
    }
    for name in available_peers() if settings.compare else ():
        found = peer_within(name, image, size)
        row[f"psnr_{name}"] = psnr(image, found[1]) if found else None
    if settings.pictures is not None:
        draw(settings.pictures / f"{job.target.stem}.png", image, decoded, row)
    return row


def draw(path: Path, image: np.ndarray, decoded: np.ndarray, row: dict[str, Any]) -> None:
    """Write the picture of original, result and difference."""
    from io import BytesIO

    from embudo.data.files import write_atomically
    from embudo.report.pictures import comparison_figure

    caption = f"{row['bytes']:,} bytes, {row['bits_per_pixel']:.3f} bits/pixel, {row['psnr']:.2f} dB"
    buffer = BytesIO()
    comparison_figure(image, decoded, ("Original", caption)).savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print a line an image, and the means below."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    peers = [name.removeprefix("psnr_") for name in rows[0] if name.startswith("psnr_")]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("file", overflow="fold")
    for name in ("bytes", "bits/pixel", "PSNR", "MS-SSIM", *(f"{name}'s PSNR" for name in peers), "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in [*rows, *([mean_row(rows)] if len(rows) > 1 else [])]:
        table.add_row(
            row["file"],
            f"{row['bytes']:,.0f}",
            f"{row['bits_per_pixel']:.3f}",
            f"{row['psnr']:.2f}",
            _number(row["ms_ssim"], ".4f"),
            *(_number(row[f"psnr_{name}"], ".2f") for name in peers),
            f"{row['seconds_to_encode'] + row['seconds_to_decode']:.2f}",
        )
    Console().print(table)


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of each column, over the rows that have a value."""
    import numpy as np

    means: dict[str, Any] = {"file": f"mean of {len(rows)}"}
    for name in rows[0]:
        if name not in {"image", "file"}:
            values = [row[name] for row in rows if row[name] is not None and not np.isnan(row[name])]
            means[name] = float(np.mean(values)) if values else None
    return means


def _number(value: float | None, form: str) -> str:
    return "none" if value is None or value != value else format(value, form)
