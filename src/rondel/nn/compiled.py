"""The compiled kernels as differentiable functions, for training on a CPU.

Shapes: T time, B batch, E input size, H hidden size, L layers, V vocabulary, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rondel.cells import Cell
from rondel.cells.base import LayerParameters
from rondel.engine.kernel_lookup import has_kernel, kernel_of
from rondel.nn.workspaces import Workspaces

if TYPE_CHECKING:
    from rondel.kernels.training.head_workspace import HeadWorkspace
    from rondel.kernels.training.workspace import StackShape, Workspace

Floats = npt.NDArray[np.float32]

# For larger vocabularies, the logits of a batch take too much memory to hold at once.
LARGEST_FUSED_VOCABULARY = 1024
PARAMETERS_A_LAYER = len(LayerParameters._fields)


def applies(cell: Cell, *tensors: Tensor) -> bool:
    """Whether kernels can replace `torch.nn`'s layers for this cell and all these tensors."""
    return (
        all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)
        and all(t.numel() for t in tensors)
        and not torch.is_autocast_enabled("cpu")
        and has_kernel(cell)
    )


class Masks(NamedTuple):
    """Dropout of each layer's output: its probability, and whether all steps share one mask."""

    probability: float
    variational: bool


_workspaces = Workspaces()


def _arrays(tensors: Sequence[Tensor]) -> list[Floats]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _shape(
    cell: Cell,
    parameters: Sequence[Tensor],
    steps: int,
    batch: int,
    vocabulary: int,
    embedded: bool,
) -> StackShape:
    from rondel.kernels.training.workspace import StackShape

    return StackShape(
        kernel_of(cell),
        len(parameters) // PARAMETERS_A_LAYER,
        parameters[1].shape[1],
        steps,
        batch,
        parameters[0].shape[1],
        vocabulary,
        embedded,
        torch.get_num_threads(),
    )


def _layers(parameters: Sequence[Tensor]) -> list[LayerParameters]:
    arrays = _arrays(parameters)
    return [
        LayerParameters(*arrays[i : i + PARAMETERS_A_LAYER])
        for i in range(0, len(arrays), PARAMETERS_A_LAYER)
    ]


def _gradient(array: Floats) -> Tensor:
    """Return a gradient in memory outside the workspace, which is reused."""
    return torch.from_numpy(np.ascontiguousarray(array))


def _check_state(parameters: Sequence[Tensor], batch: int, state: Sequence[Tensor]) -> None:
    """Raise `ValueError` for a state of another shape: kernels would read out of bounds."""
    shape = (len(parameters) // PARAMETERS_A_LAYER, batch, parameters[1].shape[1])
    for part in state:
        if part.shape != shape:
            raise ValueError(f"the state is {shape}, not {tuple(part.shape)}")


def _check_tokens(tokens_TB: Tensor, targets_TB: Tensor, vocabulary: int) -> None:
    """Raise as PyTorch's layers do for tokens that are not in the vocabulary."""
    if tokens_TB.shape != targets_TB.shape:
        raise ValueError(f"tokens {tuple(tokens_TB.shape)}, targets {tuple(targets_TB.shape)}")
    if tokens_TB.min() < 0 or max(tokens_TB.max(), targets_TB.max()) >= vocabulary:
        raise IndexError("a token that is not in the vocabulary")


def draw_masks(work: Workspace, masks: Masks | None) -> None:
    """Draw the masks of all layers' outputs with PyTorch's generator; None removes them."""
    if masks is None or masks.probability == 0:
        work.set_masks(None)
        return
    shape = work.shape
    rows = shape.batch if masks.variational else shape.steps * shape.batch
    kept = 1 - masks.probability
    drawn = torch.empty(shape.num_layers, shape.groups, rows, 16).bernoulli_(kept).div_(kept)
    work.set_masks(drawn.numpy())


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        back: bool,
        cell: Cell,
        masks: Masks | None,
        x_TBE: Tensor,
        count: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        from rondel.kernels.threads.team import team
        from rondel.kernels.training import passes
        from rondel.kernels.training.workspace import Workspace

        state, parameters = tensors[:count], tensors[count:]
        steps, batch, _ = x_TBE.shape
        shape = _shape(cell, parameters, steps, batch, 0, True)
        work: Workspace = _workspaces.take(shape) or Workspace(shape)
        work.request_source_gradient(ctx.needs_input_grad[3])
        crew = team(shape.threads)
        tasks = passes.prepare(work, _layers(parameters), None)
        crew.run(tasks + passes.set_source(work, _arrays([x_TBE])[0]))
        passes.set_state(work, _arrays(state))
        draw_masks(work, masks)
        out_TBH = torch.empty(steps, batch, shape.hidden_size)
        out = out_TBH.numpy()

        def block(begin: int, rows: int) -> None:
            passes.forward_block(work, begin, rows)
            passes.output_block(work, begin, rows, out)

        crew.run([partial(block, begin, rows) for begin, rows in work.blocks])
        last = [torch.from_numpy(part) for part in passes.last_state(work)]
        if back and any(ctx.needs_input_grad):
            ctx.work, ctx.shape, ctx.count = work, shape, count
        else:
            _workspaces.put_back(shape, work)
        return out_TBH, *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_out_TBH: Tensor, *d_state: Tensor | None) -> Any:
        from rondel.kernels.threads.team import team
        from rondel.kernels.training import passes
        from rondel.kernels.training.weight_gradients import Gradients

        work, shape = _take_workspace(ctx), ctx.shape
        crew = team(shape.threads)
        d_out = _arrays([d_out_TBH])[0]
        d_last = [None if d is None else _arrays([d])[0] for d in d_state]

        def block(begin: int, rows: int) -> None:
            passes.set_output_gradient(work, begin, rows, d_out)
            passes.backward_block(work, begin, rows, d_last)

        crew.run([partial(block, begin, rows) for begin, rows in work.blocks])
        sums = Gradients(work)
        crew.run(sums.tasks())
        d_x = None
        if ctx.needs_input_grad[3]:
            d_x = torch.empty(shape.steps, shape.batch, shape.input_size)
            passes.source_gradient(work, d_x.numpy())
        d_first = [torch.from_numpy(part) for part in passes.state_gradient(work)]
        d_layers = [_gradient(part) for i in range(shape.num_layers) for part in sums.layer(i)]
        _workspaces.put_back(shape, work)
        return None, None, None, d_x, None, *d_first, *d_layers


def _take_workspace(ctx: Any) -> Any:
    """Take a forward pass's workspace, for its only backward pass."""
    work, ctx.work = ctx.work, None
    if work is None:
        raise RuntimeError(
            "the compiled kernels keep a pass for one backward() only; run the model again"
        )
    return work


def run_stack(
    cell: Cell,
    parameters: Sequence[Tensor],
    x_TBE: Tensor,
    state: Sequence[Tensor],
    masks: Masks | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return outputs (T, B, H) of the last layer, and the last state, (L, B, H) for each name.

    `parameters` are `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` of each layer in turn. x, the
    state and the parameters get gradients.
    """
    if x_TBE.shape[2] != parameters[0].shape[1]:
        raise ValueError(f"the input is {parameters[0].shape[1]} wide, not {x_TBE.shape[2]}")
    _check_state(parameters, x_TBE.shape[1], state)
    # Passed as an argument, since gradients are always disabled within `forward`.
    out_TBH, *last = _Stack.apply(  # type: ignore[no-untyped-call]
        torch.is_grad_enabled(), cell, masks, x_TBE, len(state), *state, *parameters
    )
    return out_TBH, tuple(last)


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        back: bool,
        cell: Cell,
        masks: Masks | None,
        tokens_TB: Tensor,
        targets_TB: Tensor,
        embedding: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        count: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        state, parameters = tensors[:count], tensors[count:]
        back = back and any(ctx.needs_input_grad)
        step = _LossStep(cell, tokens_TB, weight, embedding is not None, parameters)
        loss, last, gradients = step.run(
            masks, targets_TB, state, embedding, (weight, bias), parameters, back=back
        )
        if back:
            ctx.gradients, ctx.count = gradients, count
        ctx.mark_non_differentiable(*last)
        return loss, *last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_loss: Tensor, *_: Tensor | None) -> Any:
        factor = float(d_loss)
        if factor != 1:
            for gradient in ctx.gradients:
                if gradient is not None:
                    gradient.mul_(factor)
        (embedding, weight, bias, *layers), ctx.gradients = ctx.gradients, None
        return *[None] * 5, embedding, weight, bias, *[None] * (1 + ctx.count), *layers


class _LossStep:
    """A language model's loss and gradients in one pass; threads wait only before and after it."""

    def __init__(
        self,
        cell: Cell,
        tokens_TB: Tensor,
        head: Tensor,
        embedded: bool,
        parameters: Sequence[Any],
    ) -> None:
        from rondel.kernels.threads.team import team
        from rondel.kernels.training.head_workspace import HeadWorkspace
        from rondel.kernels.training.workspace import Workspace

        vocabulary = len(head)
        steps, batch = tokens_TB.shape
        self.shape = _shape(cell, parameters, steps, batch, vocabulary, embedded)
        self._key = ("loss", self.shape)
        kept = _workspaces.take(self._key)
        if kept is None:
            work = Workspace(self.shape)
            kept = work, HeadWorkspace(work, vocabulary)
        self.work: Workspace = kept[0]
        self.head: HeadWorkspace = kept[1]
        self.tokens_TB = tokens_TB.numpy()
        self.team = team(self.shape.threads)

    def run(
        self,
        masks: Masks | None,
        targets_TB: Tensor,
        state: Sequence[Any],
        embedding: Tensor | None,
        head: tuple[Tensor, Tensor],
        parameters: Sequence[Any],
        *,
        back: bool,
    ) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:
        """Return the mean loss, the last state, and gradients of embedding, head and layers."""
        from rondel.kernels.training import passes

        work, targets = self.work, targets_TB.numpy()
        vectors = None if embedding is None else _arrays([embedding])[0]
        weight, bias = _arrays(head)
        tasks = passes.prepare(work, _layers(parameters), vectors)
        self.team.run([lambda: self.head.prepare(weight, bias), *tasks])
        passes.set_state(work, _arrays(state))
        draw_masks(work, masks)
        scored = int((targets >= 0).sum())
        totals = self._pass_blocks(targets, 1 / max(1, scored), back=back)
        mean = sum(totals) / scored if scored else float("nan")
        last = [torch.from_numpy(part) for part in passes.last_state(work)]
        gradients = self._gradients(embedding is not None) if back else []
        _workspaces.put_back(self._key, (work, self.head))
        return torch.tensor(mean, dtype=torch.float32), last, gradients

    def _pass_blocks(
        self, targets: npt.NDArray[np.int64], scale: float, *, back: bool
    ) -> list[float]:
        from rondel.kernels.training import passes

        blocks = self.work.blocks
        totals = [0.0] * len(blocks)

        def block(number: int) -> None:
            begin, rows = blocks[number]
            passes.forward_block(self.work, begin, rows, self.tokens_TB)
            totals[number] = self.head.loss_block(begin, rows, targets, scale, back=back)
            if back:
                passes.backward_block(self.work, begin, rows)

        self.team.run([partial(block, number) for number in range(len(blocks))])
        return totals

    def _gradients(self, embedded: bool) -> list[Tensor | None]:
        from rondel.kernels.training.head_workspace import HeadGradients
        from rondel.kernels.training.weight_gradients import Gradients

        sums, head = Gradients(self.work, self.tokens_TB), HeadGradients(self.head)
        self.team.run(head.tasks() + sums.tasks())
        layers = [part for i in range(self.shape.num_layers) for part in sums.layer(i)]
        return [
            _gradient(sums.embedding()) if embedded else None,
            *(_gradient(part) for part in (head.weight, head.bias, *layers)),
        ]


def language_model_loss(
    cell: Cell,
    parameters: Sequence[Tensor],
    embedding_VE: Tensor | None,
    head_VH: Tensor,
    bias_V: Tensor,
    tokens_TB: Tensor,
    targets_TB: Tensor,
    state: Sequence[Tensor],
    masks: Masks | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return the mean negative log-likelihood of the targets in nats, and the last state.

    Targets of -1 do not count. Without an embedding the input is one-hot. The parameters get
    gradients; the state gets none, since backpropagation is truncated here.
    """
    _check_tokens(tokens_TB, targets_TB, len(head_VH))
    _check_state(parameters, tokens_TB.shape[1], state)
    loss, *last = _Loss.apply(  # type: ignore[no-untyped-call]
        torch.is_grad_enabled(),
        cell,
        masks,
        tokens_TB.contiguous(),
        targets_TB.contiguous(),
        embedding_VE,
        head_VH,
        bias_V,
        len(state),
        *state,
        *parameters,
    )
    return loss, tuple(last)
