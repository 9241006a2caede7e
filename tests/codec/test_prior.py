"""What the prior expects of a part follows from the parts before it alone."""

import numpy as np
import pytest

from embudo.codec.prior import bands


@pytest.mark.parametrize("shape", [(1, 7, 9), (2, 1, 1), (1, 40, 3)])
@pytest.mark.parametrize("n_active", [0, 1, 3, 8, 9, 100, 192])
@pytest.mark.parametrize("name", ["codec", "trained_codec"])
def test_parts_cover_the_codes_and_look_at_none_to_come(request, name, shape, n_active):
    prior = request.getfixturevalue(name).coder_.prior
    n, height, width = shape
    rng = np.random.default_rng(0)
    codes = rng.integers(-9, 10, size=(n, n_active, height, width)).astype(np.int16)
    other = rng.integers(-9, 10, size=codes.shape).astype(np.int16)
    seen = np.zeros(codes.shape, int)
    for whole, partial in zip(prior.parts(codes, 900), prior.parts(other, 900), strict=True):
        np.testing.assert_array_equal(whole.table, partial.table)
        np.testing.assert_array_equal(whole.mean, partial.mean)
        seen[whole.where] += 1
        other[whole.where] = codes[whole.where]
    assert (seen == 1).all()


def test_bands_double():
    assert bands(768) == [(8, 16), (16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (512, 768)]
    assert bands(8) == bands(3) == []


def bits_of(codec, codes, level):
    tables = codec.coder_.quantizer.tables.bits
    return sum(
        tables[part.table, np.minimum(np.abs(codes[part.where] - part.mean), 32)].sum()
        for part in codec.coder_.prior.parts(codes, level)
    )


def test_the_prior_is_worth_its_while(codec, trained_codec, photographs):
    """Against scales by channel alone, on the image's own codes; and networks against what is in closed form."""
    level, prior = 1200, codec.coder_.prior
    (y,) = codec._latents(photographs[0][None])
    codes = codec.coder_.quantize(y, level)
    base = np.clip((prior.scales[: codes.shape[1]].astype(int) - level) // 64 + 20, 0, 79)[None, :, None, None]
    plain = codec.coder_.quantizer.tables.bits[base, np.minimum(np.abs(codes), 32)].sum()
    closed, trained = bits_of(codec, codes, level), bits_of(trained_codec, codes, level)
    assert closed < 0.9 * plain
    assert trained < 0.97 * closed
