"""Print tables of columns as TSV, CSV or JSON Lines."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMATS = ("tsv", "csv", "jsonl")
format_option = click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    default="tsv",
    show_default=True,
    help="Format of the table.",
)
DIGITS = 9
ESCAPED = "backslashreplace"
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Escapes of bytes that are not UTF-8, which texts have as lone surrogates.
BYTES = {0xDC00 + byte: f"\\x{byte:02x}" for byte in range(0x80, 0x100)}


def write_table(columns: Mapping[str, NDArray[Any]], how: str, *, escape: bool = True) -> None:
    r"""Print a table, with a header line in TSV and CSV.

    In TSV with `escape`, a tab, line break or backslash in a text is written \t, \n, \r or \\; CSV
    quotes them. A byte that is not UTF-8 is written \xe9, in JSON \udce9, and in TSV without
    `escape` unchanged. A missing number is an empty cell, or null.
    """
    writers = {"tsv": _escaped_tsv if escape else _tsv, "csv": _csv, "jsonl": _jsonl}
    table = "\n".join(writers[how](columns))
    if how == "tsv" and not escape:
        click.echo(table)
    else:
        table = table if how == "jsonl" else table.translate(BYTES)
        click.echo(table.encode("utf-8", ESCAPED))


def per_word(perplexity: float | None, digits: int) -> str:
    """Format a perplexity per word; a dash if there is no word."""
    return "–" if perplexity is None else f"{perplexity:,.{digits}f}"


def _rows(columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns.values()), strict=True)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{DIGITS}g}"
    return str(value)


def _tsv(columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    yield "\t".join(columns)
    for row in _rows(columns):
        yield "\t".join(map(_cell, row))


def _escaped_tsv(columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    yield "\t".join(columns)
    for row in _rows(columns):
        yield "\t".join(_cell(value).translate(ESCAPES) for value in row)


def _csv(columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    import csv

    rows = ([_cell(value) for value in row] for row in _rows(columns))
    for row in [list(columns), *rows]:
        line = io.StringIO()
        # The writer quotes cells with a character of its line terminator: here both \r and \n.
        csv.writer(line, lineterminator="\r\n").writerow(row)
        yield line.getvalue().removesuffix("\r\n")


def _jsonl(columns: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    for row in _rows(columns):
        values = (_plain(value) for value in row)
        yield json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
    return value
