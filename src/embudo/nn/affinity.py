"""How near each other two codes lie, as the probability that their samples are neighbours."""

from __future__ import annotations

import functools

from torch import Tensor

SOFTENING = 1e-3  #: added to squared distances, so that codes in one place have gradients too


@functools.cache
def affinity_curve(min_dist: float) -> tuple[float, float]:
    """Return a and b for which ``1 / (1 + a d^(2 b))`` is 1 up to `min_dist`, and then falls by exp(-d)."""
    import numpy as np
    from scipy.optimize import curve_fit

    distance = np.linspace(0, 3, 300)
    wanted = np.exp(-np.maximum(distance - min_dist, 0))
    (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), distance, wanted)
    return float(a), float(b)


def affinity_logit(x: Tensor, y: Tensor, min_dist: float) -> Tensor:
    """Return the logit of the affinity of codes, ``-log(a d^(2 b))``, over their last dimension."""
    a, b = affinity_curve(min_dist)
    return -(a * ((x - y).square().sum(-1) + SOFTENING) ** b).log()
