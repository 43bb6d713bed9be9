"""Warm starts: from another model's weights, from word vectors, or with an existing tokenizer.

Shapes: V vocabulary, E embedding size, H hidden size, G*H gate rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from rondel import artifact
from rondel.cells import cells
from rondel.errors import InputError, ModelFolderError
from rondel.folder_files import Arrays
from rondel.kinds import kind_of
from rondel.settings import ModelConfig, TextConfig
from rondel.settings.fields import settings_of
from rondel.softmaxes import softmax_of
from rondel.text.subwords.tokenizer_files import losses, read_tokenizer
from rondel.text.tokenizers import (
    Tokenizer,
    tokenizer_from_json,
    tokenizer_settings,
    tokenizer_to_json,
    tokenizers,
    train_on_blocks,
)
from rondel.text.tokenizers.word import WordTokenizer
from rondel.text.word_vectors import embedding_from_vectors, load_word_vectors

SHAPE = ("model", "cell", "num_layers", "hidden_size", "embedding_size", "tie_weights", "softmax")
"""The settings that determine the shapes of a model's arrays."""

Counts = npt.NDArray[np.integer[Any]]


class WarmStart(Protocol):
    """What a new run starts from: weights, or a vocabulary alone."""

    brings_weights: ClassVar[bool]
    """Whether it has weights besides a vocabulary."""
    report: str
    """One line about what was used; set by `weights`."""

    def fixed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that it determines, besides those given."""

    def tokenizer(self, blocks: Iterable[bytes], settings: TextConfig) -> Tokenizer:
        """Return the tokenizer to use, for a text in blocks of UTF-8."""

    def weights(self, fresh: Arrays, tokenizer: Tokenizer, counts_V: Counts) -> Arrays:
        """Return the initial weights, given random ones and how often the text has each token."""


class FromModel:
    """Another model's weights; rows of embedding and output are matched by token, not by index.

    Tokens that the old model lacks are added, with the mean of its rows.
    """

    brings_weights: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder, self.old = folder, artifact.load(folder)
        if not softmax_of(self.old.config).is_linear:
            raise InputError(
                f"{folder} has --softmax {self.old.config.softmax}, whose words cannot be matched "
                "with those of another text; train a new model, or start from one with --softmax "
                "full"
            )
        self.report = ""

    def fixed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the old model's shape, level and tokenizer settings."""
        config, tokenizer = self.old.config, self.old.tokenizer
        shape = {name: getattr(config, name) for name in SHAPE}
        shape |= {name: config.own[name] for name in settings_of(cells[config.cell])}
        return {**shape, **tokenizer.kept(), "level": tokenizer.level}

    def tokenizer(self, blocks: Iterable[bytes], settings: TextConfig) -> Tokenizer:
        """Return the old tokenizer, extended by tokens that are new in the text."""
        return self.old.tokenizer.extended_from_utf8(blocks, tokenizer_settings(settings))

    def weights(self, fresh: Arrays, tokenizer: Tokenizer, counts_V: Counts) -> Arrays:
        """Return the old weights, with the rows of tokens in the order of the new vocabulary."""
        old_tokens = self.old.tokenizer
        place = {old_tokens.token(index): index for index in range(old_tokens.vocab_size)}
        matched = [place.get(tokenizer.token(i), -1) for i in range(tokenizer.vocab_size)]
        rows = np.array(matched)
        known_count = int((rows >= 0).sum())
        new = [tokenizer.token(i) for i in np.flatnonzero(rows < 0)[:8].tolist()]
        self.report = f"from {self.folder}: {known_count:,} of {len(rows):,} tokens known"
        if new:
            more = " …" if len(rows) - known_count > len(new) else ""
            self.report += f"; new: {' '.join(map(repr, new))}{more}"
        axes = axes_of_tokens(self.old.config)
        known = {
            name: _by_token(array, rows, axes[name]) if name in axes else array
            for name, array in self.old.weights.items()
        }
        return {**fresh, **known}


class FromWordVectors:
    """Word vectors from a word2vec file (Mikolov et al. 2013); other words start at random."""

    brings_weights: ClassVar[bool] = True

    def __init__(self, path: Path) -> None:
        self.vectors = load_word_vectors(path)
        self.report = ""

    def fixed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a word level, and the size of the vectors."""
        level = given.get("level") or WordTokenizer.level
        suits = level in tokenizers and tokenizers[level].whole_words
        return {
            "level": level if suits else WordTokenizer.level,
            "embedding_size": self.vectors.size,
        }

    def tokenizer(self, blocks: Iterable[bytes], settings: TextConfig) -> Tokenizer:
        """Train a tokenizer on the text, as without a warm start."""
        return train_on_blocks(blocks, settings)

    def weights(self, fresh: Arrays, tokenizer: Tokenizer, counts_V: Counts) -> Arrays:
        """Return the fresh weights, with the vectors as rows of the embedding."""
        embedding, coverage = embedding_from_vectors(
            self.vectors, tokenizer, fresh["embedding.weight"], counts_V
        )
        self.report = str(coverage)
        return {**fresh, "embedding.weight": embedding}


class FromTokenizer:
    """An existing tokenizer: another model's, Hugging Face's or SentencePiece's."""

    brings_weights: ClassVar[bool] = False

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.existing = tokenizer_from_json(read_tokenizer(path))
        except ModelFolderError as error:
            raise InputError(f"{path}: {error}") from None
        existing = self.existing
        self.report = f"tokenizer of {path}: {existing.vocab_size:,} {existing.token_noun}s"
        if existing.known_by and (lost := losses(existing)):
            self.report += f"; texts do not come back exactly: it loses {', '.join(lost)}"

    def fixed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tokenizer's level and settings."""
        return {**self.existing.kept(), "level": self.existing.level}

    def tokenizer(self, blocks: Iterable[bytes], settings: TextConfig) -> Tokenizer:
        """Return the existing tokenizer."""
        return self.existing

    def weights(self, fresh: Arrays, tokenizer: Tokenizer, counts_V: Counts) -> Arrays:
        """Return the fresh weights; `InputError` if a corpus has another tokenizer."""
        if tokenizer_to_json(tokenizer) != tokenizer_to_json(self.existing):
            raise InputError(
                f"the corpus was prepared with another tokenizer than that of {self.path}; leave "
                "--tokenizer out, or prepare the texts with it"
            )
        return fresh


def warm_start_from(
    init_from: str | Path | None,
    word_vectors: str | Path | None,
    tokenizer: str | Path | None = None,
) -> WarmStart | None:
    """Return the warm start that the arguments name, if any; `InputError` for more than one."""
    if init_from is not None and word_vectors is not None:
        raise InputError("--init-from brings its own embedding; leave --word-vectors out")
    if tokenizer is not None and (init_from is not None or word_vectors is not None):
        other = "--init-from" if init_from is not None else "--word-vectors"
        raise InputError(f"--tokenizer and {other} both say what tokens there are; leave one out")
    if init_from is not None:
        return FromModel(Path(init_from))
    if tokenizer is not None:
        return FromTokenizer(Path(tokenizer))
    return FromWordVectors(Path(word_vectors)) if word_vectors is not None else None


def axes_of_tokens(config: ModelConfig) -> dict[str, int]:
    """Return, for each array with an entry per token, the axis of these: the one that grows with
    the vocabulary.
    """
    larger = dataclasses.replace(config, vocab_size=config.vocab_size + 1)
    arrays = kind_of(config).arrays
    return {
        name: axis
        for (name, shape), (_, grown) in zip(arrays(config), arrays(larger), strict=True)
        for axis, (size, more) in enumerate(zip(shape, grown, strict=True))
        if more > size
    }


def _by_token(old: npt.NDArray[Any], rows: npt.NDArray[np.intp], axis: int) -> npt.NDArray[Any]:
    """Return the rows of the new vocabulary: those of old tokens, and their mean for new ones."""
    old_VX = np.moveaxis(old, axis, 0)
    new_VX = old_VX[np.maximum(rows, 0)]
    new_VX[rows < 0] = old_VX.mean(axis=0)
    return np.ascontiguousarray(np.moveaxis(new_VX, 0, axis))
