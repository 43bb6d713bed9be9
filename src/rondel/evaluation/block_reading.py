"""Read passages that come in blocks, with no more of them in memory than a few blocks.

Short passages are read several together, a long one in parts: in the same passes as if it were
whole, so that its values are the same.

Shapes: K measured values, N tokens, L layers, H hidden size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np

from rondel.engine import Engine
from rondel.engine.base import EngineState
from rondel.evaluation.batch_reading import Watch, pass_length, read_passages
from rondel.evaluation.framing import Passage
from rondel.evaluation.measures import Measure, Measured
from rondel.evaluation.text_blocks import Block, Blocks
from rondel.text.tokenizers import Tokenizer

WINDOW = 1 << 18
"""Tokens of passages that are read together."""

Tick = Callable[[Block, float], None]
"""Called with a block, and the fraction of it that has been read."""


def untold(block: Block, fraction: float) -> None:
    """Ignore progress."""


class Progress:
    """Tells a watch the fraction done of texts that are read in blocks."""

    def __init__(self, blocks: Blocks, watch: Watch) -> None:
        self._blocks, self._watch, self._done = blocks, watch, 0.0

    def __call__(self, block: Block, fraction: float) -> None:
        """A fraction of a block is done, and all before it."""
        size = fraction * (block.following.byte - block.place.byte)
        done = (self._blocks.bytes_before(block.place) + size) / self._blocks.size
        if done > self._done:
            self._done = done
            self._watch(done)


class ReaderState(NamedTuple):
    """What it takes to read on within a passage; between two passages, an empty `state`."""

    state: EngineState = ()
    """The engine's (L, 1, H) before it reads the last token that was measured."""
    last: int = 0
    """That token."""


BETWEEN = ReaderState()


class Reading(NamedTuple):
    """A block, and the values (K, n) of the next n tokens of the blocks so far.

    The last values of a block may come with the blocks after it.
    """

    block: Block
    values_KN: Measured
    resumable: ReaderState | None
    """What it takes to read on from here; `None` where that cannot be."""


class Reader(Protocol):
    """Measures the tokens of passages that come in blocks."""

    prefix: ClassVar[str]
    """Stands before the names of figures that cannot be compared with a language model's."""

    def read(
        self,
        blocks: Iterable[Block],
        tick: Tick = untold,
        resumed: ReaderState = BETWEEN,
        measured: int = 0,
    ) -> Iterator[Reading]:
        """The values of all blocks.

        If a passage goes on with the first block, `resumed` is what was given there, and `measured`
        how many tokens of the block have their values already.
        """


class PassageReader:
    """Reads with a language model: NaN is the value of a first token without context."""

    prefix: ClassVar[str] = ""

    def __init__(
        self, engine: Engine, tokenizer: Tokenizer, measure: Measure, batch_size: int = 64
    ) -> None:
        self._engine, self._tokenizer = engine, tokenizer
        self._measure, self._batch_size = measure, batch_size

    def read(
        self,
        blocks: Iterable[Block],
        tick: Tick = untold,
        resumed: ReaderState = BETWEEN,
        measured: int = 0,
    ) -> Iterator[Reading]:
        """See `Reader`."""

        def in_parts(blocks: Iterator[Block]) -> Iterator[Reading]:
            return self._in_parts(blocks, tick)

        def together(window: list[Block]) -> Iterator[Reading]:
            values = read_passages(
                self._engine,
                self._tokenizer,
                whole_passages(window),
                self._measure,
                batch_size=self._batch_size,
                watch=spread(tick, window),
            )
            return readings(window, np.concatenate(values, axis=1))

        blocks = iter(blocks)
        if resumed.state:
            yield from self._in_parts(blocks, tick, resumed, measured)
        yield from by_windows(blocks, together, in_parts)

    def _in_parts(
        self,
        blocks: Iterator[Block],
        tick: Tick,
        resumed: ReaderState = BETWEEN,
        measured: int = 0,
    ) -> Iterator[Reading]:
        """Read the rest of one passage, block by block."""
        length = pass_length(1, self._tokenizer.vocab_size)
        state, skipped, held = resumed.state, 0, np.array([resumed.last])
        for block in blocks:
            (part,) = block.parts
            values = [np.empty((self._measure.width, 0))]
            ids = part.text_ids[measured:]
            if part.begins and not state:
                state, held, ids = self._engine.initial_state(), part.ids[:0], part.ids
                # Of a context, all values but the last are of itself.
                skipped = max(0, part.context_length - 1)
                unscored = min(len(ids), int(part.context_length == 0))
                values.append(np.full((self._measure.width, unscored), np.nan))
            held, measured = np.concatenate([held, ids.astype(np.int64)]), 0
            passed = False
            while len(held) > length or (part.ends and len(held) > 1):
                chunk = held[: length + 1, None]
                logits_T1V, state = self._engine.sequence(chunk[:-1], state)
                found_KT = self._measure(logits_T1V, chunk[1:])[..., 0]
                values.append(found_KT[:, skipped:])
                skipped = max(0, skipped - found_KT.shape[1])
                held, passed = held[len(chunk) - 1 :], True
                tick(block, 1 - len(held) / max(1, len(part.ids) + 1))
            here = ReaderState(state, int(held[0])) if passed and not skipped else None
            yield Reading(block, np.concatenate(values, axis=1), BETWEEN if part.ends else here)
            if part.ends:
                return


def by_windows(
    blocks: Iterator[Block],
    together: Callable[[list[Block]], Iterator[Reading]],
    in_parts: Callable[[Iterator[Block]], Iterator[Reading]],
) -> Iterator[Reading]:
    """Read blocks of several whole passages `together`, and a passage that is long `in_parts`."""
    window: list[Block] = []

    def read(window: list[Block]) -> Iterator[Reading]:
        passages = sum(part.begins for block in window for part in block.parts)
        return in_parts(iter(window)) if passages == 1 else together(window)

    tokens = 0
    for block in blocks:
        window.append(block)
        tokens += block.tokens
        if tokens >= WINDOW:
            whole = len(window)
            while whole and not window[whole - 1].parts[-1].ends:
                whole -= 1
            if whole:
                yield from read(window[:whole])
            else:
                yield from in_parts(itertools.chain(window, blocks))
            window = window[whole:] if whole else []
            tokens = sum(block.tokens for block in window)
    if window:
        yield from read(window)


def whole_passages(window: Sequence[Block]) -> list[Passage]:
    """The passages of blocks that end with one, without spans."""
    parts = [part for block in window for part in block.parts]
    begins = [number for number, part in enumerate(parts) if part.begins]
    spans = np.empty((0, 2), np.int64)
    return [
        Passage(
            np.concatenate([part.ids for part in parts[begin:end]]),
            parts[begin].context_length,
            spans,
        )
        for begin, end in itertools.pairwise([*begins, len(parts)])
    ]


def readings(window: Sequence[Block], values_KN: Measured) -> Iterator[Reading]:
    """The values of whole passages, by their blocks."""
    begin = 0
    for block in window:
        end = begin + block.tokens
        yield Reading(block, values_KN[:, begin:end], BETWEEN if block is window[-1] else None)
        begin = end


def spread(tick: Tick, window: Sequence[Block]) -> Callable[[float], None]:
    """A watch of the fraction done of a window."""

    def watch(fraction: float) -> None:
        place = fraction * len(window)
        number = min(int(place), len(window) - 1)
        tick(window[number], place - number)

    return watch
