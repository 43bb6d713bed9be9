"""`rondel reconstruct`: encode and decode a sentence with a sentence VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, refuse_idle_seed, refuse_without_effect
from rondel.cli.printing import printable
from rondel.cli.sentence_vae_options import (
    given_flags,
    load_sentence_vae,
    report_unknowns_in,
    writing_options,
)


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sentence")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Sentences."
)
@writing_options
def command(model: Path, sentence: str, count: int, **settings: Any) -> None:
    """Encode SENTENCE with the sentence VAE in the folder MODEL, and decode it.

    The first line is decoded from the mean of q(z|x); further lines, with --count, from samples of
    it.
    """
    refuse_without_effect(settings["mode"])
    if count == 1:
        refuse_idle_seed(settings["mode"])
    vae = load_sentence_vae(model)
    report_unknowns_in(vae, sentence)
    for text in vae.reconstruct(sentence, count, **given_flags(settings)):
        click.echo(printable(text))
