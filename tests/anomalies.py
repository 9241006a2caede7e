"""Samples that lie near a plane, others that do not, and detectors of these: what tests of anomalies share."""

import numpy as np
import pandas as pd
import pytest

from embudo import AnomalyDetector, Autoencoder, GaussianNoise, Training
from embudo.apps.scores import SCORES

RNG = np.random.default_rng(0)
MIXING = RNG.normal(size=(2, 6))
SHORT = Autoencoder(16, code_activation="tanh", corruption=GaussianNoise(0.2), scale="standard", training=Training(25))
criteria = pytest.mark.parametrize("criterion", SCORES)


def normal(n, seed=1):
    """Points near a plane in six dimensions."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ MIXING + 0.1 * rng.normal(size=(n, 6))


X = normal(400)
FRESH = normal(400, seed=2)
OFF = RNG.permuted(FRESH, axis=0)  # each feature as usual, but not together


def detector(**params):
    return AnomalyDetector(**{"autoencoder": SHORT, "n_subsampled": 0, "random_state": 0, **params})


def mixed(n, seed=1):
    """A table whose category follows from its numbers, with gaps."""
    x = normal(n, seed)
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(x[:, :4], columns=["age", "height", "weight", "dose"])
    frame["ward"] = np.where(x[:, 0] > 0, "north", np.where(x[:, 1] > 0, "south", "east"))
    frame["smokes"] = x[:, 2] > 0
    frame.loc[rng.random(n) < 0.1, "dose"] = np.nan
    frame.loc[rng.random(n) < 0.1, "ward"] = None
    return frame
