"""Losses: what it means that a reconstruction is close to its input.

Each is per sample, summed over features, averaged over samples; corruptions may give each entry a weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from embudo.errors import InvalidParameter, check_choice
from embudo.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor

#: of output, target and the weight of each entry (None: 1)
LossFunction = Callable[["Tensor", "Tensor", "Tensor | None"], "Tensor"]


def squared_error(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return ``mean_n sum_i (y_ni - x_ni)^2``."""
    import torch.nn.functional as F

    if weight is not None:
        return ((output - target).square() * weight).sum() / len(target)
    return F.mse_loss(output, target, reduction="sum") / len(target)


def huber(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return ``mean_n sum_i r(y_ni - x_ni)``, ``r(e) = e^2 / 2`` up to 1 and ``|e| - 1/2`` beyond (Huber 1964)."""
    import torch.nn.functional as F

    if weight is not None:
        return (F.huber_loss(output, target, reduction="none") * weight).sum() / len(target)
    return F.huber_loss(output, target, reduction="sum") / len(target)


def cross_entropy(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return ``-mean_n sum_i x_ni log y_ni + (1 - x_ni) log(1 - y_ni)``, where `output` is the logit of y."""
    import torch.nn.functional as F

    return F.binary_cross_entropy_with_logits(output, target, weight, reduction="sum") / len(target)


LOSSES: dict[str, LossFunction] = {
    "squared_error": squared_error,
    "cross_entropy": cross_entropy,
    "huber": huber,
}


def squared_error_gradient(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the loss, and ``2 / n (y_ni - x_ni)``."""
    error, n = output - target, output.shape[0]
    flat = error.ravel()
    weighted = error if weight is None else error * weight
    loss = flat.dot(flat if weight is None else weighted.ravel()) / n
    weighted *= 2 / n
    return loss, weighted


def huber_gradient(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the loss, and ``1 / n (y_ni - x_ni)``, no further from 0 than ``1 / n``."""
    slope = (output - target).clamp_(-1, 1)
    return huber(output, target, weight), _weighted(slope, weight)


def cross_entropy_gradient(output: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the loss, and ``1 / n (y_ni - x_ni)``, where `output` is the logit of y."""
    slope = output.sigmoid().sub_(target)
    return cross_entropy(output, target, weight), _weighted(slope, weight)


def _weighted(slope: Tensor, weight: Tensor | None) -> Tensor:
    return (slope if weight is None else slope.mul_(weight)).div_(len(slope))


#: loss -> the same with its derivative with respect to each entry of the output, which may overwrite nothing
GRADIENTS: dict[LossFunction, Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]] = {
    squared_error: squared_error_gradient,
    cross_entropy: cross_entropy_gradient,
    huber: huber_gradient,
}


#: the same for small arrays
ARRAY_GRADIENTS = {squared_error: squared_error_gradient}


def resolve_loss(loss: str | Callable[[Tensor, Tensor], Tensor], output_activation: str) -> LossFunction:
    """Return the function that `loss` names, or wrap a callable of one's own.

    A callable is given the reconstruction and the target, both of shape (n, n_features), and returns the
    loss of each sample, of shape (n,), or of each entry, or their mean as a scalar.

    Raises
    ------
    InvalidParameter
        If the name is unknown, or the loss does not suit the output activation.
    """
    if callable(loss) and not isinstance(loss, Part):
        own = loss

        def mean_of_own(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
            value = own(output, target)
            if weight is not None and value.shape != weight.shape:
                raise InvalidParameter(
                    "Emphasis on corrupted entries needs the loss of each entry; the callable returned shape "
                    f"{tuple(value.shape)} for output of shape {tuple(output.shape)}."
                )
            value = value if weight is None else value * weight
            return value.flatten(1).sum(1).mean() if value.ndim > 1 else value.mean()

        return mean_of_own
    check_choice("Autoencoder.loss (when not a callable)", loss, LOSSES)
    if loss == "cross_entropy" and output_activation != "sigmoid":
        raise InvalidParameter(
            'loss="cross_entropy" measures probabilities, but '
            f'output_activation={output_activation!r} can leave (0, 1): set output_activation="sigmoid".'
        )
    return LOSSES[loss]
