"""Measures anomaly detectors: how well they rank, how long they take, and how many false alarms they raise.

Ranking: on each set, a detector learns from a random half of the normal rows and ranks the other half and all anomalies
("clean"), or learns from all rows and ranks them ("polluted"). Columns are standardised by what is learnt from; sets of
more than 20000 rows are subsampled. False alarms: of the half that is learnt from, a share is held out. These and the
other half, all normal, are split a hundred times into rows to calibrate by, and new ones, on which alarms are counted.
"""

from __future__ import annotations

import functools
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Report, parse_arguments
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from embudo import AnomalyDetector
from embudo.apps.calibration import Calibration

MOST_ROWS = 20_000
PROTOCOLS = (("clean", 0), ("polluted", 0), ("clean", 1), ("polluted", 1))
MEASURES = ("ranking", "false alarms")
RATES = (0.01, 0.05)
CALIBRATED = 0.3  #: share of the rows to learn from that calibrates
N_SPLITS = 100
CLEAN = "AnomalyDetector(contamination=0)"  #: told that what it learns from is clean
FEWEST = 500  #: normal rows of a set on which false alarms are counted


def nearest_neighbours(learnt: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the distance from the fifth nearest row that was learnt from, itself left out."""
    neighbours = NearestNeighbors(n_neighbors=5).fit(learnt)
    return neighbours.kneighbors(None if test is learnt else test)[0][:, -1]


def local_outlier_factor(learnt: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the local outlier factor, of rows that were learnt from as scikit-learn has it for them."""
    lof = LocalOutlierFactor(novelty=True).fit(learnt)
    return -(lof.negative_outlier_factor_ if test is learnt else lof.score_samples(test))


DETECTORS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "AnomalyDetector": lambda X, test, seed: -AnomalyDetector(random_state=seed).fit(X).score_samples(test),
    CLEAN: lambda X, test, seed: -AnomalyDetector(contamination=0, random_state=seed).fit(X).score_samples(test),
    "nearest neighbours": nearest_neighbours,
    "local outlier factor": local_outlier_factor,
    "IsolationForest": lambda X, test, seed: -IsolationForest(random_state=seed).fit(X).score_samples(test),
    "squared norm": lambda X, test, seed: np.square(test).sum(axis=1),  # an autoencoder that has learnt nothing
}


@functools.lru_cache(2)
def load(path: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and 1 for anomalies, at most `MOST_ROWS`, in the same shares."""
    with np.load(path) as arrays:
        X, y = arrays["X"].astype(np.float64), arrays["y"].astype(int).ravel()
    if len(y) > MOST_ROWS:
        rng = np.random.default_rng([seed, zlib.crc32(path.stem.encode())])
        n_anomalies = max(1, round(MOST_ROWS * y.mean()))
        sizes = {1: n_anomalies, 0: MOST_ROWS - n_anomalies}
        rows = np.concatenate([rng.choice(np.flatnonzero(y == k), n, replace=False) for k, n in sizes.items()])
        rng.shuffle(rows)
        X, y = X[rows], y[rows]
    return X, y


def halves(path: Path, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a half of the normal rows to learn from, the other half, and the anomalies, standardised by the first."""
    X, y = load(path, seed)
    normal = np.random.default_rng([seed, zlib.crc32(path.stem.encode()), 1]).permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    return standardised(X[normal[:half]], X[normal[half:]], X[y == 1])


def standardised(learnt: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    mean, deviation = learnt.mean(axis=0), learnt.std(axis=0)
    deviation[deviation < 1e-12] = 1
    return tuple((X - mean) / deviation for X in (learnt, *others))


def rank(path: Path, protocol: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield what each detector comes to on a set."""
    if protocol == "clean":
        learnt, fresh, anomalies = halves(path, seed)
        test, truth = np.concatenate([fresh, anomalies]), np.repeat([0, 1], [len(fresh), len(anomalies)])
    else:
        X, truth = load(path, seed)
        learnt = test = standardised(X)[0]
    for name, errors_of in DETECTORS.items():
        if name == CLEAN and protocol != "clean":
            continue
        started, cpu = time.perf_counter(), time.process_time()
        errors = errors_of(learnt, test, seed)
        yield {
            "measure": "ranking",
            "protocol": protocol,
            "seed": seed,
            "set": path.stem,
            "detector": name,
            "auroc": roc_auc_score(truth, errors),
            "ap": average_precision_score(truth, errors),
            "seconds": round(time.perf_counter() - started, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }


def false_alarms(path: Path, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the share of new normal rows that is flagged, over many splits, for each rate that is asked for."""
    learnt, fresh, _ = halves(path, seed)
    n_held_out = round(CALIBRATED * len(learnt))
    if len(learnt) + len(fresh) < FEWEST:
        return
    detector = AnomalyDetector(random_state=seed).fit(learnt[n_held_out:])
    scores = detector.score_samples(np.concatenate([learnt[:n_held_out], fresh]))
    rng = np.random.default_rng(seed)
    splits = [np.split(rng.permutation(scores), [n_held_out]) for _ in range(N_SPLITS)]
    for rate in RATES:
        if n_held_out >= 1 / rate - 1:
            flagged = [float((new < Calibration.of(known, rate).offset).mean()) for known, new in splits]
            yield {
                "measure": "false alarms",
                "seed": seed,
                "set": path.stem,
                "asked": rate,
                "got": float(np.mean(flagged)),
                "deviation": float(np.std(flagged)),
                "calibrated_on": n_held_out,
                "new": len(fresh),
            }


def main() -> None:
    arguments = parse_arguments(__doc__ or "", MEASURES)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    paths = sorted((arguments.data / "adbench").glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    if arguments.quick:
        paths = [path for path in paths if path.stem in {"14_glass", "6_cardio"}]
    report = Report(
        "anomaly",
        quick=arguments.quick,
        measured=lambda row: row["measure"] in arguments.only,
        data=f"{len(paths)} sets of ADBench (Han et al., 2022)",
        default=repr(AnomalyDetector._default_parts["autoencoder"]),
        most_rows=MOST_ROWS,
    )
    for protocol, seed in PROTOCOLS if "ranking" in arguments.only else ():
        for path in paths:
            for row in rank(path, protocol, seed):
                report.add(**row)
    for path in paths if "false alarms" in arguments.only else ():
        for row in false_alarms(path, 0):
            report.add(**row)


if __name__ == "__main__":
    main()
