"""Files of gensim's `KeyedVectors.save`: pickles, read so that they cannot run code.

A pickle can run any code when it is loaded. Here it may only import the few classes and functions
that such a file needs, and the file is read only once, so that what was checked is what is used.
"""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rondel.errors import InputError, require

# All that a pickle of gensim's vectors may import, besides NumPy's `ndarray` and `dtype`: names of
# gensim 4 and 3, of NumPy 2 and 1, and those by which protocols 2 to 5 store an array's bytes. None
# of these can run arbitrary code.
_VECTORS = ("KeyedVectors", "Word2VecKeyedVectors", "EuclideanKeyedVectors", "Vocab", "CompatVocab")
_ARRAYS = ("numpy._core", "numpy.core")
HARMLESS = frozenset(
    [("gensim.models.keyedvectors", name) for name in _VECTORS]
    + [(f"{core}.multiarray", name) for core in _ARRAYS for name in ("_reconstruct", "scalar")]
    + [(f"{core}.numeric", "_frombuffer") for core in _ARRAYS]
    + [(module, name) for module in ("builtins", "__builtin__") for name in ("set", "frozenset")]
    + [("_codecs", "encode")]
)


def is_pickle(head: bytes) -> bool:
    """Return whether a file that begins so is a pickle of protocol 2 or later, as gensim's are."""
    return head[:1] == pickle.PROTO and head[1:2] <= bytes([pickle.HIGHEST_PROTOCOL])


def read_keyed_vectors(path: Path, file: BinaryIO) -> tuple[list[str], Any]:
    """Read words and vectors from the open file at `path` and the `.npy` files that go with it.

    Raises `InputError` if the file would import anything else or does not contain word vectors;
    `MissingExtraError` without gensim.
    """
    keyed_vectors = require("gensim.models.keyedvectors", "vectors").KeyedVectors
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
    parts = vars(checked)
    # These attributes name further pickles, in other files.
    if any(parts.get(name) for name in ("__scipys", "__recursive_saveloads")):
        raise InputError(f"{path} was not read: it has parts in further pickles beside it")
    # The names in gensim 4, 3 and earlier.
    words = _first_of(parts, "index_to_key", "index2word", "index2entity")
    # A large array is in a separate file.
    beside = {name: partial(_array_beside, path, name) for name in parts.get("__numpys", ())}
    matrix = _first_of({**parts, **beside}, "vectors", "syn0")
    return list(map(str, words)), matrix() if callable(matrix) else matrix


def _first_of(parts: dict[str, Any], *names: str) -> Any:
    return next(parts[name] for name in names if name in parts)


def _array_beside(path: Path, name: str) -> Any:
    if path.suffix in (".gz", ".bz2"):
        return np.load(f"{path}.{name}.npz")["val"]
    return np.load(f"{path}.{name}.npy")


class _Array(np.ndarray[Any, Any]):
    """Replaces `ndarray`, which a pickle names but need not call: that could forge its memory."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Array:
        raise pickle.UnpicklingError("it would make an array in a way that no pickle has need for")


def _plain_dtype(kind: Any, *flags: Any) -> np.dtype[Any]:
    """Replaces `dtype`: only numbers, because an array of objects is an array of addresses."""
    dtype: np.dtype[Any] = np.dtype(kind, *flags)
    if dtype.kind not in "fiu":
        raise pickle.UnpicklingError(f"it has an array of {dtype}, not of numbers")
    return dtype


class _Unpickler(pickle.Unpickler):
    """An unpickler that imports only what `HARMLESS` names."""

    refused: str | None = None

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return _Array if name == "ndarray" else _plain_dtype
        if (module, name) in HARMLESS:
            return super().find_class(module, name)
        self.refused = f"{module}.{name}"
        raise pickle.UnpicklingError(f"it would import {self.refused}")
