"""``embudo demo``: the main job on data that scikit-learn brings along."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from embudo.models.autoencoder import Autoencoder

CODE_SIZE = 8  #: of a digit
PATCH_CODE_SIZE = 16  #: of a patch of 8 x 8 pixels in colour
N_PATCHES = (24_000, 8_000)  #: from the photograph that is compressed, and from the other


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
        {
            "test error, autoencoder": f"{error:.3f}",
            f"test error, PCA with {CODE_SIZE} components": f"{pca_error:.3f}",
            "lower by": f"{1 - error / pca_error:.0%}",
            "model": str(path),
        }
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
    import numpy as np
    from sklearn.datasets import load_sample_images

    from embudo import load
    from embudo.cli.patches import compress, decompress, random_patches
    from embudo.data.files import write_atomically
    from embudo.metrics.reconstruction import psnr

    china, flower = load_sample_images().images
    height, width = china.shape[:2]
    rng = np.random.default_rng(0)
    sources = zip((china, flower), N_PATCHES, strict=True)
    patches = np.concatenate([random_patches(image, n, rng) for image, n in sources])
    click.echo(
        f"\n2. A photograph of {height} x {width} pixels: patches of 8 x 8 x 3 to {PATCH_CODE_SIZE} code units\n"
        f"   Learnt from {len(patches):,} random patches of china.jpg and flower.jpg: it has seen what it compresses,\n"
        "   and the file holds the codes, not the model"
    )
    model_path, path = folder / "patches.safetensors", folder / "china.codes.xz"
    learn_patches(patches).save(model_path)
    model = load(model_path)
    write_atomically(path, compress(china, model))
    decoded = decompress(path.read_bytes(), model)
    size, quality = path.stat().st_size, psnr(china, decoded)
    rate = 8 * size / (height * width)
    print_facts(
        {
            "compressed file": str(path),
            "bytes": f"{size:,} of {china.nbytes:,}",
            "bits per pixel": f"{rate:.3f} of 24",
            "PSNR of the file, decoded": f"{quality:.2f} dB",
            f"PSNR of PCA, {PATCH_CODE_SIZE} unrounded numbers": f"{psnr(china, by_pca(china, patches)):.2f} dB",
            "model": str(model_path),
        }
    )
    return {
        "original": china,
        "decoded": decoded,
        "caption": f"{size:,} bytes, {rate:.2f} bits/pixel, {quality:.1f} dB",
    }


def by_pca(image: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Return what PCA, learnt from `patches`, keeps of an image: codes of the same size, not rounded."""
    import numpy as np
    from sklearn.decomposition import PCA

    from embudo.cli.patches import from_patches, to_patches

    pca = PCA(PATCH_CODE_SIZE, random_state=0).fit(patches.astype(np.float32))
    kept = pca.inverse_transform(pca.transform(to_patches(image).astype(np.float32)))
    return from_patches(np.clip(np.rint(kept), 0, 255).astype(np.uint8), *image.shape[:2])


def learn_patches(patches: np.ndarray) -> Autoencoder:
    """Return an autoencoder of patches, fitted."""
    from embudo import MLP, Adam, Autoencoder, Training

    return Autoencoder(
        PATCH_CODE_SIZE,
        encoder=MLP((224,), activation="gelu"),
        training=Training(20, batch_size=64, optimizer=Adam(2e-3), verbose=True),
        random_state=0,
    ).fit(patches)


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


def print_facts(facts: dict[str, str]) -> None:
    """Print names and values in two columns."""
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"   {name:<{width}}  {value}")
