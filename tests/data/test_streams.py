"""Samples that are read a part at a time: their order, their share, their scaling."""

import itertools
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embudo import stream
from embudo.data.batches import StreamBatches, StreamRows, TensorRows, make_rows
from embudo.data.moments import Moments
from embudo.data.scaling import Scaler, fit_scaler
from embudo.data.sources import BatchStream
from embudo.data.streams import PARTS, Mapped, divided, prefetched, recut, subset
from embudo.errors import InvalidData, InvalidParameter

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.lists(st.integers(0, 9), max_size=8)


class InParts(BatchStream):
    """Rows 0, 1, 2, ... in parts of given sizes."""

    def __init__(self, sizes, window, width=1):
        ends = np.cumsum([0, *sizes])
        self.arrays = [np.arange(a, b, dtype="f4")[:, None] * np.ones(width, "f4") for a, b in itertools.pairwise(ends)]
        super().__init__(self.arrays or [np.empty((0, width), "f4")], window)
        self.counts = list(map(int, sizes))

    def part(self, number):
        yield from np.array_split(self.arrays[number], 2)


def rows_of(stream):
    return StreamRows(stream, Scaler(None), torch.float32, CPU)


@given(sizes=SIZES, size=st.integers(1, 10))
def test_recut_keeps_every_row_in_order_in_full_blocks_but_the_last(sizes, size):
    ends = np.cumsum([0, *sizes])
    cut = list(recut((np.arange(a, b) for a, b in itertools.pairwise(ends)), size))
    assert [row for block in cut for row in block] == list(range(ends[-1]))
    assert {len(block) for block in cut[:-1]} <= {size}
    assert all(0 < len(block) <= size for block in cut)


@settings(deadline=None)
@given(
    sizes=SIZES.filter(any),
    window=st.integers(1, 80),
    batch_size=st.integers(1, 12),
    seed=SEEDS,
    epoch=st.integers(1, 99),
)
def test_an_epoch_holds_every_sample_once_in_full_batches_but_the_last(sizes, window, batch_size, seed, epoch):
    batches = StreamBatches(rows_of(InParts(sizes, window)), batch_size, seed)
    drawn = [x.flatten().tolist() for x, target in batches.epoch(epoch) if target is x]
    assert sorted(itertools.chain(*drawn)) == list(range(sum(sizes)))
    assert batches.n_samples == sum(sizes)
    assert len(drawn) == len(batches)
    assert {len(batch) for batch in drawn[:-1]} <= {batch_size}
    assert drawn == [x.flatten().tolist() for x, _ in batches.epoch(epoch)]


def test_the_order_depends_on_seed_and_epoch():
    def order(seed, epoch):
        return [x.flatten().tolist() for x, _ in StreamBatches(rows_of(InParts([9] * 20, 100)), 10, seed).epoch(epoch)]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_windows_are_bounded_and_about_equal():
    rows = rows_of(InParts([50] * 21, 4 * 100))
    sizes = [len(window) for window in rows.windows(range(21), 10)]
    assert sum(sizes) == 1050
    assert len(sizes) == 11
    assert max(sizes) <= 100
    assert min(sizes) >= 50


def shares_of_first_class(batches, n_classes, n_samples):
    """Return the share of each batch that lies in the first of equal parts of sorted samples."""
    return np.array([float((x[:, 0] < n_samples / n_classes).float().mean()) for x, _ in batches.epoch(1)])


def test_sorted_data_are_mixed_as_well_as_documented():
    n_samples, n_classes, batch_size = 409_600, 10, 200
    X = np.arange(n_samples, dtype=np.float32)[:, None]
    window = n_samples  # bytes: a quarter of the data
    streamed = stream(X, window=window)
    assert len(streamed.counts) == 4 * PARTS
    shares = shares_of_first_class(StreamBatches(rows_of(streamed), batch_size, 0), n_classes, n_samples)
    p = 1 / n_classes
    documented = np.sqrt(p * (1 - p) * (1 / batch_size + 1 / PARTS))
    assert shares.mean() == pytest.approx(p)
    assert shares.std() < 1.1 * documented
    assert shares.max() < 4 * p  # unshuffled batches would be of one class each


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_a_share_is_held_out_whole_and_the_same_each_time(fraction):
    whole = InParts([100, 0, 57, 300], 64)
    learnt, held_out = divided(whole, fraction, 3)
    a, b = (np.concatenate(list(part.blocks())).ravel() for part in (learnt, held_out))
    assert sorted([*a, *b]) == list(range(457))
    assert (len(a), len(b)) == (learnt.shape[0], held_out.shape[0])
    assert len(b) / 457 == pytest.approx(fraction, abs=0.08)
    np.testing.assert_array_equal(np.concatenate(list(held_out.blocks())).ravel(), b)
    assert list(b) != list(np.concatenate(list(divided(whole, fraction, 4)[1].blocks())).ravel())


def test_too_small_a_share_is_refused():
    with pytest.raises(InvalidParameter, match=r"validation_fraction=0\.001 of 10 samples leaves 0"):
        divided(InParts([10], 64), 0.001, 0)


def test_samples_by_number_come_in_the_order_that_is_asked_for():
    indices = np.array([7, 3, 99, 3, 0, 50])
    whole = InParts([10, 0, 45, 45], 64)
    np.testing.assert_array_equal(whole[indices].ravel(), indices)
    np.testing.assert_array_equal(rows_of(whole).take(torch.tensor(indices)).ravel(), indices)
    np.testing.assert_array_equal(Mapped(whole, lambda x: 2 * x, 1, whole.dtype)[indices].ravel(), 2 * indices)


@given(sizes=SIZES.filter(any), seed=SEEDS)
def test_a_subset_is_a_stream_of_the_samples_at_its_numbers(sizes, seed):
    rng = np.random.default_rng(seed)
    numbers = np.flatnonzero(rng.random(sum(sizes)) < rng.random())
    chosen = subset(InParts(sizes, 64), numbers)
    assert chosen.shape == (len(numbers), 1)
    assert [len(np.concatenate([*chosen.part(i), np.empty((0, 1))])) for i in range(len(sizes))] == chosen.counts
    assert [int(row) for block in chosen.blocks() for row in block.ravel()] == numbers.tolist()
    again = numbers[::2]
    np.testing.assert_array_equal(subset(chosen, np.arange(len(numbers))[::2])[np.arange(len(again))].ravel(), again)


def test_parts_of_which_nothing_is_chosen_are_not_read():
    whole, read = InParts([10, 10, 10], 64), []
    original = whole.part

    def part(number):
        read.append(number)
        yield from original(number)

    whole.part = part
    np.testing.assert_array_equal(whole[np.array([25, 3])].ravel(), [25, 3])
    assert read == [0, 2]


def test_what_fits_is_read_into_one_tensor():
    rows = make_rows(InParts([10, 10], 80), Scaler(None), torch.float32, CPU)
    assert isinstance(rows, TensorRows)
    np.testing.assert_array_equal(rows.rows.ravel(), np.arange(20))
    assert isinstance(make_rows(InParts([10, 10], 79), Scaler(None), torch.float32, CPU), StreamRows)


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=SEEDS, shift=st.sampled_from([0.0, 1e6]))
def test_moments_of_blocks_are_those_of_all_rows(sizes, seed, shift):
    X = np.random.default_rng(seed).normal(shift, 3, (sum(sizes), 4))
    moments = Moments(4)
    for block in np.split(X, np.cumsum(sizes)[:-1]):
        moments.update(block)
    assert moments.n_samples == len(X)
    np.testing.assert_array_equal([moments.low, moments.high], [X.min(0), X.max(0)])
    np.testing.assert_allclose(moments.mean, X.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.deviation, X.std(0), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=SEEDS)
def test_moments_of_blocks_with_gaps_are_those_of_what_is_known(sizes, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(5, 3, (sum(sizes), 4))
    X[rng.random(X.shape) < 0.4] = np.nan
    X[:, 3] = np.nan
    X[0, :3] = 1
    moments = Moments(4)
    for block in np.split(X, np.cumsum(sizes)[:-1]):
        moments.update(block)
    assert moments.has_gaps
    assert moments.n_known.tolist() == np.isfinite(X).sum(0).tolist()
    np.testing.assert_array_equal(
        [moments.low, moments.high], [[*np.nanmin(X[:, :3], 0), np.inf], [*np.nanmax(X[:, :3], 0), -np.inf]]
    )
    np.testing.assert_allclose(moments.mean[:3], np.nanmean(X[:, :3], 0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation[:3], np.nanstd(X[:, :3], 0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", ["standard", "minmax", "auto", None])
@pytest.mark.parametrize("factor", [1.0, 1e-200, 1e149])
def test_a_stream_is_scaled_as_the_array_is(scale, factor):
    X = RNG.normal(size=(500, 5)) * factor
    X[:, 2] = 3 * factor
    expected, got = fit_scaler(scale, X), fit_scaler(scale, stream(X, window=1000))
    assert got.kind == expected.kind
    if expected.scale is not None:
        np.testing.assert_allclose(got.scale, expected.scale, rtol=1e-9)
        np.testing.assert_allclose(got.offset, expected.offset, rtol=1e-9, atol=1e-9 * factor)


def test_a_stream_says_what_it_holds():
    X = stream([np.zeros((3, 2))])
    assert repr(X) == "<BatchStream: ? samples, 2 features, float64>"
    X.survey()
    assert repr(X) == "<BatchStream: 3 samples, 2 features, float64>"


def test_the_pass_that_surveys_is_made_once():
    whole = InParts([50, 50], 64)
    assert whole.survey() is whole.survey()


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_a_value_that_is_not_finite_is_named_by_its_row_in_all(bad, word):
    X = np.ones((500, 3), np.float32)
    X[321, 2] = bad
    with pytest.raises(InvalidData, match=f"^X holds {word} in row 321, column 2: drop or fill"):
        stream(X, window=1000).survey()
    with pytest.raises(InvalidData, match="in row 321, column 2"):
        list(stream(X, window=1000).slices(7))


def test_gaps_that_one_may_pass_over_the_next_does_not():
    X = stream(np.where(np.arange(3) == 1, np.nan, np.ones((500, 3))), window=1000)
    assert X.survey(allow_nan=True).has_gaps
    for _ in range(2):
        with pytest.raises(InvalidData, match=r"^X holds NaN in row 0, column 1"):
            X.survey()
    assert np.isnan(next(X.slices(7, allow_nan=True))[1]).sum() == 7


def test_one_thread_reads_ahead_by_one_and_ends_with_its_consumer():
    made = []

    def make():
        for i in range(10):
            made.append((i, threading.current_thread().name))
            yield i

    before = threading.active_count()
    items = prefetched(make())
    assert [next(items), next(items)] == [0, 1]
    items.close()
    assert [i for i, _ in made] in ([0, 1], [0, 1, 2])
    assert len({name for _, name in made} - {threading.current_thread().name}) == 1
    assert threading.active_count() == before


def test_what_is_raised_while_reading_ahead_reaches_the_consumer():
    def make():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(prefetched(make()))
