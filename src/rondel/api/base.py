"""The base class of all models in Python: parts, inspection of units, and saving."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy.typing as npt

from rondel import artifact
from rondel.artifact import Artifact
from rondel.checked import Natural, checked_methods
from rondel.data.store import TokenStore
from rondel.engine import Engine, check_choices
from rondel.errors import InputError, WrongKindError
from rondel.generation.listing import KnownTexts, Sieve
from rondel.kinds import kind_of, kinds
from rondel.settings import ModelConfig
from rondel.text.tokenizers import Tokenizer

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.inspection.ablation import Effect
    from rondel.inspection.features import Feature
    from rondel.inspection.finding import Find
    from rondel.inspection.trace import Trace, TraceKeywords, Unit
    from rondel.text.word_vectors import WordVectors

TRAINING = "training"
"""Stands for the text of the model's run in a list of files. For such a file: `./training`."""


@checked_methods
class Model:
    """A trained model of any kind, as returned by `rondel.load`. Needs no PyTorch.

    The class of its kind has more methods: `LanguageModel`, `BidirectionalModel`, `SentenceVAE`.

    ::

        model = rondel.load("runs/book/best")
        model.config.hidden_size, model.tokenizer.vocab_size, model.progress["step"]
        model.trace("The rain in Spain.").tracks
    """

    def __init__(
        self, parts: Artifact, *, precision: str = "fp32", threads: int | None = None
    ) -> None:
        self._parts = parts
        self._precision, self._threads = precision, threads
        self._expected_tokens: int | None = None
        self._folder: Path | None = None
        check_choices(precision, threads)

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """Raise an error that names the kinds of model that have the attribute."""
            having = [
                kind.noun
                for kind in kinds.values()
                if not name.startswith("_") and hasattr(kind.api_class, name)
            ]
            if not having:
                raise AttributeError(f"a model has no attribute {name!r}")
            raise WrongKindError(
                f"this model is a {kind_of(self.config).noun}, which has no {name!r}; "
                f"that is for a {' or a '.join(having)}"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {artifact.describe(self._parts)}>"

    def __getstate__(self) -> dict[str, Any]:
        # Without the engines, which are compiled and have threads: a copy builds new ones.
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
        """The tokenizer of its vocabulary."""
        return self._parts.tokenizer

    def _expect(self, tokens: int) -> None:
        """Announce, before first use, that at most so many tokens will be read and written.

        For so few that loading the compiled kernels would take longer, the model runs without
        them. Only for a process that does nothing else afterwards.
        """
        self._expected_tokens = tokens

    reads_prompts: ClassVar[bool] = True
    """Whether it can continue a given text."""

    @property
    def writing_engine(self) -> Engine:
        """The engine that writes: from a token and a state to logits and the next state.

        Every kind of model has one.
        """
        raise AttributeError(f"{type(self).__name__} does not write")

    @property
    def weights(self) -> Mapping[str, npt.NDArray[Any]]:
        """Its arrays, with the names and shapes of `torch.nn`."""
        return self._parts.weights

    @property
    def progress(self) -> Mapping[str, Any]:
        """The progress of its training: step, epoch, tokens, seconds, losses in nats per token."""
        return self._parts.progress

    def vectors(self) -> WordVectors:
        """Return its embedding: a vector for each token, to search or to write to a file.

        Raises `InputError` for a model with one-hot input, which has none.
        """
        from rondel.text.word_vectors import vectors_of

        return vectors_of(self.tokenizer, self.weights)

    def sieve(
        self,
        *,
        unique: bool = False,
        not_in: str | Path | Sequence[str | Path] = (),
        after: str = "",
        encoding: str = "utf-8",
    ) -> Sieve:
        """Return the filter of a list of texts, with the options of `samples`.

        `after` is the prime of the texts.
        """
        from rondel.text.reading import read_text

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
        """Return the text of the model's run, all splits of it.

        Raises `InputError` if the model was not loaded from a run's folder, or it was moved out.
        """
        store = self._run_store(required=True)
        return "".join(self.tokenizer.decode(store.tokens(name)) for name in store.splits)

    @overload
    def _run_store(self, *, required: Literal[True]) -> TokenStore: ...
    @overload
    def _run_store(self) -> TokenStore | None: ...
    def _run_store(self, *, required: bool = False) -> TokenStore | None:
        """The tokens of the run that the model's folder is or lies in; `None` if there are none.

        If they are `required`, raises `InputError` instead.
        """
        store = (
            None
            if self._folder is None
            else TokenStore.of_model(self._folder, self.config.vocab_size)
        )
        if store is None and required:
            raise InputError(
                "this model is without the text it was trained on: it was moved away from the text "
                "of its run; give that text's file instead"
            )
        return store

    def trace(self, text: str, **settings: Unpack[TraceKeywords]) -> Trace:
        """Trace every unit over a text, read from the zero state: arrays (N, L, H) by track.

        `settings` are those of `rondel.inspection.trace.trace`, which also describes a `Trace`.
        Raises `InputError` for a text that is empty or has only unknown tokens.
        """
        from rondel.inspection.trace import trace

        return trace(self.config, self.weights, self.tokenizer, text, **settings)

    def find_units(
        self,
        trace: Trace,
        features: Sequence[Feature] | None = None,
        *,
        tracks: Sequence[str] | None = None,
        seed: Natural = 0,
    ) -> list[Find]:
        """Find the units of a trace associated with a feature of its text, strongest first.

        They are compared with control models, which have this one's weights shuffled. See
        `rondel.inspection.finding`; other `features` than the default ones are made by
        `rondel.inspection.features.features_of`.
        """
        from rondel.inspection.control import find_against_controls

        return find_against_controls(
            self.config, self.weights, self.tokenizer, trace, features, tracks=tracks, seed=seed
        )

    def ablate(
        self,
        trace: Trace,
        unit: Unit,
        features: Sequence[Feature] = (),
        *,
        value: float | None = None,
    ) -> list[Effect]:
        """Measure the loss over a traced text with a unit clamped to a value, or to its mean.

        See `rondel.inspection.ablation.ablate`.
        """
        from rondel.inspection.ablation import ablate

        return ablate(self.config, self.weights, trace, unit, features, value=value)

    def export(
        self,
        path: str | Path,
        to: str = "html",
        *,
        precision: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write it in another format, as `rondel export --to`: "html", a page, or "js", a module.

        `precision` is what weights are stored as: "fp32", "fp16" or "int8". Raises `InputError` for
        a model that the format has no place for, and if something is at `path`, unless told to
        overwrite.
        """
        from rondel.exporters.base import export

        name = "model" if self._folder is None else artifact.shown_name(self._folder)
        export(self._parts, Path(path), to, name=name, precision=precision, overwrite=overwrite)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a model folder; `InputError` if `path` exists, unless it may be overwritten."""
        artifact.save(Path(path), self._parts, overwrite=overwrite)
