"""`rondel corpora`: list the corpora that can be trained on by name."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from rondel.cli.options import DependentOption

if TYPE_CHECKING:
    from rondel.text.corpora import Corpus


@click.command()
@click.option("--fetch", "to_fetch", metavar="NAME", help="Download one, if not yet done.")
@click.option("--print", "to_print", metavar="NAME", help="Print a corpus' text, in UTF-8.")
@click.option(
    "--size",
    cls=DependentOption,
    goes_with=("to_print",),
    type=int,
    help="With --print: print only so many characters.",
)
@click.option(
    "--seed",
    cls=DependentOption,
    goes_with=("to_print",),
    type=int,
    help="With --print: seed of a randomly generated corpus.",
)
@click.option("--json", "as_json", is_flag=True, help="List them as JSON.")
def command(
    to_fetch: str | None, to_print: str | None, size: int | None, seed: int | None, as_json: bool
) -> None:
    """List the corpora that can be trained on by name.

    Some are built in; the others are downloaded on first use, verified, and kept in the folder that
    the environment variable RONDEL_CACHE names, or your cache folder. Without access to their
    servers, set RONDEL_CORPORA_MIRROR to the http address of a mirror.
    """
    from rondel.text.corpora import corpora

    if sum([to_fetch is not None, to_print is not None, as_json]) > 1:
        raise click.UsageError("--fetch, --print and --json: one at a time")
    if to_fetch is not None:
        corpora[to_fetch].fetch()
        click.echo(f"{to_fetch} is here")
    elif to_print is not None:
        text = corpora[to_print].text(size, 1 if seed is None else seed)
        # As bytes, so that the terminal's encoding and line ends do not change it.
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
