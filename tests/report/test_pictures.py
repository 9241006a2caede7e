"""Drawings hold what they were given."""

import numpy as np
from matplotlib.figure import Figure

from embudo.report.pictures import difference, draw_filters, draw_images, mosaic, strongest


def test_mosaic_places_images_row_by_row():
    images = np.arange(3)[:, None, None] * np.ones((3, 2, 2))
    expected = np.array([[0, 0, np.nan, 1, 1], [0, 0, np.nan, 1, 1], [np.nan] * 5, [2, 2] + [np.nan] * 3])
    np.testing.assert_array_equal(mosaic(images, 2)[:4], expected)
    assert mosaic(images, 3, gap=0).shape == (2, 6)


def test_rows_of_images_are_named():
    ax = Figure().subplots()
    draw_images(ax, {"a": np.zeros((4, 8, 8)), "b": np.ones((4, 8, 8))})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert ax.images[0].get_array().shape == (17, 35)


def test_filters_are_the_strongest_each_at_full_contrast():
    ax = Figure().subplots()
    weights = np.diag([1.0, 4.0, 2.0, 3.0]).reshape(4, 2, 2)
    units, filters = strongest(weights, 2)
    assert units.tolist() == [1, 3]
    draw_filters(ax, filters, n_columns=1)
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn.filled(0)[:2], [[0, 1], [0, 0]])
    np.testing.assert_array_equal(drawn.filled(0)[3:], [[0, 0], [0, 1]])


def test_difference_is_the_root_mean_square_over_channels():
    x, y = np.zeros((1, 1, 2), np.uint8), np.array([[[3, 4]]], np.uint8)
    np.testing.assert_allclose(difference(x, y), [[np.sqrt(12.5)]])
