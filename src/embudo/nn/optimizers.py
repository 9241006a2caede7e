"""torch's optimizers by their fused kernels: what torch puts around them costs small networks more than the kernels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

#: means of gradients and of their squares, the count of steps, and what adds to it
Moments = tuple[list[Tensor], list[Tensor], Tensor, Callable[[float], Any]]
#: gradients of some rows of a parameter after others
Blocks = Iterable[tuple[slice, Tensor]]
NO_BLOCKS: Mapping[Tensor, Blocks] = MappingProxyType({})


class Uncompiled(torch.optim.Optimizer):
    """An optimizer without torch's notes to its compiler, which import the compiler: a second and more."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class FusedSGD(Uncompiled, torch.optim.SGD):
    """`torch.optim.SGD`, but where gradients are disabled."""

    step = inspect.unwrap(torch.optim.SGD.step)


class FusedAdamW(Uncompiled, torch.optim.AdamW):
    """`torch.optim.AdamW` with ``fused=True``, but without closures and hooks, where gradients are disabled.

    Steps are counted for each group of parameters, not for each parameter.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.moments: dict[int, Moments] = {}
        super().__init__(*args, **kwargs)

    def step(  # type: ignore[override]
        self, closure: Callable[[], Any] | None = None, blocks: Mapping[Tensor, Blocks] = NO_BLOCKS
    ) -> None:
        """Change the parameters that have a gradient, and those of which `blocks` yields it, some rows at a time."""
        for i, group in enumerate(self.param_groups):
            if i not in self.moments:
                self.moments[i] = self._moments(group["params"])
            params: list[Tensor] = group["params"]
            means, squares, count, add_to_count = self.moments[i]
            grads = [grad for parameter in params if (grad := parameter.grad) is not None]
            in_blocks = [n for n, parameter in enumerate(params) if parameter in blocks] if blocks else []
            if not grads and not in_blocks:
                continue
            add_to_count(1)
            for n in in_blocks:
                for rows, grad in blocks[params[n]]:
                    _change(group, [params[n].detach()[rows]], [grad], [means[n][rows]], [squares[n][rows]], count)
            if len(grads) < len(params):
                known = [n for n, parameter in enumerate(params) if parameter.grad is not None]
                params, means, squares = ([a[n] for n in known] for a in (params, means, squares))
            if grads:
                _change(group, params, grads, means, squares, count)

    step.hooked = True  # type: ignore[attr-defined]  # torch wraps methods that do not say so

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # also at the end of load_state_dict
        self.moments = {}

    def _moments(self, params: list[Tensor]) -> Moments:
        """Return the running means of a group's gradients and of their squares, the count of its steps, and its add."""
        states = [self.state[parameter] for parameter in params]
        count = states[0].get("step", torch.zeros((), device=params[0].device))
        for state, parameter in zip(states, params, strict=True):
            state["step"] = count
            for name in ("exp_avg", "exp_avg_sq"):
                state.setdefault(name, torch.zeros_like(parameter))
        # a number is added to a small tensor by NumPy in a tenth of the time
        add: Callable[[float], Any] = count.numpy().__iadd__ if count.is_cpu else count.add_
        return [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states], count, add


def _change(
    group: dict[str, Any],
    params: list[Tensor],
    grads: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    count: Tensor,
) -> None:
    """Change parameters and the running means of their gradients and of their squares, in the step of that count."""
    beta1, beta2 = group["betas"]
    torch._fused_adamw_(
        params,
        grads,
        means,
        squares,
        [],
        [count] * len(params),
        lr=group["lr"],
        beta1=beta1,
        beta2=beta2,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )
