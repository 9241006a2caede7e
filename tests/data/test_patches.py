"""Patches of images."""

import numpy as np
import pytest

from embudo.data.patches import Patches, as_tensor

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(256, size=size, dtype=np.uint8) for size in ((40, 30, 3), (16, 90, 3), (5, 7, 3))]


def patches(**params):
    return Patches(IMAGES, **{"size": 16, "batch_size": 4, "n_samples": 10, "seed": 0, **params})


def test_seed_and_number_decide_an_epoch():
    first, again, other, next_one = (
        [x.numpy() for x, _ in batches.epoch(number)]
        for batches, number in ((patches(), 1), (patches(), 1), (patches(seed=1), 1), (patches(), 2))
    )
    assert [x.shape for x in first] == [(4, 3, 16, 16), (4, 3, 16, 16), (2, 3, 16, 16)]
    assert len(patches()) == 3
    for a, b, c, d in zip(first, again, other, next_one, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
        assert not np.array_equal(a, d)
        assert a.min() >= 0
        assert a.max() <= 1


def test_a_patch_is_a_part_of_an_image_turned_or_mirrored():
    image = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20, 1).astype(np.float32)
    parts = {image[i : i + 16, j : j + 16, 0].tobytes() for i in range(5) for j in range(5)}
    found = set()
    for x, _ in Patches([image], size=16, batch_size=50, n_samples=300, seed=0).epoch(1):
        for patch in x[:, 0].numpy():
            turned = [(k, m) for k in range(4) for m in (1, -1) if np.rot90(patch[:, ::m], k).tobytes() in parts]
            assert len(turned) == 1
            found.update(turned)
    assert len(found) == 8


def test_targets_are_cut_at_the_same_places():
    for x, target in patches(targets=[255 - image for image in IMAGES]).epoch(3):
        np.testing.assert_allclose(x + target, 1, atol=1e-6)


def test_large_images_give_more_patches_than_small_ones():
    images = [np.zeros((16, 160, 1), np.uint8), np.full((16, 16, 1), 255, np.uint8)]
    x = np.concatenate([x for x, _ in Patches(images, size=16, batch_size=100, n_samples=1000, seed=0).epoch(1)])
    assert x.mean() == pytest.approx(1 / 11, abs=0.03)


def test_as_tensor_brings_white_to_one():
    np.testing.assert_array_equal(as_tensor(np.full((1, 2, 2, 1), 255, np.uint8)), 1)
    np.testing.assert_array_equal(as_tensor(np.full((1, 2, 2, 1), 0.5, np.float64)), 0.5)
