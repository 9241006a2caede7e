"""Writes the files of this release, which every later one must read: `python -m legacy.write` in tests, once."""

from pathlib import Path

import numpy as np
import zoo

import embudo
from embudo import (
    MLP,
    AnomalyDetector,
    Autoencoder,
    AutoencoderClassifier,
    ImageCodec,
    MaskingNoise,
    StackedAutoencoder,
    TopK,
    Training,
)

QUICK = Training(2, verbose=False)


def models() -> dict[str, tuple]:
    """Return fitted models by name, and the method by which they are compared."""
    X = zoo.digits()
    one = Autoencoder(6, encoder=MLP(8), tied=True, sparsity=TopK(3), corruption=MaskingNoise(0.2), training=QUICK)
    levels = [("one", Autoencoder(8, scale="standard", training=QUICK)), ("two", Autoencoder(3, training=QUICK))]
    small = Autoencoder(3, scale="standard", training=QUICK)
    words = np.array(["even", "odd"])[np.arange(len(X)) % 2]
    return {
        "autoencoder": (one.set_params(random_state=0).fit(X), "transform"),
        "stack": (StackedAutoencoder(levels, training=QUICK, random_state=0).fit(X), "transform"),
        "classifier": (AutoencoderClassifier(small, training=QUICK, random_state=0).fit(X, words), "predict_proba"),
        "detector": (AnomalyDetector(small, n_subsampled=0, random_state=0).fit(X), "score_samples"),
    }


def in_run_folder(folder: str | Path) -> Autoencoder:
    """Return the autoencoder whose training is kept in `folder`, with its samples in [0, 1]: no sum decides them."""
    return Autoencoder(3, training=Training(3, run_dir=folder, verbose=False), random_state=0)


def main() -> None:
    """Write the folder that is called as the release."""
    folder = Path(__file__).parent / embudo.__version__
    folder.mkdir()
    X, expected = zoo.digits(), {}
    for name, (model, method) in models().items():
        model.save(folder / f"{name}.safetensors")
        expected[name] = getattr(model, method)(X[:5])
    in_run_folder(folder / "run").fit(X)
    photo = np.random.default_rng(0).integers(100, 156, size=(24, 30, 3), dtype=np.uint8)
    codec = ImageCodec(6, block=4, method="linear").fit([photo])
    codec.save(folder / "codec.safetensors")
    (folder / "photo.emb").write_bytes(codec.encode(photo, 60))
    expected["photo"] = codec.decode((folder / "photo.emb").read_bytes())
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
