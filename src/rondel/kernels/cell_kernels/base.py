"""The interface between cells and the compiled passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from rondel.kernels.cell_kernels.slots import Slots
from rondel.kernels.simd.pointwise import Body, compile_backward, compile_forward


@dataclass(frozen=True, kw_only=True)
class CellFields:
    """The record of a cell that passes read (see `rondel.kernels.kernel_records`)."""

    slots: int
    input_slots: int
    input_begin: int
    hidden_slots: int
    hidden_begin: int
    bounded: int
    forward: int
    """Address of code, as is `backward`; 0 in a pass that does not call it."""
    backward: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CellKernel:
    """A cell's gates, states and arithmetic. Code is compiled when it is first used.

    `forward` and `backward` are the pointwise half of a step and its gradient, written over
    `Operands`. `forward(at, keep=…)` is compiled twice: for inference, and with `keep` for
    training, where it must leave gates and `at.kept` as `backward` reads them.
    """

    name: str
    """The beginning of the compiled functions' names; unique among kernels."""
    slots: Slots
    forward: Callable[..., None]
    backward: Body
    has_c: bool = False
    """Whether there is a second state, `c`, besides `h`."""
    keeps: bool = False
    """Whether `backward` needs `at.kept` besides gates and states."""
    bounded: bool = True
    """Whether h is always within ±1; 8-bit products then need not search for its largest value."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The values of the cell's settings that it computes, where it does not compute all."""

    def applies(self, cell: object) -> bool:
        """Whether it computes the cell with this cell's settings."""
        return all(getattr(cell, name) == value for name, value in self.settings.items())

    def for_inference(self) -> CellFields:
        """Return the record for passes that run forward only."""
        return self._fields(forward=self._forward_code.address, backward=0)

    def for_training(self) -> CellFields:
        """Return the record for passes that keep what backward needs."""
        return self._fields(forward=self._kept_code.address, backward=self._backward_code.address)

    # The compiled functions are kept here, so that their addresses stay valid.

    @cached_property
    def _forward_code(self) -> Any:
        return self._compile_forward("forward", keep=False)

    @cached_property
    def _kept_code(self) -> Any:
        return self._compile_forward("forward_kept", keep=True)

    @cached_property
    def _backward_code(self) -> Any:
        return compile_backward(f"{self.name}_backward", self.slots.count, self.backward)

    def _compile_forward(self, kind: str, *, keep: bool) -> Any:
        body = partial(self.forward, keep=keep)
        return compile_forward(f"{self.name}_{kind}", self.slots.count, body)

    def _fields(self, *, forward: int, backward: int) -> CellFields:
        slots = self.slots
        return CellFields(
            slots=slots.count,
            input_slots=len(slots.input),
            input_begin=slots.input_begin,
            hidden_slots=len(slots.hidden),
            hidden_begin=slots.hidden_begin,
            bounded=int(self.bounded),
            forward=forward,
            backward=backward,
        )
