"""What the prior expects of a part follows from the parts before it alone."""

import numpy as np
import pytest

from embudo.codec.prior import bands


@pytest.mark.parametrize("shape", [(1, 7, 9), (2, 1, 1), (1, 40, 3)])
@pytest.mark.parametrize("n_active", [0, 1, 3, 8, 9, 100, 192])
def test_parts_cover_the_codes_and_look_at_none_to_come(codec, shape, n_active):
    n, height, width = shape
    rng = np.random.default_rng(0)
    codes = rng.integers(-9, 10, size=(n, n_active, height, width)).astype(np.int16)
    other = rng.integers(-9, 10, size=codes.shape).astype(np.int16)
    seen = np.zeros(codes.shape, int)
    for whole, partial in zip(codec.coder_.prior.parts(codes, 900), codec.coder_.prior.parts(other, 900), strict=True):
        np.testing.assert_array_equal(whole.table, partial.table)
        np.testing.assert_array_equal(whole.mean, partial.mean)
        seen[whole.where] += 1
        other[whole.where] = codes[whole.where]
    assert (seen == 1).all()


def test_bands_double():
    assert bands(768) == [(8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 768)]
    assert bands(8) == bands(3) == []


def test_the_prior_is_worth_its_while(codec, photographs):
    """Against scales by channel alone, on the image's own codes."""
    coder, level = codec.coder_, 1200
    (y,) = codec._latents(photographs[0][None])
    codes = coder.quantize(y, level)
    cost = plain = 0.0
    for part in coder.prior.parts(codes, level):
        bits, left = coder.quantizer.tables.bits, np.minimum(np.abs(codes[part.where] - part.mean), 32)
        cost += bits[part.table, left].sum()
        scales = coder.prior.scales[part.where[1]].astype(int)
        base = np.clip((scales - level) // 64 + 20, 0, 79)[None, :, None, None]
        plain += bits[base, np.minimum(np.abs(codes[part.where]), 32)].sum()
    assert cost < 0.9 * plain
