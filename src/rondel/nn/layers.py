"""One recurrent layer: PyTorch's where it has the cell, else the cell's own arithmetic.

Shapes: T time, B batch, E input size, H hidden size.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rondel.cells import Cell
from rondel.cells.base import LayerParameters
from rondel.cells.gru import GRU
from rondel.cells.lstm import LSTM
from rondel.cells.rnn import RNN

LayerState = tuple[Tensor, ...]
"""One tensor (B, H) for each of the cell's state names."""


def _torch_rnn(cell: Cell, input_size: int, hidden_size: int) -> nn.RNNBase:
    assert isinstance(cell, RNN)
    return nn.RNN(input_size, hidden_size, nonlinearity=cell.nonlinearity)


# Used instead of the cell's `pointwise`, and so must compute the same. PyTorch runs these with
# oneDNN on a CPU and cuDNN on a GPU.
TORCH_LAYERS: dict[type[Cell], Callable[[Cell, int, int], nn.RNNBase]] = {
    RNN: _torch_rnn,
    GRU: lambda cell, input_size, hidden_size: nn.GRU(input_size, hidden_size),
    LSTM: lambda cell, input_size, hidden_size: nn.LSTM(input_size, hidden_size),
}


class RecurrentLayer(nn.Module):
    """One layer of a cell; the state is passed in and returned."""

    @abstractmethod
    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """Return `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`."""

    @abstractmethod
    def forward(self, x_TBE: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """Return outputs (T, B, H) and the last state."""


def recurrent_layer(cell: Cell, input_size: int, hidden_size: int) -> RecurrentLayer:
    """Build the fastest layer for a cell, initialised."""
    build = TorchLayer if type(cell) in TORCH_LAYERS else SteppedLayer
    return build(cell, input_size, hidden_size)


class TorchLayer(RecurrentLayer):
    """A layer of `torch.nn.LSTM`, `GRU` or `RNN`, with the state as `RecurrentLayer` has it."""

    def __init__(self, cell: Cell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.rnn = TORCH_LAYERS[type(cell)](cell, input_size, hidden_size)
        initialise(cell, self.parameters_by_name(), hidden_size)

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """See `RecurrentLayer.parameters_by_name`."""
        return {name: getattr(self.rnn, f"{name}_l0") for name in LayerParameters._fields}

    def forward(self, x_TBE: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """See `RecurrentLayer.forward`."""
        before = tuple(part_BH[None].contiguous() for part_BH in state)
        output_TBH, after = self.rnn(x_TBE, before if len(before) > 1 else before[0])
        parts = after if isinstance(after, tuple) else (after,)
        return output_TBH, tuple(part_1BH[0] for part_1BH in parts)


class SteppedLayer(RecurrentLayer):
    """A layer of any registered cell, run step by step."""

    def __init__(self, cell: Cell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = cell
        rows = len(cell.gates) * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        initialise(cell, self.parameters_by_name(), hidden_size)

    def parameters_by_name(self) -> dict[str, nn.Parameter]:
        """See `RecurrentLayer.parameters_by_name`."""
        return {name: getattr(self, name) for name in LayerParameters._fields}

    def forward(self, x_TBE: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """See `RecurrentLayer.forward`."""
        layer = LayerParameters(**self.parameters_by_name())
        outputs, state = self.cell.sequence(torch, layer, x_TBE, state)
        return torch.stack(outputs), state


def initialise(cell: Cell, parameters: dict[str, nn.Parameter], hidden_size: int) -> None:
    """Draw parameters from ±1/sqrt(H), as `torch.nn` does; set the biases that the cell chooses."""
    bound = 1 / math.sqrt(hidden_size)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.uniform_(-bound, bound)
        for gate, bias in cell.initial_bias().items():
            rows = cell.gate_rows(gate, hidden_size)
            parameters["bias_ih"][rows] = bias
            parameters["bias_hh"][rows] = 0.0
