"""The source of a run's text: memory, files, or a prepared corpus.

::

    prepared = Files(["book.txt"]).prepare(Preparation(kind, text_settings, 1, folder))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rondel.data.corpus import PreparedCorpus, is_corpus
from rondel.data.text_preparation import PreparedText
from rondel.data.text_source import Preparation, TextSource
from rondel.errors import InputError
from rondel.text.record_formats import RecordFormat
from rondel.text.stored import StoredText
from rondel.text.storing import remove_copies, store_text
from rondel.text.tokenizers import tokenizers


@dataclass(frozen=True)
class MemoryText(TextSource):
    """A text in memory."""

    text: str

    def prepare(self, wanted: Preparation) -> PreparedText:
        """See `TextSource`."""
        holds_bytes = tokenizers[wanted.settings.level].reads_bytes
        return wanted.of_text(StoredText.of(self.text, holds_bytes=holds_bytes))


@dataclass(frozen=True)
class Files(TextSource):
    """Files, folders, globs, or - for standard input: see `rondel.text.reading.read_text`."""

    sources: Sequence[str]

    def prepare(self, wanted: Preparation) -> PreparedText:
        """See `TextSource`."""
        settings, folder = wanted.settings, wanted.folder
        copy = folder.with_name(f"{folder.name}.copy")
        try:
            text = store_text(
                self.sources,
                copy,
                settings.encoding,
                as_bytes=tokenizers[settings.level].reads_bytes,
                records=RecordFormat(settings.field, settings.column),
                documents=settings.documents,
                watch=wanted.watch,
            )
            return wanted.of_text(text)
        finally:
            remove_copies(copy)


def source_of(paths: Sequence[str]) -> TextSource:
    """Return the source that these paths name: a prepared corpus, or files.

    Raises `ModelFolderError` for a damaged corpus, `InputError` if it is not the only path.
    """
    corpora = [path for path in paths if is_corpus(path)]
    if not corpora:
        return Files(paths)
    if len(paths) > 1:
        raise InputError(
            f"{corpora[0]} is a prepared corpus, to be used alone; prepare all the texts in one"
        )
    return PreparedCorpus.open(Path(corpora[0]))
