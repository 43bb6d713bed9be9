"""The engine on compiled kernels: the same calls as the generic one, and streams that write.

Shapes: T time, B batch, V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from rondel.cells import build_cell
from rondel.cells.base import LayerParameters
from rondel.engine.base import EngineState, Floats, Ids, TokenBy
from rondel.engine.cell_kernels import kernel_of
from rondel.engine.numpy_engine import LARGEST_TABLE
from rondel.engine.probability import NOT_FINITE, require_finite
from rondel.errors import ModelFolderError
from rondel.kernels.inference.packed_model import Plan
from rondel.kernels.inference.runs import Passage, Slots
from rondel.kernels.threads.autotuner import ALONE, Autotuner, Split, acquired
from rondel.kernels.threads.team import Task, team
from rondel.settings import ModelConfig

ROWS_AT_A_TIME = 256
"""Steps times streams of a pass: as many as keep its gates in the nearer caches."""
FEWEST_ROWS = 4
"""Streams that a thread has to itself at the least, where they are shared out."""
SMALLEST_SHARED = 100_000
"""Weights below which a step is over before a second thread has begun."""


MOST_KEPT = 8


class CompiledEngine:
    """A language model on compiled kernels, for the cells that have one.

    With `precision` "int8" weights have 8 bits but those of the input, and activations 16. A row's
    numbers are the same, bit for bit, alone or in a batch, step by step or in a sequence, and on
    any number of `threads` (as many as there are processors, if it is not told).
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Floats],
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        self.config = config
        self.cell = build_cell(config)
        self.threads = threads or processors()
        layers = [LayerParameters.of(weights, layer, "core.") for layer in range(config.num_layers)]
        if precision == "int8":
            for array in weights.values():
                require_finite(array)
        self._plan = Plan(
            kernel_of(self.cell),
            layers,
            weights.get("embedding.weight"),
            weights["embedding.weight" if config.tie_weights else "head.weight"],
            weights["head.bias"],
            int8=precision == "int8",
            largest_table=LARGEST_TABLE,
        )
        self._autotuner = Autotuner()
        self._kept = threading.local()

    def initial_state(self, batch_size: int = 1) -> EngineState:
        """Zeros, as every training text starts from."""
        shape = (self.config.num_layers, batch_size, self.config.hidden_size)
        return tuple(np.zeros(shape, np.float32) for _ in self.cell.states)

    def step(self, tokens_B: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (B, V) after one token a stream, and the next state."""
        logits_TBV, state = self.sequence(tokens_B[None], state)
        return logits_TBV[0], state

    def sequence(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The next token's logits (T, B, V) after each token of a sequence, and the last state."""
        out = np.empty((*tokens_TB.shape, self.config.vocab_size), np.float32)
        return out, self._read(tokens_TB, state, logits=out)

    def advance(self, tokens_TB: Ids, state: EngineState) -> EngineState:
        """The state after a sequence, its logits left out (a long prime needs none of them)."""
        return self._read(tokens_TB, state)

    def outputs(self, tokens_TB: Ids, state: EngineState) -> tuple[Floats, EngineState]:
        """The last layer's outputs (T, B, H) after each token, and the last state of all layers."""
        out = np.empty((*tokens_TB.shape, self.config.hidden_size), np.float32)
        return out, self._read(tokens_TB, state, outputs=out)

    def streams(self, capacity: int, forbidden: int | None) -> Streams:
        """Room for so many streams that write, and never the forbidden token."""
        return Streams(self._plan, self._autotuner, self.threads, capacity, forbidden)

    def _read(
        self,
        tokens_TB: Ids,
        state: EngineState,
        logits: Floats | None = None,
        outputs: Floats | None = None,
    ) -> EngineState:
        steps, rows = tokens_TB.shape
        if tokens_TB.size and not 0 <= tokens_TB.min() <= tokens_TB.max() < self.config.vocab_size:
            raise IndexError("a token that is not in the vocabulary")
        splits = possible_splits(self._plan, rows, self.threads)
        kind = ("read", rows)
        length = max(1, ROWS_AT_A_TIME // max(1, rows))
        begin = 0
        while begin < steps:
            chosen, count = self._autotuner.choose(kind, splits, min(length, steps - begin))
            part = slice(begin, begin + count)
            begin += count
            with acquired(chosen) as split:
                started = time.perf_counter()
                passages = self._pass(tokens_TB[part], state, split, logits=logits is not None)
            self._autotuner.record(kind, split, count, time.perf_counter() - started)
            for columns, passage in passages:
                if logits is not None:
                    logits[part, columns] = passage.logits()
                if outputs is not None:
                    outputs[part, columns] = passage.outputs()
            states = [passage.last_state() for _, passage in passages]
            state = tuple(
                np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
                for parts in zip(*states, strict=True)
            )
        return tuple(part.copy() for part in state) if steps == 0 else state

    def _pass(
        self, tokens_TB: Ids, state: EngineState, split: Split, *, logits: bool
    ) -> list[tuple[slice, Passage]]:
        rows = tokens_TB.shape[1]
        passages: list[tuple[slice, Passage]] = []
        tasks: list[Task] = []
        for begin, end in itertools.pairwise(
            rows * i // split.blocks for i in range(split.blocks + 1)
        ):
            own = slice(begin, end)
            passage = self._passage(len(tokens_TB), end - begin, own, split.workers, logits=logits)
            passage.begin(tuple(part[:, own] for part in state))
            passages.append((own, passage))
            tokens = tokens_TB[:, own].reshape(-1).astype(np.int64)
            tasks += [partial(passage.read, worker, tokens) for worker in range(split.workers)]
        team(split.blocks * split.workers).run(tasks)
        return passages

    def _passage(
        self, steps: int, rows: int, columns: slice, workers: int, *, logits: bool
    ) -> Passage:
        """Arrays to read with: of single steps they are kept, by each thread for itself."""
        if steps > 1:
            return Passage(self._plan, steps, rows, workers, logits)
        kept: dict[object, Passage] = self._kept.__dict__.setdefault("passages", {})
        key = rows, columns.start, workers, logits
        if key not in kept:
            if len(kept) == MOST_KEPT:
                kept.clear()
            kept[key] = Passage(self._plan, steps, rows, workers, logits)
        return kept[key]


class Streams:
    """Streams that the kernels write; see `WritingStreams`."""

    def __init__(
        self, plan: Plan, autotuner: Autotuner, threads: int, capacity: int, forbidden: int | None
    ) -> None:
        self._plan, self._autotuner, self._threads = plan, autotuner, threads
        self._slots = Slots(plan, capacity, threads, forbidden)
        self.rows = 0

    def join(self, state: EngineState, token: int, by: TokenBy, temperature: float) -> None:
        """Let one in at the last place: its state (L, 1, H) before its last token, and that."""
        # What is past these is as good as these in single precision, which cannot hold it.
        within = temperature if temperature == 0 else min(max(temperature, 1e-30), 1e30)
        self._slots.put(self.rows, state, token, by, within)
        self.rows += 1

    def leave(self, place: int) -> None:
        """Let one out; the last one takes its place."""
        self.rows -= 1
        if place != self.rows:
            self._slots.move(self.rows, place)

    def step(
        self,
        steps: int,
        uniforms: npt.NDArray[np.float64],
        begins_word: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The tokens (steps, rows) that come next, and how many uniform numbers each stream used.

        `uniforms` is (rows, steps). Raises `ModelFolderError` if the model's output is no number.
        """
        out = np.zeros((steps, self.rows), np.int64)
        splits = possible_splits(self._plan, self.rows, self._threads)
        kind = "write", self.rows
        begin = 0
        used = np.zeros(self.rows, np.int64)
        while begin < steps:
            chosen, count = self._autotuner.choose(kind, splits, steps - begin)
            part = slice(begin, begin + count)
            begin += count
            with acquired(chosen) as split:
                started = time.perf_counter()
                self._slots.used[:, : self.rows] = used
                tasks = self._slots.tasks(self.rows, *split, uniforms, begins_word, out[part])
                team(split.blocks * split.workers).run(tasks)
            self._autotuner.record(kind, split, count, time.perf_counter() - started)
            used = self._slots.used[0, : self.rows].copy()
        if (out < 0).any():
            raise ModelFolderError(NOT_FINITE)
        return out, used

    def take(self, place: int, token: int) -> None:
        """Say which token a stream takes that takes its own."""
        self._slots.tokens[0, place] = token

    def logits(self, place: int) -> Floats:
        """A stream's logits (V,) after its last step."""
        return self._slots.logits(place)

    def state(self, place: int) -> EngineState:
        """A copy of a stream's state (L, 1, H) before its last token, as `join` takes it."""
        return self._slots.state(place)


def possible_splits(plan: Plan, rows: int, threads: int) -> list[Split]:
    """The ways to split a step of so many rows among threads, the simplest first."""
    splits = [ALONE]
    if threads > 1 and rows * plan.numbers_a_step > SMALLEST_SHARED:
        splits += [Split(1, min(threads, plan.units))] if plan.units > 1 else []
        blocks = min(threads, rows // FEWEST_ROWS)
        splits += [Split(blocks, 1)] if blocks > 1 else []
    return splits


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
