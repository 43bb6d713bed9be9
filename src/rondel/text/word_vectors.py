"""Word vectors: to initialise an embedding, or from a model's embedding, to write or search.

Shapes: W words of a file or a model, V tokens of a vocabulary, E size of a vector.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError, RondelError
from rondel.files import write_atomically
from rondel.text.gensim_vectors import is_pickle, read_keyed_vectors
from rondel.text.tokenizers.base import Tokenizer
from rondel.text.tokenizers.punctuation import JOINER
from rondel.text.word2vec import read_word2vec, unescaped, word2vec_bytes
from rondel.values import as_path, check_text, whole

Floats = npt.NDArray[np.floating[Any]]
Found = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WordVectors:
    """Words (all different), and their vectors: an `array` (W, E), float32.

    >>> vectors = rondel.load("runs/book").vectors()                          # doctest: +SKIP
    >>> vectors.nearest("king", 5)                                            # doctest: +SKIP
    >>> vectors.save("vectors.bin", binary=True)                              # doctest: +SKIP
    """

    words: Sequence[str]
    array: Floats

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    @property
    def size(self) -> int:
        """The number of numbers of a vector."""
        return int(self.array.shape[1])

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """Return the words nearest to a word and their cosines, nearest first.

        The word is looked up as it is spelt, then with joiners, then in lower case. Raises
        `InputError` if there is no vector for it.
        """
        check_text(word, "the word")
        count = whole("the number of neighbours", count, at_least=1)
        row = self._row([unescaped(word), *_with_joiners(word), word.lower()])
        if row is None:
            raise InputError(f"there is no vector for {word!r}; give a word of the vocabulary")
        others = np.delete(np.arange(len(self.words)), row)
        cosines = (self._directions[others] @ self._directions[row]).astype(np.float64)
        order = np.argsort(-cosines, kind="stable")[:count]
        return [(self.words[others[i]], float(cosines[i])) for i in order]

    def save(self, path: str | Path, *, binary: bool = False) -> None:
        """Write a word2vec file, text or binary; an existing file is replaced.

        White space in a word is written as `<U+0020>` (a space) or `<U+000A>` (a line break), which
        `load_word_vectors` reads. Raises `InputError` for a path that cannot be written.
        """
        path = as_path(path, "the file to write")
        if path.suffix in OPENERS:
            raise InputError(f"{path}: vectors are written uncompressed; leave {path.suffix} out")
        if path.is_dir() or not path.parent.is_dir():
            what = "is a folder" if path.is_dir() else "is in a folder that does not exist"
            raise InputError(f"{path} {what}; name a file that can be written, such as vectors.txt")
        write_atomically(path, word2vec_bytes(self.words, self.array, binary=binary))

    def matrix_for(self, tokens: Sequence[str], initial_VE: Floats) -> tuple[Floats, Found]:
        """Return `initial_VE` (V, E) with the vectors of tokens that have one, and which have (V,).

        A token is looked up as it is spelt, then without joiners, then in lower case. Raises
        `InputError` if `initial_VE` has another E.
        """
        if initial_VE.shape[1] != self.size:
            raise InputError(
                f"these word vectors have {self.size} numbers each, and --embedding-size is "
                f"{initial_VE.shape[1]}: set --embedding-size {self.size}, or leave it out"
            )
        rows_V = [self._row(_without_joiners(token)) for token in tokens]
        found_V = np.array([row is not None for row in rows_V], np.bool_)
        matrix_VE = initial_VE.copy()
        matrix_VE[found_V] = self.array[[row for row in rows_V if row is not None]]
        return matrix_VE, found_V

    def _row(self, spellings: Iterable[str]) -> int | None:
        """Return the row of the first of these spellings that has a vector, if any."""
        return next((self.rows[word] for word in spellings if word in self.rows), None)

    @functools.cached_property
    def _directions(self) -> Floats:
        """The vectors scaled to length one (W, E); vectors of zeros are unchanged."""
        lengths = np.linalg.norm(self.array, axis=1, keepdims=True)
        return self.array / np.where(lengths > 0, lengths, 1)


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary has word vectors; `of_text` is the fraction of the text's tokens."""

    found: int
    total: int
    of_text: float | None = None

    @property
    def of_vocabulary(self) -> float:
        """The fraction of the vocabulary that has vectors."""
        return self.found / self.total

    def __str__(self) -> str:
        line = f"word vectors for {self.found:,} of {self.total:,} tokens ({self.of_vocabulary:.1%}"
        return line + (")" if self.of_text is None else f"; {self.of_text:.1%} of the text)")


def embedding_from_vectors(
    vectors: WordVectors,
    tokenizer: Tokenizer,
    initial_VE: Floats,
    counts_V: npt.NDArray[np.integer[Any]] | None = None,
) -> tuple[Floats, Coverage]:
    """Return an embedding (V, E) with the vectors of the tokens that have one, and the coverage.

    The vectors are not scaled; other rows are those of `initial_VE`. With `counts_V`, how often
    each token occurs in the text, the coverage includes the fraction of the text. Raises
    `InputError` if the vectors do not have E numbers, if the tokenizer's tokens are not words, or
    if no token has a vector.
    """
    if not tokenizer.whole_words:
        raise InputError(f"word vectors need --level word, not {tokenizer.level}")
    tokens = [tokenizer.token(token_id) for token_id in range(tokenizer.vocab_size)]
    matrix_VE, found_V = vectors.matrix_for(tokens, initial_VE)
    if not found_V.any():
        raise InputError(
            "none of the text's words has a word vector: use vectors of the text's own language"
        )
    of_text = None
    if counts_V is not None:
        of_text = float(counts_V[found_V].sum() / max(1, counts_V.sum()))
    return matrix_VE, Coverage(int(found_V.sum()), len(tokens), of_text)


def vectors_of(tokenizer: Tokenizer, weights: Mapping[str, Floats]) -> WordVectors:
    """Return a model's embedding by the tokens of its vocabulary.

    Raises `InputError` for a model with one-hot input.
    """
    embedding_VE = weights.get("embedding.weight")
    if embedding_VE is None:
        raise InputError(
            "this model has one-hot input and so no embedding: what it has for a token is a column "
            "of the first layer's input weights (model.weights['core.weight_ih_l0']); for vectors, "
            "train one with --embedding-size"
        )
    tokens = [tokenizer.token(token_id) for token_id in range(tokenizer.vocab_size)]
    return WordVectors(tokens, np.asarray(embedding_VE, np.float32))


def load_word_vectors(path: Path) -> WordVectors:
    """Read word vectors: word2vec text or binary, headerless text (GloVe), or gensim's own format.

    The format is recognised by the content; the file may be compressed (.gz, .bz2, .xz, .zst). The
    `.npy` files that gensim wrote with it must be next to it. Raises `InputError` if the file has
    none of these formats, is damaged, or is a pickle that would import anything else;
    `MissingExtraError` for gensim's format without gensim.
    """
    try:
        with _open(path) as file:
            start = file.read(2)
            file.seek(0)
            words, array = (read_keyed_vectors if is_pickle(start) else read_word2vec)(path, file)
        array_WE = np.asarray(array, np.float32)
    except RondelError:
        raise
    # A damaged file can make NumPy, pickle and the decompressors raise anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as word vectors: {reason}") from None
    if array_WE.ndim != 2 or len(array_WE) != len(words) or not array_WE.size:
        raise InputError(
            f"{path} is damaged: {len(words):,} words, and vectors of shape {array_WE.shape}"
        )
    finite_W = np.isfinite(array_WE).all(axis=1)
    if not finite_W.all():
        bad = words[int(finite_W.argmin())]
        raise InputError(f"{path} is damaged: the vector of {bad!r} is not finite")
    return WordVectors(words, array_WE)


def _open_zstd(path: Path, mode: str) -> BinaryIO:
    import zstandard

    with zstandard.open(path, mode) as file:
        return io.BytesIO(file.read())


OPENERS: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstd,
}
"""Functions that open a compressed file as a seekable stream, by suffix."""


def _open(path: Path) -> BinaryIO:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of word vectors")
    file: BinaryIO = OPENERS.get(path.suffix, Path.open)(path, "rb")
    return file


def _without_joiners(token: str) -> Iterator[str]:
    yield token
    bare = token.strip(JOINER)
    yield bare
    yield bare.lower()


def _with_joiners(word: str) -> Iterator[str]:
    yield word
    yield JOINER + word
    yield word + JOINER
    yield JOINER + word + JOINER
