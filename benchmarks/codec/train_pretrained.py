"""Learns the codec that comes with the package, from photographs at half their size, and measures it on others.

``python benchmarks/codec/train_pretrained.py --data ../shared/data -o src/embudo/codec/pretrained.safetensors``

A second time, with ``--method finetune --random-state 1``, it goes on with what came out, on other codes, quantised and
counted with better tables. With ``--run-dir`` a training that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shared import training_images, validation_images

from embudo import Adam, ImageCodec, Training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/ and bsds/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--method", choices=["scratch", "finetune"], default="scratch")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--run-dir", help="folder that keeps the state of the training")
    options = parser.parse_args()
    training = Training(
        options.epochs,
        batch_size=1024,
        optimizer=Adam(options.lr),
        schedule="warmup_cosine",
        run_dir=options.run_dir,
        verbose=True,
    )
    codec = ImageCodec(method=options.method, training=training, random_state=options.random_state)
    codec.fit(training_images(options.data), X_val=list(validation_images(options.data).values()))
    codec.set_params(method="finetune", training=None, random_state=None)  # what `fit` begins with
    codec.save(options.output)
    for row in zip(*codec.history_.values(), strict=True):
        print("  ".join(f"{name} {value:.4g}" for name, value in zip(codec.history_, row, strict=True)))


if __name__ == "__main__":
    main()
