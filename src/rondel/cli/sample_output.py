"""Print several samples: one after the other as they are generated, or as a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from rondel.cli.printing import ESCAPED, printable
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.generation.listing import SampleList, Sieve
    from rondel.generation.opening import Opening
    from rondel.generation.search.beam import BeamText
    from rondel.generation.stream import Output

FORMATS = {
    "text": "for reading, each after a heading and its prime",
    "lines": "one text per line, ended at its first line break, and nothing else",
    "jsonl": "one line of JSON per text, with its number and text",
}


def print_heading(index: int, count: int, note: str = "") -> None:
    """Print which of several samples follows."""
    if count > 1:
        click.secho(f"--- {index + 1} of {count}{note}", dim=True)


def print_texts(outputs: Iterator[Output], openings: dict[int, Opening], count: int) -> None:
    """Print texts one after the other, the first unfinished one as it is generated.

    `outputs` adds each text's opening to `openings`, by number, before the text.
    """
    from rondel.generation.generate import in_order

    for output in in_order(outputs):
        if output.number in openings:
            print_heading(output.number, count)
            click.secho(printable(openings.pop(output.number).shown), bold=True, nl=False)
        if output.text:
            click.echo(printable(output.text), nl=False)
        if output.finished:
            click.echo()


def write_list(samples: SampleList, how: str, count: int, prime: str = "") -> None:
    """Print texts as they come, and then on standard error how many were left out, and why.

    Raises `InputError` for fewer than `count` texts.
    """
    for number, text in enumerate(samples):
        if how == "jsonl":
            write_json({"index": samples.index, "text": text})
        else:
            if how == "text":
                print_heading(number, count)
                click.secho(printable(prime), bold=True, nl=False)
            click.echo(printable(text))
    report_left_out(samples.sieve)
    if samples.missing:
        raise InputError(
            f"{count - samples.missing:,} of {count:,} texts: the last "
            f"{samples.sieve.in_a_row:,} were all left out; ask for fewer, or draw more freely "
            "(a higher --temperature)"
        )


def write_beam_texts(
    found: Iterable[BeamText], sieve: Sieve, how: str, count: int, begun: str = ""
) -> None:
    """As `write_list`, for texts of a beam search: with their scores, after the text `begun`."""
    kept = [text for text in found if sieve.keeps(text.text)][:count]
    for number, (text, nats, tokens) in enumerate(kept):
        if how == "jsonl":
            write_json(
                {"text": begun + text, "log_probability_nats": round(nats, 6), "tokens": tokens}
            )
        else:
            if how == "text":
                print_heading(number, count, f": {nats:.3f} nats, tokens: {tokens}")
            click.secho(printable(begun), bold=how == "text", nl=False)
            click.echo(printable(text))
    report_left_out(sieve)
    if len(kept) < count:
        raise InputError(
            f"{len(kept):,} of {count:,} texts: the search found no more distinct ones; raise "
            "--beam-width"
        )


def write_json(values: dict[str, object]) -> None:
    r"""Write one line of JSON; a byte that is not UTF-8 becomes an escape, such as \udce9."""
    click.echo(json.dumps(values, ensure_ascii=False).encode("utf-8", ESCAPED))


def report_left_out(sieve: Sieve) -> None:
    """Print how many texts were left out, and why, if any were."""
    if description := sieve.describe():
        click.echo(f"rondel: {description}", err=True)
