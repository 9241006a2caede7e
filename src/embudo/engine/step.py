"""Steps of gradient descent: how a batch changes the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from embudo.engine.objective import Objective
from embudo.engine.runtime import Runtime
from embudo.nn.layers import Layer
from embudo.parts.training import Training


class TrainingStep:
    """Base of the steps: all but how the gradient is found.

    Parameters
    ----------
    objective : Objective
        Its parameters are changed in place.
    training : Training
        Optimizer and clipping.
    runtime : Runtime
        Device and arithmetic.
    """

    takes_shares = False  #: whether it is right for a share of a batch, whose rest other processes hold

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        self.objective, self.training, self.runtime = objective, training, runtime
        self.parameters = list(objective.parameters())
        self.constrained = [layer for layer in objective.modules() if isinstance(layer, Layer) and layer.unit_norm]
        self.optimizer = training.optimizer.build(self.parameters)
        self.lr = training.optimizer.lr

    @classmethod
    def suits(cls, objective: Objective, runtime: Runtime) -> bool:
        """Return whether this step finds the gradient of `objective`."""
        raise NotImplementedError(f"{cls.__name__} does not say what it suits.")

    def set_progress(self, done: float) -> None:
        """Set what changes in the course of a training, of which the share `done` is over."""
        if self.training.schedule:
            self.lr = self.training.optimizer.lr * self.training.learning_rate_share(done)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr
        for rule in self.objective.rules:
            rule.done = done

    def __call__(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Learn from one batch, where gradients are disabled.

        Parameters
        ----------
        x, target : Tensor of shape (n, n_features)
            What is given, and what shall come out; the same, but for measured pairs.

        Returns
        -------
        dict of str to Tensor
            The terms of the objective before the step, scalars.
        """
        terms = self.differentiate(x, target)
        terms = self.objective.world.reduce(self.parameters, terms)
        if self.training.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.training.clip)
        self.optimizer.step()
        for layer in self.constrained:
            layer.constrain()
        return terms

    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it finds the gradient.")


class AutogradStep(TrainingStep):
    """A step whose gradient is found by automatic differentiation."""

    takes_shares = True

    @classmethod
    def suits(cls, objective: Objective, runtime: Runtime) -> bool:
        """Return whether this step finds the gradient of `objective`: always."""
        return True

    @torch.enable_grad()
    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.runtime.autocast():
            terms: dict[str, Tensor] = self.objective(x.to(self.runtime.device), target.to(self.runtime.device))
            total = torch.stack(list(terms.values())).sum() if len(terms) > 1 else next(iter(terms.values()))
        total.backward()
        return terms
