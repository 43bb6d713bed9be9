"""The head's passes over a workspace: packed, its loss with the gradients, its own gradients.

T steps, B batch rows, H hidden size, V vocabulary.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rondel.kernels.records import Records, records
from rondel.kernels.simd.columns import PANEL, Array, Columns, aligned, columns_of
from rondel.kernels.simd.packing import pack_gates, pack_gates_back
from rondel.kernels.threads.team import Task
from rondel.kernels.training.head import head_gradient, head_loss
from rondel.kernels.training.records import Head, Tokens
from rondel.kernels.training.workspace import Workspace

ONE_GATE = np.zeros(1, np.int64)
# A padded logit, whose exponential is 0.
NO_LOGIT = -1e30
PANELS_A_TASK = 2


class HeadWorkspace:
    """Arrays of a linear head (V, H) over the outputs of a stack's workspace."""

    def __init__(self, work: Workspace, vocabulary: int) -> None:
        self.work, self.vocabulary = work, vocabulary
        self.panels = columns_of(vocabulary)
        shape = work.shape
        width, depth = self.panels * PANEL, shape.units * PANEL
        self._weight = aligned(self.panels, depth, PANEL)
        self._weight_back = aligned(shape.units, width, PANEL)
        self._bias = aligned(width)
        self._bias[:] = NO_LOGIT
        self._logits = aligned(shape.steps * shape.batch, width)

    @property
    def rows(self) -> int:
        """Rows of logits."""
        return len(self._logits)

    def prepare(self, weight_VH: Array, bias_V: Array) -> None:
        """Pack the head."""
        size, panels = self.vocabulary, self.panels
        pack_gates(weight_VH, size, ONE_GATE, 0, panels, self._weight)
        pack_gates_back(weight_VH, size, ONE_GATE, 0, panels, self._weight_back)
        self._bias[:size] = bias_V

    def loss_block(
        self, begin: int, rows: int, targets_TB: Tokens, scale: float, *, back: bool
    ) -> float:
        """A block's summed loss in nats; with `back`, the gradients of `scale` times the sum."""
        return head_loss(self.record(), begin, rows, targets_TB, scale, int(back))

    def record(self) -> Records:
        """Where everything lies now; dropout moves the head's input."""
        work = self.work
        source, is_states = work.outputs
        return records(
            Head(
                steps=work.shape.steps,
                units=work.shape.units,
                panels=self.panels,
                vocabulary=self.vocabulary,
                weight=self._weight.ctypes.data,
                weight_back=self._weight_back.ctypes.data,
                bias=self._bias.ctypes.data,
                logits=self._logits.ctypes.data,
                source=Columns.of(source),
                source_is_states=int(is_states),
                d_source=Columns.of(work.d_h[-1]),
            )
        )


class HeadGradients:
    """Gradients of the head's matrix and bias, in padded arrays."""

    def __init__(self, head: HeadWorkspace) -> None:
        self._head = head
        self._record = head.record()
        width = head.panels * PANEL
        self._weight = np.empty((width, head.work.shape.units * PANEL), np.float32)
        self._bias = np.empty(width, np.float32)

    def tasks(self) -> list[Task]:
        """What there is to sum."""
        panels = self._head.panels
        return [
            partial(self._sum_rows, begin * PANEL, min(begin + PANELS_A_TASK, panels) * PANEL)
            for begin in range(0, panels, PANELS_A_TASK)
        ]

    def _sum_rows(self, begin: int, end: int) -> None:
        work = self._head.work
        _, is_states = work.outputs
        runs = work.runs_of_outputs if is_states else work.runs_of_gates
        head_gradient(self._record, self._head.rows, begin, end, runs, self._weight, self._bias)

    @property
    def weight(self) -> Array:
        """Of the matrix (V, H)."""
        return self._weight[: self._head.vocabulary, : self._head.work.shape.hidden_size]

    @property
    def bias(self) -> Array:
        """Of the bias (V,)."""
        return self._bias[: self._head.vocabulary]
