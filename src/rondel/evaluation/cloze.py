"""Score each token of a text given all the others, with a bidirectional model.

The sum of these log-probabilities is the text's pseudo-log-likelihood (Besag 1975; for language
models Salazar et al. 2020). It is not the log-probability of the text, and cannot be compared with
the figures of a left-to-right model.

Shapes: T time, N tokens of one sequence, H hidden size, V vocabulary, K measured values.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import LARGEST_PASS, LONGEST_PASS, Watch, unwatched
from rondel.evaluation.block_reading import (
    BETWEEN,
    Progress,
    ReaderState,
    Reading,
    Tick,
    by_windows,
    readings,
    spread,
    untold,
    whole_passages,
)
from rondel.evaluation.measures import Measure, Measured, Prediction, Surprisal
from rondel.evaluation.text_blocks import Block, Blocks, Place
from rondel.evaluation.totals import Total
from rondel.text.tokenizers import Tokenizer

SMALLEST_GROUP = 64
"""Chunks between two states of the reverse stack that are kept, at least."""


@dataclass(frozen=True)
class ClozeEvaluation:
    """How well a model predicts each token of a text from all the others.

    Every token is scored, including the first. `pseudo_nats` is the sum of their -log p;
    `unknown` counts the tokens not in the vocabulary (they are scored as `<unk>`).
    """

    pseudo_nats: float
    tokens: int
    characters: int
    unknown: int

    @property
    def pseudo_nats_per_token(self) -> float:
        """Mean -log p of a token given all others, in nats."""
        return self.pseudo_nats / self.tokens

    @property
    def pseudo_bits_per_character(self) -> float:
        """-log p per character of text, in bits."""
        return self.pseudo_nats / math.log(2) / self.characters

    @property
    def pseudo_perplexity(self) -> float:
        """The exponential of the mean -log p per token."""
        return math.exp(min(self.pseudo_nats_per_token, 700.0))

    def to_json(self) -> dict[str, float | int]:
        """All figures, by name with unit."""
        return {
            "pseudo_nats_per_token": self.pseudo_nats_per_token,
            "pseudo_bits_per_character": self.pseudo_bits_per_character,
            "pseudo_perplexity_per_token": self.pseudo_perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
            "unknown_tokens": self.unknown,
        }


def evaluate_cloze(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    blocks: Blocks,
    watch: Watch = unwatched,
    *,
    characters: int | None = None,
) -> ClozeEvaluation:
    """Score the tokens of blocks, each given all others of its passage.

    `characters` are those of the text, if the blocks' texts may have others. `watch` is called
    with the fraction done. Raises `InputError` if there is no token.
    """
    reader = ClozeReader(engine, Surprisal(), blocks)
    nats, tokens, unknown, counted = Total(), 0, 0, 0
    for block, values_KN, _ in reader.read(iter(blocks), Progress(blocks, watch)):
        nats.add(values_KN[0])
        tokens += block.tokens
        counted += len(block.text)
        if tokenizer.unknown_id is not None:
            unknown += int((block.ids == tokenizer.unknown_id).sum())
    if not tokens:
        raise InputError("this text is empty; give it at least one token to predict")
    watch(1.0)
    if characters is None:
        characters = counted
    return ClozeEvaluation(nats.sum, tokens, max(1, characters), unknown)


def pseudo_log_likelihoods(
    engine: BidirectionalEngine, ids: Ids, watch: Watch = unwatched
) -> npt.NDArray[np.float64]:
    """log p(token | all others) in nats, (N,), of token ids (N,)."""
    (nats_1N,) = read_cloze(engine, [ids], Surprisal(), watch=watch)
    result: npt.NDArray[np.float64] = -nats_1N[0]
    return result


def read_cloze(
    engine: BidirectionalEngine,
    sequences: Sequence[Ids],
    measure: Measure,
    *,
    watch: Watch = unwatched,
    longest_pass: int = LONGEST_PASS,
) -> list[Measured]:
    """Measure every token of every sequence, read independently: (K, N) each.

    `watch` is called with the fraction done. `longest_pass` changes results by rounding alone.
    Raises `ModelFolderError` if the model's output is not finite.
    """
    results = [np.empty((measure.width, len(sequence))) for sequence in sequences]
    tokens, done = max(1, sum(map(len, sequences))), 0
    for i, begin, logits_TV in _all_logits(engine, sequences, longest_pass):
        end = begin + len(logits_TV)
        results[i][:, begin:end] = _measured(measure, logits_TV, sequences[i][begin:end])
        done += len(logits_TV)
        watch(done / tokens)
    return results


class ClozeReader:
    """Reads with a bidirectional model, each token given all others of its passage.

    A long passage is read through once more before, from its end, so `blocks` are read again.
    """

    prefix: ClassVar[str] = "pseudo_"

    def __init__(self, engine: BidirectionalEngine, measure: Measure, blocks: Blocks) -> None:
        self._engine, self._measure, self._blocks = engine, measure, blocks

    def read(
        self,
        blocks: Iterable[Block],
        tick: Tick = untold,
        resumed: ReaderState = BETWEEN,
        measured: int = 0,
    ) -> Iterator[Reading]:
        """See `rondel.evaluation.block_reading.Reader`."""

        def in_parts(blocks: Iterator[Block]) -> Iterator[Reading]:
            return self._in_parts(blocks, tick)

        def together(window: list[Block]) -> Iterator[Reading]:
            passages, watch = whole_passages(window), spread(tick, window)
            ids = [passage.ids for passage in passages]
            values = read_cloze(self._engine, ids, self._measure, watch=watch)
            own = [
                values_KN[:, passage.context_length :]
                for passage, values_KN in zip(passages, values, strict=True)
            ]
            return readings(window, np.concatenate(own, axis=1))

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
        first = next(blocks)
        begins = not resumed.state
        state = resumed.state or self._engine.causal.initial_state()
        skipped = first.parts[0].context_length if begins else 0
        length = _pass_length(self._engine, LONGEST_PASS)
        # Of the first block, those tokens alone that are not measured.
        ids_of = _IdsOf(first.place, begins, measured)
        with TokenFile(self._engine.config.vocab_size) as tokens:
            for block in self._blocks.beginning_at(first.place):
                tokens.write(ids_of(block))
                if block.parts[0].ends:
                    break
            found = long_logits(self._engine, tokens.read, tokens.count, length, state)
            read = available = 0
            for block in itertools.chain([first], blocks):
                (part,) = block.parts
                available += len(ids_of(block))
                values = [np.empty((self._measure.width, 0))]
                while read < min(tokens.count, (available // length) * length) or (
                    part.ends and read < tokens.count
                ):
                    begin, logits_TV, state = next(found)
                    read = begin + len(logits_TV)
                    ids = tokens.read(begin, read)
                    values.append(_measured(self._measure, logits_TV, ids)[:, skipped:])
                    skipped = max(0, skipped - len(ids))
                    tick(block, 1 - (available - read) / available)
                here = ReaderState(state) if read and not skipped else None
                yield Reading(block, np.concatenate(values, axis=1), BETWEEN if part.ends else here)
                if part.ends:
                    return


class _IdsOf(NamedTuple):
    """The ids of a passage's blocks from a place on, where it begins or goes on."""

    place: Place
    begins: bool
    measured: int

    def __call__(self, block: Block) -> Ids:
        (part,) = block.parts
        if block.place != self.place or self.begins:
            return part.ids
        return part.text_ids[self.measured :]


class TokenFile:
    """The ids of a passage in a temporary file, to be read at any place.

    ::

        with TokenFile(vocab_size) as tokens:
            tokens.write(ids)
            tokens.read(0, tokens.count)
    """

    def __init__(self, vocab_size: int) -> None:
        self._dtype = np.min_scalar_type(max(vocab_size - 1, 0))
        self.count = 0

    def __enter__(self) -> TokenFile:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, ids: Ids) -> None:
        """Add ids at the end."""
        self._file.write(ids.astype(self._dtype).tobytes())
        self.count += len(ids)

    def read(self, begin: int, end: int) -> Ids:
        """The ids (N,) from one place to another."""
        size = self._dtype.itemsize
        self._file.seek(begin * size)
        data = self._file.read((end - begin) * size)
        self._file.seek(0, os.SEEK_END)
        return np.frombuffer(data, self._dtype)


def cloze_reader(engine: BidirectionalEngine, blocks: Blocks) -> ClozeReader:
    """A reader of what rows of a table are made of."""
    # Here the tokens that follow show where a word ends: no token implies it for another.
    measure = Prediction(np.zeros(engine.config.vocab_size, np.bool_))
    return ClozeReader(engine, measure, blocks)


def _measured(measure: Measure, logits_TV: Floats, ids: Ids) -> Measured:
    """The values (K, T) of tokens (T,), from the logits for each."""
    values_KT: Measured = measure(logits_TV[:, None], ids[:, None].astype(np.int64))[..., 0]
    return values_KT


def _pass_length(engine: BidirectionalEngine, longest: int) -> int:
    return max(1, min(longest, LARGEST_PASS // engine.config.vocab_size))


def _all_logits(
    engine: BidirectionalEngine, sequences: Sequence[Ids], longest_pass: int
) -> Iterator[tuple[int, int, Floats]]:
    """Yield (sequence index, begin, logits (T, V)) for chunks of the sequences."""
    length = _pass_length(engine, longest_pass)
    short = [i for i, sequence in enumerate(sequences) if 0 < len(sequence) <= length]
    outputs = engine.outputs([sequences[i] for i in short])
    for i, (forward_NH, backward_NH) in zip(short, outputs, strict=True):
        edge_1H = np.zeros_like(forward_NH[:1])
        before = np.concatenate([edge_1H, forward_NH[:-1]])
        after = np.concatenate([backward_NH[1:], edge_1H])
        yield i, 0, engine.logits(before, after)
    for i, sequence in enumerate(sequences):
        if len(sequence) > length:
            start = engine.causal.initial_state()
            read = functools.partial(_slice_of, sequence)
            for begin, logits_TV, _ in long_logits(engine, read, len(sequence), length, start):
                yield i, begin, logits_TV


def _slice_of(ids: Ids, begin: int, end: int) -> Ids:
    return ids[begin:end]


def long_logits(
    engine: BidirectionalEngine,
    read: Callable[[int, int], Ids],
    count: int,
    length: int,
    state: EngineState,
) -> Iterator[tuple[int, Floats, EngineState]]:
    """Yield (begin, logits (T, V), state) for the chunks of a sequence, in order.

    `read` gives its ids, `count` in all, and `state` is the forward stack's before and after each
    chunk. The reverse stack reads the whole sequence first, from its end, and keeps its state only
    at every so many chunks, those within a group of which are computed once more: for a sequence
    of n chunks some √n states are in memory.
    """
    chunks = -(-count // length)
    group = max(SMALLEST_GROUP, math.isqrt(chunks))

    def tokens(chunk: int) -> Ids:
        begin = chunk * length
        return read(begin, min(begin + length, count))[:, None].astype(np.int64)

    def before(chunk: int, after: EngineState) -> EngineState:
        """The reverse state once it has read a chunk, from its state after those that follow."""
        return engine.reverse.advance(tokens(chunk)[::-1], after)

    kept = {chunks - 1: engine.reverse.initial_state()}
    after = kept[chunks - 1]
    for chunk in range(chunks - 1, group - 1, -1):
        after = before(chunk, after)
        if chunk % group == 0:
            kept[chunk - 1] = after
    for first in range(0, chunks, group):
        last = min(first + group, chunks) - 1
        states = [kept.pop(last)]
        for chunk in range(last, first, -1):
            states.append(before(chunk, states[-1]))
        for chunk in range(first, last + 1):
            chunk_T1 = tokens(chunk)
            before_T1H, state = engine.before(chunk_T1, state)
            after_T1H, _ = engine.after(chunk_T1, states.pop())
            yield chunk * length, engine.logits(before_T1H[:, 0], after_T1H[:, 0]), state
