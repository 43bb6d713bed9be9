"""What gensim's `KeyedVectors.save` writes: a pickle, read so that it can run no code.

A pickle could run any code as it is read; here it may name the few things that such a file is made
of and nothing else, and what was checked as it was read is what is used.
"""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rondel.errors import InputError, require

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


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins so is a pickle of protocol 2 or later, as gensim's all are."""
    return head[:1] == pickle.PROTO and head[1:2] <= bytes([pickle.HIGHEST_PROTOCOL])


def read_keyed_vectors(path: Path, file: BinaryIO) -> tuple[list[str], Any]:
    """Words, and their vectors, from an open file and the `.npy` files that gensim wrote beside it.

    Raises `InputError` if the file, which is that at `path`, would import anything that it has no
    need for, or holds something else; and `MissingExtraError` without gensim.
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
    # These name further pickles beside this one.
    if any(parts.get(name) for name in ("__scipys", "__recursive_saveloads")):
        raise InputError(f"{path} was not read: it has parts in further pickles beside it")
    # As gensim 4, 3 and earlier ones call them.
    words = _first_of(parts, "index_to_key", "index2word", "index2entity")
    # A large array is in a file beside the pickle.
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
