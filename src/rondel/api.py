"""rondel in Python: load a model, and use it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from rondel import artifact
from rondel.artifact import Artifact
from rondel.checked import Natural, Positive, checked, checked_methods
from rondel.data.store import TokenStore
from rondel.engine import Engine, build_engine, check_choices
from rondel.engine.bidirectional import BidirectionalEngine
from rondel.errors import InputError, require, warn_of
from rondel.evaluation.adapting import DynamicSettings
from rondel.evaluation.cache import Cache
from rondel.evaluation.cloze import ClozeEvaluation, evaluate_cloze
from rondel.evaluation.contextual import Embeddings, embed
from rondel.evaluation.evaluate import Evaluation, evaluate
from rondel.evaluation.framing import Framing
from rondel.evaluation.rescoring import (
    Hypothesis,
    hypotheses_of,
    rescore,
    unknowns_unpunished,
)
from rondel.evaluation.scoring import Columns, ScoringSettings, refuse_unknown, score
from rondel.generation.beam import BeamText, best_texts
from rondel.generation.filling import Filled, FillSettings, fill
from rondel.generation.generate import GenerationSettings, generate
from rondel.generation.gibbs import gibbs
from rondel.generation.listing import KnownTexts, SampleList, Sieve, written_in_order
from rondel.generation.opening import Opening, choose_opening, opening_with
from rondel.generation.shaping import Shaper
from rondel.generation.start import check_prime, read_prime, without_implied_space
from rondel.generation.streams import Event, Request, write_as_asked, write_many
from rondel.inspection import ablation, control, finding
from rondel.inspection import trace as tracing
from rondel.inspection.features import Feature, features_of
from rondel.settings import ModelConfig
from rondel.text.reading import read_text
from rondel.text.tokenizers import Tokenizer
from rondel.text.word_vectors import WordVectors, vectors_of

TRAINING = "training"
"""What the text of a model's own run is called, among files. One of that name is `./training`."""


@checked_methods
class Model:
    """A trained model: sample from it, evaluate texts with it, save it. Needs no PyTorch."""

    def __init__(
        self, parts: Artifact, *, precision: str = "fp32", threads: int | None = None
    ) -> None:
        self._parts = parts
        self._precision, self._threads = precision, threads
        self._expected_tokens: int | None = None
        self._folder: Path | None = None
        check_choices(precision, threads)
        if precision != "fp32" and (self.config.model == "bidirectional"):
            raise InputError(f"a bidirectional model runs in fp32 only; leave {precision} out")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {artifact.describe(self._parts)}>"

    def __getstate__(self) -> dict[str, Any]:
        # Engines, which are compiled and hold threads, stay behind: a copy makes its own.
        computed = functools.cached_property
        return {
            name: value
            for name, value in vars(self).items()
            if not isinstance(getattr(type(self), name, None), computed)
        }

    @property
    def config(self) -> ModelConfig:
        """The model's shape."""
        return self._parts.config

    @property
    def tokenizer(self) -> Tokenizer:
        """How it reads and writes text."""
        return self._parts.tokenizer

    @property
    def engine(self) -> Engine:
        """What runs it: a token goes in with a state, logits come out with the next."""
        return self._engine

    @functools.cached_property
    def _engine(self) -> Engine:
        return build_engine(
            self.config, self.weights, self._precision, self._threads, self._expected_tokens
        )

    def _expect(self, tokens: int) -> None:
        """Say, before anything else, that no more than so many tokens are to be read and written.

        If that is little work, it is done before the compiled kernels would have been loaded. For
        a process that ends with it: what is asked for later would go on without them.
        """
        self._expected_tokens = tokens

    @property
    def weights(self) -> Mapping[str, npt.NDArray[Any]]:
        """Its arrays, named and shaped as `torch.nn` names and shapes them."""
        return self._parts.weights

    @property
    def progress(self) -> Mapping[str, Any]:
        """How far its training had come: step, epoch, tokens, seconds, losses in nats per token."""
        return self._parts.progress

    def vectors(self) -> WordVectors:
        """Its embedding: a vector for each token, to look for neighbours in or to write to a file.

        Raises `InputError` for a model of one-hot input, which has none.
        """
        return vectors_of(self.tokenizer, self.weights)

    def sample(self, prime: str | None = None, **settings: Any) -> str:
        """Write a text that begins with `prime`; see `stream` for the settings.

        Without a prime it begins after a line break, which is not shown; or, if the model's text
        had no lines, with a few of that text's characters or words: see `choose_opening`.
        """
        if prime is None:
            opening = self.choose_opening(settings.get("seed"), settings.get("index", 0))
        else:
            opening = opening_with(prime)
        return opening.shown + "".join(self.stream(opening.prime, **settings))

    def stream(
        self,
        prime: str,
        *,
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive = 4,
        **rules: float,
    ) -> Iterator[str]:
        """Yield the text that follows `prime`, piece by piece, up to `length` tokens of it.

        `mode` is `sample`, `argmax`, `spaces` (draw only where a word begins) or `beam`; `rules`
        are parameters of the sampling rules: `temperature`, `top_k`, `top_p`, `min_p`,
        `repetition_penalty`. The same `seed` gives the same text; samples of one seed are told
        apart by `index`. Warns of what in the prime the model does not know. Raises `InputError`
        for a setting out of its range or an empty prime.
        """
        chosen = _generation_settings(length, mode, seed, stop, beam_width, rules)
        self._warn_of_unknowns([prime])
        return generate(self._engine, self.tokenizer, chosen, prime, index)

    def sample_many(self, primes: Sequence[str], **settings: Any) -> list[str]:
        """Write a text for each of the primes, all together, which is much faster than in turn.

        `settings` are those of `stream`; the first text has `index` (0, if it is not told), and the
        others those that follow, so that each is the one that `sample` gives by itself. Modes
        `argmax` and `beam` draw nothing: with them, equal primes give equal texts. The several
        likeliest for one prime are given by `beam_search`.
        """
        texts = [[prime] for prime in primes]
        for event in self.stream_many(primes, **settings):
            texts[event.handle].append(event.piece)
        return ["".join(pieces) for pieces in texts]

    def stream_many(
        self,
        primes: Sequence[str] | Iterator[str],
        *,
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive = 4,
        **rules: float,
    ) -> Iterator[Event]:
        """Yield the pieces of `sample_many`'s texts as they are made, without their primes.

        Of an event, `handle` is the prime's place, `piece` more of its text, and `finished` whether
        that was the last. Settings and errors are those of `stream`. Primes may also come from an
        iterator, however many, which is asked for the next as there is room to write on from it.
        """
        chosen = _generation_settings(length, mode, seed, stop, beam_width, rules)
        if not isinstance(primes, Iterator):
            self._warn_of_unknowns(primes)
        requests = (Request(prime, chosen, number) for number, prime in enumerate(primes, index))
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
        return self.tokenizer.unknowns(without_implied_space(self.tokenizer, prime))

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
        unique: bool = False,
        not_in: str | Path | Sequence[str | Path] = (),
        encoding: str = "utf-8",
        length: Positive = 500,
        mode: str = "sample",
        seed: Natural | None = None,
        index: Natural = 0,
        stop: str | Sequence[str] | None = (),
        **rules: float,
    ) -> SampleList:
        """A list of `count` texts, given one by one as they are ready, in order, for any `count`.

        They are what `stream` writes for numbers `index` and following of the `seed`, without the
        `prime`; blank ones are left out. With `unique` each comes once; with `not_in`, none that
        stands in these files (read in `encoding`), or in the text of the model's own run, which is
        called "training". `rondel.generation.listing.KnownTexts` says what stands in a text.

        Of the `SampleList`, `left_out` says how many texts were left out and why; `missing` is
        above 0 at its end if the model could not give so many: a thousand in a row were left out.
        Other settings, and errors, are those of `stream`.
        """
        chosen = _generation_settings(length, mode, seed, stop, 1, rules)
        self.check_copies(count, prime, chosen)
        if prime is not None:
            check_prime(prime)
            self._warn_of_unknowns([prime])
        sieve = self.sieve(unique=unique, not_in=not_in, after=prime or "", encoding=encoding)

        def request(number: int) -> tuple[str, Request]:
            if prime is not None:
                return "", Request(prime, chosen, index + number)
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
        length: Positive = 500,
        stop: str | Sequence[str] | None = (),
        beam_width: Positive | None = None,
        **rules: float,
    ) -> list[BeamText]:
        """The `count` likeliest texts that a beam search finds, likeliest first, each once.

        Each has its `text`, without the prime, its `log_probability` in nats (of the whole text,
        not divided by its length: where texts may stop early, short ones are favoured) and how many
        `tokens` that is of. `beam_width` texts are kept at a time: `None` is 4, or `count` if that
        is more. Texts are fewer if so many different ones were not kept. Other settings, and
        errors, are those of `stream`.
        """
        width = max(4, count) if beam_width is None else beam_width
        chosen = _generation_settings(length, "beam", None, stop, width, rules)
        if prime is None:
            prime = self.choose_opening(0).prime
        check_prime(prime)
        self._warn_of_unknowns([prime])
        shaper = Shaper(self.tokenizer, chosen.rules)
        start = read_prime(self._engine, self.tokenizer, prime)
        return best_texts(self._engine, self.tokenizer, chosen, start, shaper, count)

    def sieve(
        self,
        *,
        unique: bool = False,
        not_in: str | Path | Sequence[str | Path] = (),
        after: str = "",
        encoding: str = "utf-8",
    ) -> Sieve:
        """What leaves texts out of a list, as `samples` has it; `after` is their prime."""
        files = [not_in] if isinstance(not_in, str | Path) else list(not_in)
        as_bytes = self.tokenizer.reads_bytes
        texts = [
            self.training_text()
            if file == TRAINING
            else read_text([str(file)], encoding, as_bytes=as_bytes)
            for file in files
        ]
        return Sieve(unique=unique, known=KnownTexts(texts) if texts else None, after=after)

    def training_text(self) -> str:
        """The text of the run that the model's folder is or lies in, all parts of it.

        Raises `InputError` if the model was not loaded from one, or the folder was moved away.
        """
        store = (
            None
            if self._folder is None
            else TokenStore.of_model(self._folder, self.config.vocab_size)
        )
        if store is None:
            raise InputError(
                "this model is without the text it was trained on, which lies in the folder of its "
                "run; give that text's file instead"
            )
        return "".join(self.tokenizer.decode(store.tokens(name)) for name in store.splits)

    def evaluate(
        self,
        text: str,
        watch: Callable[[float], None] = lambda fraction: None,
        *,
        cache: Cache | None = None,
    ) -> Evaluation:
        """How likely the model finds a text, read in order from the zero state.

        With a `cache` (`rondel.evaluation.cache.Cache`), what came lately is expected again.
        `watch` is told now and then what fraction is done. Raises `InputError` for a text of fewer
        than two tokens, or of which the model knows none.
        """
        refuse_unknown(self.tokenizer, text)
        ids = self.tokenizer.encode(text)
        return self.evaluate_tokens(ids, len(text), watch, cache=cache, text=text)

    def evaluate_tokens(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        watch: Callable[[float], None] = lambda fraction: None,
        *,
        cache: Cache | None = None,
        text: str | None = None,
    ) -> Evaluation:
        """As `evaluate`, for token ids (N,) that stand for so many characters of text.

        If the first is of an unknown word, its length is known only with the `text`.
        """
        return evaluate(
            self._engine, self.tokenizer, ids, characters, watch, cache=cache, text=text
        )

    def evaluate_dynamically(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        settings: DynamicSettings | None = None,
        *,
        training_ids: npt.NDArray[np.integer[Any]] | None = None,
        watch: Callable[[float], None] = lambda fraction: None,
        text: str | None = None,
    ) -> Evaluation:
        """As `evaluate_tokens`, with a copy of the model that goes on learning from the text.

        Its steps are scaled by its gradients on the text it was trained on, if `training_ids` are
        given. Needs PyTorch. Raises `MissingExtraError` without it, and `InputError` for a model of
        another kind than `language-model`.
        """
        require("torch", "train")
        from rondel.training.dynamic import evaluate_dynamically

        chosen = settings or DynamicSettings()
        return evaluate_dynamically(
            self._parts, ids, characters, chosen, training_ids=training_ids, watch=watch, text=text
        )

    def evaluate_cloze(
        self,
        text: str,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> ClozeEvaluation:
        """How well a bidirectional model predicts each token of a text from all the others.

        These are pseudo-log-likelihoods: no figure of `evaluate` can be compared with them, which
        for such a model is about its causal half. Raises `InputError` for a model that reads one
        way.
        """
        return self.evaluate_cloze_tokens(self.tokenizer.encode(text), len(text), watch)

    def evaluate_cloze_tokens(
        self,
        ids: npt.NDArray[np.integer[Any]],
        characters: Natural,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> ClozeEvaluation:
        """As `evaluate_cloze`, for token ids (N,) that stand for so many characters of text."""
        return evaluate_cloze(self._both_sides, self.tokenizer, ids, characters, watch)

    def score(
        self,
        text: str,
        *,
        by: str = "token",
        unit: str = "bits",
        reset: bool = False,
        start: str | None = None,
        end: bool = False,
        context: str = "",
        batch_size: Positive = 64,
        causal: bool = False,
    ) -> Columns:
        """How likely the model finds each part of a text: arrays of one length by name, a table.

        `by` is `token`, `character`, `word`, `line` or `document`, and `unit` bits or nats. The
        text is read as one, from the zero state, or with `reset` each line for itself. What its
        first token is predicted from is the `context`, if there is one, or the `start`: `newline`,
        a line break, or `skip`, nothing, and it is not scored; the first of these that the model
        can do. With `end`, a line break that ends the text is scored too, written there or not.

        A bidirectional model scores each token given all the others, in columns called
        `pseudo_surprisal_…`, which compare with no other model's; with `causal`, its causal half
        scores.

        `rondel.evaluation.scoring.score` says what the columns are, and `units` where a word ends.
        Raises `InputError` for a setting that is none, or a text with nothing to score.
        """
        framing = Framing(start, end, context)
        settings = ScoringSettings(by, unit, reset, framing, batch_size, causal)
        (table,) = self.score_many([text], settings)
        self._warn_of_unknowns([context])
        return table

    def score_many(
        self,
        documents: Sequence[str],
        settings: ScoringSettings,
        watch: Callable[[float], None] = lambda fraction: None,
    ) -> list[Columns]:
        """As `score`, for several texts read side by side; `watch` is told what fraction is done.

        Settings are told as a whole: see `rondel.evaluation.scoring.ScoringSettings`.
        """
        if settings.causal and not (self.config.model == "bidirectional"):
            raise InputError("this model is causal and scores as such; leave out what asks for it")
        both = (self.config.model == "bidirectional") and not settings.causal
        engine = self._both_sides if both else self._engine
        return score(engine, self.tokenizer, documents, settings, watch)

    def rescore(
        self, hypotheses: Iterable[tuple[str, float, str] | Hypothesis], **settings: Any
    ) -> Columns:
        """Put n-best hypotheses, each (id, score, text), into a new order: a table.

        `settings` are those of `rondel.evaluation.rescoring.rescore`: `weight` of the model's score
        beside the first pass's, `normalize` by length in tokens, words or characters, `context`,
        and `unknown_penalty`, in nats for each unknown word: without it, they are warned of.
        """
        rows = hypotheses_of(hypotheses)
        table = rescore(self._engine, self.tokenizer, rows, **settings)
        self._warn_of_unknowns([settings.get("context", "")])
        complaint = unknowns_unpunished(self.tokenizer, table)
        if complaint is not None and settings.get("unknown_penalty") is None:
            warn_of(complaint)
        return table

    def fill(
        self, text: str, watch: Callable[[float], None] = lambda fraction: None, **settings: Any
    ) -> list[Filled]:
        """The best ways to fill the gaps of a text, which are marked `___`, best first.

        `settings` are those of `rondel.generation.filling.FillSettings`: `gap`, another mark;
        `length` in tokens, if it is known, or else `max_length`; `best`, how many to give. `watch`
        is told what fraction is done. For a bidirectional model; raises `InputError` for another,
        or a text without a gap.
        """
        return fill(self._both_sides, self.tokenizer, text, FillSettings(**settings), watch)

    def gibbs(
        self,
        text: str,
        *,
        sweeps: Positive = 20,
        seed: Natural | None = None,
        index: Natural = 0,
        **rules: float,
    ) -> Iterator[str]:
        """Yield a text after each of so many sweeps, in which all its tokens are drawn again.

        Each is drawn given all the others; `seed`, `index` and `rules` are as for `stream`. For a
        bidirectional model; raises `InputError` for another, or an empty text.
        """
        settings = GenerationSettings(seed=seed, rules=rules)
        return gibbs(self._both_sides, self.tokenizer, text, sweeps, settings, index)

    @overload
    def embed(self, text: str) -> Embeddings: ...
    @overload
    def embed(self, text: list[str] | tuple[str, ...]) -> list[Embeddings]: ...
    def embed(self, text: str | list[str] | tuple[str, ...]) -> Embeddings | list[Embeddings]:
        """A bidirectional model's states at each token and word of a text, or of several.

        Several are read side by side, which gives what each gives by itself. Shapes and order are
        those of `rondel.evaluation.contextual.Embeddings`. Raises `InputError` for a model that
        reads one way.
        """
        if isinstance(text, str):
            return embed(self._both_sides, self.tokenizer, [text])[0]
        return embed(self._both_sides, self.tokenizer, text)

    def trace(self, text: str, **settings: Any) -> tracing.Trace:
        """What every unit does over a text, read from the zero state: arrays (N, L, H) by track.

        `settings` are those of `rondel.inspection.trace.trace`, which says what a `Trace` is.
        Raises `InputError` for a text that is empty or of nothing that the model knows.
        """
        return tracing.trace(self.config, self.weights, self.tokenizer, text, **settings)

    def find_units(
        self,
        trace: tracing.Trace,
        features: Sequence[Feature] | None = None,
        *,
        tracks: Sequence[str] | None = None,
        seed: Natural = 0,
    ) -> list[finding.Find]:
        """The units of a trace of this model that go with a feature of its text, strongest first.

        They are held against models that learnt nothing: this one's weights, shuffled. See
        `rondel.inspection.finding`, and for other `features` than the usual,
        `rondel.inspection.features.features_of`.
        """
        chosen = features_of(trace.text, trace.spans) if features is None else features
        kept = [name for name in tracks or finding.FINDING_TRACKS if name in trace.tracks]
        if not kept:
            raise InputError(f"the trace has none of these tracks, only {', '.join(trace.tracks)}")
        end = int(trace.spans[finding.first_half(len(trace)) - 1, 1])
        others = [
            tracing.trace(
                self.config,
                control.shuffled(self.config, self.weights, seed + number),
                self.tokenizer,
                trace.text[:end],
                tracks=kept,
            )
            for number in range(control.controls_of(self.config))
        ]
        return finding.find(trace, chosen, others, tracks=kept, seed=seed)

    def ablate(
        self,
        trace: tracing.Trace,
        unit: tracing.Unit,
        features: Sequence[Feature] = (),
        *,
        value: float | None = None,
    ) -> list[ablation.Effect]:
        """What the loss over a traced text becomes if a unit is clamped to a value, or to its mean.

        See `rondel.inspection.ablation.ablate`.
        """
        return ablation.ablate(self.config, self.weights, trace, unit, features, value=value)

    @functools.cached_property
    def _both_sides(self) -> BidirectionalEngine:
        if not (self.config.model == "bidirectional"):
            raise InputError(
                "this model reads a text from one side only; for this, train one with "
                "--bidirectional"
            )
        return BidirectionalEngine(self.config, self.weights)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a model folder; `InputError` if something is there, unless told to overwrite."""
        artifact.save(Path(path), self._parts, overwrite=overwrite)


def _generation_settings(
    length: int,
    mode: str,
    seed: int | None,
    stop: str | Sequence[str] | None,
    beam_width: int,
    rules: Mapping[str, float],
) -> GenerationSettings:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    return GenerationSettings(length, mode, seed, stops, beam_width, rules)


@checked
def load(path: str | Path, *, precision: str = "fp32", threads: int | None = None) -> Model:
    """Open a model folder; `ModelFolderError` says what is wrong with it if anything is.

    A sentence VAE is opened as a `rondel.latent_api.SentenceVAE`. With `precision` "int8" it runs
    with weights of 8 bits: faster, and a little less exact, as `Model.evaluate` can tell. Text and
    scores do not depend on `threads`, of which it takes as many as help, if it is not told.
    """
    parts = artifact.load(Path(path))
    model: Model
    if parts.config.model == "sentence-vae":
        from rondel.latent_api import SentenceVAE

        model = SentenceVAE(parts, precision=precision, threads=threads)
    else:
        model = Model(parts, precision=precision, threads=threads)
    model._folder = Path(path)
    return model
