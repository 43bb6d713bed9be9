"""One text that is written: what was asked, what state it is in, and what comes of it.

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
    """A text to write: sample `index` of its seed, which continues `prime`.

    The prime is text; or a `Prime`, which several requests may share and which is read once for all
    of them; or where the text starts, if that is known. Without settings the prime is read and
    nothing is written. With `logprobs`, outputs have each token's log-probability, and those of so
    many likeliest ones.
    """

    prime: str | Prime | Start
    settings: GenerationSettings | None
    index: int = 0
    logprobs: int | None = None


class Output(NamedTuple):
    """More of a stream's text, which may be nothing, and what there is to say of it."""

    number: int
    """Of the stream: who takes outputs in tells by it whose they are."""
    text: str = ""
    finish_reason: str | None = None
    """Of the last output: "stop" if a stop string ended the text, else "length"."""
    tokens: int = 0
    """How many were written for it."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """If asked for: of the prime's tokens, or of those whose text is shown by now."""
    prime_tokens: int | None = None
    """In the output that says that the prime was read: its length, or 0 if it was counted for
    another stream."""

    @property
    def finished(self) -> bool:
        """Whether it is the stream's last."""
        return self.finish_reason is not None


class StreamState(Enum):
    """What a stream does at present; the scheduler alone changes it.

    READING -> WAITING <-> RUNNING -> FINISHED; a stream whose prime is read already begins WAITING.
    """

    READING = "its prime is being read"
    WAITING = "it waits for a place among those that run"
    RUNNING = "it writes"
    FINISHED = "it is written, or was cancelled"


class Stream:
    """A text under way; `Scheduler` moves it, and `Runner` runs the model for it."""

    def __init__(self, number: int, request: Request, tokenizer: Tokenizer) -> None:
        self.number, self.request = number, request
        self.state = StreamState.READING
        self.turn = 0
        """Tokens that it wrote since it last began to run."""
        self.left = 0 if request.settings is None else request.settings.length
        """Tokens that it may still write."""
        self.start: Start | None = None
        """What its prime was read to, until it begins to run."""
        self.search: Iterator[str] | None = None
        """What finds its text, if it is not written token by token."""
        self._tokenizer = tokenizer
        self._pending: list[tuple[int, TokenLogprob]] = []
        self._decoded = self._shown = 0  # characters

    def begin(self, start: Start) -> None:
        """Make it ready to write from a start, which does not change."""
        settings = self.request.settings
        assert settings is not None
        self.start, self.settings = start, settings
        self.engine_state: EngineState = start.state
        """The model's state before its last token, while no engine keeps it."""
        self.sampler = Sampler(self._tokenizer, settings, self.request.index, start.ids)
        self._decoder = copy.copy(start.decoder)
        self._scanner = StopScanner(settings.stop)

    def choose(self, logits_V: Floats) -> Output:
        """The output that one more token gives, chosen by the logits that predict it."""
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
        """The log-probabilities of tokens whose text was shown, each once."""
        if not self._pending:
            return ()
        shown = [at < self._shown or not noted.text for at, noted in self._pending]
        count = shown.index(False) if False in shown else len(shown)
        ready = tuple(noted for _, noted in self._pending[:count])
        del self._pending[:count]
        return ready
