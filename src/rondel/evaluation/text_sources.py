"""What is evaluated and scored: files of any size, and the parts of the text of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rondel.checked import check_fields
from rondel.data.store import PARTS
from rondel.errors import InputError
from rondel.evaluation.text_blocks import BLOCK
from rondel.settings import TextConfig
from rondel.settings.fields import choices_of, settings_of
from rondel.text.record_formats import RecordFormat
from rondel.text.stored import StoredText
from rondel.text.storing import WatchReading, store_text, unwatched_reading


@dataclass(frozen=True)
class TextFiles:
    """Files to evaluate or score, as `rondel.train` takes them; they are one text.

    `source` is a file, a folder, a glob or `-`, or several; `field` or `column` is the part of each
    record that is its text. With `documents` (`file`, `record` or `blank-line`), each document is
    read from the zero state.

    ::

        model.evaluate(TextFiles("articles.jsonl.gz", field="text", documents="record"))
    """

    source: str | Path | Sequence[str | Path]
    encoding: str = "utf-8"
    field: str | None = None
    column: str | None = None
    documents: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        choices = choices_of(settings_of(TextConfig)["documents"]) or ()
        if self.documents is not None and self.documents not in choices:
            raise InputError(
                f"documents begin at each {', '.join(choices)}, not at each {self.documents!r}"
            )

    @property
    def sources(self) -> list[str]:
        """The files, folders and globs."""
        given = self.source
        return [str(given)] if isinstance(given, str | Path) else list(map(str, given))

    @contextmanager
    def stored(
        self,
        *,
        as_bytes: bool,
        keep_places: bool = False,
        watch: WatchReading = unwatched_reading,
    ) -> Iterator[StoredText]:
        """The text, for as long as the block lasts.

        What has to be copied goes to the folder for temporary files. Raises what
        `rondel.text.storing.store_text` raises.
        """
        with tempfile.TemporaryDirectory(prefix="rondel-") as scratch:
            text = store_text(
                self.sources,
                Path(scratch) / "text",
                self.encoding,
                as_bytes=as_bytes,
                records=RecordFormat(self.field, self.column),
                documents=self.documents,
                watch=watch,
                block=BLOCK,
                keep_places=keep_places,
            )
            if text.documents is not None and not text.documents.stat().st_size:
                raise InputError(
                    f"no document begins at a {self.documents} in {', '.join(self.sources)}; "
                    "leave --documents out"
                )
            yield text
            text.check_unchanged()

    @contextmanager
    def opened(self, *, as_bytes: bool) -> Iterator[TextFiles]:
        """The same files, read once for all that is done with them while the block lasts."""
        with self.stored(as_bytes=as_bytes) as text:
            yield OpenedFiles(**vars(self), text=text)


@dataclass(frozen=True)
class OpenedFiles(TextFiles):
    """Files that are read, of the stored `text`."""

    text: StoredText = field(kw_only=True)

    @contextmanager
    def stored(self, **_: Any) -> Iterator[StoredText]:
        """The text."""
        yield self.text


@dataclass(frozen=True)
class RunSplit:
    """The `train`, `validation` or `test` part of the text of a model's own run.

    ::

        model.evaluate(RunSplit("validation"))
    """

    name: str = "validation"

    def __post_init__(self) -> None:
        check_fields(self)
        if self.name not in PARTS:
            raise InputError(f"a run's text has the parts {', '.join(PARTS)}, not {self.name!r}")
