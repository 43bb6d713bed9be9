"""`rondel prepare`: read a text once, into a corpus for many runs to train on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, text_options


@click.command(cls=SectionedCommand)
@click.argument("text", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the corpus (new)."
)
@click.option(
    "--tokenizer-from",
    type=click.Path(path_type=Path),
    help="Use the vocabulary of this model or corpus, as it is.",
)
@click.option("--overwrite", is_flag=True, help="Replace the corpus in --out, once this is read.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@text_options
def command(
    text: tuple[str, ...],
    out: Path,
    tokenizer_from: Path | None,
    overwrite: bool,
    quiet: bool,
    seed: int | None,
    **flags: Any,
) -> None:
    """Read TEXT once, into a corpus for many runs to train on.

    TEXT is what rondel train takes. Only some blocks of it are in memory at a time, so that it may
    be longer than that; all cores read. The folder has the tokens of each part, the tokenizer and a
    sum of all of it. It may be copied to other machines, and rondel train takes it in place of a
    TEXT: its runs link to the tokens, or copy them where they lie on another file system.

    \b
      rondel prepare articles/ --out corpus --level word --vocab-size 50000
      rondel train corpus --hidden-size 512 --minutes 60
    """
    from rich.console import Console

    from rondel.api.preparing import prepare_corpus
    from rondel.cli.progress_bar import watched_reading

    begin = time.perf_counter()
    with watched_reading(quiet) as watch:
        corpus = prepare_corpus(
            text,
            out,
            flags,
            tokenizer_from=tokenizer_from,
            overwrite=overwrite,
            seed=1 if seed is None else seed,
            watch=watch,
        )
    console = Console(quiet=quiet)
    store, tokenizer = corpus.store, corpus.tokenizer
    splits = [f"{split.tokens:,} {part}" for part, split in store.splits.items() if split.tokens]
    for line in (
        f"{out}: {' + '.join(splits)} {tokenizer.token_noun}s, vocabulary "
        f"{tokenizer.vocab_size:,}, in {time.perf_counter() - begin:.1f} s",
        *corpus.prepared.notes(corpus.settings),
        f"to train: rondel train {out}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
