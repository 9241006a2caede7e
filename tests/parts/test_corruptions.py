"""Corruptions: their statistics, what they leave alone, and what they weigh in the loss."""

import numpy as np
import pytest
import torch

from embudo import GaussianNoise, MaskingNoise, SaltAndPepper
from embudo.errors import InvalidParameter
from embudo.parts.losses import LOSSES

N = 200_000
CORRUPTIONS = [
    GaussianNoise(0.3),
    GaussianNoise((0.1, 2.0)),
    MaskingNoise(0.25),
    SaltAndPepper(0.25),
    GaussianNoise(0.3) + MaskingNoise(0.25, emphasis=0.7) + SaltAndPepper(0.25),
]
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=repr)


def draw(corruption, x, seed=0):
    return corruption(x, torch.Generator().manual_seed(seed))


def half(n=N):
    return torch.full((n, 1), 0.5, dtype=torch.float64)


@every_corruption
def test_what_is_given_is_left_as_it_was(corruption):
    x = torch.rand(50, 20, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    x_in, _ = draw(corruption, x)
    assert torch.equal(x, before)
    assert x_in.shape == x.shape
    assert x_in.dtype == x.dtype
    assert not torch.equal(x_in, x)


@every_corruption
def test_draws_are_fresh_and_their_generator_decides_them(corruption):
    generator = torch.Generator().manual_seed(0)
    x = half(1000)
    first, second = corruption(x, generator)[0], corruption(x, generator)[0]
    assert not torch.equal(first, second)
    assert torch.equal(first, draw(corruption, x)[0])


def test_gaussian_noise_has_mean_0_and_its_deviation():
    noise = draw(GaussianNoise(0.3), half())[0] - 0.5
    assert float(noise.mean()) == pytest.approx(0, abs=4 * 0.3 / N**0.5)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.01)
    assert float((noise.abs() < 0.3).double().mean()) == pytest.approx(0.6827, abs=0.005)


def test_noise_of_many_levels_draws_one_for_each_sample_evenly_between_their_logarithms():
    noise = draw(GaussianNoise((0.1, 10.0)), torch.zeros(2000, 500))[0]
    logarithms = noise.std(dim=1).log10()
    assert float(logarithms.min()) > -1.1
    assert float(logarithms.max()) < 1.1
    assert float(logarithms.mean()) == pytest.approx(0, abs=0.06)
    assert float(logarithms.std()) == pytest.approx(2 / 12**0.5, abs=0.03)


def test_masking_noise_sets_its_share_to_0_and_leaves_the_others():
    x_in = draw(MaskingNoise(0.25), half())[0]
    assert set(x_in.unique().tolist()) == {0.0, 0.5}
    assert float((x_in == 0).double().mean()) == pytest.approx(0.25, abs=0.005)


def test_salt_and_pepper_falls_evenly_to_both_sides():
    x_in = draw(SaltAndPepper(0.2, low=-1.0, high=2.0), half())[0]
    assert set(x_in.unique().tolist()) == {-1.0, 0.5, 2.0}
    assert float((x_in == -1).double().mean()) == pytest.approx(0.1, abs=0.004)
    assert float((x_in == 2).double().mean()) == pytest.approx(0.1, abs=0.004)


@pytest.mark.parametrize("corruption", [GaussianNoise(0), MaskingNoise(0), SaltAndPepper(0)], ids=repr)
def test_no_noise_changes_nothing(corruption):
    assert torch.equal(draw(corruption, half(100))[0], half(100))


def test_corruptions_follow_each_other_in_the_order_written():
    masked_last = draw(GaussianNoise(1.0) + MaskingNoise(0.5), half())[0]
    noisy_last = draw(MaskingNoise(0.5) + GaussianNoise(1.0), half())[0]
    assert float((masked_last == 0).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert not (noisy_last == 0).any()


def test_every_entry_is_drawn_for_itself():
    masked = (draw(MaskingNoise(0.5), torch.ones(20_000, 5))[0] == 0).double().numpy()
    np.testing.assert_allclose(np.corrcoef(masked.T), np.eye(5), atol=0.04)


@pytest.mark.parametrize("kind", [MaskingNoise, SaltAndPepper])
def test_emphasis_weighs_corrupted_entries_against_the_others(kind):
    x_in, weight = draw(kind(0.25, emphasis=0.8), half(1000))
    corrupted = x_in != 0.5
    assert torch.allclose(weight[corrupted], torch.tensor(1.6, dtype=torch.float64))
    assert torch.allclose(weight[~corrupted], torch.tensor(0.4, dtype=torch.float64))
    assert draw(kind(0.25), half())[1] is None
    assert set(draw(kind(0.25, emphasis=1), half(100))[1].unique().tolist()) == {0.0, 2.0}


def test_the_emphases_of_several_corruptions_are_averaged():
    both = MaskingNoise(0.5, emphasis=1.0) + GaussianNoise(0.1) + SaltAndPepper(0.5, low=-9, high=9, emphasis=1.0)
    weight = draw(both, half())[1]
    shares = {value: float((weight == value).double().mean()) for value in weight.unique().tolist()}
    assert shares == {
        0.0: pytest.approx(0.25, abs=0.01),
        1.0: pytest.approx(0.5, abs=0.01),
        2.0: pytest.approx(0.25, abs=0.01),
    }


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_weighs_each_entry(name):
    rng = np.random.default_rng(0)
    output, weight = (torch.tensor(rng.normal(size=(7, 5))) for _ in "ow")
    target, weight = torch.tensor(rng.random((7, 5))), weight.abs()
    entries = torch.stack(
        [
            torch.stack([LOSSES[name](output[i, j].view(1, 1), target[i, j].view(1, 1)) for j in range(5)])
            for i in range(7)
        ]
    )
    torch.testing.assert_close(LOSSES[name](output, target, weight), (entries * weight).sum(1).mean())
    torch.testing.assert_close(
        LOSSES[name](output, target, torch.ones_like(weight)), LOSSES[name](output, target, None)
    )
    assert torch.autograd.gradcheck(lambda y: LOSSES[name](y, target, weight), output.requires_grad_())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: GaussianNoise(-1), r"^GaussianNoise\.std must be a number at least 0; got -1\.$"),
        (lambda: GaussianNoise((0, 1)), r"^GaussianNoise\.std must be a number greater than 0; got 0\.$"),
        (
            lambda: GaussianNoise((2, 1)),
            r"^GaussianNoise\.std must be a number or a pair \(low, high\); got \(2, 1\)\.$",
        ),
        (lambda: MaskingNoise(1), r"^MaskingNoise\.fraction must be a number at least 0 and less than 1; got 1\.$"),
        (lambda: MaskingNoise(0.1, emphasis=2), r"^MaskingNoise\.emphasis must be .* at most 1; got 2\.$"),
        (lambda: SaltAndPepper(0.1, low=1), r"^SaltAndPepper\.low must be less than high; got 1 and 1\.0\.$"),
        (lambda: SaltAndPepper("0.1"), r"^SaltAndPepper\.fraction must be a number .*; got '0\.1'\.$"),
    ],
)
def test_values_out_of_bounds_are_refused(make, words):
    with pytest.raises(InvalidParameter, match=words):
        make()
