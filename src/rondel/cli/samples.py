"""Many samples: printed one after the other as they are made, or written as a list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from rondel.cli.printing import printable
from rondel.cli.tables import ESCAPED
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.generation.listing import SampleList, Sieve
    from rondel.generation.opening import Opening
    from rondel.generation.search.beam import BeamText
    from rondel.generation.stream import Output

FORMATS = {
    "text": "to read, each after a heading and its prime",
    "lines": "one text a line, which ends before its first line break, and nothing else",
    "jsonl": "a line of JSON for each, with its number and text",
}


def print_heading(index: int, count: int, note: str = "") -> None:
    """Say which sample of several follows."""
    if count > 1:
        click.secho(f"--- {index + 1} of {count}{note}", dim=True)


def print_in_order(outputs: Iterator[Output], openings: dict[int, Opening], count: int) -> None:
    """Print texts one after the other, the first that is not finished as it is made.

    `openings` comes to have each text's by its number before it is written.
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
    """Write texts as they come, and then say on standard error what was left out, and why.

    Raises `InputError` if there were not so many.
    """
    for number, text in enumerate(samples):
        if how == "jsonl":
            write_json({"index": samples.index, "text": text})
        else:
            if how == "text":
                print_heading(number, count)
                click.secho(printable(prime), bold=True, nl=False)
            click.echo(printable(text))
    tell_of_left_out(samples.sieve)
    if samples.missing:
        raise InputError(
            f"{count - samples.missing:,} of {count:,} texts: the last "
            f"{samples.sieve.in_a_row:,} were all left out; ask for fewer, or draw more freely "
            "(a higher --temperature)"
        )


def write_found(
    found: Iterable[BeamText], sieve: Sieve, how: str, count: int, begun: str = ""
) -> None:
    """The same of what a beam search found, each with its score and what it was begun with."""
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
    tell_of_left_out(sieve)
    if len(kept) < count:
        raise InputError(
            f"{len(kept):,} of {count:,} texts: the search kept no more different ones; raise "
            "--beam-width"
        )


def write_json(values: dict[str, object]) -> None:
    r"""Write one line of JSON, a byte that is no UTF-8 as an escape, such as \udce9."""
    click.echo(json.dumps(values, ensure_ascii=False).encode("utf-8", ESCAPED))


def tell_of_left_out(sieve: Sieve) -> None:
    """Say how many texts were left out, and why, if any were."""
    if told := sieve.describe():
        click.echo(f"rondel: {told}", err=True)
