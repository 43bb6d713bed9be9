"""`rondel fill`: fill the gaps of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from rondel.cli.tables import FORMATS, write_table
from rondel.generation.search.filling import GAP, LONGEST, MOST_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.evaluation.scoring import Columns
    from rondel.generation.search.filling import Filled
    from rondel.generation.search.imputation import Imputed

FIGURES = ("log_probability", "pseudo_log_likelihood")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text")
@click.option("--gap", default=GAP, show_default=True, help="What marks a gap in TEXT.")
@click.option("--length", type=int, help="Tokens of a gap, if known.  [default: searched]")
@click.option(
    "--max-length",
    type=int,
    help="Most tokens of a gap whose length is searched.  "
    f"[default: {MOST_WORDS} words, {LONGEST} of other tokens]",
)
@click.option("--best", default=5, show_default=True, help="How many to give, best first.")
@click.option("--width", default=16, show_default=True, help="Fillings of a gap kept at a time.")
@click.option("--sweeps", default=4, show_default=True, help="Times each filling is refined.")
@click.option("--seed", default=1, show_default=True, help="Of the draws in the sweeps.")
@click.option("--encoding", default="utf-8", show_default=True, help="Of standard input.")
@click.option(
    "--format",
    "how",
    type=click.Choice(FORMATS),
    default="tsv",
    show_default=True,
    help="How the table is written.",
)
def command(
    model: Path,
    text: str,
    gap: str,
    length: int | None,
    max_length: int | None,
    best: int,
    width: int,
    sweeps: int,
    seed: int,
    encoding: str,
    how: str,
) -> None:
    """Fill the gaps of TEXT with the bidirectional model or sentence VAE in the folder MODEL.

    TEXT is the text itself, or - for standard input. The table has the best texts first, by the
    log-probability of what was filled in and of what follows it, each token given what is before
    it; a single gap of --length 1, by the filling's log-probability given both sides. Around
    the gaps TEXT stays as it is, known to the model or not. With a sentence VAE, TEXT is one
    sentence, and the order that of a bound on the log-probability of the whole.

    \b
      rondel fill runs/book "To be, or ___ to be"
    """
    from rondel.api.load import load
    from rondel.cli.compiling import tell_of_compiling
    from rondel.cli.describing import tell_of_unknowns
    from rondel.cli.waiting import Waiting
    from rondel.generation.search.filling import FillSettings
    from rondel.generation.search.gaps import unknowns_around
    from rondel.text.reading import read_text

    settings = FillSettings(gap, length, max_length, best, width, sweeps, seed)
    tell_of_compiling()
    # Another kind says what it lacks.
    filler = cast("BidirectionalModel | SentenceVAE", load(model))
    if text == "-":
        text = read_text(["-"], encoding, as_bytes=filler.tokenizer.reads_bytes)
    tell_of_unknowns(unknowns_around(filler.tokenizer, text, gap))
    with Waiting() as waiting:
        filled = filler.fill(text, waiting, **vars(settings))
    write_table(_columns(filled), how)


def _columns(filled: Sequence[Filled | Imputed]) -> Columns:
    import numpy as np

    fillings = zip(*(one.fillings for one in filled), strict=True)
    figures = [name for name in FIGURES if hasattr(filled[0], name)]
    return {
        **{f"{name}_nats": np.array([getattr(one, name) for one in filled]) for name in figures},
        **{
            f"filling_{number}": np.array(texts, dtype=object)
            for number, texts in enumerate(fillings, 1)
        },
        "text": np.array([one.text for one in filled], dtype=object),
    }
