"""``embudo denoise``: images without their noise."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import click

from embudo.cli.batch import Job, find_inputs, plan, run_jobs, workers_option
from embudo.cli.compress import draw_comparison
from embudo.cli.loading import load_denoiser
from embudo.cli.options import PATH, output_option
from embudo.cli.output import json_text
from embudo.cli.tables import print_table
from embudo.errors import check_number


@dataclasses.dataclass(frozen=True)
class Settings:
    """How each image is denoised."""

    model: Path | None = None
    sigma: float | None = None
    views: str = "4"
    metadata: bool = False
    pictures: Path | None = None


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER...", type=PATH)
@output_option("An image, or a folder for several.")
@click.option(
    "--sigma",
    type=float,
    help="Standard deviation of the noise, where white is 255.  [default: as the network sees it]",
)
@click.option(
    "--views",
    type=click.Choice(["1", "2", "4", "8"]),
    default="4",
    show_default=True,
    help="How often the network looks, turned another way each time: 1 is the quickest.",
)
@click.option("--metadata/--no-metadata", default=False, help="Keep ICC profile, EXIF and XMP.", show_default=True)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a picture of each image: as it was, denoised, and the difference.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--model",
    type=PATH,
    help="A denoiser that ImageDenoiser.save wrote.  [default: the one that comes with embudo]",
)
@workers_option
def denoise(images: tuple[Path, ...], output: Path, as_json: bool, workers: int, **settings: Any) -> None:
    """Take the noise out of images, or of whole folders of them.

    They are written as PNG, or as the ending of the output says. EXIF orientation is applied, transparency is kept.
    """
    from embudo.data.images import list_images

    given = Settings(**settings)
    if given.sigma is not None:
        check_number("--sigma", given.sigma, low=0)
    jobs = plan(find_inputs(images, list_images), output, ".png")
    if given.pictures is not None:
        given.pictures.mkdir(parents=True, exist_ok=True)
    rows = run_jobs(denoise_one, jobs, given, workers)
    if as_json:
        click.echo(json_text({"images": rows}))
    else:
        print_table(
            ("file", "width", "height", "taken out (RMS)", "s"),
            [
                (row["file"], str(row["width"]), str(row["height"]), f"{row['rms']:.2f}", f"{row['seconds']:.2f}")
                for row in rows
            ],
        )


def denoise_one(job: Job, settings: Settings) -> dict[str, Any]:
    """Denoise one image, and return what it came to."""
    import numpy as np

    from embudo.codec.images import image_bytes
    from embudo.data.files import write_atomically
    from embudo.data.images import n_colours, read_image, read_metadata

    image = read_image(job.source, alpha=True)
    denoiser = load_denoiser(settings.model)
    started = time.perf_counter()
    denoised = denoiser.denoise(image, settings.sigma, n_views=int(settings.views))
    seconds = time.perf_counter() - started
    content = image_bytes(denoised, job.target.suffix, read_metadata(job.source) if settings.metadata else {})
    job.target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(job.target, content)
    colours = n_colours(image.shape[2])
    image, denoised = image[..., :colours], denoised[..., :colours]
    rms = float(np.sqrt(np.square(image.astype(np.float32) - denoised).mean()))
    if settings.pictures is not None:
        captions = ("As it was", f"Denoised: {rms:.2f} levels taken out (RMS)")
        draw_comparison(settings.pictures / f"{job.target.stem}.png", image, denoised, captions)
    height, width = image.shape[:2]
    return {
        "image": str(job.source),
        "file": str(job.target),
        "width": width,
        "height": height,
        "rms": rms,
        "seconds": seconds,
    }
