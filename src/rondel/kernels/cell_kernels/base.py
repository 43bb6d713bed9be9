"""What the compiled passes have to know of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from rondel.kernels.cell_kernels.slots import Slots
from rondel.kernels.simd.pointwise import Body, compile_backward, compile_forward


@dataclass(frozen=True, kw_only=True)
class CellFields:
    """A cell as passes read it (see `rondel.kernels.records`)."""

    slots: int
    input_slots: int
    input_begin: int
    hidden_slots: int
    hidden_begin: int
    bounded: int
    forward: int
    """Address of code, as is the next; 0 in a pass that has no use for it."""
    backward: int


@dataclass(frozen=True, kw_only=True, eq=False)
class CellKernel:
    """A cell's gates, states and arithmetic. Code is compiled when it is first asked for.

    `forward` and `backward` are the pointwise half of a step and its gradient, written over
    `Operands`. `forward(at, keep=…)` is compiled twice: to run, and, with `keep`, to train, where
    gates and `at.kept` are to be left as `backward` takes them.
    """

    name: str
    """Of the compiled functions; no other kernel has it."""
    slots: Slots
    forward: Callable[..., None]
    backward: Body
    has_c: bool = False
    """Whether there is a second state, `c`, beside `h`."""
    keeps: bool = False
    """Whether there is more to keep than gates and states, in `at.kept`."""
    bounded: bool = True
    """Whether h is always within ±1; 8-bit products then need not look for its largest number."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values of the cell's settings that it is for, where it is not for all."""

    def applies(self, cell: object) -> bool:
        """Whether it computes a cell with these settings."""
        return all(getattr(cell, name) == value for name, value in self.settings.items())

    def for_running(self) -> CellFields:
        """The record for passes that run forward only."""
        return self._fields(forward=self._run.address, backward=0)

    def for_training(self) -> CellFields:
        """The record for passes that keep what backward needs."""
        return self._fields(forward=self._keep.address, backward=self._back.address)

    # The compiled functions are kept here, so that their addresses stay good.

    @cached_property
    def _run(self) -> Any:
        return self._compile_forward("forward", keep=False)

    @cached_property
    def _keep(self) -> Any:
        return self._compile_forward("forward_kept", keep=True)

    @cached_property
    def _back(self) -> Any:
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
