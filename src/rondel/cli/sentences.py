"""What the commands for sentence VAEs share: the model, how sentences are written, the output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import F, rule_options
from rondel.errors import InputError
from rondel.generation.settings import MODES

if TYPE_CHECKING:
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.sample import Wanted


def writing_options(command: F) -> F:
    """Give a command the flags that say how the sentence at a point is written."""
    options: list[Callable[[F], F]] = [
        click.option(
            "--mode",
            type=click.Choice(list(MODES)),
            default="argmax",
            show_default=True,
            help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items()),
        ),
        click.option(
            "--beam-width", default=4, show_default=True, help="Mode beam: texts kept at a time."
        ),
        click.option(
            "-n",
            "--length",
            type=click.IntRange(min=1),
            help="Most tokens of a sentence.  [default: those of the longest it was trained on]",
        ),
        click.option("--stop", multiple=True, help="End before this text too."),
        click.option("--seed", type=click.IntRange(min=0), help="Of everything drawn."),
    ]
    command = rule_options(command)
    for option in reversed(options):
        command = option(command)
    return command


def write_samples(vae: SentenceVAE, wanted: Wanted) -> None:
    """Print sentences at points drawn from the prior, one a line: what `rondel sample` does."""
    from rondel.cli.samples import write_list

    settings = dict(wanted.settings)
    if wanted.prime is not None or settings["mode"] not in MODES:
        what = "goes on from no prime" if wanted.prime is not None else "draws no text again"
        raise InputError(f"this model is a sentence VAE, which {what}; leave it out")
    settings["length"] = min(settings["length"], vae.longest + 1)
    samples = vae.samples(wanted.count, seed=wanted.seed, **wanted.sieve, **settings)
    write_list(samples, "lines" if wanted.how == "text" else wanted.how, wanted.count)


def open_sentence_vae(folder: Path) -> SentenceVAE:
    """The sentence VAE in a folder; `InputError` if it is a model of another kind."""
    from rondel.api.load import load
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.compiling import tell_of_compiling

    tell_of_compiling()
    return load(folder, kind=SentenceVAE)


def told(settings: dict[str, Any]) -> dict[str, Any]:
    """The flags that were given, as keywords of `SentenceVAE.decode`."""
    return {name: value for name, value in settings.items() if value is not None}


def tell_of_unknowns_in(model: SentenceVAE, *sentences: str) -> None:
    """Say once what of all the sentences the model does not know."""
    from rondel.cli.describing import tell_of_unknowns

    found = [name for sentence in sentences for name in model.tokenizer.unknowns(sentence.strip())]
    tell_of_unknowns(list(dict.fromkeys(found)))


def readable(model: SentenceVAE, lines: Iterable[str], *, known: bool = True) -> list[str]:
    """Those of the lines that the model can read; how many it cannot is told.

    One of unknown words only is read where none has to be `known`.
    """
    kept, left_out = [], 0
    for line in lines:
        try:
            model.check(line, known=known)
        except InputError:
            left_out += 1
        else:
            kept.append(line)
    if left_out:
        what = "sentence was" if left_out == 1 else "sentences were"
        why = "too long, or of unknown words only" if known else "too long"
        click.echo(f"rondel: {left_out:,} {what} left out: {why}", err=True)
    return kept
