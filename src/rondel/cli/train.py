"""`rondel train`: train a model on a text, or resume a run."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.options import (
    SectionedCommand,
    given_settings,
    kind_options,
    setting_options,
)
from rondel.errors import InputError
from rondel.settings import Settings, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from rondel.data.text_source import TextSource
    from rondel.training.callbacks import Callback
    from rondel.training.ranks import Ranks
    from rondel.training.run import Run

DEFAULT_CORPUS = "coffee"
EXIT_STATUS = {"interrupted": 130, "terminated": 143, "hung up": 129}


@click.command(cls=SectionedCommand)
@click.argument("text", nargs=-1)
@click.option("--corpus", metavar="NAME", help="A corpus by name; see rondel corpora.")
@click.option("--corpus-size", type=click.IntRange(min=1), help="Characters of a generated corpus.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run (new).")
@click.option("--resume", type=click.Path(path_type=Path), help="Resume the run in this folder.")
@click.option("--init-from", type=click.Path(path_type=Path), help="Start from this model.")
@click.option(
    "--word-vectors", type=click.Path(path_type=Path), help="Start from word2vec vectors."
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    help="Use the tokenizer in this file or folder: a tokenizer.json, or a SentencePiece model.",
)
@kind_options
@click.option("--config", type=click.Path(path_type=Path), help="A settings file like run.toml.")
@click.option("--overwrite", is_flag=True, help="Replace the model in --out, at the first save.")
@click.option(
    "--callback",
    "callbacks",
    multiple=True,
    metavar="NAME",
    help="A callback, by name or as MODULE:CLASS; may be given several times.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--plain", is_flag=True, help="Print plain lines, as without a terminal.")
@setting_options
def command(
    text: tuple[str, ...],
    corpus: str | None,
    corpus_size: int | None,
    out: Path | None,
    resume: Path | None,
    init_from: Path | None,
    word_vectors: Path | None,
    tokenizer: Path | None,
    config: Path | None,
    overwrite: bool,
    callbacks: tuple[str, ...],
    quiet: bool,
    plain: bool,
    **flags: Any,
) -> None:
    """Train a model on TEXT, or resume a run.

    TEXT is files, folders or globs, compressed (.gz, .bz2, .xz, .zst) or not, a corpus of rondel
    prepare, or - for standard input; without any, rondel trains on its built-in corpus about
    coffee. Without --epochs, --steps or --minutes it trains for ten minutes. Ctrl-C, SIGTERM and
    closing the terminal save the run; --resume continues from there.

    \b
      rondel train book.txt --out runs/book --minutes 30
      rondel train --resume runs/book --minutes 60
    """
    from rich.console import Console

    from rondel.cli.compile_notice import announce_compiling
    from rondel.training.together import joined, together

    settings = given_settings(flags)
    begun_with = {
        "TEXT": text,
        "--corpus": corpus,
        "--corpus-size": corpus_size,
        "--out": out,
        "--init-from": init_from,
        "--word-vectors": word_vectors,
        "--tokenizer": tokenizer,
        "--config": config,
        "--overwrite": overwrite,
    }
    with joined() as ranks:
        # Process 0 alone prints and has callbacks.
        quiet = quiet or not ranks.is_first
        console = Console(quiet=quiet, force_terminal=False if plain else None)
        if not quiet:
            announce_compiling()
        ranks.compare(settings, text)
        listeners: list[Callback] = []

        def make() -> Run:
            listeners.extend(map(_callback, callbacks))
            if resume is not None:
                _refuse_begun_with(begun_with)
                return _resume(resume, settings, ranks)
            source = _Source(text, corpus, corpus_size)
            base = read_settings(config) if config else None
            starts = (init_from, word_vectors, tokenizer)
            return _begin(source, base, settings, out, starts, overwrite, quiet, ranks)

        with closing(together(ranks, make)) as run:
            if ranks.is_first:
                name = str(resume) if resume else _Source(text, corpus, corpus_size).name
                _introduce(run, name, console)
            status = _train(run, listeners, console, quiet)
    sys.exit(status)


def _refuse_begun_with(given: dict[str, Any]) -> None:
    """Raise `InputError` for what only a new run is given."""
    for name, value in given.items():
        if value:
            raise InputError(f"--resume continues the run as it began; leave {name} out")


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where the text comes from: files, or a corpus."""

    paths: tuple[str, ...]
    corpus: str | None
    corpus_size: int | None

    def __post_init__(self) -> None:
        if self.paths and (self.corpus or self.corpus_size):
            raise InputError("give either a TEXT or a --corpus, not both")

    def files(self) -> TextSource | None:
        """The files, or the prepared corpus, that were named."""
        from rondel.data.sources import source_of

        return source_of(self.paths) if self.paths else None

    def text(self) -> str:
        """The text of a corpus that is known by name."""
        from rondel.text.corpora import corpora

        # Not generated with the run's seed, so that runs with two seeds have the same text.
        return corpora[self.corpus or DEFAULT_CORPUS].text(size=self.corpus_size)

    @property
    def name(self) -> str:
        from rondel.text.reading import source_name

        return source_name(self.paths) if self.paths else self.corpus or DEFAULT_CORPUS


def _begin(
    source: _Source,
    base: Settings | None,
    settings: dict[str, Any],
    out: Path | None,
    starts: tuple[Path | None, Path | None, Path | None],
    overwrite: bool,
    quiet: bool,
    ranks: Ranks,
) -> Run:
    from rondel.cli.progress_bar import watched_reading
    from rondel.training.folder import check_folder
    from rondel.training.start import begin, configure, is_of_this_launch
    from rondel.training.warm_start import warm_start_from

    folder = out or _free_folder(source.name)
    if is_of_this_launch(folder):
        return _resume(folder, {}, ranks)
    check_folder(folder, overwrite)
    warm_start = warm_start_from(*starts)
    files = source.files()
    config = configure(settings, base, warm_start, files)
    text = files or source.text()
    with watched_reading(quiet) as watch:
        return begin(
            text,
            config,
            folder,
            warm_start=warm_start,
            overwrite=overwrite,
            watch=watch,
            ranks=ranks,
        )


def _resume(folder: Path, settings: dict[str, Any], ranks: Ranks) -> Run:
    from rondel.training.start import resume

    run = resume(folder, settings, ranks)
    run.notes.append(f"resuming from step {run.progress.step:,}")
    return run


def _free_folder(name: str) -> Path:
    """`runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3` … that does not exist.

    After a restart by `torchrun`, the folder that its processes began.
    """
    from rondel.training.start import is_of_this_launch

    folder, number = Path("runs") / name, 1
    while folder.exists() and not is_of_this_launch(folder):
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder


def _introduce(run: Run, name: str, console: Console) -> None:
    """Print the text, the model and the folder of the run."""
    from rondel.artifact import describe_model

    token = run.tokenizer.token_noun
    splits = [
        f"{split.tokens:,} {part}" for part, split in run.store.splits.items() if split.tokens
    ]
    weights = run.learner.weights().values()
    for line in (
        f"{name}: {' + '.join(splits)} {token}s, vocabulary {run.tokenizer.vocab_size:,}",
        f"{describe_model(run.config.model)}, {sum(w.size for w in weights):,} parameters, "
        f"into {run.home.path}",
        *run.notes,
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _callback(place: str) -> Callback:
    """Make a callback by its registered name, or by its class as "module:Class"."""
    from rondel.training.callbacks import Callback, callbacks

    module, colon, name = place.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name) if colon else callbacks[place]
        callback = cls()
    except (ImportError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"--callback {place} cannot be made ({error}); give a name, or module:Class of a class "
            "that needs no arguments"
        ) from None
    if not isinstance(callback, Callback):
        raise InputError(f"--callback {place} is not a rondel.training.callbacks.Callback")
    if callback.standard(None):
        raise InputError(f"every run has the callback {place}; leave --callback {place} out")
    return callback


def _train(run: Run, listeners: list[Callback], console: Console, quiet: bool) -> int:
    """Train to the end or an interrupt; return the exit status."""
    from rondel.training.callbacks.standard import standard_callbacks
    from rondel.training.loop import fit
    from rondel.training.run import best_folder

    if run.ranks.is_first:
        run.callbacks = [*standard_callbacks(console, quiet=quiet), *listeners]
    reason = fit(run)
    best = best_folder(run.folder)
    lines = [f"{reason} at step {run.progress.step:,}; the latest model is {run.folder}"]
    if not run.home.is_published:
        lines = [
            f"{reason} at step {run.progress.step:,}, before its first save: "
            f"{run.folder} still has its previous model"
        ]
    elif best != run.folder:
        lines.append(f"the best by validation is {best}, of step {run.progress.best_step:,}")
    if reason in EXIT_STATUS and run.home.is_published:
        lines.append(f"to resume: rondel train --resume {run.folder}")
        lines.append(f"to sample: rondel sample {run.folder}")
    else:
        lines.append(f"to sample: rondel sample {best}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return EXIT_STATUS.get(reason, 0)
