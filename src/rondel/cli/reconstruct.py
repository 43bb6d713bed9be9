"""`rondel reconstruct`: read a sentence and write it back, with a sentence VAE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand, refuse_without_effect
from rondel.cli.printing import printable
from rondel.cli.sentences import open_sentence_vae, tell_of_unknowns_in, told, writing_options


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sentence")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Sentences."
)
@writing_options
def command(model: Path, sentence: str, count: int, **settings: Any) -> None:
    """Read SENTENCE with the sentence VAE in the folder MODEL, and write it back.

    The first line is written from the mean of what the sentence may mean to the model, q(z|x);
    those after it, with --count, from points drawn from it.
    """
    refuse_without_effect(settings["mode"])
    vae = open_sentence_vae(model)
    tell_of_unknowns_in(vae, sentence)
    for text in vae.reconstruct(sentence, count, **told(settings)):
        click.echo(printable(text))
