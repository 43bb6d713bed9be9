"""Word vectors to start an embedding from: word2vec's text and binary files, and gensim's own.

Shapes: W words of the file, V tokens of a vocabulary, E size of a vector.

Files are read by gensim's `KeyedVectors`. gensim's own format is a pickle, which could run any code
as it is read; here it may name the few things that such a file is made of and nothing else.
"""

from __future__ import annotations

import codecs
import pickle
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from rondel.errors import InputError, RondelError, require
from rondel.text.tokenizers.base import Tokenizer
from rondel.text.tokenizers.word import JOINER

Floats = npt.NDArray[np.floating[Any]]
Found = npt.NDArray[np.bool_]

HEAD = 1 << 16
"""Bytes looked at to tell the formats apart."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes that gensim takes for compressed files."""

# Everything a pickle of gensim's vectors may import, beside NumPy's `ndarray` and `dtype`: the
# names of gensim 4 and 3 and of NumPy 2 and 1, and how protocols 2 to 5 store an array's bytes.
# None of these runs code of the file's choosing.
_VECTORS = ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "Vocab", "CompatVocab")
_ARRAYS = ("numpy._core", "numpy.core")
HARMLESS = frozenset(
    [("gensim.models.keyedvectors", name) for name in _VECTORS]
    + [(f"{core}.multiarray", name) for core in _ARRAYS for name in ("_reconstruct", "scalar")]
    + [(f"{core}.numeric", "_frombuffer") for core in _ARRAYS]
    + [(module, name) for module in ("builtins", "__builtin__") for name in ("set", "frozenset")]
    + [("_codecs", "encode")]
)


@dataclass(frozen=True)
class WordVectors:
    """Vectors by word: `rows` maps each word to its row of `matrix_WE`, float32."""

    rows: Mapping[str, int]
    matrix_WE: Floats

    @property
    def size(self) -> int:
        """How many numbers a word's vector has."""
        return int(self.matrix_WE.shape[1])

    def row(self, spellings: Iterable[str]) -> int | None:
        """The row of the first of these spellings that there is a vector for, if any."""
        return next((self.rows[word] for word in spellings if word in self.rows), None)

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
        rows_V = [self.row(_spellings(token)) for token in tokens]
        found_V = np.array([row is not None for row in rows_V], np.bool_)
        matrix_VE = initial_VE.copy()
        matrix_VE[found_V] = self.matrix_WE[[row for row in rows_V if row is not None]]
        return matrix_VE, found_V


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
    if tokenizer.level != "word":
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


def load_word_vectors(path: Path) -> WordVectors:
    """Read word vectors: word2vec text or binary, headerless text (GloVe), or gensim's own format.

    The content tells which it is; the file may be compressed (.gz, .bz2, .xz, .zst). `.npy` files
    that gensim wrote beside its own must still be there. Raises `InputError` if the file is
    none of these, is damaged, or, being a pickle, would import anything it has no need for; and
    `MissingExtraError` without gensim.
    """
    keyed_vectors = require("gensim.models.keyedvectors", "vectors").KeyedVectors
    try:
        with _open(path) as file:
            head = file.read(HEAD)
        # What a pickle of protocol 2 or later begins with; gensim has never written earlier ones.
        if head[:1] == pickle.PROTO and head[1:2] <= bytes([pickle.HIGHEST_PROTOCOL]):
            loaded = _load_pickle(path, keyed_vectors)
        else:
            loaded = _load_word2vec(path, head, keyed_vectors)
        matrix_WE = np.asarray(loaded.vectors, np.float32)
        words = list(map(str, loaded.index_to_key))
    except RondelError:
        raise
    # What a damaged file does to gensim, NumPy and pickle is anyone's guess, and always means this.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read as word vectors: {reason}") from None
    if matrix_WE.ndim != 2 or len(matrix_WE) != len(words) or not matrix_WE.size:
        raise InputError(
            f"{path} is damaged: {len(words):,} words, and vectors of shape {matrix_WE.shape}"
        )
    if not np.isfinite(matrix_WE).all():
        raise InputError(f"{path} is damaged: it has vectors with numbers that are not finite")
    return WordVectors({word: row for row, word in enumerate(words)}, matrix_WE)


def _open(path: Path) -> BinaryIO:
    """The file as gensim will see it, decompressed if its suffix says that it is compressed."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of word vectors")
    file: BinaryIO = require("smart_open", "vectors").open(str(path.resolve()), "rb")
    return file


def _spellings(token: str) -> Iterator[str]:
    yield token
    bare = token.strip(JOINER)
    yield bare
    yield bare.lower()


def _load_word2vec(path: Path, head: bytes, keyed_vectors: Any) -> Any:
    first, _, rest = head.partition(b"\n")
    header = first.split()
    has_header = len(header) == 2 and all(field.isdigit() for field in header)
    if has_header:
        words, size = map(int, header)
        binary = not _is_text(rest)
        # gensim makes room for all that the header promises, so it must not promise too much.
        if path.suffix not in COMPRESSED:
            least = words * (2 + size * 4) if binary else words * (1 + size * 2)
            if path.stat().st_size < least:
                raise InputError(
                    f"{path} is cut short: it announces {words:,} vectors of {size} numbers"
                )
    elif len(header) > 2 and _is_text(head):
        words, size, binary = None, len(header) - 1, False
    else:
        raise InputError(
            f"{path} holds no word vectors: it is neither a word2vec file, text or binary, "
            "nor what gensim's KeyedVectors.save writes"
        )
    if not binary:
        _check_lines(path, words, size)
    with warnings.catch_warnings():
        # Without a header, gensim opens the file twice and leaves one of the two to be collected.
        warnings.simplefilter("ignore", ResourceWarning)
        return keyed_vectors.load_word2vec_format(
            str(path.resolve()), binary=binary, no_header=not has_header
        )


def _is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 (cut off anywhere) without control characters: no floats, then."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return not any(unicodedata.category(c) == "Cc" and c not in "\t\r\n" for c in set(text))


def _check_lines(path: Path, words: int | None, size: int) -> None:
    """Refuse a text file whose lines are not all a word and `size` numbers.

    gensim would spread a single number over the whole vector, and not look at surplus lines.
    """
    lines = 0
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if number == 1 and words is not None:
                continue
            lines += 1
            numbers = len(line.rstrip().split(b" ")) - 1
            if numbers != size:
                raise InputError(f"{path}: line {number} has {numbers} numbers instead of {size}")
    if words is not None and lines != words:
        raise InputError(f"{path} is damaged: it announces {words:,} vectors and has {lines:,}")


class _Array(np.ndarray[Any, Any]):
    """Stands for `ndarray`, which a pickle has to name, but not to call, as over forged memory."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Array:
        raise pickle.UnpicklingError("it would make an array in a way that no pickle has need for")


def _plain_dtype(kind: Any, *flags: Any) -> np.dtype[Any]:
    """Stands for `dtype`: numbers alone, since an array of objects is an array of addresses."""
    dtype: np.dtype[Any] = np.dtype(kind, *flags)
    if dtype.kind not in "fiu":
        raise pickle.UnpicklingError(f"it has an array of {dtype}, not of numbers")
    return dtype


class _Unpickler(pickle.Unpickler):
    """Reads a pickle that imports nothing but what `HARMLESS` names."""

    refused: str | None = None

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _Array if name == "ndarray" else _plain_dtype
        if (module, name) in HARMLESS:
            return super().find_class(module, name)
        self.refused = f"{module}.{name}"
        raise pickle.UnpicklingError(f"it would import {self.refused}")


def _load_pickle(path: Path, keyed_vectors: Any) -> Any:
    with _open(path) as file:
        unpickler = _Unpickler(file, encoding="latin1")
        try:
            checked = unpickler.load()
        except pickle.UnpicklingError:
            if unpickler.refused is None:
                raise
            raise InputError(
                f"{path} was not read: it is a pickle that would import {unpickler.refused}, which "
                "word vectors alone have no need for; in gensim, save model.wv, or better, "
                "model.wv.save_word2vec_format(...)"
            ) from None
    if not isinstance(checked, keyed_vectors):
        raise InputError(f"{path} holds no word vectors but a pickled {type(checked).__name__}")
    # These name further pickles beside this one, which gensim would open unchecked.
    if any(vars(checked).get(name) for name in ("__scipys", "__recursive_saveloads")):
        raise InputError(f"{path} was not read: it has parts in further pickles beside it")
    return keyed_vectors.load(str(path.resolve()))
