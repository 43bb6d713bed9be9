"""The pass over streams that feed themselves: each step chooses the next token of each stream.

B rows (streams), V vocabulary, H hidden size, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.kernels.compiling import compiled
from rondel.kernels.inference.drawing import (
    Doubles,
    draw,
    find_likeliest,
    likeliest,
    log_normaliser,
)
from rondel.kernels.inference.packed_model import Integers, PackedModel
from rondel.kernels.inference.run_records import States
from rondel.kernels.inference.step import (
    add_head,
    begin_gates,
    recur,
    scratch_of,
    share_begin,
    state_at,
)
from rondel.kernels.inference.token_by import TokenBy
from rondel.kernels.inference.written import NO_DISTRIBUTION, Written
from rondel.kernels.kernel_records import Records, records
from rondel.kernels.simd.rows import number_at
from rondel.kernels.simd.unit_groups import (
    BYTES,
    CACHE_LINE,
    NOWHERE,
    PANEL,
    Array,
    Groups,
    aligned,
    from_groups,
    from_row,
    to_groups,
)
from rondel.kernels.threads.barrier import wait_for_all
from rondel.kernels.threads.team import Task


class StreamArrays(NamedTuple):
    """Arrays of all streams that `write_tokens` reads and writes."""

    tokens: Integers
    """Each stream's last token, (copies, streams)."""
    used: Integers
    """How many uniform numbers each stream has used, (copies, streams)."""
    modes: Integers
    """Each stream's `TokenBy`."""
    temperatures: Doubles
    alternatives: Integers
    """How many of the likeliest tokens are reported beside each stream's token; -1 for no
    log-probabilities at all."""
    uniforms: Doubles
    """(streams, steps)."""
    begins_word: npt.NDArray[np.bool_]
    """For each token, whether a word begins after it."""
    given: Integers
    """The next tokens of streams whose tokens are given, (steps, streams)."""
    out: Written


@compiled
def write_tokens(
    runs: Records, layers: Records, worker: int, parity: int, place: int, streams: StreamArrays
) -> None:
    """Write `len(out.tokens)` tokens of each of the run's B streams, which begin at index `place`.

    States are double-buffered: `parity` is the buffer of the first step's old states. If there is
    one stream, every worker draws its token, in a copy; of several, each worker draws for some.
    """
    run = runs[0]
    workers, rows, count = run.workers, run.rows, run.layers
    begin = share_begin(run.groups, worker, workers)
    end = share_begin(run.groups, worker + 1, workers)
    panels = run.head.panels
    first = share_begin(panels, worker, workers)
    last = share_begin(panels, worker + 1, workers)
    scratch = scratch_of(run, worker)
    copy = 0
    row_begin, row_end = (
        share_begin(rows, worker, workers), share_begin(rows, worker + 1, workers)
    )  # fmt: skip
    if rows == 1:
        copy, row_begin, row_end = worker, 0, 1
    tokens = streams.tokens[copy, place:]
    gates = from_row(run.gates, 0)
    rounds = 0
    for step in range(len(streams.out.tokens)):
        old = (parity + step) % 2
        new = 1 - old
        for number in range(count):
            layer = layers[number]
            h, h_next = state_at(run, old, number), state_at(run, new, number)
            below = state_at(run, new, number - 1)
            begin_gates(run, layer, number, below, rows, tokens, begin, end, scratch)
            recur(run, layer, number, h, h_next, gates, begin, end, scratch)
            if workers > 1:
                rounds += 1
                wait_for_all(run.arrivals, workers, rounds)
        if last > first:
            add_head(run, rows, state_at(run, new, count - 1), first, last, scratch)
        if workers > 1:
            rounds += 1
            wait_for_all(run.arrivals, workers, rounds)
        for row in range(row_begin, row_end):
            logits = run.head.logits + BYTES * row * panels * PANEL
            _choose(streams, copy, step, place + row, logits, panels * PANEL, scratch)
        if workers > 1 and rows > 1:
            rounds += 1
            wait_for_all(run.arrivals, workers, rounds)


@compiled
def _choose(
    streams: StreamArrays,
    copy: int,
    step: int,
    stream: int,
    logits: int,
    columns: int,
    scratch: int,
) -> None:
    """Choose a stream's next token from its logits, and report on it, unless the caller does."""
    mode = streams.modes[stream]
    if mode == TokenBy.CALLER:
        return
    if mode == TokenBy.GIVEN:
        streams.tokens[copy, stream] = streams.given[step, stream]
        return
    drawn = mode == TokenBy.DRAW
    if mode == TokenBy.DRAW_IF_WORD_BEGINS:
        drawn = streams.begins_word[streams.tokens[copy, stream]]
    temperature = streams.temperatures[stream]
    if drawn and temperature > 0:
        uniform = streams.uniforms[stream, streams.used[copy, stream]]
        token = draw(logits, columns, temperature, uniform, scratch)
        streams.used[copy, stream] += 1
    else:
        token = likeliest(logits, columns)
    out = streams.out
    out.tokens[step, stream] = token
    streams.tokens[copy, stream] = max(token, 0)
    count = streams.alternatives[stream]
    if count >= 0 and token != NO_DISTRIBUTION:
        normaliser = log_normaliser(logits, columns, scratch)
        out.logprobs[step, stream] = float(number_at(logits + BYTES * token)) - normaliser
        tokens, logprobs = out.likeliest[step, stream], out.likeliest_logprobs[step, stream]
        find_likeliest(logits, columns, normaliser, tokens[:count], logprobs[:count])


class StreamBuffers:
    """The arrays of up to `capacity` streams, of which the first few places are in use."""

    def __init__(
        self, model: PackedModel, capacity: int, threads: int, forbidden: int | None
    ) -> None:
        self._model, self.capacity, self.threads = model, capacity, threads
        layers, groups = model.num_layers, model.groups
        self._h = aligned(2, layers, groups, capacity, PANEL)
        self._c = aligned(layers, groups, capacity, PANEL) if model.kernel.has_c else None
        self._states = States(
            h=Groups.of(self._h[0, 0]),
            h_step=self._h[0].size,
            h_layer=self._h[0, 0].size,
            c=NOWHERE if self._c is None else Groups.of(self._c[0]),
            c_layer=self._h[0, 0].size,
        )
        self._gates = aligned(groups, capacity, model.kernel.slots.count * PANEL)
        self._scratch = aligned(threads, model.scratch_bytes(capacity), dtype=np.uint8)
        self._arrivals = np.zeros(CACHE_LINE, np.int64)
        self._logits = aligned(capacity, model.panels * PANEL)
        self._bias = model.padded_bias(forbidden)
        self.tokens = np.zeros((threads, capacity), np.int64)
        self.used = np.zeros((threads, capacity), np.int64)
        self._modes = np.zeros(capacity, np.int64)
        self._temperatures = np.ones(capacity)
        self._alternatives = np.full(capacity, -1)
        self._parity = 0
        self._blocks: dict[tuple[int, int, int, int], Records] = {}

    def put(
        self,
        place: int,
        state: Sequence[Array],
        token: int,
        mode: TokenBy,
        temperature: float,
        alternatives: int,
    ) -> None:
        """Write a stream to a place, with a state (L, 1, H) for each of the cell's states."""
        for layer in range(self._model.num_layers):
            to_groups(state[0][layer], self._h[self._parity, layer], place)
            if self._c is not None:
                to_groups(state[1][layer], self._c[layer], place)
        self.tokens[0, place] = token
        self._modes[place], self._temperatures[place] = mode, temperature
        self._alternatives[place] = alternatives

    def move(self, source: int, target: int) -> None:
        """Move a stream to another place, overwriting the stream there."""
        self._h[:, :, :, target] = self._h[:, :, :, source]
        if self._c is not None:
            self._c[:, :, target] = self._c[:, :, source]
        for array in (self.tokens.T, self._modes, self._temperatures, self._alternatives):
            array[target] = array[source]

    def written(self, steps: int, rows: int) -> Written:
        """Return arrays for what the first `rows` streams write in so many steps."""
        most = int(self._alternatives[:rows].max(initial=-1))
        reported = rows if most >= 0 else 0
        return Written(
            tokens=np.zeros((steps, rows), np.int64),
            logprobs=np.zeros((steps, reported)),
            likeliest=np.zeros((steps, reported, max(most, 0)), np.int64),
            likeliest_logprobs=np.zeros((steps, reported, max(most, 0))),
        )

    def state(self, place: int) -> tuple[Array, ...]:
        """Return a copy of a stream's state before its last token, as for `put`."""
        size = self._model.size
        h = np.stack([from_groups(part, size, place, 1) for part in self._h[self._parity]])
        if self._c is None:
            return (h,)
        return h, np.stack([from_groups(part, size, place, 1) for part in self._c])

    def logits(self, place: int) -> Array:
        """Return a stream's logits (V,) after its last step; the forbidden token's is -inf."""
        logits: Array = self._logits[place, : self._model.vocabulary].copy()
        return logits

    def tasks(
        self,
        rows: int,
        blocks: int,
        workers: int,
        uniforms: Doubles,
        begins_word: npt.NDArray[np.bool_],
        given: Integers,
        written: Written,
    ) -> list[Task]:
        """Return the tasks of the steps of the first `rows` streams that `written` has room for.

        Either the streams are split into independent `blocks`, or the units among `workers`, whose
        tasks must run at the same time.
        """
        self._arrivals[0] = 0
        self.tokens[1:] = self.tokens[0]
        streams = StreamArrays(
            tokens=self.tokens,
            used=self.used,
            modes=self._modes,
            temperatures=self._temperatures,
            uniforms=uniforms,
            alternatives=self._alternatives,
            begins_word=begins_word,
            given=given,
            out=written,
        )
        tasks: list[Task] = []
        for number in range(blocks):
            begin, end = rows * number // blocks, rows * (number + 1) // blocks
            run = self._block(begin, end, workers, number)
            tasks += [
                partial(write_tokens, run, self._model.layers, worker, self._parity, begin, streams)
                for worker in range(workers)
            ]
        self._parity = (self._parity + len(written.tokens)) % 2
        return tasks

    def _block(self, begin: int, end: int, workers: int, number: int) -> Records:
        """Return the run of streams `begin` to `end`, with block `number`'s scratch memory."""
        key = begin, end, workers, number
        if key not in self._blocks:
            self._blocks[key] = records(
                self._model.run(
                    steps=1,
                    rows=end - begin,
                    workers=workers,
                    states=replace(
                        self._states,
                        h=Groups.of(self._h[0, 0, :, begin:]),
                        c=NOWHERE if self._c is None else Groups.of(self._c[0, :, begin:]),
                    ),
                    gates=self._gates[:, begin:],
                    arrivals=self._arrivals,
                    scratch=self._scratch[number:],
                    logits=self._logits[begin:],
                    head_bias=self._bias,
                )
            )
        return self._blocks[key]
