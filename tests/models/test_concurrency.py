"""Fitted models in threads and in other processes: the same results, and none waits for ever."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
import zoo
from numpy.testing import assert_array_equal
from sklearn.base import clone

from embudo import AnomalyDetector, Autoencoder, AutoencoderClassifier, ImageCodec, Training

X = zoo.digits(np.float32)
QUICK = Training(2, verbose=False)
SMALL = Autoencoder(5, training=QUICK, random_state=0)
PHOTO = np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)
N_THREADS = 8
SECONDS = 120  #: after which a process is taken to wait for ever

#: name: (model, what is fitted to, method)
MODELS = {
    **{
        name: (zoo.COMPOSITIONS[name], (X,), "transform")
        for name in ("k_sparse", "batch_k_sparse", "convolutional_tied")
    },
    "stack": (zoo.COMPOSITIONS["stack"], (X,), "reconstruct"),
    "float64": (SMALL, (X.astype(np.float64),), "reconstruction_error"),
    "classifier": (AutoencoderClassifier(SMALL, training=QUICK), (X, np.arange(200) % 3), "predict_proba"),
    "detector": (AnomalyDetector(SMALL, n_subsampled=1, random_state=0), (X,), "score_samples"),
    "codec": (ImageCodec(block=4, method="linear"), ([PHOTO],), "encode"),
}


def as_array(result):
    if isinstance(result, bytes):
        return np.frombuffer(result, np.uint8)
    return result.toarray() if hasattr(result, "toarray") else result


@pytest.mark.parametrize("name", MODELS)
def test_eight_threads_at_once(name):
    model, data, method = MODELS[name]
    use = getattr(clone(model).fit(*data), method)
    samples = PHOTO if name == "codec" else data[0]
    expected = as_array(use(samples))
    together = threading.Barrier(N_THREADS)

    def work(_):
        together.wait(SECONDS)
        return [as_array(use(samples)) for _ in range(5)]

    with ThreadPoolExecutor(N_THREADS) as pool:
        for results in pool.map(work, range(N_THREADS), timeout=SECONDS):
            for result in results:
                assert_array_equal(result, expected)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblibs_workers(backend):
    model = clone(SMALL).fit(X)
    tasks = [joblib.delayed(model.transform)(X[i::4]) for i in range(4)]
    results = joblib.Parallel(n_jobs=2, backend=backend, timeout=SECONDS)(tasks)
    for i, result in enumerate(results):
        assert_array_equal(result, model.transform(X[i::4]))


@pytest.fixture
def two_threads():
    """Threads of OpenMP that are at work in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(10**6).exp()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_another_process(start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip("there is no fork here")
    rows = np.tile(X, (50, 2))  # enough for two threads
    model = Autoencoder(100, training=QUICK, random_state=0).fit(rows)
    with multiprocessing.get_context(start).Pool(1) as pool:
        codes = pool.apply_async(model.transform, (rows,)).get(SECONDS)
        again = pool.apply_async(clone(model).fit, (rows,)).get(SECONDS)
    np.testing.assert_allclose(codes, model.transform(rows), atol=1e-5)
    np.testing.assert_allclose(again.transform(rows), model.transform(rows), atol=1e-3)
