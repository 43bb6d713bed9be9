"""`rondel fill`: fill the gaps of a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from rondel.cli.tables import format_option, write_table
from rondel.generation.search.filling import GAP, LONGEST, LONGEST_IN_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.evaluation.score_rows import Columns
    from rondel.generation.search.filling import Filled
    from rondel.generation.search.imputation import Imputed

FIGURES = ("log_probability", "pseudo_log_likelihood")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text")
@click.option("--gap", default=GAP, show_default=True, help="The mark of a gap in TEXT.")
@click.option("--length", type=int, help="Tokens in a gap, if known.  [default: searched]")
@click.option(
    "--max-length",
    type=int,
    help="Most tokens in a gap whose length is searched.  "
    f"[default: {LONGEST_IN_WORDS} words, {LONGEST} of other tokens]",
)
@click.option("--best", default=5, show_default=True, help="How many texts to print, best first.")
@click.option("--width", default=16, show_default=True, help="Beam width: fillings kept per gap.")
@click.option("--sweeps", default=4, show_default=True, help="Times each filling is refined.")
@click.option("--seed", default=1, show_default=True, help="Seed of the sampling in the sweeps.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of standard input.")
@format_option
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
    log-probability of the fillings and of all that follows, each token given those before it; for a
    single gap of --length 1, by the filling's log-probability given both sides. TEXT outside the
    gaps is kept, even if unknown to the model. With a sentence VAE, TEXT is one sentence, ranked by
    a bound on the log-probability of the whole sentence.

    \b
      rondel fill runs/book "To be, or ___ to be"
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.cli.progress_bar import ProgressBar
    from rondel.cli.unknown_tokens import report_unknowns
    from rondel.generation.search.filling import FillSettings
    from rondel.generation.search.gaps import unknowns_around
    from rondel.text.reading import read_text

    settings = FillSettings(gap, length, max_length, best, width, sweeps, seed)
    announce_compiling()
    # Other kinds refuse by name.
    filler = cast("BidirectionalModel | SentenceVAE", load(model))
    if text == "-":
        text = read_text(["-"], encoding, as_bytes=filler.tokenizer.reads_bytes)
    report_unknowns(unknowns_around(filler.tokenizer, text, gap))
    with ProgressBar() as waiting:
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
