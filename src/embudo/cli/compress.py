"""``embudo compress``: from images to .emb files."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from embudo.cli.batch import Job, find_inputs, plan, run_jobs, workers_option
from embudo.cli.loading import codec_option, load_codec
from embudo.cli.options import PATH, output_option
from embudo.cli.output import check_output, json_text
from embudo.cli.tables import print_table
from embudo.errors import InvalidData, InvalidParameter

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each image is compressed."""

    model: Path | None = None
    quality: float = 50
    max_bytes: int | None = None
    bpp: float | None = None
    metadata: bool = False
    compare: bool = False
    pictures: Path | None = None


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER...", type=PATH)
@output_option("An .emb file, or a folder for several.", required=False)
@click.option("--quality", type=float, default=50, show_default=True, help="From 1 to 100: higher is larger.")
@click.option("--max-bytes", type=int, help="Instead of a quality: the best that fits into so many bytes.")
@click.option("--bpp", type=float, help="The same in bits a pixel.")
@click.option("--metadata/--no-metadata", default=False, help="Keep ICC profile, EXIF and XMP.", show_default=True)
@click.option("--together", is_flag=True, help="Put the images, all of one size, into one file.")
@click.option("--compare", is_flag=True, help="Measure JPEG, WebP, AVIF and JPEG XL at the same size as well.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a picture of each image: original, result and difference.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@codec_option
@workers_option
def compress(
    images: tuple[Path, ...], output: Path | None, together: bool, as_json: bool, workers: int, **settings: Any
) -> None:
    """Compress images, or whole folders of them, to .emb files.

    They are decoded with "embudo decompress" and the same model. EXIF orientation is applied, transparency is kept.
    """
    from embudo.data.images import list_images

    given = Settings(**settings)
    if not 1 <= given.quality <= 100:
        raise InvalidParameter(f"--quality must be from 1 to 100; got {given.quality:g}.")
    found = find_inputs(images, list_images)
    if together:
        rows = [compress_together([source for source, _ in found], output, given)]
    else:
        jobs = plan(found, output, ".emb")
        if given.pictures is not None:
            given.pictures.mkdir(parents=True, exist_ok=True)
        rows = run_jobs(compress_one, jobs, given, workers)
    if as_json:
        click.echo(json_text({"images": rows}))
    else:
        print_tables(rows)


def compress_one(job: Job, settings: Settings) -> dict[str, Any]:
    """Compress one image, and return what it came to."""
    from embudo.data.images import n_colours, read_image, read_metadata

    image = read_image(job.source, alpha=True)
    metadata = read_metadata(job.source) if settings.metadata else None
    row, decoded = compress_frames(image[None], job.target, settings, metadata)
    image = image[..., : n_colours(image.shape[2])]
    row = {"image": str(job.source), **row, **(compare(image, row["bytes"]) if settings.compare else {})}
    if settings.pictures is not None:
        caption = f"{row['bytes']:,} bytes, {row['bits_per_pixel']:.3f} bits/pixel, {row['psnr']:.2f} dB"
        draw_comparison(settings.pictures / f"{job.target.stem}.png", image, decoded[0], ("Original", caption))
    return row


def compress_together(sources: list[Path], output: Path | None, settings: Settings) -> dict[str, Any]:
    """Compress images of one size to one file, and return what it came to.

    Raises
    ------
    InvalidParameter
        If no file is named, or what is wanted besides is to be had of single images alone.
    InvalidData
        If the images differ in size or in channels.
    """
    import numpy as np

    from embudo.data.images import read_image

    if output is None or settings.metadata or settings.compare or settings.pictures is not None:
        raise InvalidParameter(
            "--together needs --output FILE.emb, and goes without --metadata, --compare, --pictures."
        )
    check_output(output, [".emb"])
    images = [read_image(source, alpha=True) for source in sources]
    for source, image in zip(sources, images, strict=True):
        if image.shape != images[0].shape:
            first, other = (" x ".join(map(str, shape)) for shape in (images[0].shape, image.shape))
            raise InvalidData(
                f"--together takes images of one size: '{sources[0]}' is {first} (height, width, channels), "
                f"'{source}' is {other}."
            )
    return {"image": f"{len(images)} images", **compress_frames(np.stack(images), output, settings, None)[0]}


def compress_frames(
    frames: np.ndarray, target: Path, settings: Settings, metadata: Mapping[str, bytes] | None
) -> tuple[dict[str, Any], np.ndarray]:
    """Write the file of images of one size and decode it again; return the row of the table, and the colours."""
    import numpy as np

    from embudo.data.files import write_atomically
    from embudo.data.images import n_colours
    from embudo.metrics.reconstruction import psnr
    from embudo.metrics.similarity import ms_ssim

    codec = load_codec(settings.model)
    started = time.perf_counter()
    data = codec.encode(frames, settings.quality, max_bytes=settings.max_bytes, bpp=settings.bpp, metadata=metadata)
    encoded = time.perf_counter()
    decoded = codec.decode(data).reshape(frames.shape)
    finished = time.perf_counter()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, data)
    n, height, width, channels = frames.shape
    frames, decoded = frames[..., : n_colours(channels)], decoded[..., : n_colours(channels)]
    pairs = list(zip(frames, decoded, strict=True))
    row = {
        "file": str(target),
        "width": width,
        "height": height,
        "bytes": len(data),
        "bits_per_pixel": 8 * len(data) / (n * height * width),
        "psnr": float(np.mean([psnr(*pair) for pair in pairs])),
        "ms_ssim": float(np.mean([ms_ssim(*pair) for pair in pairs])),
        "seconds_to_encode": encoded - started,
        "seconds_to_decode": finished - encoded,
    }
    return row, decoded


def compare(image: np.ndarray, size: int) -> dict[str, Any]:
    """Return what other formats make of an image in at most `size` bytes; None where they need more."""
    from embudo.codec.peers import available_peers, peer_within
    from embudo.metrics.reconstruction import psnr
    from embudo.metrics.similarity import ms_ssim

    row: dict[str, Any] = {}
    for name in available_peers():
        found = peer_within(name, image, size)
        row[f"bytes_{name}"] = len(found.data) if found else None
        row[f"psnr_{name}"] = psnr(image, found.pixels) if found else None
        row[f"ms_ssim_{name}"] = ms_ssim(image, found.pixels) if found else None
    return row


def draw_comparison(path: Path, image: np.ndarray, result: np.ndarray, captions: tuple[str, str]) -> None:
    """Write the picture of an image, what was made of it, and the difference."""
    from io import BytesIO

    from embudo.data.files import write_atomically
    from embudo.report.pictures import comparison_figure

    buffer = BytesIO()
    comparison_figure(image, result, captions).savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def print_tables(rows: list[dict[str, Any]]) -> None:
    """Print a line an image and the means below; then what other formats come to, where they were measured."""
    lines = [*rows, *([mean_row(rows)] if len(rows) > 1 else [])]
    measures = {
        key: (title, form)
        for key, title, form in (("psnr", "PSNR", ".2f"), ("ms_ssim", "MS-SSIM", ".4f"))
        if any(_number(row[key], form) != "none" for row in rows)  # small images have no MS-SSIM
    }
    print_table(
        ("file", "bytes", "bits/pixel", *(title for title, _ in measures.values()), "s"),
        [
            (
                row["file"],
                f"{row['bytes']:,.0f}",
                f"{row['bits_per_pixel']:.3f}",
                *(_number(row[key], form) for key, (_, form) in measures.items()),
                f"{row['seconds_to_encode'] + row['seconds_to_decode']:.2f}",
            )
            for row in lines
        ],
    )
    peers = [name.removeprefix("psnr_") for name in rows[0] if name.startswith("psnr_")]
    for key, (title, form) in measures.items() if peers else ():
        columns = [key, *(f"{key}_{name}" for name in peers)]
        print_table(
            (f"{title} at no more bytes", "embudo", *peers),
            [(row["file"], *(_number(row[column], form) for column in columns)) for row in lines],
        )


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
