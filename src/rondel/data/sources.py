"""Where the text of a run comes from: memory, files, or a corpus that was prepared before.

::

    prepared = Files(["book.txt"]).prepare(kind, text_settings, seed=1, folder=folder)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rondel.data.corpus import PreparedCorpus, is_corpus
from rondel.data.text_preparation import MakeTokenizer, PreparedText
from rondel.errors import InputError
from rondel.kinds.base import Kind
from rondel.settings import TextConfig
from rondel.text.record_formats import RecordFormat
from rondel.text.stored import StoredText
from rondel.text.storing import WatchReading, borders_beside, store_text, unwatched_reading
from rondel.text.tokenizers import tokenizers, train_on_blocks


class TextSource(Protocol):
    """What can be made ready to train on."""

    def fixed(self) -> dict[str, Any]:
        """The settings of a run that it decides."""

    def prepare(
        self,
        kind: Kind,
        settings: TextConfig,
        seed: int,
        make_tokenizer: MakeTokenizer | None,
        folder: Path,
        watch: WatchReading,
    ) -> PreparedText:
        """Write the tokens of the text to a new `folder`; `InputError` if it cannot be used.

        Without `make_tokenizer`, the tokenizer is made from the text.
        """


@dataclass(frozen=True)
class MemoryText:
    """A text that is there already."""

    text: str

    def fixed(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def prepare(
        self,
        kind: Kind,
        settings: TextConfig,
        seed: int,
        make_tokenizer: MakeTokenizer | None,
        folder: Path,
        watch: WatchReading = unwatched_reading,
    ) -> PreparedText:
        """See `TextSource`."""
        holds_bytes = tokenizers[settings.level].reads_bytes
        text = StoredText.of(self.text, holds_bytes=holds_bytes)
        return _prepared(kind, text, settings, seed, make_tokenizer, folder, watch)


@dataclass(frozen=True)
class Files:
    """Files, folders, globs, or - for standard input: see `rondel.text.reading.read_text`."""

    sources: Sequence[str]

    def fixed(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def prepare(
        self,
        kind: Kind,
        settings: TextConfig,
        seed: int,
        make_tokenizer: MakeTokenizer | None,
        folder: Path,
        watch: WatchReading = unwatched_reading,
    ) -> PreparedText:
        """See `TextSource`."""
        copy = folder.with_name(f"{folder.name}.copy")
        try:
            text = store_text(
                self.sources,
                copy,
                settings.encoding,
                as_bytes=tokenizers[settings.level].reads_bytes,
                records=RecordFormat(settings.field, settings.column),
                documents=settings.documents,
                watch=watch,
            )
            return _prepared(kind, text, settings, seed, make_tokenizer, folder, watch)
        finally:
            copy.unlink(missing_ok=True)
            borders_beside(copy).unlink(missing_ok=True)


def source_of(paths: Sequence[str]) -> TextSource:
    """What these paths name: a prepared corpus, or files.

    Raises `ModelFolderError` for a corpus that is not whole, `InputError` if it is not alone.
    """
    corpora = [path for path in paths if is_corpus(path)]
    if not corpora:
        return Files(paths)
    if len(paths) > 1:
        raise InputError(
            f"{corpora[0]} is a prepared corpus, which stands alone; prepare all the texts in one"
        )
    return PreparedCorpus.open(Path(corpora[0]))


def _prepared(
    kind: Kind,
    text: StoredText,
    settings: TextConfig,
    seed: int,
    make_tokenizer: MakeTokenizer | None,
    folder: Path,
    watch: WatchReading,
) -> PreparedText:
    prepared: PreparedText = kind.prepare(
        text, settings, seed, make_tokenizer or train_on_blocks, folder, watch
    )
    return prepared
