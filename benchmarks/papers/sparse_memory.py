"""Memory of sparse codes: 1,000,000 rows of 24576 units of which 32 speak, as a CSR matrix.

Dense they would be 98 GB. What counts is how much the resident set of the process grows while `transform` works, and
the peak on the way; both are read from /proc, on Linux. The samples are few numbers each: their width changes nothing.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
from shared import Report, parse_arguments

from embudo import Autoencoder, TopK, Training

N_FEATURES, N_UNITS, K = 16, 24576, 32


def resident(name: str) -> int:
    """Return an entry of the process's status in bytes: "VmRSS", what is resident, or "VmHWM", the peak of it."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def main() -> None:
    arguments = parse_arguments(__doc__)
    n_rows = 20_000 if arguments.quick else 1_000_000
    report = Report(
        "papers_sparse_memory", quick=arguments.quick, data="uniform noise", seed=0, limits={"held_gb": 0.3}
    )
    X = np.random.default_rng(0).random((n_rows, N_FEATURES), dtype=np.float32)
    model = Autoencoder(
        N_UNITS, sparsity=TopK(K), sparse_output=True, training=Training(1, verbose=False), random_state=0
    ).fit(X[:2000])
    before, started = resident("VmRSS"), time.perf_counter()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins at what is resident now
    codes = model.transform(X)
    seconds = time.perf_counter() - started
    counts = np.diff(codes.indptr)
    report.add(
        rows=n_rows,
        units=N_UNITS,
        least=int(counts.min()),
        most=int(counts.max()),
        dense_gb=n_rows * N_UNITS * 4 / 1e9,
        held_gb=(codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes) / 1e9,
        grown_gb=(resident("VmRSS") - before) / 1e9,
        peak_gb=(resident("VmHWM") - before) / 1e9,
        seconds=seconds,
    )


if __name__ == "__main__":
    main()
