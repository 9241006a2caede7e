"""Learns the codec that comes with the package, from photographs at half their size, and measures it on others.

``python benchmarks/codec/train_pretrained.py --data ../shared/data -o src/embudo/codec/pretrained.safetensors``
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shared import training_images, validation_images

from embudo import ImageCodec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/ and bsds/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    held_out = list(validation_images(options.data).values())
    codec = ImageCodec().fit(training_images(options.data), X_val=held_out)
    codec.save(options.output)
    for row in zip(*codec.history_.values(), strict=True):
        print("  ".join(f"{name} {value:.4g}" for name, value in zip(codec.history_, row, strict=True)))


if __name__ == "__main__":
    main()
