"""
Filling in what is hidden
=========================

Pairs teach any map from images to images: here from digits of which a square is hidden to whole ones. The autoencoder
is given `X` with the holes, and `X_clean` without. It is compared with the mean of each pixel over the training images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from embudo import Adam, Autoencoder, ConvNet, Training
from embudo.report.pictures import draw_images

SIDE = 3  # pixels on the side of a hole

rng = np.random.default_rng(0)
whole = load_digits().images.astype(np.float32) / 16  # (1797, 8, 8)


def with_holes(images, rng):
    """Return images of which a square is hidden, set to -1, and where it is."""
    hidden = np.zeros(images.shape, bool)
    for where, (top, left) in zip(hidden, rng.integers(8 - SIDE + 1, size=(len(images), 2)), strict=True):
        where[top : top + SIDE, left : left + SIDE] = True
    return np.where(hidden, -1, images).astype(np.float32), hidden


# each training image is there four times, with four holes
learnt = np.repeat(whole[:1500], 4, axis=0)
holes, _ = with_holes(learnt, rng)
test = whole[1500:]
test_holes, hidden = with_holes(test, rng)

ae = Autoencoder(
    64,
    encoder=ConvNet((32, 64), residual_blocks=1),
    scale=None,
    training=Training(10, batch_size=64, optimizer=Adam(2e-3)),
    random_state=0,
).fit(holes, X_clean=learnt)
filled = np.where(hidden, ae.reconstruct(test_holes), test)
naive = np.where(hidden, whole[:1500].mean(axis=0), test)


def error(images):
    """Return the root of the mean squared error of the hidden pixels."""
    return float(np.sqrt(np.square(images - test)[hidden].mean()))


print(f"RMSE of the hidden pixels: mean of the training images {error(naive):.3f}, autoencoder {error(filled):.3f}")

figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
rows = {"hidden": np.clip(test_holes, 0, 1), "mean": naive, "filled in": filled, "whole": test}
draw_images(ax, {name: np.clip(images[:16], 0, 1) for name, images in rows.items()})
plt.show()
