"""Adam by torch's fused kernel alone: what torch puts around it costs small networks more than the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class FusedAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` with ``fused=True``, but without closures and hooks.

    Steps are counted for each group of parameters, not for each parameter.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change the parameters that have a gradient."""
        for group in self.param_groups:
            params = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not params:
                continue
            states = [self.state[parameter] for parameter in params]
            if not all(states):
                self._init_group(group, [], [], [], [], [], [])  # type: ignore[no-untyped-call]
            count = states[0]["step"].add_(1)
            for state in states:
                state["step"] = count
            torch._fused_adamw_(
                params,
                [parameter.grad for parameter in params],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [count] * len(params),
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    step.hooked = True  # type: ignore[attr-defined]  # torch wraps methods that do not say so
