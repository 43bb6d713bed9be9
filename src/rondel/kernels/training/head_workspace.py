"""The head's part of a training step: packing, the loss with its gradients, weight gradients.

T steps, B batch rows, H hidden size, V vocabulary.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from rondel.kernels.kernel_records import Records, records
from rondel.kernels.simd.packing import pack_gates, pack_gates_back
from rondel.kernels.simd.unit_groups import PANEL, Array, Groups, aligned, count_groups
from rondel.kernels.threads.team import Task
from rondel.kernels.training.head_loss import head_gradient, head_loss
from rondel.kernels.training.layer_records import Tokens, TrainingHead
from rondel.kernels.training.workspace import Workspace

ONE_GATE = np.zeros(1, np.int64)
# A padding logit, whose exponential is 0.
NO_LOGIT = -1e30
PANELS_A_TASK = 2


class HeadWorkspace:
    """Arrays of a linear head (V, H) over the outputs of a stack's workspace."""

    def __init__(self, work: Workspace, vocabulary: int) -> None:
        self.work, self.vocabulary = work, vocabulary
        self.panels = count_groups(vocabulary)
        shape = work.shape
        width, depth = self.panels * PANEL, shape.groups * PANEL
        self._weight = aligned(self.panels, depth, PANEL)
        self._weight_back = aligned(shape.groups, width, PANEL)
        self._bias = aligned(width)
        self._bias[:] = NO_LOGIT
        self._logits = aligned(shape.steps * shape.batch, width)

    @property
    def rows(self) -> int:
        """How many rows the logits have."""
        return len(self._logits)

    def prepare(self, weight_VH: Array, bias_V: Array) -> None:
        """Pack the head's weights."""
        size, panels = self.vocabulary, self.panels
        pack_gates(weight_VH, size, ONE_GATE, 0, panels, self._weight)
        pack_gates_back(weight_VH, size, ONE_GATE, 0, panels, self._weight_back)
        self._bias[:size] = bias_V

    def loss_block(
        self, begin: int, rows: int, targets_TB: Tokens, scale: float, *, back: bool
    ) -> float:
        """Return a block's summed loss in nats; with `back`, compute gradients times `scale`."""
        return head_loss(self.record(), begin, rows, targets_TB, scale, int(back))

    def record(self) -> Records:
        """Return the head's record, which changes with dropout: that moves the head's input."""
        work = self.work
        source, is_states = work.outputs
        return records(
            TrainingHead(
                steps=work.shape.steps,
                groups=work.shape.groups,
                panels=self.panels,
                vocabulary=self.vocabulary,
                weight=self._weight.ctypes.data,
                weight_back=self._weight_back.ctypes.data,
                bias=self._bias.ctypes.data,
                logits=self._logits.ctypes.data,
                source=Groups.of(source),
                source_is_states=int(is_states),
                d_source=Groups.of(work.d_h[-1]),
            )
        )


class HeadGradients:
    """Gradients of the head's matrix and bias, in padded arrays."""

    def __init__(self, head: HeadWorkspace) -> None:
        self._head = head
        self._record = head.record()
        width = head.panels * PANEL
        self._weight = np.empty((width, head.work.shape.groups * PANEL), np.float32)
        self._bias = np.empty(width, np.float32)

    def tasks(self) -> list[Task]:
        """Return the tasks that compute the gradients."""
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
        """The matrix's gradient (V, H)."""
        return self._weight[: self._head.vocabulary, : self._head.work.shape.hidden_size]

    @property
    def bias(self) -> Array:
        """The bias's gradient (V,)."""
        return self._bias[: self._head.vocabulary]
