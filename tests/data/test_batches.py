"""Rows of a matrix, cut into batches."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embudo import Autoencoder, Training
from embudo.data.batches import Batches, SparseRows, TensorRows, block_rows, dense_block, make_rows
from embudo.data.scaling import Scaler, fit_scaler

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def batches_of(n_samples, batch_size, seed):
    return Batches(TensorRows(torch.arange(n_samples)[:, None]), batch_size, seed)


SEEDS = st.integers(0, 2**31 - 1)


@settings(deadline=None)
@given(n_samples=st.integers(1, 200), batch_size=st.integers(1, 300), seed=SEEDS, epoch=st.integers(1, 1000))
def test_an_epoch_holds_every_sample_once_in_full_batches_but_the_last(n_samples, batch_size, seed, epoch):
    batches = batches_of(n_samples, batch_size, seed)
    sizes, seen = [], []
    for x, target in batches.epoch(epoch):
        assert target is x
        sizes.append(len(x))
        seen += x.flatten().tolist()
    assert sorted(seen) == list(range(n_samples))
    assert batches.n_samples == n_samples
    assert len(sizes) == len(batches)
    assert set(sizes[:-1]) <= {batch_size}
    assert 0 < sizes[-1] <= batch_size


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, epoch=st.integers(1, 1000))
def test_the_order_depends_on_seed_and_epoch_alone(seed, epoch):
    def order(seed, epoch):
        return torch.cat([x for x, _ in batches_of(64, 10, seed).epoch(epoch)]).flatten().tolist()

    first = order(seed, epoch)
    torch.rand(3)
    used = batches_of(64, 10, seed)
    list(used.epoch(epoch + 5))
    assert torch.cat([x for x, _ in used.epoch(epoch)]).flatten().tolist() == first
    assert order(seed, epoch + 1) != first
    assert order(seed + 1, epoch) != first


def test_drawing_batches_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    list(batches_of(20, 3, 0).epoch(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_needs_no_scaling_is_shared_not_copied():
    X = RNG.random((30, 4), dtype=np.float32)
    assert np.shares_memory(make_rows(X, Scaler(None), torch.float32, CPU).rows.numpy(), X)


@pytest.mark.parametrize("kind", [None, "standard"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("source", ["u1", "i8", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_the_scaled_samples_whatever_type_and_order(kind, dtype, source, order):
    X = np.asarray(RNG.random((2500, 6)) * 100, dtype=source, order=order)
    scaler = fit_scaler(kind, X)
    rows = make_rows(X, scaler, dtype, CPU)
    expected = X.astype("f8") if kind is None else (X.astype("f8") - scaler.offset) / scaler.scale
    assert rows.rows.dtype == dtype
    assert rows.rows.is_contiguous()
    np.testing.assert_allclose(rows.rows.numpy(), expected, atol=1e-4)
    np.testing.assert_array_equal(torch.cat(list(rows.blocks())), rows.rows)


def test_samples_stay_on_the_cpu_where_a_gpu_has_no_room_for_them(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1599, 10**9))
    rows = make_rows(np.ones((100, 2), np.float32), Scaler(None), torch.float32, torch.device("cuda"))
    assert isinstance(rows, TensorRows)
    assert rows.rows.device.type == "cpu"


@pytest.mark.parametrize("make", [sp.csr_array, sp.csr_matrix])
def test_sparse_rows_are_those_of_the_dense_matrix(make):
    dense = RNG.random((2500, 5)) * (RNG.random((2500, 5)) < 0.3)
    scaler = fit_scaler("standard", dense)
    sparse, expected = (make_rows(X, scaler, torch.float32, CPU) for X in (make(dense), dense))
    assert isinstance(sparse, SparseRows)
    assert len(sparse) == 2500
    indices = torch.tensor([7, 3, 2499, 7])
    torch.testing.assert_close(sparse.take(indices), expected.take(indices))
    torch.testing.assert_close(torch.cat(list(sparse.blocks())), torch.cat(list(expected.blocks())))


@pytest.mark.parametrize("scale", ["standard", "auto", None])
def test_a_sparse_matrix_is_never_made_dense_as_a_whole(scale, monkeypatch):
    X = sp.random(5000, 600, 0.01, format="csr", random_state=0)
    X.data *= 3
    greatest = []

    def watched(self, *args, **options):
        greatest.append(self.shape[0])
        return original(self, *args, **options)

    original = sp.csr_matrix.toarray
    monkeypatch.setattr(sp.csr_matrix, "toarray", watched)
    training = Training(epochs=1, batch_size=500, validation_fraction=0.3)
    estimator = Autoencoder(2, scale=scale, training=training, random_state=0).fit(X)
    estimator.transform(X)
    estimator.reconstruction_error(X)
    assert max(greatest) <= 1000


def test_a_dense_block_is_fresh_where_its_source_is_read_only():
    X = np.ones((3, 2), dtype=np.float32)
    X.flags.writeable = False
    block = dense_block(X, Scaler(None), torch.float32)
    block += 1
    assert (X == 1).all()


@pytest.mark.parametrize("n_features", [1, 784, 10**5, 10**9])
def test_blocks_of_wide_samples_stay_small(n_features):
    assert 1 <= block_rows(n_features) <= 1000
    assert block_rows(n_features) == 1 or block_rows(n_features) * n_features <= 2**25
