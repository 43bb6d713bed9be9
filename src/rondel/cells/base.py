"""The base of all cells: two matmuls and a pointwise function, written once for NumPy and PyTorch.

Shapes: T time, B batch, E input size, H hidden size, G number of gates. A cell's parameters are
named and ordered as those of `torch.nn.LSTM`, `GRU` and `RNN`:
`weight_ih_l0` (G*H, E), `weight_hh_l0` (G*H, H), `bias_ih_l0` (G*H), `bias_hh_l0` (G*H).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

# A NumPy array or a torch tensor: a cell's arithmetic is the same for both.
Array = Any
State = tuple[Array, ...]
"""One array (..., B, H) for each of a cell's state names, in their order."""


class Pointwise(NamedTuple):
    """The result of one step: the next state, and the activated gates."""

    state: State
    gates: tuple[Array, ...]


class LayerParameters(NamedTuple):
    """One layer's parameters."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array

    @classmethod
    def of(cls, arrays: Mapping[str, Array], layer: int, prefix: str = "") -> LayerParameters:
        """Select layer `layer`'s parameters from arrays named as `torch.nn` names them."""
        return cls(*(arrays[f"{prefix}{name}_l{layer}"] for name in cls._fields))


class Cell(ABC):
    """A recurrent cell. A subclass is a frozen dataclass; its fields are the cell's settings.

    It names its gates and states and implements `pointwise`; steps and sequences follow from these.
    """

    gates: ClassVar[tuple[str, ...]]
    """Names of the gates, in the order of their rows in the weights."""

    states: ClassVar[tuple[str, ...]]
    """Names of the states; the first is the hidden state, which is also the output."""

    @classmethod
    def settings_types(cls) -> Mapping[str, type]:
        """Declare its fields as settings of a model: see `rondel.settings.component`."""
        return {"model": cls}

    @classmethod
    def chosen_settings(cls, *, open_vocabulary: bool) -> Mapping[str, Any]:
        """Return defaults of settings that depend on the tokenizer (see `Tokenizer`)."""
        return {}

    @abstractmethod
    def pointwise(
        self, xp: Any, input_gates: Array, hidden_gates: Array, state: State
    ) -> Pointwise:
        """Compute the next state from the two halves of the gates' pre-activations.

        `xp` is `torch` or `numpy_namespace`; `input_gates` and `hidden_gates` are (..., G*H),
        biases included; `state` holds arrays (..., H).
        """

    def initial_bias(self) -> dict[str, float]:
        """Return initial input biases of gates by name; these gates' hidden biases start at 0."""
        return {}

    def gate_rows(self, gate: str, hidden_size: int) -> slice:
        """Return the rows of a weight matrix that belong to `gate`."""
        first = self.gates.index(gate) * hidden_size
        return slice(first, first + hidden_size)

    def step(self, xp: Any, layer: LayerParameters, x_BE: Array, state: State) -> Pointwise:
        """Run one step of one layer, from an input (B, E) and a state of arrays (B, H)."""
        input_gates = x_BE @ layer.weight_ih.T + layer.bias_ih
        return self.recur(xp, layer, input_gates, state)

    def recur(self, xp: Any, layer: LayerParameters, input_gates: Array, state: State) -> Pointwise:
        """Run one step, given the input half (B, G*H) of its gates, bias included."""
        hidden_gates = state[0] @ layer.weight_hh.T + layer.bias_hh
        return self.pointwise(xp, input_gates, hidden_gates, state)

    def sequence(
        self, xp: Any, layer: LayerParameters, x_TBE: Array, state: State
    ) -> tuple[list[Array], State]:
        """Run a sequence through one layer; return its T outputs (B, H) and the last state.

        The input half of the gates does not depend on the recurrence, so it is one large matmul.
        """
        input_gates_TBG = x_TBE @ layer.weight_ih.T + layer.bias_ih
        outputs = []
        for input_gates_BG in input_gates_TBG:
            state, _ = self.recur(xp, layer, input_gates_BG, state)
            outputs.append(state[0])
        return outputs, state


def split_gates(gates: Array, count: int) -> list[Array]:
    """Split gates (..., G*H) into `count` arrays (..., H)."""
    size = gates.shape[-1] // count
    return [gates[..., i * size : (i + 1) * size] for i in range(count)]
