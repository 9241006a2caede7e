"""The page of a map holds what it was given, and asks for nothing outside itself."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from embudo.report import scatter
from embudo.report.scatter import NO_LABEL, PALETTE, grouped, map_page, thumbnails

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(50, 2)) * [4, 1]


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def values(text, kind):
    return np.frombuffer(base64.b64decode(text), kind)


def test_points_keep_their_places_but_for_one_scale():
    page = map_page(CODES, title="a <b> & c", facts={"samples": "50"})
    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert "samples 50" in page
    assert "{{" not in page
    assert not re.search(r"https?://|\bsrc=|@import|url\(", page)
    data = data_of(page)
    assert (data["n"], data["dimensions"], data["sprite"]) == (50, 2, None)
    found = values(data["codes"], "<u2").reshape(50, 2) / 65535
    span = np.ptp(CODES, axis=0).max()
    np.testing.assert_allclose(np.ptp(found, axis=0).max(), 1, atol=1e-4)
    np.testing.assert_allclose(found - found[0], (CODES - CODES[0]) / span, atol=1e-4)


@pytest.mark.parametrize("codes", [np.zeros((3, 2)), np.zeros((1, 3)), np.arange(4.0)[:, None]])
def test_maps_that_are_one_point_or_a_line_are_drawn(codes):
    assert data_of(map_page(codes, title=""))["n"] == len(codes)


def test_labels_are_counted_and_those_that_are_missing_are_grey():
    labels = np.array(["</script>", None, "b", "b", np.nan], dtype=object)
    page = map_page(CODES[:5], title="", labels=labels)
    data = data_of(page)
    assert [(label["name"], label["count"]) for label in data["labels"]] == [("</script>", 1), ("b", 2), (NO_LABEL, 2)]
    assert values(data["groups"], "<u2").tolist() == [0, 2, 1, 1, 2]
    assert len({label["color"] for label in data["labels"]}) == 3


def test_many_numbers_are_put_into_ranges_that_hold_equally_many():
    groups, names, colors = grouped(np.arange(80.0), 80)
    assert np.bincount(groups).tolist() == [10] * 8
    assert names[0] == "0 to 9.875"
    assert len(set(colors)) == 8
    few = grouped(np.arange(80) % 3, 80)
    assert few[1] == ["0", "1", "2"]
    text = grouped(np.array([f"kind {i}" for i in range(30)]), 30)
    assert text[2] == [PALETTE[i % 10] for i in range(30)]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
def test_a_thumbnail_stands_in_its_place(shape):
    images = RNG.integers(256, size=(23, *shape), dtype=np.uint8)
    found = thumbnails(images)
    assert values(found["pictured"], "<u4").tolist() == list(range(23))
    assert found["tile"] == [5, 6]
    sprite = Image.open(io.BytesIO(base64.b64decode(found["sprite"].partition(",")[2])))
    pixels = np.asarray(sprite.convert("RGB" if shape[2:] == (3,) else "L")).astype(int)
    row, column = divmod(7, found["columns"])
    tile = pixels[row * 6 : row * 6 + 6, column * 5 : column * 5 + 5].reshape(images[7].shape)
    assert np.abs(tile - images[7]).mean() < (30 if shape[2:] == (3,) else 8.6)


def test_pictures_are_as_many_as_fit_and_no_larger_than_needed(monkeypatch):
    monkeypatch.setattr(scatter, "SPRITE_BYTES", 20_000)
    images = RNG.random((500, 70, 70))
    found = thumbnails(images)
    rows = values(found["pictured"], "<u4")
    assert found["tile"] == [24, 24]
    assert 10 < len(rows) < 500
    assert rows[0] == 0
    assert rows[-1] == 499
    assert 0.5 * 20_000 < len(found["sprite"]) * 3 / 4 < 1.2 * 20_000
