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
    refuse_idle_seed,
    refuse_without_effect,
    rule_options,
)
from rondel.cli.sample_output import FORMATS, print_texts, write_beam_texts, write_list
from rondel.engine import PRECISIONS
from rondel.errors import InputError
from rondel.generation.generation_settings import MODES
from rondel.threads import MOST_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rondel.api.bidirectional import BidirectionalModel
    from rondel.api.language_model import LanguageModel
    from rondel.generation.opening import Opening
    from rondel.generation.saved_state import State

GIBBS, TRAINING = "gibbs", "training"


WRITING = ("length", "mode", "stop", "beam_width")
"""Generation settings that do not belong to a sampling rule."""


@click.command(cls=SectionedCommand)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--prime",
    help="Text to continue.  [default: a line break, or, if the training text had no lines, a few "
    "of its characters or words]",
)
@click.option(
    "--prime-file",
    type=click.Path(path_type=Path),
    help="Read the prime from a file; - for standard input.",
)
@click.option(
    "--save-state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save the model's state after the prime, for --from-state.",
)
@click.option(
    "--from-state",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Continue the text that was read to a saved state, which is not printed; in place of a "
    "prime.",
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
    help="Tokens to generate; a sentence VAE generates at most the longest training sentence.",
)
@click.option(
    "--mode",
    type=click.Choice([*MODES, GIBBS]),
    default="sample",
    show_default=True,
    help="; ".join(f"{mode}: {meaning}" for mode, meaning in MODES.items())
    + "; gibbs (bidirectional models): repeatedly resample every token of the prime, or of a "
    "sample, given all others",
)
@click.option("--beam-width", default=4, show_default=True, help="Mode beam: beam width.")
@click.option("--sweeps", default=20, show_default=True, help="Mode gibbs: passes over the text.")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, show_default=True, help="Number of samples."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="The same seed gives the same texts: text K (from 0) is "
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
    "--unique", is_flag=True, help="Leave out repeated texts; their number is printed at the end."
)
@click.option(
    "--not-in",
    multiple=True,
    metavar="FILE",
    help="Leave out texts found in FILE: as one or more whole lines, or, if FILE is one line, "
    f'anywhere. "{TRAINING}" is the text of the model\'s run. May be given several times.',
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
    help="CPU threads.  [default: as many as speed it up]",
)
@rule_options
def command(
    model: Path,
    prime: str | None,
    prime_file: Path | None,
    save_state: Path | None,
    from_state: Path | None,
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
    """Generate text with the model in the folder MODEL, printed as it is generated.

    The --prime is printed before its text in --format text only. With --mode beam, --count gives
    that many of the likeliest texts, best first, each with its log-probability in nats: of the
    whole text after the prime, not divided by its length.

    \b
      rondel sample runs/names --count 300 --format lines --unique --not-in training
      rondel sample runs/book --prime-file part-one.txt --save-state part-one.safetensors
      rondel sample runs/book --from-state part-one.safetensors

    A sentence VAE decodes points sampled from its prior, one sentence per line.
    """
    from rondel.api.load import load
    from rondel.cli.compile_notice import announce_compiling
    from rondel.kinds import kind_of

    if sum(given is not None for given in (prime, prime_file, from_state)) > 1:
        raise InputError("give one of --prime, --prime-file and --from-state")
    if mode == GIBBS and how == "lines":
        raise InputError("mode gibbs gives whole texts with line breaks; use --format jsonl")
    primed = prime is not None or prime_file is not None
    _check_states(mode, save_state, from_state, primed=primed)
    refuse_without_effect(mode, *_without_effect(mode, primed=primed))
    announce_compiling()
    writer = load(model, precision=precision, threads=threads)
    if prime_file is not None:
        prime = _read_prime(prime_file, encoding, as_bytes=writer.tokenizer.reads_bytes)
    settings = {"length": length, "mode": mode, "stop": stop, "beam_width": beam_width, **rules}
    sieve = {"unique": unique, "not_in": not_in, "encoding": encoding}
    request = SampleRequest(
        prime, settings, count, seed, how, sieve, sweeps, save_state, from_state
    )
    kind_of(writer.config).sample_command(writer, request)


@dataclass(frozen=True)
class SampleRequest:
    """The texts to generate, and the format `how` to print them in.

    `settings` are those of `LanguageModel.stream` besides the seed, `sieve` those of
    `LanguageModel.sieve`; `sweeps` is for mode gibbs.
    """

    prime: str | None
    settings: dict[str, Any]
    count: int
    seed: int | None
    how: str
    sieve: dict[str, Any]
    sweeps: int
    save_state: Path | None = None
    from_state: Path | None = None

    @property
    def listed(self) -> bool:
        """Whether texts are printed only when complete and not left out."""
        return self.how != "text" or self.sieve["unique"] or bool(self.sieve["not_in"])


def _check_states(
    mode: str, save_state: Path | None, from_state: Path | None, *, primed: bool
) -> None:
    """Raise `InputError` if states can be neither saved nor continued as asked for."""
    if mode == GIBBS and (save_state or from_state):
        raise InputError("mode gibbs continues no text: leave out --save-state and --from-state")
    if save_state is not None:
        if not primed:
            raise InputError(
                "--save-state saves the state after a prime: give --prime or --prime-file"
            )
        from rondel.generation.saved_state import check_free

        check_free(save_state)


def _without_effect(mode: str, *, primed: bool) -> list[str]:
    """Parameters of this command, besides beam width and rules, without effect in a mode."""
    if mode != GIBBS:
        return ["sweeps"]
    return ["stop", "length"] if primed else ["stop"]


def write_texts(writer: LanguageModel, request: SampleRequest) -> None:
    """Print texts of a model that generates token by token."""
    from rondel.cli.unknown_tokens import report_unknowns

    prime, settings = request.prime, dict(request.settings)
    mode, beam_width = settings["mode"], settings.pop("beam_width")
    if request.how == "lines":
        settings["stop"] = (*settings["stop"], "\n")
    if prime is not None:
        report_unknowns(writer.unknowns(prime))
    if mode == GIBBS:
        _redraw(writer, request)
        return
    if request.from_state is not None or writer.starts_alike(prime):
        refuse_idle_seed(mode)
    width = beam_width if mode == "beam" else 1
    writer._expect(width * request.count * (settings["length"] + len(prime or "")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # reported above, once
        state = _state(writer, request)
        if mode == "beam" and (request.count > 1 or request.listed):
            del settings["mode"]
            _search(writer, prime, state, {**settings, "beam_width": beam_width}, request)
        elif request.listed:
            begun: dict[str, Any] = {"prime": prime} if state is None else {"state": state}
            samples = writer.samples(
                request.count, seed=request.seed, **begun, **request.sieve, **settings
            )
            write_list(samples, request.how, request.count, prime or "")
        else:
            _write(writer, prime, state, {**settings, "beam_width": beam_width}, request)


def _state(writer: LanguageModel, request: SampleRequest) -> State | None:
    """The state that texts continue: a saved one, or the prime's if it is to be saved."""
    from rondel.generation.saved_state import State

    if request.from_state is not None:
        return State.load(request.from_state)
    if request.save_state is None or request.prime is None:
        return None
    state = writer.read(request.prime)
    state.save(request.save_state)
    return state


def _opening(
    writer: LanguageModel,
    prime: str | None,
    state: State | None,
    seed: int | None,
    index: int = 0,
) -> Opening:
    """What a text begins with: of one that continues a state alone, the text before it unshown."""
    from rondel.generation.opening import Opening, opening_with

    if prime is None and state is not None:
        return Opening(writer.tokenizer.decode(state.ids.tolist()), "")
    return writer.choose_opening(seed, index) if prime is None else opening_with(prime)


def _write(
    writer: LanguageModel,
    prime: str | None,
    state: State | None,
    settings: dict[str, Any],
    request: SampleRequest,
) -> None:
    """Print texts as they are generated."""
    from rondel.generation.generation_settings import GenerationSettings

    chosen = GenerationSettings(
        mode=settings["mode"], rules={"temperature": settings["temperature"]}
    )
    begun = prime is not None or state is not None
    writer.check_copies(request.count, "" if begun else None, chosen)
    openings: dict[int, Opening] = {}

    def primes() -> Iterator[str | State]:
        for index in range(request.count):
            openings[index] = _opening(writer, prime, state, request.seed, index)
            yield openings[index].prime if state is None else state

    events = writer.stream_many(primes(), seed=request.seed, **settings)
    print_texts(events, openings, request.count)


def _search(
    writer: LanguageModel,
    prime: str | None,
    state: State | None,
    settings: dict[str, Any],
    request: SampleRequest,
) -> None:
    """Print the likeliest texts that a beam search finds."""
    opening = _opening(writer, prime, state, request.seed)
    sieve = writer.sieve(after=opening.prime, **request.sieve)
    begin: dict[str, Any] = {"prime": opening.prime} if state is None else {"state": state}
    # As many as the beam has, so that others replace texts that are left out.
    count = max(request.count, settings["beam_width"])
    found = writer.beam_search(count=count, **begin, **settings)
    begun = opening.shown if prime is None or request.how == "text" else ""
    write_beam_texts(found, sieve, request.how, request.count, begun)


def _redraw(writer: LanguageModel, request: SampleRequest) -> None:
    """Print texts resampled by Gibbs sampling."""
    rules = {k: v for k, v in request.settings.items() if k not in WRITING}

    def redrawn(more: Callable[[], int]) -> Iterator[str]:
        for index in itertools.count():
            drawn: dict[str, Any] = {"seed": request.seed, "index": index}
            text = request.prime
            if text is None:
                text = writer.sample(length=request.settings["length"], **drawn)
            yield _redrawn(writer, text, request.sweeps, {**drawn, **rules})

    from rondel.generation.listing import SampleList

    samples = SampleList(request.count, redrawn, writer.sieve(**request.sieve))
    write_list(samples, request.how, request.count)


def _redrawn(writer: LanguageModel, text: str, sweeps: int, settings: dict[str, Any]) -> str:
    """The text after the last sweep; shows a progress bar."""
    from rondel.cli.progress_bar import ProgressBar

    with ProgressBar() as waiting:
        model = cast("BidirectionalModel", writer)  # other kinds refuse by name
        for done, drawn in enumerate(model.gibbs(text, sweeps=sweeps, **settings), 1):
            text = drawn
            waiting(done / sweeps)
    return text


def _read_prime(path: Path, encoding: str, *, as_bytes: bool) -> str:
    from rondel.text.reading import read_text

    if path.is_dir():
        raise InputError(f"--prime-file: {path} is a folder; name a file in it")
    return read_text([str(path)], encoding, as_bytes=as_bytes)
