"""Training to compare with: plain PyTorch, written as a good user of it would.

Weights come named as in a rondel model folder, which is how `torch.nn` names them.
Shapes: T time, B batch, V vocabulary, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from _rondel import Arrays, Ids, Shape
from torch import Tensor, nn
from torch.nn import functional

CLIP = 1.0


class TorchModel(nn.Module):
    """Embedding, `nn.LSTM`, `nn.GRU` or `nn.RNN`, and a linear head."""

    def __init__(self, shape: Shape, weights: Arrays) -> None:
        super().__init__()
        hidden = shape.hidden
        self.embedding = nn.Embedding(shape.vocabulary, hidden)
        self.core = getattr(nn, shape.cell.upper())(hidden, hidden, shape.layers)
        self.head = nn.Linear(hidden, shape.vocabulary)
        self.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def forward(self, tokens_TB: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        outputs_TBH, state = self.core(self.embedding(tokens_TB), state)
        return self.head(outputs_TBH), state


def detached(state: Any) -> Any:
    """The carried state without its history."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def one_dnn(enabled: bool) -> AbstractContextManager[None]:
    """PyTorch as it comes, or without oneDNN."""
    if enabled:
        return nullcontext()
    manager: AbstractContextManager[None] = torch.backends.mkldnn.flags(
        enabled=False, allow_tf32=None
    )
    return manager


class TorchTraining:
    """Forward and backward of a batch; with a text, whole steps of training along it."""

    def __init__(
        self,
        shape: Shape,
        weights: Arrays,
        batch: tuple[Ids, Ids],
        threads: int,
        with_one_dnn: bool = True,
    ) -> None:
        self.model = TorchModel(shape, weights)
        self._batch = torch.from_numpy(batch[0]), torch.from_numpy(batch[1])
        self._threads, self._with_one_dnn = threads, with_one_dnn

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with one_dnn(self._with_one_dnn):
            for _ in range(count):
                self.model.zero_grad(set_to_none=True)
                logits_TBV, _ = self.model(self._batch[0])
                loss_of(logits_TBV, self._batch[1]).backward()

    def gradients(self) -> Arrays:
        self.run(1)
        return gradients_of(self.model)


class TwoReplicas:
    """Data parallel in two Python threads: half of the streams each, gradients summed."""

    def __init__(self, shape: Shape, weights: Arrays, batch: tuple[Ids, Ids]) -> None:
        self.replicas = [TorchModel(shape, weights) for _ in range(2)]
        self.shares = [slice(0, shape.batch // 2), slice(shape.batch // 2, shape.batch)]
        self.batch_size = shape.batch
        self.pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,))
        self._batch = torch.from_numpy(batch[0]), torch.from_numpy(batch[1])

    def run(self, count: int) -> None:
        torch.set_num_threads(1)
        for _ in range(count):
            self.accumulate(*self._batch, [None, None])

    def accumulate(
        self, inputs_TB: Tensor, targets_TB: Tensor, states: Sequence[Any]
    ) -> tuple[float, list[Any]]:
        """Leave the batch's gradients in the first replica; the loss, and both halves' states."""
        done = list(
            self.pool.map(self._half, (0, 1), *([x] * 2 for x in (inputs_TB, targets_TB)), states)
        )
        first, second = ([p.grad for p in replica.parameters()] for replica in self.replicas)
        torch._foreach_add_(first, second)
        return done[0][0] + done[1][0], [state for _, state in done]

    def _half(self, which: int, inputs_TB: Tensor, targets_TB: Tensor, state: Any) -> Any:
        share = self.shares[which]
        replica = self.replicas[which]
        replica.zero_grad(set_to_none=True)
        logits_TBV, state = replica(inputs_TB[:, share], state)
        part = (share.stop - share.start) / self.batch_size
        loss = part * loss_of(logits_TBV, targets_TB[:, share])
        loss.backward()
        return loss.detach(), detached(state)

    def gradients(self) -> Arrays:
        self.run(1)
        return gradients_of(self.replicas[0])


class TorchWhole:
    """Training along a text: fused Adam, clipping, the state carried."""

    def __init__(
        self,
        shape: Shape,
        weights: Arrays,
        ids: Ids,
        learning_rate: float,
        threads: int,
        with_one_dnn: bool = True,
    ) -> None:
        self._model = TorchModel(shape, weights)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=learning_rate, fused=True)
        self._batches = batches_along(ids, shape)
        self._threads, self._with_one_dnn = threads, with_one_dnn
        self._state: Any = None

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with one_dnn(self._with_one_dnn):
            for _ in range(count):
                self._step()

    def losses(self, count: int) -> list[float]:
        return [float(self._step()) for _ in range(count)]

    def _step(self) -> Tensor:
        inputs_TB, targets_TB = next(self._batches)
        logits_TBV, state = self._model(inputs_TB, self._state)
        self._state = detached(state)
        loss = loss_of(logits_TBV, targets_TB)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._model.parameters(), CLIP)
        self._optimizer.step()
        return loss.detach()


class TorchWords:
    """As `TorchWhole`, with tied weights, or with PyTorch's adaptive softmax."""

    def __init__(
        self, shape: Shape, weights: Arrays, ids: Ids, learning_rate: float, threads: int
    ) -> None:
        arrays = {name: torch.tensor(array) for name, array in weights.items()}
        self._embedding = nn.Embedding.from_pretrained(arrays["embedding.weight"], freeze=False)
        self._core = nn.LSTM(shape.hidden, shape.hidden, shape.layers)
        self._core.load_state_dict(_under("core.", arrays))
        head = _under("head.", arrays)
        sizes = [len(head[name]) for name in sorted(head) if name.endswith(".1.weight")]
        self._adaptive: Any = None
        if sizes:
            cutoffs = [shape.vocabulary - sum(sizes[i:]) for i in range(len(sizes))]
            self._adaptive = nn.AdaptiveLogSoftmaxWithLoss(shape.hidden, shape.vocabulary, cutoffs)
            self._adaptive.load_state_dict(head)
        self._bias = nn.Parameter(head.get("bias", torch.zeros(1)))
        parts = (self._embedding, self._core, self._adaptive)
        self._parameters = [p for part in parts if part is not None for p in part.parameters()]
        if self._adaptive is None:
            self._parameters.append(self._bias)
        self._optimizer = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)
        self._batches, self._threads = batches_along(ids, shape), threads
        self._state: Any = None

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        for _ in range(count):
            self._step()

    def losses(self, count: int) -> list[float]:
        return [float(self._step()) for _ in range(count)]

    def _step(self) -> Tensor:
        inputs_TB, targets_TB = next(self._batches)
        x_TBH, state = self._core(self._embedding(inputs_TB), self._state)
        self._state = detached(state)
        if self._adaptive is None:
            logits_TBV = functional.linear(x_TBH, self._embedding.weight, self._bias)
            loss = loss_of(logits_TBV, targets_TB)
        else:
            loss = self._adaptive(x_TBH.flatten(0, 1), targets_TB.flatten()).loss
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimizer.step()
        return loss.detach()


def _under(prefix: str, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


class TwoReplicasWhole(TwoReplicas):
    """The same in two threads; the second replica takes the first one's weights after each step."""

    def __init__(self, shape: Shape, weights: Arrays, ids: Ids, learning_rate: float) -> None:
        super().__init__(shape, weights, (ids[None, :0], ids[None, :0]))
        self._parameters = list(self.replicas[0].parameters())
        self._optimizer = torch.optim.Adam(self._parameters, lr=learning_rate, fused=True)
        self._batches = batches_along(ids, shape)
        self._states: list[Any] = [None, None]

    def run(self, count: int) -> None:
        torch.set_num_threads(2)
        for _ in range(count):
            self._step()

    def losses(self, count: int) -> list[float]:
        return [float(self._step()) for _ in range(count)]

    def _step(self) -> Tensor:
        loss, self._states = self.accumulate(*next(self._batches), self._states)
        nn.utils.clip_grad_norm_(self._parameters, CLIP)
        self._optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(list(self.replicas[1].parameters()), self._parameters)
        return loss


def loss_of(logits_TBV: Tensor, targets_TB: Tensor) -> Tensor:
    """Mean nats per token."""
    return functional.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())


def gradients_of(model: nn.Module) -> Arrays:
    """By parameter."""
    return {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def batches_along(ids: Ids, shape: Shape) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless slices of a text laid out once as parallel streams."""
    length = (len(ids) - 1) // shape.batch
    inputs_NB, targets_NB = (
        torch.from_numpy(part[: length * shape.batch].reshape(shape.batch, length).T.copy())
        for part in (ids[:-1], ids[1:])
    )
    while True:
        for begin in range(0, length - shape.steps + 1, shape.steps):
            chunk = slice(begin, begin + shape.steps)
            yield inputs_NB[chunk], targets_NB[chunk]
