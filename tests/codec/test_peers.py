"""Other formats at a size that is given."""

import numpy as np
import pytest

from embudo.codec.peers import available_peers, encode_peer, peer_within
from embudo.metrics.reconstruction import psnr


@pytest.mark.parametrize("name", available_peers())
@pytest.mark.parametrize("channels", [1, 3])
def test_the_best_file_that_fits(photographs, name, channels):
    image = np.ascontiguousarray(photographs[0][:96, :80, :channels])
    files = [encode_peer(name, image, quality) for quality in (10, 50, 90)]
    assert all(file.pixels.shape == image.shape for file in files)
    distortions = [psnr(image, file.pixels) for file in files]
    assert distortions == sorted(distortions)
    assert distortions[-1] > 30
    found = peer_within(name, image, len(files[1].data))
    assert len(files[0].data) < len(found.data) <= len(files[1].data)
    assert peer_within(name, image, 50) is None


def test_formats_that_every_pillow_writes():
    assert available_peers()[0] == "JPEG"
