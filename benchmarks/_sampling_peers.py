"""Sampling to compare with: plain PyTorch, written as a good user of it would.

Weights come named as in a rondel model folder, which is how `torch.nn` names them.
Shapes: T time, B batch, V vocabulary, H hidden size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from _rondel import TEMPERATURE, Arrays, Ids, Shape
from _training_peers import TorchModel
from torch import Tensor, nn
from torch.nn import functional


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
