"""The arrays of a plan's runs: of one reading of tokens, and of streams that write.

T steps, B rows (streams), V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from rondel.kernels.inference import running as r
from rondel.kernels.inference.packed_model import LINE, Array, Integers, Plan
from rondel.kernels.inference.running import FLOAT
from rondel.kernels.simd.matmul import PANEL, aligned
from rondel.kernels.simd.packing import from_columns, to_columns
from rondel.kernels.simd.pointwise import LSTM
from rondel.kernels.threads.team import Task


class Passage:
    """The arrays of one reading of T steps by B rows."""

    def __init__(self, plan: Plan, steps: int, rows: int, members: int, logits: bool) -> None:
        self._plan, self._steps, self._rows = plan, steps, rows
        layers, units = plan.num_layers, plan.units
        self.job = job = plan.job(steps, rows, steps * rows, members)
        if rows == 1:
            # One row's units lie together, so that a product reads them as one run of numbers.
            self._h = aligned(layers, steps + 1, units * PANEL)
            job[r.H_STEP : r.H_ROW + 1] = (
                units * PANEL, (steps + 1) * units * PANEL, PANEL, units * PANEL,
            )  # fmt: skip
        else:
            states = (steps + 1) * rows
            self._h = aligned(layers, units, states, PANEL)
            job[r.H_STEP : r.H_ROW + 1] = (
                rows * PANEL,
                units * states * PANEL,
                states * PANEL,
                PANEL,
            )
        job[r.H] = self._h.ctypes.data
        self._c = aligned(layers, units, rows, PANEL) if plan.cell == LSTM else None
        if self._c is not None:
            job[r.C : r.C_UNIT + 1] = self._c.ctypes.data, units * rows * PANEL, rows * PANEL
        self._gates = np.empty((units, steps * rows, plan.slots.in_all, PANEL), np.float32)
        job[r.GATES] = self._gates.ctypes.data
        self._arrivals = np.zeros(LINE, np.int64)
        job[r.ARRIVALS] = self._arrivals.ctypes.data
        self._scratch = aligned(members, int(job[r.SCRATCH_SIZE]), dtype=np.uint8)
        job[r.SCRATCH] = self._scratch.ctypes.data
        self._logits: Array | None = None
        if logits:
            self._logits = np.empty((steps * rows, plan.columns * PANEL), np.float32)
            job[r.LOGITS] = self._logits.ctypes.data
            job[r.HEAD_BIAS] = plan.head_bias.ctypes.data

    def begin(self, state: Sequence[Array]) -> None:
        """Begin from a state (L, B, H) for each of the cell's states."""
        self._arrivals[0] = 0
        if self._rows == 1:
            self._h[:, 0, : self._plan.size] = state[0][:, 0]
        for layer in range(self._plan.num_layers):
            if self._rows != 1:
                to_columns(state[0][layer], self._h[layer])
            if self._c is not None:
                to_columns(state[1][layer], self._c[layer])

    def read(self, member: int, tokens: Integers) -> None:
        """A member's share of reading tokens (T * B)."""
        r.read(self.job, self._plan.lines, member, tokens)

    def logits(self) -> Array:
        """After each token (T, B, V)."""
        assert self._logits is not None
        logits_TBV = self._logits.reshape(self._steps, self._rows, -1)
        logits: Array = np.ascontiguousarray(logits_TBV[..., : self._plan.vocabulary])
        return logits

    def outputs(self, layer: int = -1) -> Array:
        """A layer's outputs after each token (T, B, H)."""
        size = self._plan.size
        if self._rows == 1:
            alone: Array = self._h[layer, 1:, None, :size].copy()
            return alone
        count = self._steps * self._rows
        part = from_columns(self._h[layer], size, self._rows, count)
        return part.reshape(self._steps, self._rows, size)

    def last_state(self) -> tuple[Array, ...]:
        """The state after the last step, (L, B, H) for each of the cell's states."""
        size = self._plan.size
        if self._rows == 1:
            h = self._h[:, -1:, :size].copy()
        else:
            first = self._steps * self._rows
            h = np.stack([from_columns(part, size, first, self._rows) for part in self._h])
        if self._c is None:
            return (h,)
        return h, np.stack([from_columns(part, size, 0, self._rows) for part in self._c])


class Slots:
    """The arrays of streams that write: room for so many, of which the first few are in use."""

    def __init__(self, plan: Plan, capacity: int, threads: int, forbidden: int | None) -> None:
        self._plan, self.capacity, self.threads = plan, capacity, threads
        layers, units = plan.num_layers, plan.units
        self._job = job = plan.job(1, 0, capacity, 1)
        self._h = aligned(2, layers, units, capacity, PANEL)
        job[r.H] = self._h.ctypes.data
        column = capacity * PANEL
        job[r.H_STEP : r.H_ROW + 1] = layers * units * column, units * column, column, PANEL
        self._c = aligned(layers, units, capacity, PANEL) if plan.cell == LSTM else None
        if self._c is not None:
            job[r.C : r.C_UNIT + 1] = self._c.ctypes.data, units * column, column
        self._gates = aligned(units, capacity, plan.slots.in_all, PANEL)
        job[r.GATES] = self._gates.ctypes.data
        self._scratch = aligned(threads, int(job[r.SCRATCH_SIZE]), dtype=np.uint8)
        self._arrivals = np.zeros(LINE, np.int64)
        job[r.ARRIVALS] = self._arrivals.ctypes.data
        self._logits = aligned(capacity, plan.columns * PANEL)
        job[r.LOGITS] = self._logits.ctypes.data
        self._bias = plan.padded_bias(forbidden)
        job[r.HEAD_BIAS] = self._bias.ctypes.data
        self.tokens = np.zeros((threads, capacity), np.int64)
        self.used = np.zeros((threads, capacity), np.int64)
        self._modes = np.zeros(capacity, np.int64)
        self._temperatures = np.ones(capacity)
        self._parity = 0

    def put(
        self, slot: int, state: Sequence[Array], token: int, mode: int, temperature: float
    ) -> None:
        """Let a stream in, with a state (L, 1, H) for each of the cell's states."""
        for layer in range(self._plan.num_layers):
            to_columns(state[0][layer], self._h[self._parity, layer], slot)
            if self._c is not None:
                to_columns(state[1][layer], self._c[layer], slot)
        self.tokens[0, slot] = token
        self._modes[slot], self._temperatures[slot] = mode, temperature

    def move(self, source: int, target: int) -> None:
        """Put one stream into the place of another, which is gone."""
        self._h[:, :, :, target] = self._h[:, :, :, source]
        if self._c is not None:
            self._c[:, :, target] = self._c[:, :, source]
        for array in (self.tokens.T, self._modes, self._temperatures):
            array[target] = array[source]

    def state(self, slot: int) -> tuple[Array, ...]:
        """A copy of a stream's state before its last token, as `put` takes it."""
        size = self._plan.size
        h = np.stack([from_columns(part, size, slot, 1) for part in self._h[self._parity]])
        if self._c is None:
            return (h,)
        return h, np.stack([from_columns(part, size, slot, 1) for part in self._c])

    def logits(self, slot: int) -> Array:
        """A stream's logits (V,) after its last step; the forbidden token's is -inf."""
        logits: Array = self._logits[slot, : self._plan.vocabulary].copy()
        return logits

    def tasks(
        self,
        rows: int,
        blocks: int,
        members: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
        out: Integers,
    ) -> list[Task]:
        """The parts of `len(out)` steps of the first `rows` streams.

        Either the streams are shared out in blocks, which need not wait for each other, or the
        units among members, which run at the same time.
        """
        self._arrivals[0] = 0
        self.tokens[1:] = self.tokens[0]
        parts: list[Task] = []
        for number in range(blocks):
            begin, end = rows * number // blocks, rows * (number + 1) // blocks
            job = self._block(begin, end, members, number)
            for member in range(members):
                place = member, self._parity, begin
                parts.append(partial(self._write, job, place, uniforms, begins_word, out))
        self._parity = (self._parity + len(out)) % 2
        return parts

    def _write(
        self,
        job: Integers,
        place: tuple[int, int, int],
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
        out: Integers,
    ) -> None:
        """A member's share of a block."""
        r.write(
            job,
            self._plan.lines,
            *place,
            self.tokens,
            self.used,
            self._modes,
            self._temperatures,
            uniforms,
            begins_word,
            out,
        )

    def _block(self, begin: int, end: int, members: int, number: int) -> Integers:
        """The job of some of the streams: all addresses are moved on to the first of them."""
        job: Integers = self._job.copy()
        job[r.ROWS], job[r.MEMBERS] = end - begin, members
        job[r.SCRATCH] = self._scratch[number].ctypes.data
        job[[r.H, r.C]] += begin * PANEL * FLOAT
        job[r.GATES] += begin * self._plan.slots.in_all * PANEL * FLOAT
        job[r.LOGITS] += begin * self._plan.columns * PANEL * FLOAT
        return job
