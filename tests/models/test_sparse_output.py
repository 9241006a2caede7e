"""Codes as CSR matrices: the same numbers, in the memory of what is not 0."""

import os
import subprocess
import sys
from pathlib import Path

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
import re
from pathlib import Path
import numpy as np
from embudo import Autoencoder, TopK, Training

def peak():  # of this program alone; that of getrusage starts at the size of the parent
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

X = np.random.default_rng(0).random((10_000, 4), dtype=np.float32)
ae = Autoencoder(8192, sparsity=TopK(16), sparse_output=True, training=Training(1), random_state=0).fit(X[:100])
ae.transform(X[:2000])
before = peak()
codes = ae.transform(X)
held = codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes
print(codes.nnz, held, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory where Linux keeps it")
def test_memory_follows_what_is_not_0():
    # blocks of dense codes go back to the system at once: in glibc's heap they would leave holes between what is kept
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**20)}
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True, env=env)
    nnz, held, grown = map(int, run.stdout.split())
    assert nnz == 10_000 * 16
    assert held == 8 * nnz + 4 * 10_001
    block = 1000 * 8192 * 4
    assert grown < held + 2 * block  # all rows would be 10 blocks
