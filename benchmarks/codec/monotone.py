"""Whether a higher quality is always a larger file of a smaller error: 1 to 100, on all images kept aside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from shared import small_validation_images, validation_images

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import Report

from embudo import ImageCodec
from embudo.metrics.reconstruction import psnr

QUALITIES = range(1, 101)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds photos/ and bsds/")
    parser.add_argument("--model", type=Path, help="a codec; the one that comes with embudo by default")
    options = parser.parse_args()
    codec = ImageCodec.pretrained() if options.model is None else ImageCodec.load(options.model)
    report = Report("codec_monotone", quick=False, qualities="1 to 100", model=codec.model_id_)
    sets = {"photos": validation_images(options.data), "BSDS": small_validation_images(options.data)}
    for data, images in sets.items():
        for name, image in images.items():
            files = [codec.encode(image, quality) for quality in QUALITIES]
            sizes = np.diff([len(file) for file in files])
            gains = np.diff([psnr(image, codec.decode(file)) for file in files])
            report.add(
                data=data,
                image=name,
                steps_not_larger=int((sizes <= 0).sum()),
                steps_not_better=int((gains <= 0).sum()),
                least_growth_bytes=int(sizes.min()),
                least_gain_db=float(gains.min()),
            )


if __name__ == "__main__":
    main()
