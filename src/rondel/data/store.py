"""The token store: one flat file of token ids for each split, and a page of JSON beside them.

Ids take the smallest unsigned type that holds the vocabulary (uint8 up to 256 tokens), and are read
through a memory map, so a text larger than memory costs a resume nothing. The page, `splits.json`,
has the sum of each file, and of itself but for that sum (`whole`; an earlier rondel wrote none).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rondel.errors import ModelFolderError
from rondel.folder_files import check_is_file, checksum, from_values, is_count, read_json, reading

INDEX = "splits.json"
BLOCK = 1 << 21
"""Tokens read at a time."""
PARTS = ("train", "validation", "test")
Ids = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Split:
    """One split of a text: the characters `begin` to `end`, and its number of tokens."""

    begin: int
    end: int
    tokens: int

    @property
    def characters(self) -> int:
        """How many characters of text its tokens encode."""
        return self.end - self.begin


def tokens_of(folder: Path) -> Path | None:
    """Find the tokens of the run whose folder this is, or is in; `None` if there are none."""
    # The best model of a run is in a folder inside the run's.
    places = [folder / "tokens", folder.resolve().parent / "tokens"]
    return next((place for place in places if place.is_dir()), None)


@dataclass(frozen=True)
class TokenStore:
    """The splits of a text by name (train, validation, test), in a folder."""

    folder: Path
    dtype: str
    splits: dict[str, Split]
    documents: dict[str, int] | None = None
    """How many documents each split has, if the text has borders between some."""

    @classmethod
    def write(
        cls, folder: Path, vocab_size: int, parts: dict[str, tuple[Split, Ids]]
    ) -> TokenStore:
        """Write token ids (N,) for every split into a new folder."""
        writer = StoreWriter(folder, vocab_size)
        for name, (split, ids) in parts.items():
            writer.write(name, split.begin, split.end, [Encoded(ids)])
        return writer.finish()

    @classmethod
    def open(cls, folder: Path, *, check: bool = True) -> TokenStore:
        """Open what `write` wrote; `ModelFolderError` if it is missing or damaged.

        Every file is read through for its sum, unless `check` is false.
        """
        if not folder.is_dir():
            raise ModelFolderError(
                f"{folder} is missing: this is a model without the text it was trained on"
            )
        index = read_json(folder / INDEX)
        try:
            whole = index.pop("whole", None)
            if whole not in (None, checksum(index)):
                raise ValueError("it was changed after it was written")
            splits = {name: from_values(Split, index["splits"][name]) for name in PARTS}
            documents = _documents_in(index)
            sums = {name: index["sha256"][name] for name in PARTS}
            document_sums = {name: index["sha256"][f"{name}.documents"] for name in documents or ()}
            dtype = np.dtype(index["dtype"])
            if dtype.kind != "u" or not all(0 <= s.begin <= s.end for s in splits.values()):
                raise ValueError("its numbers are not those of a text")
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFolderError(
                f"{folder / INDEX} is damaged ({error!r}); copy it again"
            ) from None
        store = cls(folder, dtype.str, splits, documents)
        for name, expected in sums.items() if check else ():
            digest = hashlib.sha256()
            for ids in store.blocks(name):
                digest.update(ids.data)
            if digest.hexdigest() != expected:
                raise _changed(folder / f"{name}.bin")
        for name, expected in document_sums.items() if check else ():
            begins = store.document_begins(name)
            if hashlib.sha256(begins.tobytes()).hexdigest() != expected:
                raise _changed(folder / f"{name}.documents.bin")
        return store

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raise `ModelFolderError` if a token is none of so many: kernels read where it points."""
        for name in PARTS:
            if any(int(ids.max()) >= vocab_size for ids in self.blocks(name)):
                raise ModelFolderError(
                    f"{self.folder / name}.bin holds tokens that this model does not have; copy "
                    "the whole folder again"
                )

    @classmethod
    def of_model(cls, folder: Path, vocab_size: int) -> TokenStore | None:
        """Open the tokens of the run whose folder this is, or is in; `None` if there are none.

        Raises `ModelFolderError` if they are not tokens of a model of `vocab_size`.
        """
        here = tokens_of(folder)
        if here is None:
            return None
        store = cls.open(here)
        store.check_vocabulary(vocab_size)
        return store

    def blocks(self, name: str) -> Iterator[Ids]:
        """Yield the ids of one split in blocks, of which one at a time is in memory."""
        path, expected = self._checked(name)
        dtype = np.dtype(self.dtype)
        with reading(path), path.open("rb") as file:
            for begin in range(0, expected, BLOCK):
                data = file.read(min(BLOCK, expected - begin) * dtype.itemsize)
                yield np.frombuffer(data, dtype)

    def counts(self, name: str, vocab_size: int) -> npt.NDArray[np.int64]:
        """How often each token comes in one split, (V,)."""
        counts_V = np.zeros(vocab_size, np.int64)
        for ids in self.blocks(name):
            counts_V += np.bincount(ids, minlength=vocab_size)
        return counts_V

    def read(self, name: str, begin: int, end: int) -> Ids:
        """The ids of one split between two places, of which nothing else comes into memory."""
        path, _ = self._checked(name)
        dtype = np.dtype(self.dtype)
        with reading(path):
            return np.fromfile(path, dtype, end - begin, offset=begin * dtype.itemsize)

    def tokens(self, name: str) -> Ids:
        """The ids (N,) of one split, as a read-only memory map."""
        path, expected = self._checked(name)
        if expected == 0:
            return np.empty(0, self.dtype)
        with reading(path):
            return np.memmap(path, dtype=self.dtype, mode="r")

    def document_begins(self, name: str) -> Ids:
        """Where the documents of one split begin, in tokens (D,), as a read-only memory map."""
        path, expected = self.folder / f"{name}.documents.bin", (self.documents or {})[name]
        _check_size(path, expected, 8, "documents")
        with reading(path):
            return np.memmap(path, "<i8", "r") if expected else np.empty(0, np.int64)

    def _checked(self, name: str) -> tuple[Path, int]:
        """The file of one split, and how many tokens it holds; `ModelFolderError` if others."""
        path, expected = self.folder / f"{name}.bin", self.splits[name].tokens
        _check_size(path, expected, np.dtype(self.dtype).itemsize, "tokens")
        return path, expected

    @property
    def files(self) -> list[str]:
        """The names of all its files."""
        names = [INDEX, *(f"{name}.bin" for name in PARTS)]
        return names + [f"{name}.documents.bin" for name in self.documents or ()]


class Encoded(NamedTuple):
    """Token ids (N,) of a piece of a text, and where among them documents begin, if it has any."""

    ids: Ids
    begins: Ids | None = None


class StoreWriter:
    """Writes a token store split by split, block by block; it is none before `finish`.

    ::

        writer = StoreWriter(folder, tokenizer.vocab_size)
        writer.write("train", 0, 900, pieces)
        ...
        store = writer.finish()
    """

    def __init__(self, folder: Path, vocab_size: int, *, has_documents: bool = False) -> None:
        self.folder, self.has_documents = folder, has_documents
        self._documents: dict[str, int] = {}
        self.dtype = np.min_scalar_type(max(vocab_size - 1, 0)).newbyteorder("<")
        self._splits: dict[str, Split] = {}
        self._sums: dict[str, str] = {}
        folder.mkdir()

    def write(self, name: str, begin: int, end: int, pieces: Iterable[Encoded]) -> None:
        """Write the tokens of one split, the text from character `begin` to `end`.

        Where `has_documents`, every piece says where documents begin.
        """
        digest, count = hashlib.sha256(), 0
        borders, documents = hashlib.sha256(), 0
        with ExitStack() as files:
            tokens_file = files.enter_context((self.folder / f"{name}.bin").open("wb"))
            if self.has_documents:
                path = self.folder / f"{name}.documents.bin"
                borders_file = files.enter_context(path.open("wb"))
            for ids, begins in pieces:
                data = np.ascontiguousarray(ids, self.dtype).data
                tokens_file.write(data)
                digest.update(data)
                if self.has_documents and begins is not None:
                    data = (begins.astype("<i8") + count).data
                    borders_file.write(data)
                    borders.update(data)
                    documents += len(begins)
                count += len(ids)
        self._sums[name] = digest.hexdigest()
        self._splits[name] = Split(begin, end, count)
        if self.has_documents:
            self._sums[f"{name}.documents"] = borders.hexdigest()
            self._documents[name] = documents

    def finish(self) -> TokenStore:
        """Write the page, which makes a store of it."""
        index: dict[str, Any] = {
            "dtype": self.dtype.str,
            "sha256": self._sums,
            "splits": {name: asdict(split) for name, split in self._splits.items()},
        }
        if self.has_documents:
            index["documents"] = self._documents
        index["whole"] = checksum(index)
        (self.folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        documents = self._documents if self.has_documents else None
        return TokenStore(self.folder, self.dtype.str, dict(self._splits), documents)


def _documents_in(index: dict[str, Any]) -> dict[str, int] | None:
    documents = index.get("documents")
    if documents is not None and not (
        isinstance(documents, dict)
        and documents.keys() == set(PARTS)
        and all(map(is_count, documents.values()))
    ):
        raise ValueError("its documents are not those of a text")
    return documents


def _check_size(path: Path, expected: int, width: int, noun: str) -> None:
    check_is_file(path)
    with reading(path):
        found, rest = divmod(path.stat().st_size, width)
    if found != expected or rest:
        raise ModelFolderError(f"{path} holds {found} {noun} and should hold {expected}")


def _changed(path: Path) -> ModelFolderError:
    return ModelFolderError(f"{path} was changed or damaged since it was written; copy it")
