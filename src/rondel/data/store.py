"""The token store: one flat file of token ids for each split, and a page of JSON beside them.

Ids take the smallest unsigned type that holds the vocabulary (uint8 up to 256 tokens), and are read
through a memory map, so a text larger than memory costs a resume nothing. The page, `splits.json`,
has the sum of each file, and of itself but for that sum (`whole`; an earlier rondel wrote none).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.errors import ModelFolderError
from rondel.folder_files import check_is_file, from_values, read_json, reading, sum_of

INDEX = "splits.json"
PARTS = ("train", "validation", "test")
Ids = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Split:
    """A stretch of the text: where it begins and ends in it, in characters, and its token count."""

    begin: int
    end: int
    tokens: int

    @property
    def characters(self) -> int:
        """How many characters of text its tokens stand for."""
        return self.end - self.begin


def tokens_of(folder: Path) -> Path | None:
    """Where the tokens lie of the run that a model folder is or lies in, if they do."""
    # The best model of a run lies in a folder inside the run's.
    places = [folder / "tokens", folder.resolve().parent / "tokens"]
    return next((place for place in places if place.is_dir()), None)


@dataclass(frozen=True)
class TokenStore:
    """The splits of a text by name (train, validation, test), in a folder."""

    folder: Path
    dtype: str
    splits: dict[str, Split]

    @classmethod
    def write(
        cls, folder: Path, vocab_size: int, parts: dict[str, tuple[Split, Ids]]
    ) -> TokenStore:
        """Write token ids (N,) for every split into a new folder."""
        dtype = np.min_scalar_type(max(vocab_size - 1, 0)).newbyteorder("<")
        folder.mkdir()
        splits = {name: split for name, (split, _) in parts.items()}
        sums = {}
        for name, (_, ids) in parts.items():
            data = ids.astype(dtype).data
            with (folder / f"{name}.bin").open("wb") as file:
                file.write(data)
            sums[name] = hashlib.sha256(data).hexdigest()
        index = {
            "dtype": dtype.str,
            "sha256": sums,
            "splits": {name: asdict(split) for name, split in splits.items()},
        }
        index["whole"] = sum_of(index)
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        return cls(folder, dtype.str, splits)

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Open what `write` wrote; `ModelFolderError` if it is missing or damaged."""
        if not folder.is_dir():
            raise ModelFolderError(
                f"{folder} is missing: this is a model without the text it was trained on"
            )
        index = read_json(folder / INDEX)
        try:
            whole = index.pop("whole", None)
            if whole not in (None, sum_of(index)):
                raise ValueError("it was changed after it was written")
            splits = {name: from_values(Split, index["splits"][name]) for name in PARTS}
            sums = {name: index["sha256"][name] for name in PARTS}
            dtype = np.dtype(index["dtype"])
            if dtype.kind != "u" or not all(0 <= s.begin <= s.end for s in splits.values()):
                raise ValueError("its numbers are not those of a text")
        except (ValueError, KeyError, TypeError) as error:
            raise ModelFolderError(
                f"{folder / INDEX} is damaged ({error!r}); copy it again"
            ) from None
        store = cls(folder, dtype.str, splits)
        for name, expected in sums.items():
            with reading(folder / f"{name}.bin"):
                data = np.ascontiguousarray(store.tokens(name)).data
            if hashlib.sha256(data).hexdigest() != expected:
                raise ModelFolderError(
                    f"{folder / name}.bin was changed or damaged since it was written; copy it"
                )
        return store

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raise `ModelFolderError` if a token is none of so many: kernels read where it points."""
        for name in PARTS:
            tokens = self.tokens(name)
            if len(tokens) and int(tokens.max()) >= vocab_size:
                raise ModelFolderError(
                    f"{self.folder / name}.bin holds tokens that this model does not have; copy "
                    "the whole folder again"
                )

    @classmethod
    def of_model(cls, folder: Path, vocab_size: int) -> TokenStore | None:
        """The tokens of the run that a model folder is or lies in; `None` if it was moved away.

        Raises `ModelFolderError` if they are not tokens of a model of `vocab_size`.
        """
        here = tokens_of(folder)
        if here is None:
            return None
        store = cls.open(here)
        store.check_vocabulary(vocab_size)
        return store

    def tokens(self, name: str) -> Ids:
        """The ids (N,) of one split, as a read-only memory map."""
        path, expected = self.folder / f"{name}.bin", self.splits[name].tokens
        check_is_file(path)
        if expected == 0 and not path.stat().st_size:
            return np.empty(0, self.dtype)
        try:
            ids = np.memmap(path, dtype=self.dtype, mode="r")
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"{path} cannot be read ({error})") from None
        if len(ids) != expected:
            raise ModelFolderError(f"{path} holds {len(ids)} tokens and should hold {expected}")
        return ids
