"""``embudo demo``: the main job on data that scikit-learn brings along."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from embudo.cli.tables import print_facts

CODE_SIZE = 8  #: of a digit
QUALITY = 40  #: of the compressed photograph


@click.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="demo",
    show_default=True,
    help="Folder for what is written.",
)
def demo(folder: Path) -> None:
    """Train on digits, compress a photograph, draw both.

    Needs no data and no network: the digits and photographs are those of scikit-learn.
    """
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    digits = learn_digits(folder)
    photograph = compress_photograph(folder)
    path = draw(folder, digits, photograph)
    click.echo(f"\nPicture of all this: {path}")
    click.echo(f"{time.perf_counter() - started:.0f} s in all")


def learn_digits(folder: Path) -> dict[str, Any]:
    """Train on digits and print the error beside PCA's; return what is to be drawn."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split

    from embudo import MLP, Adam, Autoencoder, Training

    X = load_digits().data / 16
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    click.echo(
        f"1. Handwritten digits: {len(train):,} to learn from, {len(test)} to test on; "
        f"{X.shape[1]} pixels to {CODE_SIZE} code units"
    )
    model = Autoencoder(
        CODE_SIZE,
        encoder=MLP((256, 128), activation="gelu"),
        training=Training(150, batch_size=64, optimizer=Adam(2e-3), schedule="warmup_cosine", verbose=True),
        random_state=0,
    ).fit(train, X_val=test)
    pca = PCA(CODE_SIZE, random_state=0).fit(train)
    by_pca = pca.inverse_transform(pca.transform(test))
    error, pca_error = model.reconstruction_error(test).mean(), np.square(test - by_pca).sum(axis=1).mean()
    path = folder / "digits.safetensors"
    model.save(path)
    print_facts(
        [
            ("test error, autoencoder", f"{error:.3f}"),
            (f"test error, PCA with {CODE_SIZE} components", f"{pca_error:.3f}"),
            ("lower by", f"{1 - error / pca_error:.0%}"),
            ("model", str(path)),
        ]
    )
    shown = slice(0, 8)
    return {
        "rows": {
            "original": test[shown].reshape(-1, 8, 8),
            "autoencoder": model.reconstruct(test[shown]).reshape(-1, 8, 8),
            "PCA": by_pca[shown].reshape(-1, 8, 8),
        },
        "filters": next(iter(model.module_.parameters())).detach().numpy(),
        "history": model.history_,
    }


def compress_photograph(folder: Path) -> dict[str, Any]:
    """Compress a photograph to a file, decode the file and print what it came to; return what is to be drawn."""
    from sklearn.datasets import load_sample_images

    from embudo import ImageCodec
    from embudo.cli.compress import Settings, compare, compress_frames, print_tables

    china = load_sample_images().images[0]
    height, width = china.shape[:2]
    click.echo(
        f"\n2. A photograph of {height} x {width} pixels to a file and back, by the codec that comes with embudo,\n"
        "   which was learnt from other photographs"
    )
    path = folder / "china.emb"
    row, decoded = compress_frames(china[None], path, Settings(quality=QUALITY), None)
    print_tables([{"image": "china.jpg", **row, **compare(china, row["bytes"])}])
    print_facts(
        [
            ("compressed file", f"{path}: {row['bytes']:,} bytes, the pixels are {china.nbytes:,}"),
            ("back to an image", f"embudo decompress {path}"),
            ("model", ImageCodec.pretrained().model_id_),
        ]
    )
    return {
        "original": china,
        "decoded": decoded[0],
        "caption": f"{row['bytes']:,} bytes, {row['bits_per_pixel']:.2f} bits/pixel, {row['psnr']:.1f} dB",
    }


def draw(folder: Path, digits: dict[str, Any], photograph: dict[str, Any]) -> Path:
    """Write the picture; return where."""
    from io import BytesIO

    from embudo.data.files import write_atomically
    from embudo.report.pictures import demo_figure

    figure = demo_figure(
        digits["rows"],
        digits["filters"],
        digits["history"],
        photograph["original"],
        photograph["decoded"],
        {
            "digits": f"Test digits, 64 pixels through {CODE_SIZE} numbers",
            "original": "Original, 24 bits/pixel",
            "decoded": f"Decoded: {photograph['caption']}",
        },
    )
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=110, bbox_inches="tight", pad_inches=0.15)
    write_atomically(folder / "demo.png", picture.getvalue())
    return folder / "demo.png"
