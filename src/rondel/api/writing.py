"""A model that writes token by token: from a prime or none, one text or many of them."""

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
from rondel.generation.generate import generate, whole_texts, write_as_asked, write_many
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
    """What a language model does to write; see `LanguageModel`."""

    @property
    def engine(self) -> Engine:
        """What runs it: a token goes in with a state, logits come out with the next."""
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
        """Of the arrays and the vocabulary: what a `State` is known to belong to the model by."""
        return artifact.digest(self.weights, checksum(tokenizer_to_json(self.tokenizer)))

    def read(self, text: str) -> State:
        """Read a text: the state after it, which `stream` and others continue as they do a prime.

        It can be saved, and then spares reading a long text again. What continues it is the text
        that continues the prime. Raises `InputError` for an empty text.
        """
        self._warn_of_unknowns([text])
        return State.of(self._checksum, read_prime(self._engine, self.tokenizer, text))

    def _start_of(self, state: State) -> Start:
        return state.start(self._checksum, self._engine, self.tokenizer)

    def _begun(self, prime: str | None, state: State | None) -> str | Start:
        """What a text continues. Raises `InputError` unless it is a prime or a state."""
        if (prime is None) == (state is None):
            raise InputError("a text continues a prime or a state: give one of them")
        if state is not None:
            return self._start_of(state)
        assert prime is not None
        self._warn_of_unknowns([prime])
        return prime

    def sample(
        self,
        prime: str | None = None,
        *,
        state: State | None = None,
        **settings: Unpack[WritingKeywords],
    ) -> str:
        """Write a text that begins with `prime`, or continues a state; see `stream`.

        Without either it begins after a line break, which is not shown; or, if the model's text had
        no lines, with a few of that text's characters or words: see `choose_opening`.
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
        """Yield the text that follows `prime`, piece by piece, up to `length` tokens of it.

        In place of a prime, `state` is what `read` gave for one.

        `mode` is `sample`, `argmax`, `spaces` (draw only where a word begins) or `beam`; `rules`
        are parameters of the sampling rules: `temperature`, `top_k`, `top_p`, `min_p`,
        `repetition_penalty`. The same `seed` gives the same text; samples of one seed are told
        apart by `index`. Warns of what in the prime the model does not know. Raises `InputError`
        for a setting out of its range, an empty prime or another model's state.
        """
        chosen = generation_settings(length, mode, seed, stop, beam_width, rules)
        return generate(self._engine, self.tokenizer, chosen, self._begun(prime, state), index)

    def sample_many(self, primes: Sequence[str], **settings: Unpack[WritingKeywords]) -> list[str]:
        """Write a text for each of the primes, all together, which is much faster than in turn.

        `settings` are those of `stream`; the first text has `index` (0, if it is not told), and the
        others those that follow, so that each is the one that `sample` gives by itself. Modes
        `argmax` and `beam` draw nothing: with them, equal primes give equal texts. The several
        likeliest for one prime are given by `beam_search`.
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
        """Yield the pieces of `sample_many`'s texts as they are made, without their primes.

        Of an output, `number` is the prime's place, `text` more of its text, which may be nothing,
        and `finished` whether that was the last. Settings and errors are those of `stream`. Primes
        may also come from an iterator, however many, which is asked for the next as there is room
        to write on from it, and which may give states in their place.
        """
        chosen = generation_settings(length, mode, seed, stop, beam_width, rules)
        if not isinstance(primes, Iterator):
            self._warn_of_unknowns(primes)
        requests = (
            Request(self._start_of(p) if isinstance(p, State) else p, chosen, number)
            for number, p in enumerate(primes, index)
        )
        if isinstance(primes, Iterator):
            return write_as_asked(self._engine, self.tokenizer, lambda: next(requests, None))
        return write_many(self._engine, self.tokenizer, requests)

    def _warn_of_unknowns(self, primes: Iterable[str]) -> None:
        unknowns = dict.fromkeys(name for prime in set(primes) for name in self.unknowns(prime))
        if unknowns:
            listed = " ".join(map(repr, unknowns))
            warn_of(f"the model does not know {listed}; read as unknown")

    def unknowns(self, prime: str) -> list[str]:
        """The first different characters or words of a prime that the model does not know."""
        return self.tokenizer.unknowns(without_space(self.tokenizer, prime))

    def choose_opening(self, seed: Natural | None = None, index: Natural = 0) -> Opening:
        """What text `index` of a seed begins with where no prime is given.

        Of an opening, `prime` is what the model reads first, and `shown` what of it is part of the
        text: nothing of a line break. Raises `ModelFolderError` if the model carries no excerpts.
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
        """A list of `count` texts, given one by one as they are ready, in order, for any `count`.

        They are what `stream` writes for numbers `index` and following of the `seed`, without the
        `prime` or what was read to the `state`; blank ones are left out. With `unique` each comes
        once; with `not_in`, none that stands in these files (read in `encoding`), or in the text of
        the model's own run, which is called "training". `rondel.generation.listing.KnownTexts` says
        what stands in a text.

        Of the `SampleList`, `left_out` says how many texts were left out and why; `missing` is
        above 0 at its end if the model could not give so many: a thousand in a row were left out.
        Other settings, and errors, are those of `stream`.
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

    def check_copies(
        self, count: Positive, prime: str | None, settings: GenerationSettings
    ) -> None:
        """Raise `InputError` if `count` texts would all be the same one, as nothing is drawn."""
        same = prime is not None or len(set(self._parts.excerpts)) == 1
        if count > 1 and same and not settings.draws:
            how = "mode beam" if settings.mode == "beam" else "taking the likeliest token"
            raise InputError(
                f"{how} draws nothing, so that all {count} texts would be the same; leave the "
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
        """The `count` likeliest texts that a beam search finds, likeliest first, each once.

        Each has its `text`, without the prime, its `log_probability` in nats (of the whole text,
        not divided by its length: where texts may stop early, short ones are favoured) and how many
        `tokens` that is of. `beam_width` texts are kept at a time: `None` is 4, or `count` if that
        is more. Texts are fewer if so many different ones were not kept. Other settings, and
        errors, are those of `stream`.
        """
        width = max(4, count) if beam_width is None else beam_width
        chosen = generation_settings(length, "beam", None, stop, width, rules)
        if prime is None and state is None:
            prime = self.choose_opening(0).prime
        begun = self._begun(prime, state)
        start = read_prime(self._engine, self.tokenizer, begun) if isinstance(begun, str) else begun
        return best_texts(self._engine, self.tokenizer, chosen, start, count)
