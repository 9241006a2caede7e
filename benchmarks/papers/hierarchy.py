"""What the levels of a stack look at: inputs that units like best, and how well each level tells digits apart.

Erhan, Bengio, Courville and Vincent (2009), Visualizing higher-layer features of a deep network: the input of a given
norm that makes a unit most active, found by gradient ascent from noise. Here it departs from the mean image, and the
norm is that of the departure in standard deviations of each pixel, so that pixels which never vary stay as they are.
Its extent is the number of pixels that hold 90 % of the squares of the departure. A logistic regression on the codes
of a level, its penalty chosen on validation images, gives the error of a linear probe. Draws `hierarchy.png`.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from shared import Report, Split, parse_arguments
from softmax import SoftmaxGrid
from torch import Tensor

from embudo import Adam, Autoencoder, MaskingNoise, StackedAutoencoder, Training, make_stack
from embudo.report.pictures import mosaic

SIZES = (1000, 1000, 1000)
SEED = 0
N_UNITS = 100  #: of each level, whose inputs are sought
N_DRAWN = 16
L2_GRID = (1e-5, 1e-4, 1e-3, 3e-3)


def make_model(epochs: int) -> StackedAutoencoder:
    training = Training(
        epochs, batch_size=128, optimizer=Adam(2e-3), schedule="cosine", precision="bfloat16", verbose=False
    )
    level = Autoencoder(
        corruption=MaskingNoise(0.25),
        tied=True,
        code_activation="sigmoid",
        output_activation="sigmoid",
        loss="cross_entropy",
        scale=None,
        training=training,
    )
    return make_stack(level, SIZES, fine_tune=None, random_state=SEED)


def favourites(stack: StackedAutoencoder, n_levels: int, units: np.ndarray, X: np.ndarray, n_steps: int) -> np.ndarray:
    """Return how the inputs that each of `units` of a level likes best depart from the mean of X, as rows."""
    mean, size = (torch.from_numpy(f(X, axis=0).astype(np.float64)) for f in (np.mean, np.std))
    norm = float((size > 0).sum()) ** 0.5  # of a departure by one standard deviation everywhere
    networks = [copy.deepcopy(level.module_).double() for _, level in stack.layers_[:n_levels]]

    def log_odds(z: Tensor) -> Tensor:
        x = mean + size * z
        for network in networks:
            x = network.encode(x)
        return x[range(len(units)), units].clamp(1e-12, 1 - 1e-12).logit()

    generator = torch.Generator().manual_seed(SEED)
    z = torch.randn(len(units), len(size), generator=generator, dtype=torch.float64) * (size > 0)
    for step in range(n_steps):
        z = (norm * z / z.norm(dim=1, keepdim=True)).requires_grad_()
        (uphill,) = torch.autograd.grad(log_odds(z).sum(), z)
        length = norm * 0.2 * (1 - step / n_steps)
        z = (z + length * uphill / uphill.norm(dim=1, keepdim=True).clamp(min=1e-30)).detach()
    return (size * norm * z / z.norm(dim=1, keepdim=True)).numpy()


def extent(inputs: np.ndarray) -> np.ndarray:
    """Return how many pixels hold 90 % of the squares of each row."""
    squares = np.sort(np.square(inputs), axis=1)[:, ::-1].cumsum(axis=1)
    counts: np.ndarray = (squares < 0.9 * squares[:, -1:]).sum(axis=1) + 1
    return counts


def probe(split: Split, codes: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return the penalty chosen on validation rows and the test error (%) of a logistic regression."""
    centre, size = codes["learn"].mean(axis=0), codes["learn"].std()
    learn, validation, test = ((codes[part] - centre) / size for part in ("learn", "validation", "test"))
    grid = SoftmaxGrid(L2_GRID, epochs=15).fit(learn, split.learn[1])
    best = int(np.argmin(grid.errors(validation, split.validation[1])))
    return L2_GRID[best], grid.errors(test, split.test[1])[best]


def draw(levels: dict[str, np.ndarray], path: Path) -> None:
    figure = Figure(figsize=(3 * len(levels), 3.4), layout="constrained")
    for ax, (name, inputs) in zip(figure.subplots(1, len(levels)), levels.items(), strict=True):
        scaled = inputs / np.abs(inputs).max(axis=1, keepdims=True)
        ax.imshow(mosaic(scaled.reshape(-1, 28, 28), n_columns=4), cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set_title(name)
        ax.set_axis_off()
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = parse_arguments(__doc__)
    torch.set_num_threads(1)
    split = Split(arguments.data, quick=arguments.quick)
    report = Report(
        "papers_hierarchy",
        quick=arguments.quick,
        data="MNIST in [0, 1]",
        split="learnt on 50000 training images, penalty chosen on the other 10000, error on the 10000 test images",
        seed=SEED,
        sizes=SIZES,
        units=N_UNITS,
    )
    epochs, n_steps = (1, 10) if arguments.quick else (12, 300)
    started = time.perf_counter()
    stack = make_model(epochs).fit(split.learn[0])
    minutes = round((time.perf_counter() - started) / 60, 2)
    rows = {part: getattr(split, part)[0] for part in ("learn", "validation", "test")}
    codes = {part: {"pixels": X, **stack.codes(X)} for part, X in rows.items()}
    drawn = {}
    for number, name in enumerate(codes["test"]):
        l2, error = probe(split, {part: by_level[name] for part, by_level in codes.items()})
        row = {"level": name, "units": codes["test"][name].shape[1], "epochs": epochs, "minutes": minutes}
        if number:
            units = np.argsort(-codes["validation"][name].std(axis=0))[:N_UNITS]
            inputs = favourites(stack, number, units, split.learn[0], n_steps)
            row["extent"] = float(np.median(extent(inputs)))
            drawn[name] = inputs[:N_DRAWN]
        report.add(**row, l2=l2, test_error=error)
    if not arguments.quick:
        draw(drawn, Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
