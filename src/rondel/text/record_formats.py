"""Records of structured files as texts: JSON Lines, CSV and TSV, Parquet and Arrow.

A record's text is one field of it. Whatever is wrong names the file and the record, counted from 1.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rondel.errors import InputError, require
from rondel.text.decoding import check_encoding, decode, normalised
from rondel.text.source_files import SourceFile

LONGEST_FIELD = 1 << 30
"""Characters of a field of CSV; its reader has a limit of its own that a document is past."""
ROWS = 1024
"""Of Parquet and Arrow, read at a time."""
TABLES = (".parquet", ".arrow", ".feather")
JSON_LINES = (".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SHOWN = 12
"""Names of columns in a message."""


Read = Callable[[SourceFile, str], Iterator[str]]
"""Reads the texts of the records of a file that is in an encoding."""


@dataclass(frozen=True)
class RecordFormat:
    """Which part of a record is its text: a `field` of JSON Lines, a `column` of a table."""

    field: str | None = None
    column: str | None = None

    def reader(self, file: SourceFile) -> Read | None:
        """What reads the records of a file; `None` if it is to be read as text.

        Raises `InputError` for a table without a column to read, and for a file that has none of
        what was asked for.
        """
        if file.kind in TABLES and self.column is not None:
            return functools.partial(_rows, column=self.column)
        if file.kind in TABLES:
            raise InputError(
                f"{file.name} is a table; say which of its columns is the text with --column"
            )
        if self.field is not None and file.kind in JSON_LINES:
            return functools.partial(_json_lines, field=self.field)
        if self.column is not None and file.kind in DELIMITERS:
            delimiter = DELIMITERS[file.kind]
            return functools.partial(_table, column=self.column, delimiter=delimiter)
        if self.field is not None or self.column is not None:
            raise InputError(
                f"{file.name} is none of {', '.join((*JSON_LINES, *DELIMITERS, *TABLES))} by its "
                "name; rename it, or leave --field and --column out"
            )
        return None


TEXTS = RecordFormat()
"""No records: files are read as they are."""


def read_records(file: SourceFile, read: Read, encoding: str) -> Iterator[str]:
    """The texts of a file's records that are not empty, each ended by a newline."""
    check_encoding(encoding)
    for record in read(file, encoding):
        text = "".join(normalised([record]))
        if text:
            yield text if text.endswith("\n") else text + "\n"


def _lines(file: SourceFile, encoding: str) -> Iterator[str]:
    r"""The lines of a file with their ends, which are `\n` or `\r\n`."""
    held = ""
    for part in decode(file.name, file.blocks(), encoding):
        *lines, held = (held + part).split("\n")
        yield from (line + "\n" for line in lines)
    if held:
        yield held


def _json_lines(file: SourceFile, encoding: str, field: str) -> Iterator[str]:
    for number, line in enumerate(_lines(file, encoding), 1):
        line = line.removeprefix("\ufeff") if number == 1 else line
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(file, number, f"is no JSON ({error})") from None
        if not isinstance(record, dict):
            raise _broken(file, number, "is no object with fields")
        if field not in record:
            raise _broken(file, number, f"has no field {field!r} (it has {_shown(record)})")
        if not isinstance(record[field], str):
            raise _broken(file, number, f"has a field {field!r} that is no text")
        yield record[field]


def _table(file: SourceFile, encoding: str, column: str, delimiter: str) -> Iterator[str]:
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        rows = csv.reader(_lines(file, encoding), delimiter=delimiter, strict=True)
        header = [name.removeprefix("\ufeff") for name in _row(file, rows, 0) or []]
        if column not in header:
            raise InputError(
                f"{file.name} has no column {column!r}; it has {_shown(header)}: name one of them "
                "with --column"
            )
        place, number = header.index(column), 0
        while (row := _row(file, rows, number := number + 1)) is not None:
            if row and len(row) != len(header):
                said = f"has {len(row)} fields, where the first line has {len(header)}"
                raise _broken(file, number, said)
            if row:
                yield row[place]
    finally:
        csv.field_size_limit(limit)


def _row(file: SourceFile, rows: Iterator[list[str]], number: int) -> list[str] | None:
    try:
        return next(rows, None)
    except csv.Error as error:
        raise _broken(file, number, f"cannot be read as a table ({error})") from None


def _rows(file: SourceFile, encoding: str, column: str) -> Iterator[str]:
    if file.path is None or not Path(file.path).is_file():
        raise InputError(f"{file.name}: a table of this kind is read from a file; name one")
    require("pyarrow", "parquet")
    import pyarrow

    number = 0
    try:
        for values in _arrow_columns(file, column):
            for value in values:
                number += 1
                if value is not None and not isinstance(value, str):
                    raise _broken(file, number, f"has a column {column!r} that is no text")
                yield value or ""
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise _broken(file, number + 1, f"cannot be read ({said}); the file is damaged") from None


def _arrow_columns(file: SourceFile, column: str) -> Iterator[list[Any]]:
    """The values of a column, some rows at a time."""
    import pyarrow.ipc
    import pyarrow.parquet

    path = file.path or ""
    if file.kind == ".parquet":
        with pyarrow.parquet.ParquetFile(path) as table:
            _check_column(file, column, table.schema_arrow.names)
            for batch in table.iter_batches(ROWS, columns=[column]):
                yield batch.column(0).to_pylist()
        return
    with pyarrow.OSFile(path) as source:
        try:
            batches: Iterable[Any]
            opened = pyarrow.ipc.open_file(source)
            batches = (opened.get_batch(i) for i in range(opened.num_record_batches))
        except pyarrow.ArrowInvalid:  # the other of Arrow's two forms
            source.seek(0)
            opened = batches = pyarrow.ipc.open_stream(source)
        _check_column(file, column, opened.schema.names)
        for batch in batches:
            yield batch.column(batch.schema.names.index(column)).to_pylist()


def _check_column(file: SourceFile, column: str, names: list[str]) -> None:
    if column not in names:
        raise InputError(
            f"{file.name} has no column {column!r}; it has {_shown(names)}: name one of them with "
            "--column"
        )


def _shown(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    more = ", …" if len(shown) > SHOWN else ""
    return (", ".join(shown[:SHOWN]) + more) or "none"


def _broken(file: SourceFile, number: int, said: str) -> InputError:
    return InputError(f"{file.name}: record {number} {said}; mend it, or leave it out")
