"""Sentence VAEs in Python: encoding sentences as points of a latent space, and decoding points."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rondel.api.base import Model
from rondel.artifact import Artifact
from rondel.checked import Natural, Positive, checked_methods
from rondel.engine import Engine
from rondel.engine.base import Floats, Ids
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.errors import InputError
from rondel.evaluation.elbo import LatentEvaluation, evaluate_sentences
from rondel.generation import latent_points
from rondel.generation.generation_settings import GenerationSettings, generation_settings
from rondel.generation.landscape import landscape
from rondel.generation.latent_points import Step
from rondel.generation.listing import SampleList
from rondel.generation.sampling.sampler import draw_latents
from rondel.generation.scheduler import CAPACITY
from rondel.generation.search.filling import FillSettings
from rondel.generation.search.imputation import Imputed, impute
from rondel.kinds.sentence_vae_kind import LatentSettings
from rondel.text.one_sentence import of_unknowns_only, refuse_unknowns_only, sentence_ids

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.generation.generation_settings import DecodingKeywords
    from rondel.generation.landscape import LandscapeKeywords
    from rondel.generation.search.filling import FillKeywords

LONGEST = 400


@checked_methods
class SentenceVAE(Model):
    """A trained sentence VAE, which reads and writes sentences of one line. Needs no PyTorch.

    ::

        vae = rondel.load("runs/captions/best", kind=rondel.SentenceVAE)
        vae.sample_sentences(5, seed=1)
        vae.interpolate("A man rides a horse.", "Two dogs play.")
    """

    def __init__(
        self, parts: Artifact, *, precision: str = "fp32", threads: int | None = None
    ) -> None:
        super().__init__(parts, precision=precision, threads=threads)
        if precision != "fp32" and LatentSettings.of(self.config).latent_input:
            raise InputError(f"a decoder that reads z runs in fp32 only; leave {precision} out")

    @functools.cached_property
    def latents(self) -> SentenceVAEEngine:
        """Its engine: from sentences to means and log-variances of z, and from z to a state."""
        return SentenceVAEEngine(
            self.config, self.weights, self._precision, self._threads, self._expected_tokens
        )

    reads_prompts = False

    @property
    def writing_engine(self) -> Engine:
        """The decoder's engine; see `Model.writing_engine`."""
        return self.latents.decoder

    @property
    def longest(self) -> int:
        """The most tokens of a sentence, not counting the line break that ends it."""
        return LatentSettings.of(self.config).longest_sentence or LONGEST

    def encode(self, sentences: Sequence[str]) -> tuple[Floats, Floats]:
        """Return mean and log-variance (N, Z) of each sentence's posterior q(z|x).

        Raises `InputError` for a sentence that is empty, too long, or has only unknown words.
        """
        if not sentences:
            raise InputError("there is no sentence; give at least one")
        return self.latents.encode([self._ids(sentence) for sentence in sentences])

    def decode(
        self, z: Any, *, first: Natural = 0, **settings: Unpack[DecodingKeywords]
    ) -> list[str]:
        """Decode each of the points `z` (N, Z) into a sentence, independently of the others.

        `settings` are those of `LanguageModel.stream`; the default of `mode` is `argmax`, and that
        of `length` the length of the longest training sentence. Point k has sample index
        `first` + k.
        """
        points = latent_points.latents_of(z, self.latents.latent_size)
        return latent_points.decode(
            self.latents, self.tokenizer, points, self._chosen(settings), first
        )

    def sample(
        self, prime: str | None = None, *, index: Natural = 0, **settings: Unpack[DecodingKeywords]
    ) -> str:
        """Return one sentence from the prior; see `sample_sentences`. A prime is refused."""
        if prime is not None:
            raise InputError("a sentence VAE does not continue a prime; leave it out")
        return self.sample_sentences(1, first=index, **settings)[0]

    def sample_sentences(
        self, count: Positive = 1, *, first: Natural = 0, **settings: Unpack[DecodingKeywords]
    ) -> list[str]:
        """Decode points drawn from N(0, I); by default of `mode`, tokens are drawn too.

        `settings` are those of `decode`. Sentence k of a `seed` does not depend on `count`.
        """
        points = self.random_points(count, self._chosen(settings).seed, first)
        settings.setdefault("mode", "sample")
        return self.decode(points, first=first, **settings)

    def samples(
        self,
        count: Positive,
        prime: None = None,
        *,
        unique: bool = False,
        not_in: str | Path | Sequence[str | Path] = (),
        encoding: str = "utf-8",
        index: Natural = 0,
        **settings: Unpack[DecodingKeywords],
    ) -> SampleList:
        """As `LanguageModel.samples`, with sentences of `sample_sentences`. A prime is refused."""
        if prime is not None:
            raise InputError("a sentence VAE does not continue a prime; leave it out")
        self._chosen(settings)

        def write(wanted: Callable[[], int]) -> Iterator[str]:
            first = index
            while number := min(CAPACITY, wanted()):
                yield from self.sample_sentences(number, first=first, **settings)
                first += number

        sieve = self.sieve(unique=unique, not_in=not_in, encoding=encoding)
        return SampleList(count, write, sieve)

    def random_points(
        self, count: Positive, seed: Natural | None = None, first: Natural = 0
    ) -> Floats:
        """Draw points (N, Z) from N(0, I)."""
        return draw_latents(seed, count, self.latents.latent_size, first)

    def reconstruct(
        self, sentence: str, count: Positive = 1, **settings: Unpack[DecodingKeywords]
    ) -> list[str]:
        """Encode a sentence, and decode the mean of q(z|x) and then `count` - 1 draws from it."""
        means, log_variances = self.encode([sentence])
        seed = self._chosen(settings).seed
        points = latent_points.posterior_draws(means[0], log_variances[0], count, seed)
        return self.decode(points, **settings)

    def interpolate(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        steps: Positive = 8,
        spherical: bool = False,
        **settings: Unpack[DecodingKeywords],
    ) -> list[Step]:
        """Return sentences at even steps from one sentence's mean to another's, ends included.

        Without sentences the ends are random points. `spherical` follows an arc instead of a line:
        see `rondel.generation.latent_points.path`. A `Step` also says if it repeats the one before.
        """
        if (a is None) != (b is None):
            raise InputError("give two sentences to go between, or none for two random points")
        if a is None or b is None:
            ends = self.random_points(2, self._chosen(settings).seed)
        else:
            ends, _ = self.encode([a, b])
        points = latent_points.path(ends[0], ends[1], steps, spherical=spherical)
        return latent_points.steps_of(self.decode(points, **settings))

    def fill(
        self,
        text: str,
        watch: Callable[[float], None] = lambda fraction: None,
        **settings: Unpack[FillKeywords],
    ) -> list[Imputed]:
        """Return the best ways to fill the gaps of a sentence, which are marked `___`, best first.

        `settings` are those of `rondel.generation.search.filling.FillSettings`; a sweep is another
        search, from the means of the best sentences so far. Raises `InputError` for a sentence
        without a gap, of several lines or too long.
        """
        chosen = FillSettings(**settings)
        return impute(self.latents, self.tokenizer, text, chosen, self.longest, watch)

    def analogy(self, a: str, b: str, c: str, **settings: Unpack[DecodingKeywords]) -> str:
        """Return the sentence that is to `c` as `b` is to `a`: that at z(b) - z(a) + z(c)."""
        means, _ = self.encode([a, b, c])
        return self.decode((means[1] - means[0] + means[2])[None], **settings)[0]

    def landscape(
        self, sentences: Sequence[str], **settings: Unpack[LandscapeKeywords]
    ) -> dict[str, Any]:
        """Project sentences to two dimensions, with decoded paths, for the page `latent.html`.

        `settings` are those of `rondel.generation.landscape.landscape`.
        """
        means, _ = self.encode(sentences)
        return landscape(sentences, means, self.decode, **settings)

    def evaluate_sentences(
        self,
        sentences: Sequence[str],
        *,
        iw_samples: Positive = 10,
        seed: Natural = 1,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> LatentEvaluation:
        """Evaluate how likely sentences are: ELBO, KL and the importance-weighted bound.

        See `rondel.evaluation.elbo.LatentEvaluation`. Raises `InputError` for a sentence that is
        empty or too long, or if no sentence has a known word.
        """
        ids = [self._ids(sentence, known=False) for sentence in sentences]
        unknown_only = sum(of_unknowns_only(one, self.tokenizer.unknown_id) for one in ids)
        refuse_unknowns_only(self.tokenizer, unknown_only, len(ids))
        return self.evaluate_ids(ids, iw_samples=iw_samples, seed=seed, watch=watch)

    def evaluate_ids(
        self,
        sentences: Sequence[Ids],
        *,
        iw_samples: Positive = 10,
        seed: Natural = 1,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> LatentEvaluation:
        """As `evaluate_sentences`, for sentences as token ids that end with the line break's."""
        unknown_id = self.tokenizer.unknown_id
        return evaluate_sentences(
            self.latents, sentences, unknown_id, iw_samples=iw_samples, seed=seed, watch=watch
        )

    def check(self, sentence: str, *, known: bool = True) -> None:
        """Raise `InputError` if a sentence is empty or too long.

        With `known`, also if it has no known word.
        """
        self._ids(sentence, known=known)

    def _ids(self, sentence: str, *, known: bool = True) -> Ids:
        return sentence_ids(self.tokenizer, sentence, self.longest, known=known)

    def _chosen(self, settings: DecodingKeywords) -> GenerationSettings:
        # The line break is a token too.
        defaults = {"length": self.longest + 1, "mode": "argmax", "seed": None, "stop": ()}
        values: dict[str, Any] = {**defaults, "beam_width": 4, **settings}
        own = {name: values.pop(name) for name in (*defaults, "beam_width")}
        return generation_settings(**own, rules=values)
