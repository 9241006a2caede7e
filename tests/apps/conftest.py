"""Detectors that many tests look at and none changes."""

import pytest
from anomalies import X, detector

from embudo.apps.scores import SCORES


@pytest.fixture(scope="session")
def fitted():
    return {criterion: detector(criterion=criterion).fit(X) for criterion in SCORES}
