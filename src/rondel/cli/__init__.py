"""The command line: one file per command; heavy imports inside the functions that need them."""

from __future__ import annotations

import errno
import re
import sys
import warnings
from typing import Any, NoReturn

import click

from rondel import __version__
from rondel.cli.commands import load_command, summaries
from rondel.cli.printing import occupy_standard_files, prepare_streams, report_replaced
from rondel.errors import RondelError, SlowerWarning
from rondel.threads import set_thread_defaults

_MAKE_ROOM = "; make room and try again: what was saved before is whole"
_MAY_NOT_WRITE = "; name a place where you may write"
REMEDIES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EACCES: _MAY_NOT_WRITE,
    errno.EPERM: _MAY_NOT_WRITE,
    errno.EROFS: _MAY_NOT_WRITE,
    errno.EISDIR: "; name a file in it",
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
        """Prepare the standard streams before anything is printed, such as a help page."""
        prepare_streams(next(iter(args), None))
        context = super().make_context(info_name, args, parent, **extra)
        context.call_on_close(report_replaced)
        return context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order of the help."""
        return list(summaries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        return load_command(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(summaries().items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rondel")
def cli() -> None:
    """Train recurrent language models on your own text, and put them to work.

    \b
      rondel train book.txt --out runs/book
      rondel sample runs/book --prime "The " --temperature 0.8
    """


def main() -> NoReturn:
    """Run the command line; a `RondelError` is one line on standard error, and status 1."""
    set_thread_defaults()
    occupy_standard_files()
    warnings.showwarning = _show_warning
    try:
        cli.main(prog_name="rondel")
    except RondelError as error:
        if error.is_reported:
            sys.exit(1)
        _fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        remedy = REMEDIES.get(error.errno or 0, "")
        _fail(f"{where}{error.strerror or error}{remedy}")
    except (MemoryError, RuntimeError) as error:
        # PyTorch raises a plain RuntimeError if the CPU is out of memory.
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
    """Print a warning; a `SlowerWarning` without its source line."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, SlowerWarning):
        text = f"rondel: {message}\n"
    click.echo(text, err=True, nl=False)


def _fail(message: str) -> NoReturn:
    click.echo(f"rondel: {message}", err=True)
    sys.exit(1)
