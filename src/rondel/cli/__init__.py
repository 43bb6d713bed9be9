"""The command line: one file a command, each importing what it needs when it runs."""

from __future__ import annotations

import errno
import importlib
import re
import sys
import warnings
from typing import Any, NoReturn

import click

from rondel import __version__
from rondel.cli.printing import occupy_standard_files, prepare_streams, tell_of_replaced
from rondel.errors import RondelError, SlowerWarning
from rondel.threads import calm_threads

# The module of each command is imported only for that command, so what the list of commands says
# stands here, where `rondel --help` can answer without it.
COMMANDS = {
    "train": "Train a model on a text, or go on training one.",
    "sample": "Write text with a model.",
    "reconstruct": "Read a sentence and write it back, with a sentence VAE.",
    "interpolate": "Walk between sentences in the space of a sentence VAE.",
    "analogy": "Write what is to one sentence as another is to a third.",
    "latent": "Draw the space of a sentence VAE as a page to explore.",
    "eval": "Say how well a model predicts a text.",
    "compare": "Compare models on one text, and with n-grams.",
    "score": "Say how likely a model finds each part of a text.",
    "rescore": "Put n-best hypotheses into a new order.",
    "fill": "Fill the gaps of a text.",
    "serve": "Serve models over HTTP, with a page to write with.",
    "inspect": "Look inside: what single units do over a text.",
    "vectors": "Write a model's word vectors, or list the nearest of a word.",
    "show": "Say what a model is and how its training went.",
    "corpora": "List the texts that rondel knows by name.",
}
_MAKE_ROOM = "; make room and try again: what was saved before is whole"
_MAY_NOT_WRITE = "; name a place where you may write"
REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EACCES: _MAY_NOT_WRITE,
    errno.EPERM: _MAY_NOT_WRITE,
    errno.EROFS: _MAY_NOT_WRITE,
}
MEMORY = re.compile("allocate|size calculation overflowed")


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Make standard output ready before anything is written, a page of help say."""
        prepare_streams(next(iter(args), None))
        context = super().make_context(info_name, args, parent, **extra)
        context.call_on_close(tell_of_replaced)
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"rondel.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rondel")
def cli() -> None:
    """Train recurrent language models on your own text, and put them to work.

    \b
      rondel train book.txt --out runs/book
      rondel sample runs/book --prime "The " --temperature 0.8
    """


def main() -> NoReturn:
    """Run the command line; an error on purpose is one line on standard error, and status 1."""
    calm_threads()
    occupy_standard_files()
    warnings.showwarning = _show_warning
    try:
        cli.main(prog_name="rondel")
    except RondelError as error:
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = REMEDIES.get(error.errno or 0, "")
        _fail(f"{where}{error.strerror or error}{remedy}")
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no class for memory that a CPU cannot give: it is a RuntimeError that says so.
        if not (isinstance(error, MemoryError) or MEMORY.search(str(error))):
            raise
        _fail("out of memory; lower --hidden-size, --num-layers, --batch-size or --seq-length")
    sys.exit(0)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Show a warning; one of rondel's without the line of source that it comes from."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, SlowerWarning):
        text = f"rondel: {message}\n"
    click.echo(text, err=True, nl=False)


def _fail(message: str) -> NoReturn:
    click.echo(f"rondel: {message}", err=True)
    sys.exit(1)
