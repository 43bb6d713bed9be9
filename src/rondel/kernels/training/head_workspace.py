"""The head's passes over a workspace: packed, its loss with the gradients, its own gradients.

T steps, B batch rows, H hidden size, V vocabulary.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rondel.kernels.simd import packing
from rondel.kernels.simd.matmul import PANEL, aligned
from rondel.kernels.simd.packing import columns_of
from rondel.kernels.threads.team import Task
from rondel.kernels.training.head import head_gradient, head_loss
from rondel.kernels.training.recurrence import Tokens
from rondel.kernels.training.workspace import Array, Workspace

ONE_GATE = np.zeros(1, np.int64)
# A padded logit, whose exponential is nothing.
NOTHING = -1e30
COLUMNS_A_TASK = 2


class HeadWorkspace:
    """Arrays of a linear head (V, H) over the outputs of a stack's workspace."""

    def __init__(self, work: Workspace, vocabulary: int) -> None:
        self.work, self.vocabulary = work, vocabulary
        self.columns = columns_of(vocabulary)
        shape = work.shape
        width, depth = self.columns * PANEL, shape.units * PANEL
        self._panels = aligned(self.columns, depth, PANEL)
        self._panels_back = aligned(shape.units, width, PANEL)
        self._bias = aligned(width)
        self._bias[:] = NOTHING
        self._logits = aligned(shape.steps * shape.batch, width)

    def prepare(self, weight_VH: Array, bias_V: Array) -> None:
        """Pack the head."""
        size, columns = self.vocabulary, self.columns
        packing.pack_gates(weight_VH, size, ONE_GATE, 0, columns, self._panels)
        packing.pack_gates_back(weight_VH, size, ONE_GATE, 0, columns, self._panels_back)
        self._bias[:size] = bias_V

    def loss_block(
        self, begin: int, rows: int, targets_TB: Tokens, scale: float, *, back: bool
    ) -> float:
        """A block's summed loss in nats; with `back`, the gradients of `scale` times the sum."""
        work = self.work
        steps = work.shape.steps
        source, source_rows, first = self._source(begin, rows)
        return head_loss(
            steps, begin, rows, source, source_rows, first, work.shape.units,
            self._panels.ctypes.data, self._bias.ctypes.data, self.columns, self.vocabulary,
            targets_TB, scale,
            self._logits[steps * begin :].ctypes.data,
            self._panels_back.ctypes.data,
            work.d_h[-1].ctypes.data if back else 0,
            work.d_h.shape[2],
            (steps + 1) * begin + rows,
        )  # fmt: skip

    def _source(self, begin: int, rows: int) -> tuple[int, int, int]:
        """Where the head's input lies: its address, rows of a column, the block's first row."""
        work, steps = self.work, self.work.shape.steps
        masked = work.masked[-1]
        if masked is not None:
            return masked.ctypes.data, masked.shape[1], steps * begin
        return work.h[-1].ctypes.data, work.h.shape[2], (steps + 1) * begin + rows


class HeadGradients:
    """Gradients of the head's matrix and bias, in padded arrays."""

    def __init__(self, head: HeadWorkspace) -> None:
        self._head = head
        width = head.columns * PANEL
        self._weight = np.empty((width, head.work.shape.units * PANEL), np.float32)
        self._bias = np.empty(width, np.float32)

    def tasks(self) -> list[Task]:
        """What there is to sum."""
        columns = self._head.columns
        return [
            partial(self._sum_rows, begin * PANEL, min(begin + COLUMNS_A_TASK, columns) * PANEL)
            for begin in range(0, columns, COLUMNS_A_TASK)
        ]

    def _sum_rows(self, begin: int, end: int) -> None:
        head, work = self._head, self._head.work
        steps = work.shape.steps
        runs = np.array(
            [
                (steps * first, head._source(first, rows)[2], steps * rows)
                for first, rows in work.blocks.tolist()
            ],
            np.int64,
        )
        source, source_rows, _ = head._source(0, 0)
        logits = head._logits
        head_gradient(
            logits.ctypes.data, len(logits), logits.shape[1], begin, end,
            source, source_rows, runs, work.shape.units, self._weight, self._bias,
        )  # fmt: skip

    @property
    def weight(self) -> Array:
        """Of the matrix (V, H)."""
        return self._weight[: self._head.vocabulary, : self._head.work.shape.hidden_size]

    @property
    def bias(self) -> Array:
        """Of the bias (V,)."""
        return self._bias[: self._head.vocabulary]
