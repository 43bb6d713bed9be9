"""The token store: one flat file of token ids for each split, and a page of JSON beside them.

Ids take the smallest unsigned type that holds the vocabulary (uint8 up to 256 tokens), and are read
through a memory map, so a text larger than memory costs a resume nothing.
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

INDEX = "splits.json"
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
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        return cls(folder, dtype.str, splits)

    @classmethod
    def open(cls, folder: Path) -> TokenStore:
        """Open what `write` wrote; `ModelFolderError` if it is missing or damaged."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            splits = {name: Split(**split) for name, split in index["splits"].items()}
            sums = {name: str(index["sha256"][name]) for name in splits}
            store = cls(folder, str(np.dtype(index["dtype"]).str), splits)
        except FileNotFoundError:
            raise ModelFolderError(
                f"{folder} is missing: this is a model without the text it was trained on"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFolderError(f"{folder / INDEX} is damaged ({error!r})") from None
        for name, expected in sums.items():
            data = np.ascontiguousarray(store.tokens(name)).data
            if hashlib.sha256(data).hexdigest() != expected:
                raise ModelFolderError(
                    f"{folder / name}.bin was changed or damaged since it was written; copy it"
                )
        return store

    def tokens(self, name: str) -> Ids:
        """The ids (N,) of one split, as a read-only memory map."""
        path, expected = self.folder / f"{name}.bin", self.splits[name].tokens
        if expected == 0:
            return np.empty(0, self.dtype)
        try:
            ids = np.memmap(path, dtype=self.dtype, mode="r")
        except (OSError, ValueError) as error:
            raise ModelFolderError(f"{path} cannot be read ({error})") from None
        if len(ids) != expected:
            raise ModelFolderError(f"{path} holds {len(ids)} tokens and should hold {expected}")
        return ids
