"""Models that write token by token, with or without a prime, one text or many."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rondel import artifact
from rondel.api.base import Model
from rondel.checked import Natural, Positive, checked_methods
from rondel.engine import Engine, build_engine
from rondel.errors import InputError, warn_of
from rondel.folder_files import checksum
from rondel.generation.generate import generate, whole_texts, write_many, write_on_demand
from rondel.generation.generation_settings import GenerationSettings, generation_settings
from rondel.generation.listing import SampleList, written_in_order
from rondel.generation.opening import Opening, choose_opening
from rondel.generation.prime import Start, check_prime, read_prime, without_space
from rondel.generation.saved_state import State
from rondel.generation.search.beam import BeamText, best_texts
from rondel.generation.stream import Output, Request
from rondel.text.tokenizers import tokenizer_to_json

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.generation.generation_settings import RuleKeywords, WritingKeywords


@checked_methods
class WritingModel(Model):
    """The writing methods of a language model; see `LanguageModel`."""

    @property
    def engine(self) -> Engine:
        """Its engine: from a token and a state to logits and the next state."""
        return self._engine

    @property
    def writing_engine(self) -> Engine:
        """See `Model.writing_engine`."""
        return self._engine

    @functools.cached_property
    def _engine(self) -> Engine:
        return build_engine(
            self.config, self.weights, self._precision, self._threads, self._expected_tokens
        )

    @functools.cached_property
    def _checksum(self) -> str:
        """The checksum of the arrays and the vocabulary, which a `State` of this model has."""
        return artifact.digest(self.weights, checksum(tokenizer_to_json(self.tokenizer)))

    def read(self, text: str) -> State:
        """Return the state after a text, which can be continued in place of a prime.

        It can be saved, so that a long text need not be read again. The text that continues it is
        the one that continues the prime. Raises `InputError` for an empty text.
        """
        self._warn_of_unknowns([text])
        return State.of(self._checksum, read_prime(self._engine, self.tokenizer, text))

    def _start_of(self, state: State) -> Start:
        return state.start(self._checksum, self._engine, self.tokenizer)

    def _begun(self, prime: str | None, state: State | None) -> str | Start:
        """Return what a text continues; `InputError` unless it is either a prime or a state."""
        if state is not None and prime is None:
            return self._start_of(state)
        if prime is not None and state is None:
            self._warn_of_unknowns([prime])
            return prime
        raise InputError("a text continues a prime or a state: give one of them")

    def sample(
        self,
        prime: str | None = None,
        *,
        state: State | None = None,
        **settings: Unpack[WritingKeywords],
    ) -> str:
        """Write a text that begins with `prime`, or continues a state; see `stream`.

        Without either, it begins after a line break, which is not shown; or, if the training text
        had no lines, with a few of that text's characters or words: see `choose_opening`.
        """
        shown = prime or ""
        if prime is None and state is None:
            prime, shown = self.choose_opening(settings.get("seed"), settings.get("index", 0))
        return shown + "".join(self.stream(prime, state=state, **settings))

    def stream(
        self,
        prime: str | None = None,
        *,
        state: State | None = None,
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive = 4,
        **rules: Unpack[RuleKeywords],
    ) -> Iterator[str]:
        """Yield the text that follows `prime`, piece by piece, up to `length` tokens.

        In place of a prime, `state` can be given, as `read` returns it.

        `mode` is `sample`, `argmax`, `spaces` (draw only where a word begins) or `beam`; `rules`
        are parameters of the sampling rules: `temperature`, `top_k`, `top_p`, `min_p`,
        `repetition_penalty`. The same `seed` gives the same text; each `index` of a seed has
        another one. Warns of unknown tokens in the prime. Raises `InputError` for an invalid
        setting, an empty prime or another model's state.
        """
        chosen = generation_settings(length, mode, seed, stop, beam_width, rules)
        return generate(self._engine, self.tokenizer, chosen, self._begun(prime, state), index)

    def sample_many(self, primes: Sequence[str], **settings: Unpack[WritingKeywords]) -> list[str]:
        """Write a text for each of the primes in one batch, much faster than one by one.

        `settings` are those of `stream`; text k has sample index `index` + k, and is the same as
        `sample` gives for that index. Modes `argmax` and `beam` draw nothing: with them, equal
        primes give equal texts. For several likely texts of one prime, use `beam_search`.
        """
        texts = whole_texts(self.stream_many(primes, **settings), len(primes))
        return [prime + text for prime, text in zip(primes, texts, strict=True)]

    def stream_many(
        self,
        primes: Sequence[str] | Iterator[str | State],
        *,
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive = 4,
        **rules: Unpack[RuleKeywords],
    ) -> Iterator[Output]:
        """Yield the texts of `sample_many` in pieces as they are written, without their primes.

        Of an output, `number` is the index of its prime, `text` the next piece, which may be empty,
        and `finished` whether it is the last one. Settings and errors are those of `stream`. Primes
        may also be an iterator of any length, of primes or states, from which the next is taken
        when there is room.
        """
        chosen = generation_settings(length, mode, seed, stop, beam_width, rules)
        if not isinstance(primes, Iterator):
            self._warn_of_unknowns(primes)
        requests = (
            Request(self._start_of(p) if isinstance(p, State) else p, chosen, number)
            for number, p in enumerate(primes, index)
        )
        if isinstance(primes, Iterator):
            return write_on_demand(self._engine, self.tokenizer, lambda: next(requests, None))
        return write_many(self._engine, self.tokenizer, requests)

    def _warn_of_unknowns(self, primes: Iterable[str]) -> None:
        unknowns = dict.fromkeys(name for prime in set(primes) for name in self.unknowns(prime))
        if unknowns:
            listed = " ".join(map(repr, unknowns))
            warn_of(f"the model does not know {listed}; read as unknown")

    def unknowns(self, prime: str) -> list[str]:
        """Return the first different unknown characters or words of a prime."""
        return self.tokenizer.unknowns(without_space(self.tokenizer, prime))

    def choose_opening(self, seed: Natural | None = None, index: Natural = 0) -> Opening:
        """Choose what text `index` of a seed begins with if no prime is given.

        Of an opening, `prime` is what the model reads first, and `shown` the part of it that
        belongs to the text: empty for a line break. Raises `ModelFolderError` if the model has no
        excerpts.
        """
        return choose_opening(self.tokenizer, self._parts.excerpts, seed, index)

    def samples(
        self,
        count: Positive,
        prime: str | None = None,
        *,
        state: State | None = None,
        unique: bool = False,
        not_in: str | Path | Sequence[str | Path] = (),
        encoding: str = "utf-8",
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        **rules: Unpack[RuleKeywords],
    ) -> SampleList:
        """Return an iterator over `count` texts, in order, each as soon as it is ready.

        They are what `stream` writes for `index`, `index` + 1, … of the `seed`, without the `prime`
        or the text of the `state`; blank ones are left out. With `unique`, so are repetitions; with
        `not_in`, texts that these files contain (in `encoding`), or the training text, which is
        named "training": see `rondel.generation.listing.KnownTexts`.

        Of the `SampleList`, `left_out` counts the texts that were left out, by reason; `missing` is
        above 0 at the end if there are fewer, because a thousand in a row were left out. Other
        settings, and errors, are those of `stream`.
        """
        chosen = generation_settings(length, mode, seed, stop, 1, rules)
        given = prime is not None or state is not None
        begun = self._begun(prime, state) if given else ""
        after = begun if isinstance(begun, str) else self.tokenizer.decode(begun.ids)
        self.check_copies(count, after if given else None, chosen)
        if given:
            check_prime(self.tokenizer, after)
        sieve = self.sieve(unique=unique, not_in=not_in, after=after, encoding=encoding)

        def request(number: int) -> tuple[str, Request]:
            if given:
                return "", Request(begun, chosen, index + number)
            opening = self.choose_opening(seed, index + number)
            return opening.shown, Request(opening.prime, chosen, index + number)

        write = functools.partial(written_in_order, self._engine, self.tokenizer, request)
        return SampleList(count, write, sieve)

    def starts_alike(self, prime: str | None) -> bool:
        """Return whether all texts start alike: with the prime, or with the only opening."""
        return prime is not None or len(set(self._parts.excerpts)) == 1

    def check_copies(
        self, count: Positive, prime: str | None, settings: GenerationSettings
    ) -> None:
        """Raise `InputError` if `count` texts would be equal, because nothing is drawn."""
        if count > 1 and self.starts_alike(prime) and not settings.draws:
            how = "mode beam" if settings.mode == "beam" else "taking the likeliest token"
            raise InputError(
                f"{how} draws nothing, so all {count} texts would be the same; leave the "
                "count out, or draw (--mode sample, a --temperature above 0)"
            )

    def beam_search(
        self,
        prime: str | None = None,
        count: Positive = 1,
        *,
        state: State | None = None,
        length: Positive = 500,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive | None = None,
        **rules: Unpack[RuleKeywords],
    ) -> list[BeamText]:
        """Return the `count` likeliest different texts that a beam search finds, likeliest first.

        Each has its `text`, without the prime, its `log_probability` in nats (of the whole text,
        not divided by its length, which favours short ones if texts may stop early) and its number
        of `tokens`. The search keeps `beam_width` texts at a time (`None`: 4, or `count` if that is
        more), and returns fewer if these are not all different. Other settings, and errors, are
        those of `stream`.
        """
        width = max(4, count) if beam_width is None else beam_width
        chosen = generation_settings(length, "beam", None, stop, width, rules)
        if prime is None and state is None:
            prime = self.choose_opening(0).prime
        begun = self._begun(prime, state)
        start = read_prime(self._engine, self.tokenizer, begun) if isinstance(begun, str) else begun
        return best_texts(self._engine, self.tokenizer, chosen, start, count)
