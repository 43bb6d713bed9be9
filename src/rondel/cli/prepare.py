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
    "--tokenizer",
    "--tokenizer-from",
    "tokenizer",
    type=click.Path(path_type=Path),
    help="Use the tokenizer in this file or folder: another model's or corpus's, a tokenizer.json, "
    "or a SentencePiece model.",
)
@click.option("--overwrite", is_flag=True, help="Replace the corpus in --out, at the end.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@text_options
def command(
    text: tuple[str, ...],
    out: Path,
    tokenizer: Path | None,
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
    from rondel.training.warm_start import FromTokenizer

    begin = time.perf_counter()
    known = None if tokenizer is None else FromTokenizer(tokenizer)
    with watched_reading(quiet) as watch:
        corpus = prepare_corpus(
            text,
            out,
            flags,
            tokenizer=known,
            overwrite=overwrite,
            seed=1 if seed is None else seed,
            watch=watch,
        )
    console = Console(quiet=quiet)
    store, made = corpus.store, corpus.tokenizer
    splits = [f"{split.tokens:,} {part}" for part, split in store.splits.items() if split.tokens]
    for line in (
        f"{out}: {' + '.join(splits)} {made.token_noun}s, vocabulary {made.vocab_size:,}, in "
        f"{time.perf_counter() - begin:.1f} s",
        *([known.report] if known else []),
        *corpus.prepared.notes(corpus.settings),
        f"to train: rondel train {out}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
