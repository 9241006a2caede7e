"""Writes the files of `golden`: run after a change of the format, with the files of the last one deleted."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from embudo import ImageCodec, Training
from embudo.codec import learning

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    photographs = [image[::2, ::2] for image in load_sample_images().images]
    learning.N_PLACES = 2**13
    codec = ImageCodec(block=4, method="scratch", training=Training(2, batch_size=256), random_state=0).fit(photographs)
    codec.save(GOLDEN / "codec.safetensors")
    part = np.ascontiguousarray(photographs[0][40:90, 60:110])
    alpha = np.dstack([part[:20, :20], np.arange(400, dtype=np.uint8).reshape(20, 20)])
    for name, image, quality in (("colour", part, 60), ("grey", part[..., 1], 70), ("alpha", alpha, 40)):
        data = codec.encode(image, quality)
        (GOLDEN / f"{name}.emb").write_bytes(data)
        Image.fromarray(codec.decode(data).squeeze()).save(GOLDEN / f"{name}.png")


if __name__ == "__main__":
    main()
