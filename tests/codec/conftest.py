"""Small codecs, fitted once."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from embudo import ImageCodec, Training
from embudo.codec import learning


@pytest.fixture(scope="session")
def photographs():
    return [image[::2, ::2] for image in load_sample_images().images]


@pytest.fixture(scope="session")
def codec(photographs):
    return ImageCodec(block=8, method="linear").fit(photographs)


@pytest.fixture(scope="session")
def trained_codec(photographs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "N_PLACES", 2**15)
        return ImageCodec(block=8, method="scratch", training=Training(4, batch_size=512), random_state=0).fit(
            photographs
        )


@pytest.fixture(scope="session")
def grey_codec(photographs):
    return ImageCodec(12, block=4, method="linear").fit([image[..., 1] for image in photographs])


@pytest.fixture(scope="session")
def small(photographs):
    return np.ascontiguousarray(photographs[0][40:75, 60:107])
