"""`rondel corpora`: list the texts that rondel knows by name."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from rondel.cli.options import DependentOption

if TYPE_CHECKING:
    from rondel.text.corpora import Corpus


@click.command()
@click.option("--fetch", "to_fetch", metavar="NAME", help="Download one, if it is not here.")
@click.option("--print", "to_print", metavar="NAME", help="Write a corpus' text, in UTF-8.")
@click.option(
    "--size",
    cls=DependentOption,
    goes_with=("to_print",),
    type=int,
    help="With --print: only so many characters.",
)
@click.option(
    "--seed",
    cls=DependentOption,
    goes_with=("to_print",),
    type=int,
    help="With --print, where it is drawn at random: another text.",
)
@click.option("--json", "as_json", is_flag=True, help="List them as JSON.")
def command(
    to_fetch: str | None, to_print: str | None, size: int | None, seed: int | None, as_json: bool
) -> None:
    """List the texts to train on that rondel knows by name.

    Some are always here; the others are downloaded when they are first used, checked, and kept in
    the folder that the environment variable RONDEL_CACHE names, or your cache folder. Where there
    is no way out to the network, RONDEL_CORPORA_MIRROR may name an http address that has them.
    """
    from rondel.text.corpora import corpora

    if sum([to_fetch is not None, to_print is not None, as_json]) > 1:
        raise click.UsageError("--fetch, --print and --json: one at a time")
    if to_fetch is not None:
        corpora[to_fetch].fetch()
        click.echo(f"{to_fetch} is here")
    elif to_print is not None:
        text = corpora[to_print].text(size, 1 if seed is None else seed)
        # As bytes, so that neither the terminal's encoding nor its line ends change it.
        click.echo(text.encode("utf-8"), nl=False)
    elif as_json:
        click.echo(json.dumps([_facts(corpus) for corpus in corpora.values()], indent=2))
    elif sys.stdout.isatty():
        _print_table(list(corpora.values()))
    else:
        for corpus in corpora.values():
            here = "here" if corpus.is_here() else "to fetch"
            click.echo(
                f"{corpus.name}\t{corpus.size}\t{corpus.licence}\t{here}\t{corpus.description}"
            )


def _facts(corpus: Corpus) -> dict[str, str | int | bool | None]:
    return {
        "name": corpus.name,
        "description": corpus.description,
        "size": corpus.size,
        "licence": corpus.licence,
        "here": corpus.is_here(),
        "address": corpus.address,
        "sha256": corpus.sha256,
    }


def _print_table(listed: list[Corpus]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("name", "size", "licence", "here", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for corpus in listed:
        size = corpus.size if isinstance(corpus.size, str) else f"{corpus.size / 1000:,.0f} kB"
        here = "yes" if corpus.is_here() else "when first used"
        table.add_row(corpus.name, size, corpus.licence, here, corpus.description)
    Console().print(table)
