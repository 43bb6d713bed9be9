"""Adam that updates only the rows of a sparse gradient, and else is `torch.optim.Adam`.

An embedding of 50,000 words has gradients for a few hundred rows in a step. As in
`torch.optim.SparseAdam`, the moments of the other rows stay as they are, and so do the rows: Adam
itself would let them decay, and move each row on for some steps after it was last seen.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch


class RowAdam(torch.optim.Adam):
    """Adam; its state is the same whether gradients are sparse or not."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update the parameters that have gradients; sparse ones are coalesced, and removed."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is not None and gradient.is_sparse:
                    self._update_rows(parameter, gradient.coalesce(), group)
                    parameter.grad = None
        # Without its wrappers, which import PyTorch's compiler.
        inspect.unwrap(torch.optim.Adam.step)(self, closure)

    def _update_rows(
        self, parameter: torch.nn.Parameter, gradient: torch.Tensor, group: dict[str, Any]
    ) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        steps, (beta1, beta2) = float(state["step"]), group["betas"]
        rows, values = gradient.indices()[0], gradient.values()
        mean = state["exp_avg"][rows].lerp_(values, 1 - beta1)
        square = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(values, values, value=1 - beta2)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        scale = math.sqrt(1 - beta2**steps)
        divisor = square.sqrt_().div_(scale).add_(group["eps"])
        parameter.index_add_(0, rows, mean.div_(divisor), alpha=-group["lr"] / (1 - beta1**steps))
