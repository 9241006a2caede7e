"""Codes as CSR matrices: the same numbers, in the memory of what is not 0."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from zoo import digits

from embudo import Autoencoder, JumpReLU, TopK, Training, load
from embudo.data.sparse import stack_rows

ONCE = Training(1, batch_size=50)


@pytest.mark.parametrize("sparsity", [TopK(5), JumpReLU(0.1, threshold=0.5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_codes_are_the_dense_ones(sparsity, dtype):
    X = digits(dtype, n_samples=1500)  # more than a block
    ae = Autoencoder(100, sparsity=sparsity, training=ONCE, random_state=0).fit(X)
    dense = ae.transform(X)
    codes = ae.set_params(sparse_output=True).transform(X)
    assert scipy.sparse.issparse(codes)
    assert codes.format == "csr"
    assert codes.dtype == dense.dtype == dtype
    assert codes.indices.dtype == codes.indptr.dtype == np.int32
    assert codes.has_canonical_format
    assert codes.nnz == np.count_nonzero(dense)
    np.testing.assert_array_equal(codes.toarray(), dense)
    np.testing.assert_array_equal(ae.inverse_transform(codes), ae.inverse_transform(dense))
    np.testing.assert_allclose(ae.inverse_transform(codes), ae.reconstruct(X), rtol=1e-4, atol=1e-5)


def test_the_choice_is_kept_in_the_file(tmp_path):
    ae = Autoencoder(100, sparsity=TopK(5), sparse_output=True, training=ONCE, random_state=0).fit(digits())
    ae.save(tmp_path / "m.safetensors")
    assert scipy.sparse.issparse(load(tmp_path / "m.safetensors").transform(digits()))


def test_a_frame_of_sparse_codes_is_refused_by_scikit_learn():
    ae = Autoencoder(100, sparsity=TopK(5), sparse_output=True, training=ONCE).set_output(transform="pandas")
    with pytest.raises(ValueError, match="outputs a scipy sparse matrix"):
        ae.fit_transform(digits())


def test_rows_of_nothing_are_stacked():
    blocks = [np.zeros((2, 3)), np.array([[0.0, 7.0, 0.0]]), np.zeros((0, 3))]
    np.testing.assert_array_equal(stack_rows(blocks, 3).toarray(), np.concatenate(blocks))


PEAK = """
import resource
import numpy as np
from embudo import Autoencoder, TopK, Training

X = np.random.default_rng(0).random((20_000, 4), dtype=np.float32)
ae = Autoencoder(8192, sparsity=TopK(16), sparse_output=True, training=Training(1), random_state=0).fit(X[:100])
ae.transform(X[:2000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
codes = ae.transform(X)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
held = codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes
print(codes.nnz, held, grown * 1024)
"""


def test_memory_follows_what_is_not_0():
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    nnz, held, grown = map(int, run.stdout.split())
    dense = 20_000 * 8192 * 4
    assert nnz == 20_000 * 16
    assert held == 8 * nnz + 4 * 20_001
    assert grown < dense / 3  # a few blocks
