"""Muon, the optimizer that the denoiser was trained with: Adam needs about three times the steps for the same error."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from embudo.parts.optimizers import Optimizer

ROUNDS = 5  #: of Newton and Schulz
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  #: of their polynomial: steep at 0


def orthogonalised(update: Tensor) -> Tensor:
    """Return the nearest matrix whose singular values are about 1, kernels as rows."""
    x = update.flatten(1)
    wide = x if len(x) <= x.shape[1] else x.T
    wide = (wide / (wide.norm() + 1e-9)).bfloat16()
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    x = wide.float() if len(x) <= x.shape[1] else wide.float().T
    return x.reshape(update.shape)


class MuonSteps(torch.optim.Optimizer):
    """Momentum whose kernels are orthogonalised (Jordan et al. 2024); biases and small layers by Adam.

    Steps are as large as those of Adam are (Liu et al. 2025, Muon is scalable for LLM training).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Change the parameters by their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim == 4 and len(parameter) >= 16:
                    self._muon(parameter, group["lr"])
                else:
                    self._adam(parameter, group["lr"] / 2)

    def _muon(self, parameter: nn.Parameter, lr: float) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
        state["mean"].lerp_(parameter.grad, 0.05)
        update = orthogonalised(parameter.grad.lerp(state["mean"], 0.95))
        parameter.add_(update, alpha=-0.2 * lr * max(len(parameter), parameter[0].numel()) ** 0.5)

    def _adam(self, parameter: nn.Parameter, lr: float) -> None:
        state = self.state[parameter]
        if not state:
            state |= {name: torch.zeros_like(parameter) for name in ("mean", "square")} | {"steps": torch.zeros(())}
        state["steps"] += 1
        state["mean"].lerp_(parameter.grad, 0.1)
        state["square"].lerp_(parameter.grad.square(), 0.01)
        mean = state["mean"] / (1 - 0.9 ** state["steps"])
        square = state["square"] / (1 - 0.99 ** state["steps"])
        parameter.addcdiv_(mean, square.sqrt() + 1e-8, value=-lr)


@dataclasses.dataclass(frozen=True, repr=False)
class Muon(Optimizer):
    """Muon for convolutions; weights do not decay."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer of `parameters`."""
        return MuonSteps(parameters, self.lr)
