"""Print tables of columns as TSV, CSV or JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.printing import AS_BYTES, ESCAPED

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("tsv", "csv", "jsonl")
UNESCAPED = "unescaped tsv"
format_option = click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    default="tsv",
    show_default=True,
    help="Format of the table.",
)
DIGITS = 9
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Escapes of bytes that are not UTF-8, which texts have as lone surrogates.
BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}

Row = tuple[Any, ...]


def write_table(columns: Mapping[str, NDArray[Any]], how: str, *, escape: bool = True) -> None:
    r"""Print a table, with a header line in TSV and CSV.

    In TSV with `escape`, a tab, line break or backslash in a text is written \t, \n, \r or \\; CSV
    quotes them. A byte that is not UTF-8 is written \xe9, in JSON \udce9, and in TSV without
    `escape` unchanged. A missing number is an empty cell, or null.
    """
    if how == "tsv" and not escape:
        rows = [list(columns), *_rows(columns)]
        click.echo("\n".join(_plain_line([], row) for row in rows))
        return
    for piece in encoded_table(columns, how):
        click.echo(piece, nl=False)


def encoded_table(
    columns: Mapping[str, NDArray[Any]], how: str, *, header: bool = True, escape: bool = True
) -> Iterator[bytes]:
    """The bytes of a table as `write_table` writes it: whole lines, or parts of a long one.

    A text of a cell may be an object whose `pieces()` are the text, for one that is too long to be
    in memory.
    """
    how = UNESCAPED if how == "tsv" and not escape else how
    names, line_of = list(columns), LINES[how]
    lines = [] if how == "jsonl" or not header else [line_of(names, names)]
    for row in _rows(columns):
        long = [number for number, value in enumerate(row) if hasattr(value, "pieces")]
        if not long:
            lines.append(line_of(names, row))
            continue
        yield _encoded(lines, how)
        lines = []
        yield from _long_line(names, row, long[0], how)
    if lines:
        yield _encoded(lines, how)


def per_word(perplexity: float | None, digits: int) -> str:
    """Format a perplexity per word; a dash if there is no word."""
    return "–" if perplexity is None else f"{perplexity:,.{digits}f}"


def _encoded(lines: Sequence[str], how: str) -> bytes:
    return _bytes("".join(f"{line}\n" for line in lines), how)


def _bytes(text: str, how: str) -> bytes:
    if how == UNESCAPED:
        return text.encode("utf-8", AS_BYTES)
    return (text if how == "jsonl" else text.translate(BYTES)).encode("utf-8", ESCAPED)


def _long_line(names: Sequence[str], row: Row, number: int, how: str) -> Iterator[bytes]:
    """The line of a row one of whose cells is given in pieces."""
    stand_in = secrets.token_hex(16)
    line = LINES[how](names, (*row[:number], stand_in, *row[number + 1 :]))
    before, after = line.split(stand_in)
    quote = '"' if how == "csv" else ""
    yield _bytes(before + quote, how)
    for piece in row[number].pieces():
        yield _bytes(IN_LONG_LINES[how](piece), how)
    yield _bytes(f"{quote}{after}\n", how)


def _rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    return zip(*(column.tolist() for column in columns.values()), strict=True)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{DIGITS}g}"
    return str(value)


def _plain_line(names: Sequence[str], row: Sequence[Any]) -> str:
    return "\t".join(map(_cell, row))


def _tsv_line(names: Sequence[str], row: Sequence[Any]) -> str:
    return "\t".join(_cell(value).translate(ESCAPES) for value in row)


def _csv_line(names: Sequence[str], row: Sequence[Any]) -> str:
    line = io.StringIO()
    # The writer quotes cells with a character of its line terminator: here both \r and \n.
    csv.writer(line, lineterminator="\r\n").writerow([_cell(value) for value in row])
    return line.getvalue().removesuffix("\r\n")


def _json_line(names: Sequence[str], row: Sequence[Any]) -> str:
    values = (_plain(value) for value in row)
    return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
    return value


LINES: dict[str, Callable[[Sequence[str], Sequence[Any]], str]] = {
    "tsv": _tsv_line,
    UNESCAPED: _plain_line,
    "csv": _csv_line,
    "jsonl": _json_line,
}
IN_LONG_LINES: dict[str, Callable[[str], str]] = {
    "tsv": lambda piece: piece.translate(ESCAPES),
    UNESCAPED: lambda piece: piece,
    "csv": lambda piece: piece.replace('"', '""'),
    "jsonl": lambda piece: json.dumps(piece, ensure_ascii=False)[1:-1],
}
