"""What rondel is measured against, written as a good user of each library would.

Weights come named as in a rondel model folder, which is how `torch.nn` names them.
Shapes: T time, B batch, V vocabulary, H hidden size.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _rondel import TEMPERATURE, Arrays, Ids, Shape
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
    """The same as `TorchWhole` with tied weights, or with PyTorch's adaptive softmax."""

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


def drawn(logits: Tensor) -> Tensor:
    """One token a row, drawn at the temperature of the benchmark."""
    return torch.multinomial(functional.softmax(logits / TEMPERATURE, -1), 1)


class TunedLoop:
    """One stream of an LSTM, as fast as plain PyTorch goes: no modules, nothing allocated twice.

    A token's input gates are looked up in a table. A layer's two matmuls are one, over its input
    and its state, which lie side by side. Gates are sorted so that the sigmoid is one call, and
    matrices lie by columns, which is what `addmv` is fastest with.
    """

    def __init__(self, shape: Shape, weights: Arrays, threads: int) -> None:
        self._threads = threads
        hidden, sorted_gates = shape.hidden, _sorted_gates(shape.hidden)
        self._table_VG, matrices, biases = tuned_weights(shape, weights, sorted_gates)
        self._head = by_columns(torch.from_numpy(weights["head.weight"]))
        self._head_bias = torch.from_numpy(weights["head.bias"])
        self._hidden = torch.zeros(shape.layers * hidden)
        self._memory = torch.zeros(shape.layers, hidden)
        self._gates, self._squashed = torch.empty(4 * hidden), torch.empty(hidden)
        self._logits = torch.empty(shape.vocabulary)
        self._layers = [
            # What a layer reads (the state below it and its own), its matrix, and where it writes.
            (
                self._hidden[max(0, layer - 1) * hidden : (layer + 1) * hidden],
                by_columns(matrices[layer]),
                biases[layer],
                self._hidden[layer * hidden : (layer + 1) * hidden],
                self._memory[layer],
            )
            for layer in range(shape.layers)
        ]
        self._three, self._candidate = self._gates[: 3 * hidden], self._gates[3 * hidden :]
        self._input, self._forget, self._output = self._three.split(hidden)

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            self._start()
            token = 1
            for _ in range(count):
                token = int(drawn(self._step(token)))

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V)."""
        with torch.inference_mode():
            self._start()
            return np.stack([self._step(token).numpy().copy() for token in ids.tolist()])

    def _start(self) -> None:
        self._hidden.zero_()
        self._memory.zero_()

    def _step(self, token: int) -> Tensor:
        for number, (reads, matrix, bias, hidden, memory) in enumerate(self._layers):
            addend = self._table_VG[token] if number == 0 else bias
            torch.addmv(addend, matrix, reads, out=self._gates)
            self._three.sigmoid_()
            self._candidate.tanh_()
            memory.mul_(self._forget).addcmul_(self._input, self._candidate)
            torch.tanh(memory, out=self._squashed)
            torch.mul(self._output, self._squashed, out=hidden)
        return torch.addmv(
            self._head_bias, self._head, self._hidden[-len(memory) :], out=self._logits
        )


class BatchedLoop:
    """Many streams of an LSTM: the same loop over `torch.addmm`."""

    def __init__(self, shape: Shape, weights: Arrays, streams: int, threads: int) -> None:
        self._threads, self._streams = threads, streams
        self._shape, hidden = shape, shape.hidden
        table_VG, matrices, biases = tuned_weights(shape, weights, _sorted_gates(hidden))
        self._table_VG, self._biases = table_VG, biases
        self._matrices = [matrix.T.contiguous() for matrix in matrices]
        self._head = torch.from_numpy(weights["head.weight"]).T.contiguous()
        self._head_bias = torch.from_numpy(weights["head.bias"])
        self._gates = torch.empty(streams, 4 * hidden)
        self._squashed = torch.empty(streams, hidden)

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            self._start()
            tokens_B = torch.ones(self._streams, dtype=torch.long)
            for _ in range(count):
                tokens_B = drawn(self._step(tokens_B))[:, 0]

    def logits(self, tokens_TB: Ids) -> npt.NDArray[Any]:
        """After each step (T, B, V)."""
        with torch.inference_mode():
            self._start()
            return np.stack([self._step(torch.from_numpy(row)).numpy() for row in tokens_TB])

    def _start(self) -> None:
        layers, hidden = self._shape.layers, self._shape.hidden
        self._hidden = torch.zeros(self._streams, layers * hidden)
        self._memory = torch.zeros(layers, self._streams, hidden)

    def _step(self, tokens_B: Tensor) -> Tensor:
        size, gates = self._shape.hidden, self._gates
        three, candidate = gates[:, : 3 * size], gates[:, 3 * size :]
        input_, forget, output = three.split(size, 1)
        for layer, matrix in enumerate(self._matrices):
            reads = self._hidden[:, max(0, layer - 1) * size : (layer + 1) * size]
            if layer == 0:
                torch.index_select(self._table_VG, 0, tokens_B, out=gates)
                gates.addmm_(reads, matrix)
            else:
                torch.addmm(self._biases[layer], reads, matrix, out=gates)
            three.sigmoid_()
            candidate.tanh_()
            memory = self._memory[layer]
            memory.mul_(forget).addcmul_(input_, candidate)
            torch.tanh(memory, out=self._squashed)
            hidden = self._hidden[:, layer * size : (layer + 1) * size]
            torch.mul(output, self._squashed, out=hidden)
        return torch.addmm(self._head_bias, hidden, self._head)


def _sorted_gates(hidden: int) -> Tensor:
    """Rows of `nn.LSTM` (input, forget, candidate, output) with the candidate moved to the end."""
    return torch.arange(4 * hidden).view(4, hidden)[[0, 1, 3, 2]].flatten()


def by_columns(matrix: Tensor) -> Tensor:
    """The same matrix with its columns one after another in memory."""
    return matrix.T.contiguous().T


def tuned_weights(
    shape: Shape, weights: Arrays, order: Tensor
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The first layer's table (V, 4H), and each layer's matrix (4H, H or 2H) and bias (4H,)."""
    arrays = {name: torch.from_numpy(array) for name, array in weights.items()}
    matrices, biases = [], []
    for layer in range(shape.layers):
        ih, hh = (arrays[f"core.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        biases.append(sum(arrays[f"core.bias_{kind}_l{layer}"] for kind in ("ih", "hh"))[order])
        matrices.append((hh if layer == 0 else torch.cat((ih, hh), 1))[order].contiguous())
    first = arrays["core.weight_ih_l0"][order]
    return arrays["embedding.weight"] @ first.T + biases[0], matrices, biases


class CellLoop:
    """One stream over `nn.LSTMCell`."""

    def __init__(self, shape: Shape, weights: Arrays, threads: int) -> None:
        self._threads, self._shape = threads, shape
        model = TorchModel(shape, weights)
        self._embedding, self._head = model.embedding, model.head
        self._cells = [nn.LSTMCell(shape.hidden, shape.hidden) for _ in range(shape.layers)]
        for layer, cell in enumerate(self._cells):
            own = {name: getattr(model.core, f"{name}_l{layer}") for name in cell.state_dict()}
            cell.load_state_dict(own)

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            state, token_1 = self._zeros(), torch.tensor([1])
            for _ in range(count):
                token_1 = drawn(self._step(token_1, state))[0]

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V)."""
        with torch.inference_mode():
            state = self._zeros()
            rows = [self._step(torch.tensor([token]), state) for token in ids.tolist()]
            return torch.cat(rows).numpy()

    def _zeros(self) -> list[tuple[Tensor, Tensor]]:
        return [(torch.zeros(1, self._shape.hidden),) * 2 for _ in self._cells]

    def _step(self, token_1: Tensor, state: list[tuple[Tensor, Tensor]]) -> Tensor:
        x_1H = self._embedding(token_1)
        for layer, cell in enumerate(self._cells):
            state[layer] = cell(x_1H, state[layer])
            x_1H = state[layer][0]
        logits_1V: Tensor = self._head(x_1H)
        return logits_1V


class ModuleLoop:
    """One stream over `nn.LSTM`, a token at a time."""

    def __init__(self, shape: Shape, weights: Arrays, threads: int) -> None:
        self._threads = threads
        self._model = TorchModel(shape, weights)

    def run(self, count: int) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            state, token_11 = None, torch.tensor([[1]])
            for _ in range(count):
                logits_11V, state = self._model(token_11, state)
                token_11 = drawn(logits_11V[0])

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V)."""
        with torch.inference_mode():
            logits_N1V, _ = self._model(torch.from_numpy(ids)[:, None])
            return logits_N1V[:, 0].numpy()


def matmul_peak(threads: int, size: int, seconds: float) -> float:
    """GFLOP/s of large square matmuls in single precision: the fastest of those made."""
    torch.set_num_threads(threads)
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return 2 * size**3 / _shortest(lambda: torch.mm(a, b, out=out), seconds) / 1e9


def read_bandwidth(size_in_bytes: int, threads: int, seconds: float) -> float:
    """GB/s of reading an array of this size, over and over, in the fastest of three ways."""
    torch.set_num_threads(threads)
    columns = 1024
    rows = max(1, size_in_bytes // (4 * columns))
    # Random numbers: pages of zeros are all one page, which is read from the nearest cache.
    matrix, vector = torch.randn(rows, columns), torch.randn(columns)
    flat, out = matrix.view(-1), torch.empty(rows)
    ways = (
        lambda: torch.mv(matrix, vector, out=out),
        lambda: torch.dot(flat, flat),
        lambda: matrix.sum(),
    )
    return max(4 * rows * columns / _shortest(way, seconds / 3) for way in ways) / 1e9


def _shortest(work: Callable[[], object], seconds: float) -> float:
    """The time of the fastest of the calls that fit into so many seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)
