"""How much each kind of autoencoder contracts: average Jacobian and saturation of the code, on MNIST.

Rifai, Vincent, Muller, Glorot and Bengio (2011), Contractive auto-encoders, table 1: 1000 sigmoid units, tied
weights, cross-entropy on pixels in [0, 1]. Strength of each regulariser: that whose code a logistic regression reads
best on the validation rows. What is measured on them: ``||J||_F``, J the Jacobian of code by pixels, and the share of
the hidden units under 0.05 or over 0.95.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from shared import Report, Split, parse_arguments
from softmax import SoftmaxGrid

from embudo import Adam, Autoencoder, Contractive, GaussianNoise, MaskingNoise, Training

N_HIDDEN = 1000
L2_GRID = (1e-5, 1e-4, 1e-3)
#: what table 1 of the paper prints as average ||J||_F
PRINTED = {"plain": 17.5e-4, "contractive": 0.73e-4}

#: variant -> what it may be given, from weak to strong
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "plain": [{}],
    "weight decay": [{"weight_decay": weight} for weight in (0.1, 1.0)],
    "denoising, Gaussian": [{"corruption": GaussianNoise(std)} for std in (0.3, 0.5)],
    "denoising, masking": [{"corruption": MaskingNoise(fraction)} for fraction in (0.25, 0.5)],
    "contractive": [{"penalty": Contractive(weight)} for weight in (0.1, 0.3)],
}


def sigmoid_autoencoder(
    n_hidden: int, epochs: int, seed: int, *, weight_decay: float = 0.0, **parts: Any
) -> Autoencoder:
    """Return an autoencoder of the paper's kind, composed with `parts`."""
    optimizer = Adam(1e-3, weight_decay=weight_decay)
    training = Training(
        epochs=epochs, batch_size=256, optimizer=optimizer, schedule="cosine", precision="bfloat16", verbose=False
    )
    return Autoencoder(
        n_hidden,
        tied=True,
        code_activation="sigmoid",
        output_activation="sigmoid",
        loss="cross_entropy",
        scale=None,
        training=training,
        random_state=seed,
        **parts,
    )


def squared_norms(model: Autoencoder, code: np.ndarray) -> np.ndarray:
    """Return ``||J||_F^2 = sum_j (h_j (1 - h_j))^2 sum_i W_ji^2`` of each sample, given its code h."""
    weight = model.module_.encoder[0].weight.detach().numpy().astype(np.float64)
    h = code.astype(np.float64)
    return np.square(h * (1 - h)) @ np.square(weight).sum(axis=1)


def figures(model: Autoencoder, X: np.ndarray, code: np.ndarray) -> dict[str, float]:
    """Return average Jacobian and saturation, in every normalisation that is compared with the paper's."""
    squared = squared_norms(model, code)
    n_entries = X.shape[1] * code.shape[1]
    return {
        "norm": float(np.sqrt(squared).mean()),
        "squared_norm": float(squared.mean()),
        "norm_by_entries": float(np.sqrt(squared).mean() / n_entries),
        "squared_norm_by_entries": float(squared.mean() / n_entries),
        "root_mean_square_entry": float(np.sqrt(squared / n_entries).mean()),
        "norm_by_samples": float(np.sqrt(squared).mean() / len(X)),
        "saturation": float(((code < 0.05) | (code > 0.95)).mean()),
        "error": float(-model.score(X)),
    }


def main() -> None:
    arguments = parse_arguments(__doc__)
    split = Split(arguments.data, quick=arguments.quick)
    epochs = 1 if arguments.quick else 12
    (X, y), (X_val, y_val) = split.learn, split.validation
    report = Report(
        "papers_contraction",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split=f"learnt on {len(X)} training images, chosen and measured on {len(X_val)} others; test set not used",
        seed=0,
        epochs=epochs,
        printed=PRINTED,
    )
    for variant, candidates in CANDIDATES.items():
        for parts in candidates:
            started = time.perf_counter()
            model = sigmoid_autoencoder(N_HIDDEN, epochs, 0, **parts).fit(X)
            code, code_val = model.transform(X), model.transform(X_val)
            centre, size = code.mean(axis=0), code.std()
            grid = SoftmaxGrid(L2_GRID).fit((code - centre) / size, y)
            errors = grid.errors((code_val - centre) / size, y_val)
            report.add(
                variant=variant,
                strength=", ".join(repr(part) for part in parts.values()),
                **figures(model, X_val, code_val),
                validation_error_percent=min(errors),
                minutes=round((time.perf_counter() - started) / 60, 2),
            )


if __name__ == "__main__":
    main()
