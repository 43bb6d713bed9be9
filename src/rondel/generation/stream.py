"""One text being written: its request, its state and its outputs.

Shapes: N tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from rondel.engine import EngineState
from rondel.engine.base import Floats
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.logprobs import Likelihood, TokenLogprob, likelihood, spelled
from rondel.generation.prime import Prime, Start
from rondel.generation.sampling.sampler import Sampler
from rondel.generation.stopping import StopScanner
from rondel.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class Request:
    """A request to write a text: sample `index` of its seed, which continues `prime`.

    The prime is text; or a `Prime`, which several requests may share and which is then read once;
    or a `Start`, if the prime was read already. Without settings the prime is read and nothing is
    written. With `logprobs`, outputs have the log-probability of each token and of that many
    likeliest alternatives.
    """

    prime: str | Prime | Start
    settings: GenerationSettings | None
    index: int = 0
    logprobs: int | None = None


class Output(NamedTuple):
    """The next piece of a stream's text, which may be empty, and facts about it."""

    number: int
    """The stream's number, as `Scheduler.add` returned it."""
    text: str = ""
    finish_reason: str | None = None
    """In the last output: "stop" if a stop string ended the text, else "length"."""
    tokens: int = 0
    """How many tokens were written."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """If requested: those of the prime's tokens, or of tokens whose text has now been output."""
    prime_tokens: int | None = None
    """In the output that reports the prime as read: its length in tokens, or 0 if another stream
    shared it and reports it."""

    @property
    def finished(self) -> bool:
        """Whether it is the stream's last output."""
        return self.finish_reason is not None


class StreamState(Enum):
    """What a stream is doing; only the scheduler changes it.

    READING -> WAITING <-> RUNNING -> FINISHED; a stream whose prime was read already begins as
    WAITING.
    """

    READING = "its prime is being read"
    WAITING = "it waits to run"
    RUNNING = "its text is being written"
    FINISHED = "its text is complete, or was cancelled"


class Stream:
    """A text being written; `Scheduler` changes its state, and `Runner` runs the model for it."""

    def __init__(self, number: int, request: Request, tokenizer: Tokenizer) -> None:
        self.number, self.request = number, request
        self.state = StreamState.READING
        self.turn = 0
        """Tokens written since it last began to run."""
        self.left = 0 if request.settings is None else request.settings.length
        """Tokens that it may still write."""
        self.start: Start | None = None
        """Where its text starts, until it begins to run."""
        self.search: Iterator[str] | None = None
        """The search that finds its text, if it is not written token by token."""
        self._tokenizer = tokenizer
        self._pending: list[tuple[int, TokenLogprob]] = []
        self._decoded = self._shown = 0  # characters

    def begin(self, start: Start) -> None:
        """Prepare to write from a start, which is not changed."""
        settings = self.request.settings
        assert settings is not None
        self.start, self.settings = start, settings
        self.engine_state: EngineState = start.state
        """The model's state before the last token, while no engine keeps it."""
        self.sampler = Sampler(self._tokenizer, settings, self.request.index, start.ids)
        self._decoder = copy.copy(start.decoder)
        self._scanner = StopScanner(settings.stop)

    def choose(self, logits_V: Floats) -> Output:
        """Choose one more token by its logits (V,), and return the output."""
        token, count = self.sampler.choose(logits_V), self.request.logprobs
        if count is None:
            return self.take([token])
        return self.take([token], [likelihood(logits_V, token, count, self._tokenizer.unknown_id)])

    def take(self, tokens: list[int], likelihoods: Iterable[Likelihood] = ()) -> Output:
        """The output that more tokens give, the last one if it ends with them.

        A stream with log-probabilities needs the likelihood of each.
        """
        self.sampler.accept(tokens)
        pieces, reported = [], iter(likelihoods)
        for count, token in enumerate(tokens, 1):
            pieces.append(self._scanner.push(self._decode(token, next(reported, None))))
            if self._scanner.stopped:
                return self._output(pieces, count, finished=True)
        self.left -= len(tokens)
        if self.left <= 0:
            pieces.append(self._scanner.push(self._decoder.finish()) + self._scanner.finish())
        return self._output(pieces, len(tokens), finished=self.left <= 0)

    def _output(self, pieces: list[str], tokens: int, *, finished: bool) -> Output:
        text = "".join(pieces)
        self._shown += len(text)
        reason = "stop" if self._scanner.stopped else "length"
        return Output(self.number, text, reason if finished else None, tokens, self._ready())

    def _decode(self, token: int, likely: Likelihood | None) -> str:
        if likely is None:
            return self._decoder.push(token)
        noted = spelled(self._tokenizer, self._decoder, token, likely)
        self._pending.append((self._decoded, noted))
        self._decoded += len(noted.text)
        return noted.text

    def _ready(self) -> tuple[TokenLogprob, ...]:
        """Return, once, the log-probabilities of tokens whose text has been output."""
        if not self._pending:
            return ()
        shown = [at < self._shown or not noted.text for at, noted in self._pending]
        count = shown.index(False) if False in shown else len(shown)
        ready = tuple(noted for _, noted in self._pending[:count])
        del self._pending[:count]
        return ready
