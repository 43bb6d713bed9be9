"""One text under way: what it has of its own, whatever runs the model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats
from rondel.generation.logprobs import TokenLogprob, token_logprob
from rondel.generation.prompt import Start
from rondel.generation.sampling.sampler import History, Shaper, chooser, stream_rng
from rondel.generation.settings import GenerationSettings
from rondel.generation.stopping import StopScanner
from rondel.text.tokenizers import Tokenizer


class Piece(NamedTuple):
    """More of a text, which may be nothing, and what there is to say of it."""

    text: str
    finished: bool
    """Whether it is the last."""
    tokens: int = 0
    """How many were written for it."""
    stopped: bool = False
    """Whether a stop string has ended the text."""
    told: tuple[TokenLogprob, ...] = ()
    """Of the tokens whose text is shown by now, if log-probabilities were asked for."""


class Stream:
    """A text that goes on from a start, token by token."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        settings: GenerationSettings,
        index: int,
        start: Start,
        logprobs: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self.logprobs = logprobs
        """How many alternatives to tell of each token; `None` to tell nothing of it."""
        self.mode = settings.mode
        self.shaper = Shaper(tokenizer, settings.rules)
        self._rng = stream_rng(settings.seed, index)
        self._choose = chooser(settings.mode, tokenizer, self._rng)
        self._history = History(start.ids)
        self._decoder = start.decoder
        self._scanner = StopScanner(settings.stop)
        self._uniforms: npt.NDArray[np.float64] = np.empty(0)
        self.last = int(start.ids[-1])
        self.left = settings.length
        """Tokens that it may still write."""
        self._pending: list[tuple[int, TokenLogprob]] = []
        self._decoded = self._shown = 0  # characters

    def choose(self, logits_V: Floats) -> int:
        """The next token, from the model's logits."""
        return self._choose(self.shaper(logits_V, self._history.followed_by()), self.last)

    def uniforms(self, count: int) -> npt.NDArray[np.float64]:
        """The uniform numbers that its next draws take, in their order."""
        missing = count - len(self._uniforms)
        if missing > 0:
            self._uniforms = np.concatenate([self._uniforms, self._rng.random(missing)])
        return self._uniforms[:count]

    def use_up(self, count: int) -> None:
        """Say that so many of them were drawn with."""
        self._uniforms = self._uniforms[count:]

    def take(self, tokens: list[int], logits_V: Floats | None = None) -> Piece:
        """The text that more tokens give, and whether it ends with them.

        A stream that tells log-probabilities takes one token at a time, with its logits (V,).
        """
        self._history.append(tokens)
        pieces = []
        for count, token in enumerate(tokens, 1):
            pieces.append(self._scanner.push(self._decode(token, logits_V)))
            if self._scanner.stopped:
                return self._piece(pieces, count, finished=True)
        self.last = tokens[-1]
        self.left -= len(tokens)
        if self.left <= 0:
            pieces.append(self._scanner.push(self._decoder.finish()) + self._scanner.finish())
        return self._piece(pieces, len(tokens), finished=self.left <= 0)

    def _piece(self, pieces: list[str], tokens: int, *, finished: bool) -> Piece:
        text = "".join(pieces)
        self._shown += len(text)
        return Piece(text, finished, tokens, self._scanner.stopped, self._tell())

    def _decode(self, token: int, logits_V: Floats | None) -> str:
        if self.logprobs is None:
            return self._decoder.push(token)
        told = token_logprob(self._tokenizer, self._decoder, token, logits_V, self.logprobs)
        self._pending.append((self._decoded, told))
        self._decoded += len(told.text)
        return told.text

    def _tell(self) -> tuple[TokenLogprob, ...]:
        """What there is to tell of tokens whose text was shown, each once."""
        if not self._pending:
            return ()
        shown = [at < self._shown or not told.text for at, told in self._pending]
        count = shown.index(False) if False in shown else len(shown)
        ready = tuple(told for _, told in self._pending[:count])
        del self._pending[:count]
        return ready
