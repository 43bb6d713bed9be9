"""The recurrent stack: layers, each with dropout on its output.

Shapes: T time, B batch, E input size, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from rondel.cells import Cell
from rondel.nn import compiled
from rondel.nn.dropout import Dropout
from rondel.nn.layers import RecurrentLayer, recurrent_layer

StackState = tuple[Tensor, ...]
"""One tensor (L, B, H) for each of the cell's state names, in their order."""


class RecurrentStack(nn.Module):
    """`num_layers` layers of one cell.

    `dropout` acts on the output of every layer, including the last, but not on the recurrence
    (Zaremba et al. 2014); with `variational`, all steps share one mask.

    ::

        stack = RecurrentStack(LSTM(), input_size=64, hidden_size=256, num_layers=2)
        outputs_TBH, state = stack(x_TBE, stack.initial_state(batch_size))
    """

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.hidden_size = cell, hidden_size
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.layers = nn.ModuleList(recurrent_layer(cell, size, hidden_size) for size in sizes)
        self.dropout = Dropout(dropout, variational)

    def initial_state(self, batch_size: int) -> StackState:
        """Return zeros on the parameters' device."""
        shape = (len(self.layers), batch_size, self.hidden_size)
        device = next(self.parameters()).device
        return tuple(torch.zeros(shape, device=device) for _ in self.cell.states)

    def forward(self, x_TBE: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Return outputs (T, B, H) of the last layer, and the last state of all layers."""
        parameters = self.flat_parameters()
        if compiled.applies(self.cell, x_TBE, *state, *parameters):
            return compiled.run_stack(self.cell, parameters, x_TBE, state, self.masks())
        x, after = x_TBE, []
        for number, layer in enumerate(self._layers()):
            x, layer_state = layer(x, tuple(part_LBH[number] for part_LBH in state))
            x = self.dropout(x)
            after.append(layer_state)
        return x, tuple(torch.stack(parts) for parts in zip(*after, strict=True))

    def flat_parameters(self) -> list[nn.Parameter]:
        """Return `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh` of each layer in turn."""
        return [
            parameter
            for layer in self._layers()
            for parameter in layer.parameters_by_name().values()
        ]

    def masks(self) -> compiled.Masks | None:
        """Return the dropout to apply; None without dropout, or while not training."""
        if not self.training or self.dropout.probability == 0:
            return None
        return compiled.Masks(self.dropout.probability, self.dropout.variational)

    def named_arrays(self) -> dict[str, Tensor]:
        """Return the parameters as `torch.nn`'s multi-layer modules name them: `weight_ih_l0` …"""
        return {
            f"{name}_l{number}": parameter
            for number, layer in enumerate(self._layers())
            for name, parameter in layer.parameters_by_name().items()
        }

    def _layers(self) -> Iterable[RecurrentLayer]:
        return cast("Iterable[RecurrentLayer]", self.layers)
