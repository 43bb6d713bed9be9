"""From logits to a token: the rules, the mode, and the one place that draws random numbers.

Shapes: V vocabulary, N tokens so far or points, Z latent size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats, Ids
from rondel.engine.probability import Logits, argmax, unnormalized
from rondel.errors import InputError
from rondel.generation.sampling.early import drawn_early, likeliest_early
from rondel.generation.sampling.rules import active_rules
from rondel.generation.sampling.rules.temperature import Temperature
from rondel.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from rondel.generation.generation_settings import GenerationSettings


# Added to the index, so that points and tokens are not drawn from the same generator.
LATENT_DRAWS = 1 << 32


def stream_rng(seed: int | None, index: int = 0) -> np.random.Generator:
    """Return the generator of sample `index` of a seed, independent of the number of samples.

    Without a seed it is a different one at each call.
    """
    entropy = None if seed is None else (seed, index)
    return np.random.default_rng(np.random.SeedSequence(entropy))


class Uniform(Protocol):
    """A source of uniform random numbers from 0 to 1, such as NumPy's generators."""

    def random(self) -> float:
        """Return the next number."""


def draw(logits: Logits, rng: Uniform) -> int:
    """Draw a token from softmax(logits), by one uniform number and the inverse of the CDF.

    A token of logit -inf is never drawn. Raises `ModelFolderError` if no logit is finite, or one is
    not a number.
    """
    # Adding zeros changes no sum: without them, the same token is drawn sooner.
    possible = np.flatnonzero(logits != -np.inf)
    if 0 < 2 * len(possible) < len(logits):
        return int(possible[draw(logits[possible], rng)])
    cumulative = unnormalized(logits).cumsum()
    # The total is at least 1 and the uniform number at most 1 - 2**-53, so their product rounds to
    # less than the total. The first sum above it has grown at that token: its weight is above 0.
    return int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right"))


def draw_latents(seed: int | None, count: int, size: int, first: int = 0) -> Floats:
    """Draw points (N, Z) of N(0, I): `first`, `first + 1`, … of a seed, whatever the count."""
    rows = [stream_rng(seed, LATENT_DRAWS + first + n).standard_normal(size) for n in range(count)]
    return np.array(rows, np.float32).reshape(count, size)


class History:
    """A text's token ids (N,), prime first, in an array that grows in amortised constant time."""

    def __init__(self, ids: Ids) -> None:
        self._buffer: Ids = ids.copy()
        self._size = len(ids)

    def append(self, tokens: Sequence[int]) -> None:
        """Add tokens."""
        self._size = len(self.followed_by(tokens))

    def followed_by(self, tokens: Sequence[int] = ()) -> Ids:
        """Return all tokens followed by these, without adding them: a view, valid until the next
        call.
        """
        size = self._size + len(tokens)
        if size > len(self._buffer):
            self._buffer = np.resize(self._buffer, 2 * size)
        self._buffer[self._size : size] = tokens
        return self._buffer[:size]


def check_can_write(tokenizer: Tokenizer) -> None:
    """Raise `InputError` if a model has no token but the unknown one."""
    if tokenizer.vocab_size == 1 and tokenizer.unknown_id is not None:
        raise InputError(
            "the model's vocabulary has no token but the unknown one, so it can write nothing: "
            "train it with a larger --vocab-size"
        )


class Shaper:
    """Shapes the distribution: excludes the unknown token, which has no text, and applies rules."""

    def __init__(self, tokenizer: Tokenizer, parameters: Mapping[str, Any]) -> None:
        check_can_write(tokenizer)
        self._unknown_id = tokenizer.unknown_id
        self._rules = active_rules(parameters)

    @property
    def temperature_alone(self) -> float | None:
        """The temperature, if no other rule is active; else `None`."""
        if not self._rules:
            return 1.0
        only = self._rules[0] if len(self._rules) == 1 else None
        return only.temperature if isinstance(only, Temperature) else None

    def without_unknown(self, logits: Floats) -> npt.NDArray[np.float64]:
        """Copy logits, of all tokens or the first ones, with -inf for the unknown token."""
        result: npt.NDArray[np.float64] = logits.astype(np.float64)
        if self._unknown_id is not None and self._unknown_id < len(result):
            result[self._unknown_id] = -np.inf
        return result

    def __call__(self, logits_V: Floats, history: Ids) -> Logits:
        """Return new logits (V,) from the model's (V,) and the tokens so far (N,)."""
        logits = self.without_unknown(logits_V)
        for rule in self._rules:
            logits = rule.apply(logits, history)
        return logits


class Sampler:
    """Chooses the tokens of one text: sample `index` of its seed, after the tokens `ids` (N,)."""

    def __init__(
        self, tokenizer: Tokenizer, settings: GenerationSettings, index: int, ids: Ids
    ) -> None:
        self._tokenizer, self.mode = tokenizer, settings.mode
        self.shaper = Shaper(tokenizer, settings.rules)
        self._rng = stream_rng(settings.seed, index)
        self._history = History(ids)
        self._uniforms: npt.NDArray[np.float64] = np.empty(0)
        self.last = int(ids[-1])
        """The text's last token so far."""

    def choose(self, logits_V: Floats) -> int:
        """Choose the next token from the model's logits (V,)."""
        logits = self.shaper(logits_V, self._history.followed_by())
        within_word = self.mode == "spaces" and not self._tokenizer.starts_word(self.last)
        return argmax(logits) if self.mode == "argmax" or within_word else draw(logits, self)

    def choose_early(
        self, common_C: Floats, clusters_K: Floats, sizes_K: npt.NDArray[np.int64]
    ) -> int | None:
        """Choose the next token from these log-probabilities; `None` if all logits are needed.

        See `rondel.engine.base.CommonFirst` for their meaning.
        """
        temperature = self.shaper.temperature_alone
        if temperature is None:
            return None
        logits_C = self.shaper.without_unknown(common_C)
        within_word = self.mode == "spaces" and not self._tokenizer.starts_word(self.last)
        if temperature == 0 or self.mode == "argmax" or within_word:
            return likeliest_early(logits_C, clusters_K)
        uniform = float(self.uniforms(1)[0])
        token = drawn_early(logits_C, clusters_K, sizes_K, temperature, uniform)
        if token is not None:
            self.use_up(1)
        return token

    def random(self) -> float:
        """Return the next uniform number."""
        uniform = float(self.uniforms(1)[0])
        self.use_up(1)
        return uniform

    def accept(self, tokens: Sequence[int]) -> None:
        """Add tokens to the text, which this sampler or the engine chose."""
        self._history.append(tokens)
        self.last = tokens[-1]

    @property
    def ids(self) -> Ids:
        """All tokens so far (N,), the prime's first; a view, good until the next is accepted."""
        return self._history.followed_by()

    def uniforms(self, count: int) -> npt.NDArray[np.float64]:
        """Return the uniform numbers (count,) of the next draws, for an engine that draws."""
        missing = count - len(self._uniforms)
        if missing > 0:
            self._uniforms = np.concatenate([self._uniforms, self._rng.random(missing)])
        return self._uniforms[:count]

    def use_up(self, count: int) -> None:
        """Drop the first `count` uniform numbers, which the engine used."""
        self._uniforms = self._uniforms[count:]
