"""`rondel sample`: write text with a model."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from rondel.cli.options import (
    DependentOption,
    SectionedCommand,
    refuse_without_effect,
    rule_options,
)
from rondel.cli.samples import FORMATS, print_in_order, write_found, write_list
from rondel.engine import PRECISIONS
from rondel.errors import InputError
from rondel.generation.settings import MODES
from rondel.threads import MOST_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.language_model import LanguageModel
    from rondel.generation.opening import Opening

GIBBS, TRAINING = "gibbs", "training"


WRITING = ("length", "mode", "stop", "beam_width")
"""Settings of writing that are of no sampling rule."""


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--prime",
    help="Text to go on from (left out: after a line break, or, if the model's text had no lines, "
    "a few of its characters or words).",
)
@click.option(
    "--prime-file",
    type=click.Path(path_type=Path),
    help="The same from a file; - for standard input.",
)
@click.option(
    "--encoding",
    cls=DependentOption,
    goes_with=("prime_file", "not_in"),
    default="utf-8",
    show_default=True,
    help="Encoding of the prime's file.",
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
    "LanguageModel.sample(seed=SEED, index=K).",
)
@click.option("--stop", multiple=True, help="End before this text; may be given several times.")
@click.option(
    "--format",
    "how",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in FORMATS.items()),
)
@click.option(
    "--unique", is_flag=True, help="Each text once; how many were left out is told at the end."
)
@click.option(
    "--not-in",
    multiple=True,
    metavar="FILE",
    help="No text that stands in FILE: as a whole line or several, or, in a FILE of one line, "
    f'anywhere. "{TRAINING}" is the text of the model\'s own run. May be given several times.',
)
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items()),
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help="CPU threads.  [default: as many as help]",
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
    how: str,
    unique: bool,
    not_in: tuple[str, ...],
    precision: str,
    threads: int | None,
    **rules: Any,
) -> None:
    """Write text with the model in the folder MODEL, on standard output as it is made.

    A --prime is printed before its text in --format text only. With --mode beam, --count gives so
    many of the likeliest texts, best first, with the log-probability of each in nats: of all that
    was written after the prime, not divided by its length.

    \b
      rondel sample runs/names --count 300 --format lines --unique --not-in training

    A sentence VAE writes sentences from points drawn in its latent space, one a line.
    """
    from rondel.api.load import load
    from rondel.cli.compiling import tell_of_compiling
    from rondel.kinds import kind_of

    if prime is not None and prime_file is not None:
        raise InputError("give --prime or --prime-file, not both")
    if mode == GIBBS and how == "lines":
        raise InputError("mode gibbs draws whole texts, of any lines; use --format jsonl")
    primed = prime is not None or prime_file is not None
    refuse_without_effect(mode, *_without_effect(mode, primed=primed))
    tell_of_compiling()
    writer = load(model, precision=precision, threads=threads)
    if prime_file is not None:
        prime = _read_prime(prime_file, encoding, as_bytes=writer.tokenizer.reads_bytes)
    settings = {"length": length, "mode": mode, "stop": stop, "beam_width": beam_width, **rules}
    sieve = {"unique": unique, "not_in": not_in, "encoding": encoding}
    wanted = Wanted(prime, settings, count, seed, how, sieve, sweeps)
    kind_of(writer.config).sample_command(writer, wanted)


@dataclass(frozen=True)
class Wanted:
    """What is asked: texts after a prime or none, how many, of which seed, written how.

    `settings` are those of `LanguageModel.stream` beside the seed, `sieve` what leaves some texts
    out, and `sweeps` goes with mode gibbs.
    """

    prime: str | None
    settings: dict[str, Any]
    count: int
    seed: int | None
    how: str
    sieve: dict[str, Any]
    sweeps: int

    @property
    def listed(self) -> bool:
        """Whether texts are written whole, once it is known that they stay."""
        return self.how != "text" or self.sieve["unique"] or bool(self.sieve["not_in"])


def _without_effect(mode: str, *, primed: bool) -> list[str]:
    """Parameters of this command that do nothing in a mode, besides the beam's and the rules'."""
    if mode != GIBBS:
        return ["sweeps"]
    return ["stop", "length"] if primed else ["stop"]


def write_texts(writer: LanguageModel, wanted: Wanted) -> None:
    """Print texts of a model that writes token by token."""
    from rondel.cli.describing import tell_of_unknowns

    prime, settings = wanted.prime, dict(wanted.settings)
    mode, beam_width = settings["mode"], settings.pop("beam_width")
    if wanted.how == "lines":
        settings["stop"] = (*settings["stop"], "\n")
    if prime is not None:
        tell_of_unknowns(writer.unknowns(prime))
    if mode == GIBBS:
        _redraw(writer, wanted)
        return
    width = beam_width if mode == "beam" else 1
    writer._expect(width * wanted.count * (settings["length"] + len(prime or "")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # told above, once
        if mode == "beam" and (wanted.count > 1 or wanted.listed):
            del settings["mode"]
            _search(writer, prime, {**settings, "beam_width": beam_width}, wanted)
        elif wanted.listed:
            samples = writer.samples(
                wanted.count, prime, seed=wanted.seed, **wanted.sieve, **settings
            )
            write_list(samples, wanted.how, wanted.count, prime or "")
        else:
            _write(writer, prime, {**settings, "beam_width": beam_width}, wanted)


def _opening(writer: LanguageModel, prime: str | None, seed: int | None, index: int = 0) -> Opening:
    from rondel.generation.opening import opening_with

    return writer.choose_opening(seed, index) if prime is None else opening_with(prime)


def _write(
    writer: LanguageModel, prime: str | None, settings: dict[str, Any], wanted: Wanted
) -> None:
    """Print texts as they are made."""
    from rondel.generation.settings import GenerationSettings

    chosen = GenerationSettings(
        mode=settings["mode"], rules={"temperature": settings["temperature"]}
    )
    writer.check_copies(wanted.count, prime, chosen)
    openings: dict[int, Opening] = {}

    def primes() -> Iterator[str]:
        for index in range(wanted.count):
            openings[index] = _opening(writer, prime, wanted.seed, index)
            yield openings[index].prime

    events = writer.stream_many(primes(), seed=wanted.seed, **settings)
    print_in_order(events, openings, wanted.count)


def _search(
    writer: LanguageModel, prime: str | None, settings: dict[str, Any], wanted: Wanted
) -> None:
    """Print the likeliest texts that a beam search finds."""
    opening = _opening(writer, prime, wanted.seed)
    sieve = writer.sieve(after=opening.prime, **wanted.sieve)
    # Those that are left out make room for others.
    asked = max(wanted.count, settings["beam_width"])
    found = writer.beam_search(opening.prime, asked, **settings)
    begun = opening.shown if prime is None or wanted.how == "text" else ""
    write_found(found, sieve, wanted.how, wanted.count, begun)


def _redraw(writer: LanguageModel, wanted: Wanted) -> None:
    """Print texts whose tokens were all drawn again."""
    rules = {k: v for k, v in wanted.settings.items() if k not in WRITING}

    def redrawn(more: Callable[[], int]) -> Iterator[str]:
        for index in itertools.count():
            drawn: dict[str, Any] = {"seed": wanted.seed, "index": index}
            text = wanted.prime
            if text is None:
                text = writer.sample(length=wanted.settings["length"], **drawn)
            yield _redrawn(writer, text, wanted.sweeps, {**drawn, **rules})

    from rondel.generation.listing import SampleList

    samples = SampleList(wanted.count, redrawn, writer.sieve(**wanted.sieve))
    write_list(samples, wanted.how, wanted.count)


def _redrawn(writer: LanguageModel, text: str, sweeps: int, settings: dict[str, Any]) -> str:
    """The text after its last sweep, with a progress bar meanwhile."""
    from rondel.cli.waiting import Waiting

    with Waiting() as waiting:
        both = cast("BidirectionalModel", writer)  # another kind says what it lacks
        for done, drawn in enumerate(both.gibbs(text, sweeps=sweeps, **settings), 1):
            text = drawn
            waiting(done / sweeps)
    return text


def _read_prime(path: Path, encoding: str, *, as_bytes: bool) -> str:
    from rondel.text.reading import read_text

    return read_text([str(path)], encoding, as_bytes=as_bytes)
