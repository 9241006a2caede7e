"""Steps of gradient descent: how a batch changes the weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from embudo.engine.objective import Objective
from embudo.engine.runtime import Runtime
from embudo.errors import MissingDependency, reason
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
    in_model = True  #: whether the model has the weights also while they are learnt

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

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the weights where they are learnt, the same in all processes; afterwards the model has them."""
        self.objective.world.align([*self.objective.parameters(), *self.objective.buffers()])
        yield

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a parameter, or what is laid out as one, as a whole; all processes ask at once."""
        return tensor

    def put(self, tensor: Tensor, whole: Tensor) -> None:
        """Set a parameter, or what is laid out as one, to values that the first process has."""
        tensor.copy_(whole)

    def set_progress(self, done: float) -> None:
        """Set what changes in the course of a training, of which the share `done` is over."""
        if self.training.schedule:
            self.lr = self.training.optimizer.lr * self.training.learning_rate_share(done)
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr
        for rule in self.objective.rules:
            rule.done = done

    def __call__(self, x: Tensor, target: Tensor) -> dict[str, Any]:
        """Learn from one batch, where gradients are disabled.

        Parameters
        ----------
        x, target : Tensor of shape (n, n_features)
            What is given, and what shall come out; the same, but for measured pairs.

        Returns
        -------
        dict of str to Tensor or NumPy's float
            The terms of the objective before the step.
        """
        terms = self.reduce(self.differentiate(x, target))
        if self.training.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.training.clip)
        self.update()
        for layer in self.constrained:
            layer.constrain()
        return terms

    @torch.no_grad()
    def settle(self) -> None:
        """Set to 0 what is too small to matter, of weights and running means.

        Where a feature is always the same, or a unit is dead, they fade into subnormal numbers, with which a CPU takes
        up to a hundred times as long.
        """
        if self.runtime.device.type != "cpu":
            return
        means = (state.get(name) for state in self.optimizer.state.values() for name in ("exp_avg", "momentum_buffer"))
        for tensor in (*self.parameters, *means):
            if tensor is not None:
                values = self.own(tensor.detach())
                torch.hardshrink(values, math.sqrt(torch.finfo(values.dtype).tiny), out=values)

    def own(self, tensor: Tensor) -> Tensor:
        """Return the part that this process holds of a parameter, or of what is laid out as one."""
        return tensor

    def update(self) -> None:
        """Change the weights by the gradient."""
        self.optimizer.step()

    def differentiate(self, x: Tensor, target: Tensor) -> dict[str, Any]:
        """Return the terms of the objective, and leave the gradient of their sum in ``grad`` of the parameters."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it finds the gradient.")

    def reduce(self, terms: dict[str, Any]) -> dict[str, Any]:
        """Make gradient and terms those of the batch, given those of the share; return the terms."""
        return self.objective.world.reduce(self.parameters, terms)


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
            terms = self.terms(x.to(self.runtime.device), target.to(self.runtime.device))
            total = torch.stack(list(terms.values())).sum() if len(terms) > 1 else next(iter(terms.values()))
        self.backward(total)
        return terms

    def terms(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective."""
        terms: dict[str, Tensor] = self.objective(x, target)
        return terms

    def backward(self, total: Tensor) -> None:
        """Leave the gradient of a sum of terms in ``grad`` of the parameters."""
        total.backward()


class CompiledStep(AutogradStep):
    """A step by automatic differentiation of what `torch.compile` makes of the objective."""

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        super().__init__(objective, training, runtime)
        self.compiled = torch.compile(objective)

    def terms(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return the terms of the objective.

        Raises
        ------
        MissingDependency
            If torch cannot compile here.
        """
        try:
            terms: dict[str, Tensor] = self.compiled(x, target)
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise MissingDependency(
                f"Training(compile=True) needs what torch.compile needs, on a CPU a C++ compiler: {reason(error)}; "
                "install it, or leave compile out."
            ) from None
        return terms
