"""The cross-entropy of a linear head over a large vocabulary, as a differentiable function.

On a CPU compiled kernels compute it in blocks, and never hold all logits; elsewhere it is
PyTorch's.

N positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from rondel import kernels
from rondel.data.batches import PADDING
from rondel.nn.workspaces import Workspaces

SMALLEST_BLOCKED_VOCABULARY = 1025
"""The logits of smaller vocabularies take little memory, and a block would be most of them."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_workspaces = Workspaces()


def head_nll(x_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, targets_N: Tensor) -> Tensor:
    """Return -ln softmax(x W' + b)[target] of each position (N,) in nats, in float32.

    It is 0 where the target is -1. x, the weight and the bias get gradients.
    """
    if _is_blocked(x_NH, weight_VH, bias_V):
        _check_targets(targets_N, len(weight_VH))
        result: Tensor = _Blocked.apply(  # type: ignore[no-untyped-call]
            torch.is_grad_enabled(), x_NH, weight_VH, bias_V, targets_N.contiguous()
        )
        return result
    logits_NV = functional.linear(x_NH, weight_VH, bias_V).float()
    return functional.cross_entropy(logits_NV, targets_N, ignore_index=PADDING, reduction="none")


def mean_head_nll(x_TBH: Tensor, head: torch.nn.Linear, targets_TB: Tensor) -> Tensor:
    """Return the mean of `head_nll` over the targets that count; NaN if there is none."""
    x_NH, targets_N = x_TBH.flatten(0, 1), targets_TB.flatten()
    if _is_blocked(x_NH, head.weight, head.bias):
        nll_N = head_nll(x_NH, head.weight, head.bias, targets_N)
        return nll_N.sum() / (targets_N != PADDING).sum()
    return functional.cross_entropy(head(x_NH).float(), targets_N, ignore_index=PADDING)


def _is_blocked(*tensors: Tensor) -> bool:
    return (
        len(tensors[1]) >= SMALLEST_BLOCKED_VOCABULARY
        and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and all(t.numel() for t in tensors)
        and not torch.is_autocast_enabled("cpu")
        and kernels.usable()
    )


def _check_targets(targets_N: Tensor, vocabulary: int) -> None:
    """Raise as PyTorch does for a target that is not in the vocabulary."""
    if targets_N.min() < PADDING or targets_N.max() >= vocabulary:
        raise IndexError("a target that is not in the vocabulary")


class _Blocked(torch.autograd.Function):
    """Gradients are computed in the forward pass, while a chunk's exponentials are there.

    They are those of the mean, which is what training minimises; for any other weighting of the
    positions, the backward pass computes the exponentials again.
    """

    @staticmethod
    def forward(
        ctx: Any, back: bool, x_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, targets_N: Tensor
    ) -> Tensor:
        scales_N = None
        if back and any(ctx.needs_input_grad):
            counted = int((targets_N != PADDING).sum())
            scales_N = np.full(len(x_NH), 1 / max(1, counted), np.float32)
            ctx.save_for_backward(x_NH, weight_VH, bias_V, targets_N)
            ctx.scales_N = scales_N
        nll_N, ctx.gradients = _run(x_NH, weight_VH, bias_V, targets_N, scales_N)
        return nll_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_nll_N: Tensor) -> Any:
        gradients, ctx.gradients = ctx.gradients, None
        factor = float(d_nll_N[0]) / float(ctx.scales_N[0])
        if gradients is None or not bool((d_nll_N == d_nll_N[0]).all()):
            scales_N = d_nll_N.detach().contiguous().numpy()
            x_NH, weight_VH, bias_V, targets_N = ctx.saved_tensors
            _, gradients = _run(x_NH, weight_VH, bias_V, targets_N, scales_N)
        elif factor != 1:
            for gradient in gradients:
                gradient.mul_(factor)
        wanted = ctx.needs_input_grad[1:4]
        kept = (g if want else None for g, want in zip(gradients, wanted, strict=True))
        return None, *kept, None


def _run(
    x_NH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    targets_N: Tensor,
    scales_N: Floats | None,
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor] | None]:
    """Return each position's loss, and the gradients of x, weight and bias of their weighted sum.

    `scales_N` are the weights; None for no gradients.
    """
    from rondel.kernels.simd.unit_groups import PANEL, count_groups
    from rondel.kernels.threads.team import team
    from rondel.kernels.training.blocked_head import BlockedHead, positions_of_chunk

    positions, size = x_NH.shape
    vocabulary = len(weight_VH)
    chunk = positions_of_chunk(positions, vocabulary)
    key = size, vocabulary, chunk
    head = _workspaces.take(key) or BlockedHead(*key)
    crew = team(torch.get_num_threads())
    x, weight, bias = (t.detach().contiguous().numpy() for t in (x_NH, weight_VH, bias_V))
    targets, nll_N = targets_N.numpy(), np.empty(positions, np.float32)
    d_x_NH, d_bias_V = torch.empty(positions, size), torch.empty(vocabulary)
    d_weight = torch.empty(0 if scales_N is None else vocabulary, count_groups(size) * PANEL)
    for begin in range(0, positions, chunk):
        part = slice(begin, begin + chunk)
        nll_N[part] = head.forward(crew, weight, bias, x[part], targets[part])
        if scales_N is not None:
            d_x_NH.numpy()[part] = head.backward(
                crew,
                weight,
                scales_N[part],
                d_weight.numpy(),
                d_bias_V.numpy(),
                accumulate=begin > 0,
            )
    _workspaces.put_back(key, head)
    if scales_N is None:
        return torch.from_numpy(nll_N), None
    return torch.from_numpy(nll_N), (d_x_NH, d_weight[:, :size].contiguous(), d_bias_V)
