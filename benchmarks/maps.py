"""Maps of MNIST: codes of two and three units, which a network that has never seen the test images puts them into.

An autoencoder as it is, and one whose codes lie where `Neighbours` lays them out, beside PCA and UMAP, where it is
installed (`pip install umap-learn`). Whether the encoder sees masked images, and whether the plain one learns
probabilities, was chosen after a few epochs on the first 20000 training images by the kNN accuracy on the last 10000.
Then all 60000 are learnt; the test images, which chose nothing, tell the kNN accuracy (k = 5, on training codes) and
the trustworthiness. Products are made in bfloat16 while learning, which is three times as fast, and codes in float64.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import Report, load_mnist, parse_arguments
from sklearn.decomposition import PCA

from embudo import MLP, Adam, Autoencoder, MaskingNoise, Neighbours, Training
from embudo.data.readers import read
from embudo.metrics.neighbourhood import knn_accuracy, trustworthiness

ENCODER = MLP((512, 256, 128), activation="gelu")
NOISES: list[dict[str, Any]] = [{}, {"corruption": MaskingNoise(0.25)}]
PROBABILITIES = {"output_activation": "sigmoid", "loss": "cross_entropy"}
#: what each model may have, beside the encoder
CANDIDATES = {
    "autoencoder, Neighbours": [{"penalty": Neighbours(), **noise} for noise in NOISES],
    "autoencoder": [*NOISES, PROBABILITIES],
}
N_SELECTION, N_VALIDATION = 20_000, 10_000


def make(n_components: int, params: dict[str, Any], epochs: int) -> Autoencoder:
    optimizer = Adam(2e-3, weight_decay=0.1)
    training = Training(epochs, batch_size=256, optimizer=optimizer, precision="bfloat16", verbose=True)
    return Autoencoder(n_components, encoder=ENCODER, **params, training=training, random_state=0)


def make_umap(n_components: int) -> Any:
    from umap import UMAP

    return UMAP(n_components=n_components, random_state=0, n_jobs=1)


def has_umap() -> bool:
    try:
        import umap  # noqa: F401 (imported to see whether it is there)
    except ImportError:
        return False
    return True


def main() -> None:
    arguments = parse_arguments(__doc__)
    (train, y), (test, z) = (
        (load_mnist(arguments.data, part), read(arguments.data / "mnist" / f"{name}-labels-idx1-ubyte.gz"))
        for part, name in (("train", "train"), ("test", "t10k"))
    )
    epochs, few_epochs = (1, 1) if arguments.quick else (20, 8)
    if arguments.quick:
        train, y, test, z = train[:12000], y[:12000], test[:500], z[:500]
    report = Report(
        "maps",
        quick=arguments.quick,
        data="MNIST, values in [0, 1]",
        split="60000 to train on; the first 20000 learn, the last 10000 choose the noise; 10000 to test on",
        trustworthiness="k = 15, of 5000 test images",
        seeds=[0],
    )

    def measured(stage: str, name: str, n_components: int, model: Any, **facts: Any) -> float:
        learnt, known, new, truth = (train, y, test, z)
        if stage == "selection":
            n = min(N_SELECTION, len(train) - N_VALIDATION)
            learnt, known, new, truth = train[:n], y[:n], train[-N_VALIDATION:], y[-N_VALIDATION:]
        started, cpu = time.perf_counter(), time.process_time()
        if isinstance(model, Autoencoder):
            codes = model.fit(learnt).transform(learnt.astype(np.float64))
            new_codes = model.transform(new.astype(np.float64))
            facts["reconstruction_error"] = float(-model.score(new))
        else:  # UMAP's codes of what it has learnt are not those that it would transform it to
            codes, new_codes = model.fit_transform(learnt), model.transform(new)
        minutes, cpu_minutes = (time.perf_counter() - started) / 60, (time.process_time() - cpu) / 60
        accuracy = knn_accuracy(codes, known, new_codes, truth)
        report.add(
            stage=stage,
            model=name,
            n_components=n_components,
            knn_accuracy=accuracy,
            trustworthiness=trustworthiness(new, new_codes),
            minutes=round(minutes, 2),
            cpu_minutes=round(cpu_minutes, 2),
            **facts,
        )
        return accuracy

    chosen: dict[str, Any] = {}
    for name, candidates in CANDIDATES.items():
        found = [
            measured("selection", name, 2, make(2, params, few_epochs), params=repr(params), epochs=few_epochs)
            for params in candidates
        ]
        chosen[name] = candidates[int(np.argmax(found))]
    for n_components in (2, 3):
        measured("test", "PCA", n_components, PCA(n_components, svd_solver="covariance_eigh"))
        for name, params in chosen.items():
            model = make(n_components, params, epochs)
            measured("test", name, n_components, model, params=repr(params), epochs=epochs)
        if n_components == 2 and has_umap():
            measured("test", "UMAP", n_components, make_umap(n_components))


if __name__ == "__main__":
    main()
