"""Vectors of words: to start an embedding from, and a model's own, to write or to look into.

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
from rondel.text.tokenizers.word import JOINER
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
        """How many numbers a word's vector has."""
        return int(self.array.shape[1])

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words whose vectors are nearest to a word's, and the cosines, nearest first.

        A word is looked up as it is spelt, then without regard to joiners, then in lower case.
        Raises `InputError` if there is no vector for it.
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
        """Write a word2vec file, text or binary; one that stands there is replaced.

        White space in a word is written as `<U+0020>` (a space) or `<U+000A>` (a line break), and
        read so by `load_word_vectors`. Raises `InputError` for a place that takes no such file.
        """
        path = as_path(path, "the file to write")
        if path.suffix in OPENERS:
            raise InputError(f"{path}: vectors are written uncompressed; leave {path.suffix} out")
        if path.is_dir() or not path.parent.is_dir():
            what = "is a folder" if path.is_dir() else "lies in a folder that is not there"
            raise InputError(f"{path} {what}; name a file that can be written, such as vectors.txt")
        write_atomically(path, word2vec_bytes(self.words, self.array, binary=binary))

    def matrix_for(self, tokens: Sequence[str], initial_VE: Floats) -> tuple[Floats, Found]:
        """A vector for each token, as `initial_VE` (V, E) with the rows of those found replaced.

        A token is looked up as it is spelt, then without joiners, then in lower case. Returns the
        matrix (V, E) and which tokens were found (V,), boolean. Raises `InputError` if `initial_VE`
        has another E.
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
        """The row of the first of these spellings that there is a vector for, if any."""
        return next((self.rows[word] for word in spellings if word in self.rows), None)

    @functools.cached_property
    def _directions(self) -> Floats:
        """The vectors at length one (W, E); a vector of zeros stays what it is."""
        lengths = np.linalg.norm(self.array, axis=1, keepdims=True)
        return self.array / np.where(lengths > 0, lengths, 1)


@dataclass(frozen=True)
class Coverage:
    """How much of a vocabulary has word vectors; `of_text` is a fraction of the running text."""

    found: int
    total: int
    of_text: float | None = None

    @property
    def of_vocabulary(self) -> float:
        """The fraction of the vocabulary that was found."""
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
    """An embedding (V, E) with the vectors of the tokens that have one, and how many have.

    The vectors are taken at the length they have; other rows stay as in `initial_VE`. `counts_V`,
    how often each token occurs in the text, tells what fraction of the text is covered. Raises
    `InputError` if the vectors have not E numbers each, if the tokenizer's tokens are not words,
    or if none of them is found.
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
    """A model's embedding, by the tokens of its vocabulary as they are spelt there.

    Raises `InputError` for a model of one-hot input.
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

    The content tells which it is; the file may be compressed (.gz, .bz2, .xz, .zst). `.npy` files
    that gensim wrote beside its own must still be there. Raises `InputError` if the file is
    none of these, is damaged, or, being a pickle, would import anything it has no need for; and
    `MissingExtraError` for gensim's own format without gensim.
    """
    try:
        with _open(path) as file:
            start = file.read(2)
            file.seek(0)
            words, array = (read_keyed_vectors if is_pickle(start) else read_word2vec)(path, file)
        array_WE = np.asarray(array, np.float32)
    except RondelError:
        raise
    # What a damaged file does to NumPy, pickle and the decompressors is anyone's guess.
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
"""What opens a compressed file, by its suffix, so that one can go back to its beginning."""


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
