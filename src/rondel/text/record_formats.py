"""Records of structured files as texts: JSON Lines, CSV and TSV, Parquet and Arrow.

A record's text is one of its fields. Errors name the file and the record, counted from 1.
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
"""The most characters of a field of CSV; Python's default limit is too low for a document."""
ROWS = 1024
"""Rows of Parquet that are read at a time."""
TABLES = (".parquet", ".arrow", ".feather")
JSON_LINES = (".jsonl", ".ndjson", ".json")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SHOWN = 12
"""The most columns named in a message."""


Read = Callable[[SourceFile, str], Iterator[str]]
"""Reads the texts of a file's records, given the file and its encoding."""


@dataclass(frozen=True)
class RecordFormat:
    """Which part of a record is its text: a `field` of JSON Lines, a `column` of a table."""

    field: str | None = None
    column: str | None = None

    def reader(self, file: SourceFile) -> Read | None:
        """Return the function that reads the records of a file; `None` if it is plain text.

        Raises `InputError` for a table if no column is given, and for a file that cannot have the
        given field or column.
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
            raise InputError(f"{file.name} {self._remedy(file)}")
        return None

    def _remedy(self, file: SourceFile) -> str:
        """What to do about a file that has no records of this form."""
        if file.kind in JSON_LINES:
            return "is JSON Lines; say which field of its records is the text with --field"
        if file.kind in DELIMITERS:
            return "is a table; say which of its columns is the text with --column"
        endings = ", ".join((*JSON_LINES, *DELIMITERS, *TABLES))
        return (
            f"does not end in {endings}; give a file that does, or leave --field and --column out"
        )


TEXTS = RecordFormat()
"""No records: files are plain text."""


def read_records(file: SourceFile, read: Read, encoding: str) -> Iterator[str]:
    """Yield the texts of a file's records that are not empty, each ending with a newline."""
    check_encoding(encoding)
    for record in read(file, encoding):
        text = "".join(normalised([record]))
        if text:
            yield text if text.endswith("\n") else text + "\n"


def _lines(file: SourceFile, encoding: str) -> Iterator[str]:
    r"""Yield the lines of a file with their ends, `\n` or `\r\n`."""
    rest = ""
    for block in decode(file.name, file.blocks(), encoding):
        *lines, rest = (rest + block).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest


def _json_lines(file: SourceFile, encoding: str, field: str) -> Iterator[str]:
    for number, line in enumerate(_lines(file, encoding), 1):
        line = line.removeprefix("\ufeff") if number == 1 else line
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken(file, number, f"is not JSON ({error})") from None
        if not isinstance(record, dict):
            raise _broken(file, number, "is not an object with fields")
        if field not in record:
            raise _broken(file, number, f"has no field {field!r} (it has {_shown(record)})")
        if not isinstance(record[field], str):
            raise _broken(file, number, f"has a field {field!r} that is not text")
        yield record[field]


def _table(file: SourceFile, encoding: str, column: str, delimiter: str) -> Iterator[str]:
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        rows = csv.reader(_lines(file, encoding), delimiter=delimiter, strict=True)
        header = [name.removeprefix("\ufeff") for name in _row(file, rows, 0) or []]
        _check_column(file, column, header)
        place, number = header.index(column), 0
        while (row := _row(file, rows, number := number + 1)) is not None:
            if row and len(row) != len(header):
                fault = f"has {len(row)} fields, where the first line has {len(header)}"
                raise _broken(file, number, fault)
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
                    raise _broken(file, number, f"has a column {column!r} that is not text")
                yield value or ""
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise _broken(file, number + 1, f"cannot be read ({reason}); the file is damaged") from None


def _arrow_columns(file: SourceFile, column: str) -> Iterator[list[Any]]:
    """Yield the values of a column, some rows at a time."""
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


def _broken(file: SourceFile, number: int, fault: str) -> InputError:
    return InputError(f"{file.name}: record {number} {fault}; correct it, or leave it out")
