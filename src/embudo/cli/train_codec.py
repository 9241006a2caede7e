"""``embudo train-codec``: a codec of one's own."""

from __future__ import annotations

import time
from pathlib import Path

import click

from embudo.cli.options import PATH, Word, output_option
from embudo.cli.output import check_output
from embudo.cli.tables import print_table
from embudo.cli.watching import Watched, watch_options


@click.command("train-codec")
@click.argument("folder", type=PATH)
@output_option("The codec: .safetensors.")
@click.option(
    "--method",
    type=Word(["finetune", "scratch", "linear"]),
    default="finetune",
    show_default=True,
    help="Begin with the codec that comes along, or with nothing; linear: in closed form, within seconds.",
)
@click.option("--block", type=int, default=16, show_default=True, help="Pixels on the side of a block.")
@click.option("--components", "n_components", type=int, help="Channels of the code.  [default: all of a block]")
@click.option(
    "--validation-fraction",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    help="Share of the images to measure on, not learnt from.",
)
@click.option("--epochs", type=int, default=20, show_default=True, help="Passes over the codes in training.")
@click.option("--run-dir", type=click.Path(), help="Folder that keeps the training: stopped, it goes on from there.")
@click.option(
    "--random-state",
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Decides which these are, and first weights.",
)
@watch_options
def train_codec(
    folder: Path,
    output: Path,
    watched: Watched,
    method: str,
    block: int,
    n_components: int | None,
    validation_fraction: float,
    epochs: int,
    run_dir: str | None,
    random_state: int,
) -> None:
    """Learn a codec from the images in FOLDER: pictures like those that it shall compress.

    "embudo compress --model" uses it. A file that it wrote is decoded with the same codec alone.
    """
    check_output(output, [".safetensors"])

    import numpy as np

    from embudo.codec.image_codec import ImageCodec
    from embudo.data.images import list_images

    paths = list_images(folder) if folder.is_dir() else [folder]
    n_held_out = min(round(validation_fraction * len(paths)), len(paths) - 1)
    order = np.random.default_rng(random_state).permutation(len(paths))
    learnt, held_out = ([paths[i] for i in sorted(part)] for part in (order[n_held_out:], order[:n_held_out]))
    started = time.perf_counter()
    codec = ImageCodec(n_components, block=block, method=method, random_state=random_state)
    codec.set_params(training__epochs=epochs, training__run_dir=run_dir)
    with watched(f"{folder.name} to {output.name}"):
        codec.fit(learnt, X_val=held_out or None)
    seconds = time.perf_counter() - started
    codec.save(output)
    click.echo(f"Learnt from {len(learnt)} images in {seconds:.1f} s: model {codec.model_id_}")
    if held_out:
        click.echo(f"On {len(held_out)} images that were held out:")
        curve = zip(*codec.history_.values(), strict=True)
        print_table(
            ("quality", "bits/pixel", "PSNR"),
            [(f"{quality:g}", f"{bpp:.3f}", f"{db:.2f}") for quality, bpp, db in curve],
        )
    click.echo(f"Codec written to {output}")
