"""`rondel prepare`: tokenise a text once, as a corpus for many runs."""

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
    help="Use the vocabulary of this model or corpus unchanged.",
)
@click.option("--overwrite", is_flag=True, help="Replace the corpus in --out, at the end.")
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
    """Tokenise TEXT once, as a corpus for many runs.

    TEXT is as for rondel train. It is read in blocks by all cores, so it may be larger than memory.
    The folder has the tokens of each split, the tokenizer and a checksum. It can be copied to other
    machines and given to rondel train as TEXT: runs link to its tokens, or copy them from another
    file system.

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
