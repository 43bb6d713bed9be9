"""Stacks, the engine and its streams on compiled kernels.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from rondel.engine.base import EngineState, Floats, Ids, TokenBy, Written
from rondel.engine.head import Head
from rondel.engine.kernel_lookup import kernel_of
from rondel.engine.numpy_engine import LARGEST_TABLE
from rondel.engine.probability import NOT_FINITE, require_finite
from rondel.engine.stack_config import StackConfig, StackWeights
from rondel.errors import ModelFolderError
from rondel.kernels.inference.packed_model import PackedModel
from rondel.kernels.inference.sequence import SequenceBuffers
from rondel.kernels.inference.streams import StreamBuffers
from rondel.kernels.threads.autotuner import ALONE, Autotuner, Split, acquired
from rondel.kernels.threads.team import Task, team

ROWS_AT_A_TIME = 256
"""Steps times streams of a pass: as many as keep its gates in the L1 and L2 caches."""
FEWEST_ROWS = 4
"""The fewest streams of a thread, where streams are split among threads."""
SMALLEST_SHARED = 100_000
"""Multiplications below which a step ends before a second thread has started."""
MOST_KEPT_BUFFERS = 8


class CompiledStack:
    """Layers on compiled kernels, of a cell that has them; see `Stack`.

    With a `head`, the kernels also compute logits. With `precision` "int8", activations have 16
    bits and weights 8, except those of the first layer's input. A row's results are the same, bit
    for bit, alone or in a batch, step by step or in a sequence, and on any number of `threads` (by
    default, the number of processors).
    """

    def __init__(
        self,
        config: StackConfig,
        weights: StackWeights,
        head: Head | None = None,
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.threads = threads or processors()
        self._model = PackedModel(
            kernel_of(config.cell),
            weights.layers,
            weights.embedding,
            *(head or (None, None)),
            int8=precision == "int8",
            largest_table=LARGEST_TABLE,
        )
        self._autotuner = Autotuner()
        self._kept = threading.local()

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """See `Stack.initial_state`."""
        return self.config.initial_state(batch_size)

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """See `Stack.advance`."""
        return self._read(self.config.checked_tokens(tokens_TB, "TB", state), state)

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Stack.outputs`."""
        tokens_TB = self.config.checked_tokens(tokens_TB, "TB", state)
        outputs_1TBH = np.empty((1, *tokens_TB.shape, self.config.hidden_size), np.float32)
        return outputs_1TBH[0], self._read(tokens_TB, state, outputs_LTBH=list(outputs_1TBH))

    def layer_outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Stack.layer_outputs`."""
        tokens_TB = self.config.checked_tokens(tokens_TB, "TB", state)
        shape = self.config.num_layers, *tokens_TB.shape, self.config.hidden_size
        outputs_LTBH = np.empty(shape, np.float32)
        return outputs_LTBH, self._read(tokens_TB, state, outputs_LTBH=list(outputs_LTBH))

    def _read(
        self,
        tokens_TB: Ids,
        state: EngineState,
        logits: Floats | None = None,
        outputs_LTBH: Sequence[Floats] = (),
    ) -> EngineState:
        """Return the last state; write logits (T, B, V), and the last layers' outputs, if given."""
        steps, rows = tokens_TB.shape
        splits = possible_splits(self._model, rows, self.threads)
        kind = ("read", rows)
        length = max(1, ROWS_AT_A_TIME // max(1, rows))
        begin = 0
        while begin < steps:
            chosen, count = self._autotuner.choose(kind, splits, min(length, steps - begin))
            part = slice(begin, begin + count)
            begin += count
            with acquired(chosen) as split:
                started = time.perf_counter()
                blocks = self._run_blocks(tokens_TB[part], state, split, logits=logits is not None)
            self._autotuner.record(kind, split, count, time.perf_counter() - started)
            for streams, buffers in blocks:
                if logits is not None:
                    logits[part, streams] = buffers.logits()
                for back, outputs_TBH in enumerate(reversed(outputs_LTBH), 1):
                    outputs_TBH[part, streams] = buffers.outputs(-back)
            states = [buffers.last_state() for _, buffers in blocks]
            state = tuple(
                np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
                for parts in zip(*states, strict=True)
            )
        return tuple(part.copy() for part in state) if steps == 0 else state

    def _run_blocks(
        self, tokens_TB: Ids, state: EngineState, split: Split, *, logits: bool
    ) -> list[tuple[slice, SequenceBuffers]]:
        rows = tokens_TB.shape[1]
        blocks: list[tuple[slice, SequenceBuffers]] = []
        tasks: list[Task] = []
        for begin, end in itertools.pairwise(
            rows * i // split.blocks for i in range(split.blocks + 1)
        ):
            streams = slice(begin, end)
            buffers = self._buffers_for(
                len(tokens_TB), end - begin, streams, split.workers, logits=logits
            )
            buffers.begin(tuple(part[:, streams] for part in state))
            blocks.append((streams, buffers))
            tokens = tokens_TB[:, streams].reshape(-1).astype(np.int64)
            tasks += [partial(buffers.run, worker, tokens) for worker in range(split.workers)]
        team(split.blocks * split.workers).run(tasks)
        return blocks

    def _buffers_for(
        self, steps: int, rows: int, streams: slice, workers: int, *, logits: bool
    ) -> SequenceBuffers:
        """Return arrays for a pass; those of single steps are kept for reuse, per thread."""
        if steps > 1:
            return SequenceBuffers(self._model, steps, rows, workers, logits=logits)
        kept: dict[object, SequenceBuffers] = self._kept.__dict__.setdefault("buffers", {})
        key = rows, streams.start, workers, logits
        if key not in kept:
            if len(kept) == MOST_KEPT_BUFFERS:
                kept.clear()
            kept[key] = SequenceBuffers(self._model, steps, rows, workers, logits=logits)
        return kept[key]


class CompiledEngine(CompiledStack):
    """A language model on compiled kernels: the stack `core` and a head; see `Engine`."""

    batch_invariant = True

    def __init__(
        self,
        config: StackConfig,
        weights: Mapping[str, Floats],
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        if precision == "int8":
            for array in weights.values():
                require_finite(array)
        stack, head = StackWeights.of(config, weights, "core."), Head.of(weights)
        super().__init__(config, stack, head, precision, threads)

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.step`."""
        tokens_B = self.config.checked_tokens(tokens_B, "B", state)
        logits_1BV, state = self._sequence(tokens_B[None], state)
        return logits_1BV[0], state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """See `Engine.sequence`."""
        return self._sequence(self.config.checked_tokens(tokens_TB, "TB", state), state)

    def _sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        out = np.empty((*tokens_TB.shape, self.config.vocab_size), np.float32)
        return out, self._read(tokens_TB, state, logits=out)

    def streams(self, capacity: int, forbidden: int | None) -> CompiledStreams:
        """See `Engine.streams`."""
        return CompiledStreams(self._model, self._autotuner, self.threads, capacity, forbidden)


class CompiledStreams:
    """Streams whose tokens the kernels choose; see `Streams`."""

    def __init__(
        self,
        model: PackedModel,
        autotuner: Autotuner,
        threads: int,
        capacity: int,
        forbidden: int | None,
    ) -> None:
        self._model, self._autotuner, self._threads = model, autotuner, threads
        self._buffers = StreamBuffers(model, capacity, threads, forbidden)
        self.rows = 0

    def add(
        self,
        state: EngineState,
        token: int,
        by: TokenBy,
        temperature: float,
        alternatives: int | None = None,
    ) -> None:
        """See `Streams.add`."""
        # Temperatures beyond these have the same effect, but overflow single precision.
        clamped = temperature if temperature == 0 else min(max(temperature, 1e-30), 1e30)
        reported = -1 if alternatives is None else min(alternatives, self._model.vocabulary)
        self._buffers.put(self.rows, state, token, by, clamped, reported)
        self.rows += 1

    def remove(self, index: int) -> None:
        """See `Streams.remove`."""
        self.rows -= 1
        if index != self.rows:
            self._buffers.move(self.rows, index)

    def step(
        self,
        steps: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
        given: npt.NDArray[np.int64],
    ) -> tuple[Written, npt.NDArray[np.int64]]:
        """See `Streams.step`."""
        out = self._buffers.written(steps, self.rows)
        splits = possible_splits(self._model, self.rows, self._threads)
        kind = "write", self.rows
        begin = 0
        used = np.zeros(self.rows, np.int64)
        while begin < steps:
            chosen, count = self._autotuner.choose(kind, splits, steps - begin)
            part = slice(begin, begin + count)
            begin += count
            with acquired(chosen) as split:
                started = time.perf_counter()
                self._buffers.used[:, : self.rows] = used
                tasks = self._buffers.tasks(
                    self.rows, *split, uniforms, begins_word, given[part], out.steps(part)
                )
                team(split.blocks * split.workers).run(tasks)
            self._autotuner.record(kind, split, count, time.perf_counter() - started)
            used = self._buffers.used[0, : self.rows].copy()
        if (out.tokens < 0).any():
            raise ModelFolderError(NOT_FINITE)
        return out, used

    def set_token(self, index: int, token: int) -> None:
        """See `Streams.set_token`."""
        self._buffers.tokens[0, index] = token

    def logits(self, index: int) -> Floats:
        """See `Streams.logits`."""
        return self._buffers.logits(index)

    def state(self, index: int) -> EngineState:
        """See `Streams.state`."""
        return self._buffers.state(index)


def possible_splits(model: PackedModel, rows: int, threads: int) -> list[Split]:
    """List the ways to split a step of `rows` rows among threads, the simplest first."""
    splits = [ALONE]
    if threads > 1 and rows * model.weights_a_step > SMALLEST_SHARED:
        splits += [Split(1, min(threads, model.groups))] if model.groups > 1 else []
        blocks = min(threads, rows // FEWEST_ROWS)
        splits += [Split(blocks, 1)] if blocks > 1 else []
    return splits


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
