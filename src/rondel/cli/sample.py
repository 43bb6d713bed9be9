"""`rondel sample`."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import SectionedCommand, rule_options
from rondel.errors import InputError
from rondel.generation.settings import MODES

if TYPE_CHECKING:
    from rondel.api import Model

GIBBS = "gibbs"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


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
@click.option("-n", "--length", default=500, show_default=True, help="Tokens to write.")
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
@click.option("--seed", type=click.IntRange(min=0), help="The same seed gives the same text.")
@click.option("--stop", multiple=True, help="End before this text; may be given several times.")
@rule_options
def command(
    model: Path,
    prime: str | None,
    prime_file: Path | None,
    length: int,
    mode: str,
    beam_width: int,
    sweeps: int,
    count: int,
    seed: int | None,
    stop: tuple[str, ...],
    **rules: Any,
) -> None:
    """Write text with the model in the folder MODEL, on standard output as it is made."""
    from rondel.api import load

    if prime is not None and prime_file is not None:
        raise InputError("give --prime or --prime-file, not both")
    writer = load(model)
    if prime_file is not None:
        prime = _read_prime(prime_file, as_bytes=writer.tokenizer.level == "byte")
    if prime:
        _tell_of_unknowns(writer.unknowns(prime))
    for index in range(count):
        start = writer.choose_prime(seed, index) if prime is None else prime
        if count > 1:
            click.secho(f"--- {index + 1} of {count}", dim=True)
        if mode == GIBBS:
            drawn = {"seed": seed, "index": index}
            text = writer.sample(start, length=length, **drawn) if prime is None else prime
            click.echo(_printable(_redrawn(writer, text, sweeps, {**drawn, **rules})))
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told above, once
            pieces = writer.stream(
                start,
                length=length,
                mode=mode,
                seed=seed,
                index=index,
                stop=stop,
                beam_width=beam_width,
                **rules,
            )
        click.secho(_printable(start), bold=True, nl=False)
        for piece in pieces:
            click.echo(_printable(piece), nl=False)
        click.echo()


def _redrawn(writer: Model, text: str, sweeps: int, settings: dict[str, Any]) -> str:
    """The text after its last sweep, with a progress bar meanwhile."""
    from rondel.cli.waiting import Waiting

    with Waiting() as waiting:
        for done, drawn in enumerate(writer.gibbs(text, sweeps=sweeps, **settings), 1):
            text = drawn
            waiting(done / sweeps)
    return text


def _read_prime(path: Path, *, as_bytes: bool) -> str:
    from rondel.text.reading import read_text

    return read_text([str(path)], as_bytes=as_bytes)


def _tell_of_unknowns(unknowns: list[str]) -> None:
    if unknowns:
        listed = " ".join(map(repr, unknowns[:8])) + (" …" if len(unknowns) > 8 else "")
        click.echo(f"rondel: the model does not know {listed}; read as unknown", err=True)


def _printable(text: str) -> str:
    """Text that any output takes: bytes that are no UTF-8 become the replacement character.

    So do control characters on a terminal, which a byte model could bring into disorder.
    """
    if text.isascii() and text.isprintable():
        return text
    if sys.stdout.isatty():
        text = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    return text.encode("utf-8", "replace").decode()
