"""`rondel sample`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import SectionedCommand, rule_options
from rondel.cli.printing import printable
from rondel.engine import PRECISIONS
from rondel.errors import InputError
from rondel.generation.settings import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rondel.api import Model
    from rondel.generation.streams import Event

GIBBS = "gibbs"


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--prime", help="Text to go on from (left out: a line's beginning of the model's own)."
)
@click.option(
    "--prime-file",
    type=click.Path(path_type=Path),
    help="The same from a file; - for standard input.",
)
@click.option(
    "--encoding", default="utf-8", show_default=True, help="Encoding of the prime's file."
)
@click.option(
    "-n",
    "--length",
    default=500,
    show_default=True,
    help="Tokens to write; of a sentence VAE, no more than its sentences had.",
)
@click.option(
    "--mode",
    type=click.Choice([*MODES, GIBBS]),
    default="sample",
    show_default=True,
    help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items())
    + "; gibbs (bidirectional models): draw every token of the prime again and again, given all "
    "others (without a prime, of a sample)",
)
@click.option("--beam-width", default=4, show_default=True, help="Mode beam: texts kept at a time.")
@click.option("--sweeps", default=20, show_default=True, help="Mode gibbs: times over the text.")
@click.option("--count", type=click.IntRange(min=1), default=1, show_default=True, help="Samples.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="The same seed gives the same text, and of several, the same each: text K (from 0) is "
    "Model.sample(seed=SEED, index=K).",
)
@click.option("--stop", multiple=True, help="End before this text; may be given several times.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items()),
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads.  [default: as many as help]"
)
@rule_options
def command(
    model: Path,
    prime: str | None,
    prime_file: Path | None,
    encoding: str,
    length: int,
    mode: str,
    beam_width: int,
    sweeps: int,
    count: int,
    seed: int | None,
    stop: tuple[str, ...],
    precision: str,
    threads: int | None,
    **rules: Any,
) -> None:
    """Write text with the model in the folder MODEL, on standard output as it is made.

    A sentence VAE writes sentences from points drawn in its latent space, one a line.
    """
    from rondel.api import load
    from rondel.cli.compiling import tell_of_compiling
    from rondel.cli.describing import tell_of_unknowns
    from rondel.latent_api import SentenceVAE

    if prime is not None and prime_file is not None:
        raise InputError("give --prime or --prime-file, not both")
    tell_of_compiling()
    writer = load(model, precision=precision, threads=threads)
    if isinstance(writer, SentenceVAE):
        if prime is not None or prime_file is not None or mode == GIBBS:
            what = "draws no text again" if mode == GIBBS else "goes on from no prime"
            raise InputError(f"{model} is a sentence VAE, which {what}; leave it out")
        drawn = {"mode": mode, "seed": seed, "stop": stop, "beam_width": beam_width, **rules}
        length = min(length, writer.longest + 1)
        for sentence in writer.sample_sentences(count, length=length, **drawn):
            click.echo(printable(sentence))
        return
    if prime_file is not None:
        prime = _read_prime(prime_file, encoding, as_bytes=writer.tokenizer.level == "byte")
    if prime:
        tell_of_unknowns(writer.unknowns(prime))
    primes = [
        writer.choose_prime(seed, index) if prime is None else prime for index in range(count)
    ]
    if mode == GIBBS:
        for index, start in enumerate(primes):
            _print_heading(index, count)
            drawn = {"seed": seed, "index": index}
            text = writer.sample(start, length=length, **drawn) if prime is None else start
            click.echo(printable(_redrawn(writer, text, sweeps, {**drawn, **rules})))
        return
    width = beam_width if mode == "beam" else 1
    writer._expect(width * sum(length + len(start) for start in primes))
    chosen: dict[str, Any] = {
        "length": length,
        "mode": mode,
        "seed": seed,
        "stop": stop,
        "beam_width": beam_width,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # told above, once
        events = writer.stream_many(primes, **chosen, **rules)
        _print_in_order(events, primes)


def _print_heading(index: int, count: int) -> None:
    if count > 1:
        click.secho(f"--- {index + 1} of {count}", dim=True)


def _print_in_order(events: Iterator[Event], primes: list[str]) -> None:
    """Print texts one after the other, the first that is not finished as it is made."""
    pieces: list[list[str]] = [[] for _ in primes]
    finished: set[int] = set()
    first = next(events, None)
    for shown, prime in enumerate(primes):
        _print_heading(shown, len(primes))
        click.secho(printable(prime), bold=True, nl=False)
        while True:
            if text := "".join(pieces[shown]):
                click.echo(printable(text), nl=False)
                pieces[shown].clear()
            if shown in finished:
                break
            event = first or next(events)
            first = None
            pieces[event.handle].append(event.piece)
            if event.finished:
                finished.add(event.handle)
        click.echo()


def _redrawn(writer: Model, text: str, sweeps: int, settings: dict[str, Any]) -> str:
    """The text after its last sweep, with a progress bar meanwhile."""
    from rondel.cli.waiting import Waiting

    with Waiting() as waiting:
        for done, drawn in enumerate(writer.gibbs(text, sweeps=sweeps, **settings), 1):
            text = drawn
            waiting(done / sweeps)
    return text


def _read_prime(path: Path, encoding: str, *, as_bytes: bool) -> str:
    from rondel.text.reading import read_text

    return read_text([str(path)], encoding, as_bytes=as_bytes)
