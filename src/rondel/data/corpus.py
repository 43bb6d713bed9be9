"""A prepared corpus: a text's tokens and its tokenizer in one folder, for many runs to train on.

::

    corpus/
      corpus.json       how the text was read and split, counts, and a checksum of everything
      tokenizer.json
      tokens/           the token store

A run makes hard links to the tokens, or copies them if it cannot.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rondel.data.store import INDEX, TokenStore
from rondel.data.text_preparation import PreparedText
from rondel.data.text_source import Preparation, TextSource
from rondel.errors import InputError, ModelFolderError
from rondel.files import new_folder
from rondel.folder_files import checksum, read_json
from rondel.kinds import kinds
from rondel.kinds.base import Kind
from rondel.settings import TextConfig, build_section
from rondel.text.tokenizers import (
    Tokenizer,
    tokenizer_from_json,
    tokenizer_to_json,
    tokenizers,
)

PAGE, TOKENIZER, TOKENS = "corpus.json", "tokenizer.json", "tokens"
FORMAT = 1
COUNTS = ("unknown", "dropped_sentences", "blank_lines", "longest_sentence", "sentences")
"""Fields of a `PreparedText` that `corpus.json` has under the same names."""


def is_corpus(path: str | Path) -> bool:
    """Return whether a folder is a prepared corpus, perhaps damaged, or part of one."""
    folder = Path(path)
    # Without its page, its tokens would be read as a text.
    part = (folder / TOKENS / INDEX).is_file() and not os.path.lexists(folder / "model.json")
    return part or os.path.lexists(folder / PAGE)


@dataclass(frozen=True)
class PreparedCorpus(TextSource):
    """A prepared corpus in a folder, which is a `TextSource` of runs."""

    folder: Path
    model: str
    """The kind of model it was prepared for; kinds that prepare a text alike can use it too."""
    settings: TextConfig
    prepared: PreparedText

    @property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""
        return self.prepared.tokenizer

    @property
    def store(self) -> TokenStore:
        """Its tokens."""
        return self.prepared.store

    @classmethod
    def write(
        cls,
        folder: Path,
        kind: Kind,
        settings: TextConfig,
        make: Callable[[Path], PreparedText],
    ) -> PreparedCorpus:
        """Make a corpus in a new folder; `make` writes the tokens to the folder that it is given.

        If it fails, nothing is left. Raises `InputError` if the folder cannot be made.
        """
        with new_folder(folder) as draft:
            prepared = make(draft / TOKENS)
            tokenizer = tokenizer_to_json(prepared.tokenizer)
            values: dict[str, Any] = {
                "format": FORMAT,
                "model": kind.name,
                "text": settings.flat(),
                "excerpts": list(prepared.excerpts),
                **{name: getattr(prepared, name) for name in COUNTS},
            }
            values["whole"] = checksum(values, tokenizer, read_json(draft / TOKENS / INDEX))
            _write_json(draft / TOKENIZER, tokenizer)
            _write_json(draft / PAGE, values)
        return cls.open(folder, check=False)

    @classmethod
    def open(cls, folder: Path, *, check: bool = True) -> PreparedCorpus:
        """Open a corpus; `ModelFolderError` if it is incomplete or damaged.

        With `check`, all tokens are read to verify their checksums.
        """
        values = read_json(folder / PAGE)
        tokenizer = read_json(folder / TOKENIZER)
        index = read_json(folder / TOKENS / INDEX)
        if values.get("format") != FORMAT:
            raise ModelFolderError(
                f"{folder / PAGE} has format {values.get('format')!r}, and this rondel reads "
                f"{FORMAT}; prepare the text again"
            )
        if values.pop("whole", None) != checksum(values, tokenizer, index):
            raise ModelFolderError(
                f"{folder} is damaged, or its files are of two corpora; copy the whole folder again"
            )
        store = TokenStore.open(folder / TOKENS, check=check)
        try:
            settings = build_section(TextConfig, values["text"])
            prepared = PreparedText(
                tokenizer=tokenizer_from_json(tokenizer),
                store=store,
                excerpts=tuple(values["excerpts"]),
                **{name: values[name] for name in COUNTS},
            )
            kinds[values["model"]]
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ModelFolderError(f"{folder / PAGE} cannot be used ({error})") from None
        if check:
            store.check_vocabulary(prepared.tokenizer.vocab_size)
        return cls(folder, values["model"], settings, prepared)

    def fixed(self) -> dict[str, Any]:
        """Return the settings of a run that it determines: all that affect how a text is read."""
        values = self.settings.flat()
        if tokenizers[self.settings.level].reads_bytes:
            del values["encoding"]
        if self.settings.max_sentence_length is None:
            del values["max_sentence_length"]
            if "max_sentence_length" not in kinds[self.model].defaults:
                del values["sentences"]
        return values

    def prepare(self, wanted: Preparation) -> PreparedText:
        """See `TextSource`: links the tokens into its folder, and keeps the corpus's tokenizer.

        Raises `InputError` for a kind of model that prepares a text in another way.
        """
        kind, folder = wanted.kind, wanted.folder
        if kinds[self.model].prepare is not kind.prepare:
            raise InputError(
                f"{self.folder} was prepared for a {kinds[self.model].noun}, and a {kind.noun} "
                f"reads a text in another way; give --model {self.model}, or prepare it with "
                f"--model {kind.name}"
            )
        folder.mkdir()
        for name in self.store.files:
            _link(self.folder / TOKENS / name, folder / name)
        given = {each.name: getattr(self.prepared, each.name) for each in fields(PreparedText)}
        return PreparedText(**{**given, "store": TokenStore.open(folder, check=False)})


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, path)
