"""Shared by the commands for sentence VAEs: loading, decoding flags, reading and printing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import F, rule_options
from rondel.errors import InputError
from rondel.generation.generation_settings import MODES

if TYPE_CHECKING:
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.sample import SampleRequest


def writing_options(command: F) -> F:
    """Add the flags that control how a latent point is decoded."""
    options: list[Callable[[F], F]] = [
        click.option(
            "--mode",
            type=click.Choice(list(MODES)),
            default="argmax",
            show_default=True,
            help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items()),
        ),
        click.option("--beam-width", default=4, show_default=True, help="Mode beam: beam width."),
        click.option(
            "-n",
            "--length",
            type=click.IntRange(min=1),
            help="Most tokens of a sentence.  [default: the longest training sentence's]",
        ),
        click.option("--stop", multiple=True, help="Also end before this text."),
        click.option("--seed", type=click.IntRange(min=0), help="Seed of all sampling."),
    ]
    command = rule_options(command)
    for option in reversed(options):
        command = option(command)
    return command


def write_samples(vae: SentenceVAE, request: SampleRequest) -> None:
    """Print sentences decoded from samples of the prior, one per line, for `rondel sample`."""
    from rondel.cli.sample_output import write_list

    settings = dict(request.settings)
    refused = {
        "takes no prime": request.prime is not None,
        "has no state to continue": request.from_state is not None,
        "has no mode gibbs": settings["mode"] not in MODES,
    }
    for what in (what for what, given in refused.items() if given):
        raise InputError(f"this model is a sentence VAE, which {what}; leave it out")
    settings["length"] = min(settings["length"], vae.longest + 1)
    samples = vae.samples(request.count, seed=request.seed, **request.sieve, **settings)
    write_list(samples, "lines" if request.how == "text" else request.how, request.count)


def load_sentence_vae(folder: Path) -> SentenceVAE:
    """Load the sentence VAE in a folder; raises `InputError` for a model of another kind."""
    from rondel.api.load import load
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.compile_notice import announce_compiling

    announce_compiling()
    return load(folder, kind=SentenceVAE)


def given_flags(settings: dict[str, Any]) -> dict[str, Any]:
    """The given flags as keywords of `SentenceVAE.decode`."""
    return {name: value for name, value in settings.items() if value is not None}


def report_unknowns_in(model: SentenceVAE, *sentences: str) -> None:
    """Print the unknown tokens of all sentences once."""
    from rondel.cli.unknown_tokens import report_unknowns

    found = [name for sentence in sentences for name in model.tokenizer.unknowns(sentence.strip())]
    report_unknowns(list(dict.fromkeys(found)))


def readable_lines(model: SentenceVAE, lines: Iterable[str]) -> list[str]:
    """The lines that the model can read; prints how many it cannot."""
    kept, left_out = [], 0
    for line in lines:
        try:
            model.check(line)
        except InputError:
            left_out += 1
        else:
            kept.append(line)
    report_left_out(left_out, "too long, or of unknown words only")
    return kept


def report_left_out(count: int, why: str) -> None:
    """Print on standard error how many sentences were left out, if any."""
    if count:
        what = "sentence was" if count == 1 else "sentences were"
        click.echo(f"rondel: {count:,} {what} left out: {why}", err=True)
