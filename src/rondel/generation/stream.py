"""One text under way: what it has of its own, whatever runs the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats
from rondel.generation.draw import stream_rng
from rondel.generation.history import History
from rondel.generation.modes import chooser
from rondel.generation.settings import GenerationSettings
from rondel.generation.shaping import Shaper
from rondel.generation.start import Start
from rondel.generation.stopping import StopScanner
from rondel.text.tokenizers import Tokenizer


class Stream:
    """A text that goes on from a start, token by token."""

    def __init__(
        self, tokenizer: Tokenizer, settings: GenerationSettings, index: int, start: Start
    ) -> None:
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

    def take(self, tokens: list[int]) -> tuple[str, bool]:
        """The text that more tokens give, and whether it ends with them."""
        self._history.append(tokens)
        pieces = []
        for token in tokens:
            pieces.append(self._scanner.push(self._decoder.push(token)))
            if self._scanner.stopped:
                return "".join(pieces), True
        self.last = tokens[-1]
        self.left -= len(tokens)
        if self.left <= 0:
            pieces.append(self._scanner.push(self._decoder.finish()) + self._scanner.finish())
        return "".join(pieces), self.left <= 0
