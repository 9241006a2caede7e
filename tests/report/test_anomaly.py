"""The drawing of scores shows every sample and the threshold."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from embudo import AnomalyDetector, Autoencoder, Training
from embudo.errors import InvalidData
from embudo.report.anomaly import AnomalyScoreDisplay

mpl.use("Agg")
X = np.random.default_rng(0).normal(size=(100, 4))


def test_every_kind_has_a_histogram_and_the_threshold_a_line():
    detector = AnomalyDetector(Autoencoder(2, training=Training(3)), contamination=0, random_state=0).fit(X)
    y = np.repeat([1, -1], 50)
    display = AnomalyScoreDisplay.from_estimator(detector, X, y, ax=Figure().add_subplot())
    assert [line.get_xdata()[0] for line in display.ax_.lines] == [-detector.offset_]
    shares = [sum(bar.get_height() for bar in bars) for bars in display.ax_.containers]
    np.testing.assert_allclose(shares, 1)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["-1", "1", "threshold"]
    alone = AnomalyScoreDisplay(display.errors, display.threshold).plot(Figure().add_subplot())
    assert len(alone.ax_.containers) == 1
    with pytest.raises(InvalidData, match="one label for each of the 100 samples"):
        AnomalyScoreDisplay.from_estimator(detector, X, y[:3])
