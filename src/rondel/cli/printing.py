"""Text on its way out: as bytes to files and pipes, as far as it can be shown to a terminal.

Files and pipes take UTF-8, whatever the locale, and the bytes that stand in a text as the lone
surrogates of `surrogateescape` as those bytes: what comes in goes out. A terminal takes its own
encoding, and is told what that could not hold.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import sys

import click

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
AS_BYTES, SHOWN = "rondel.as_bytes", "rondel.shown"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LISTED = 8
LOGS = ("train", "serve")
"""The commands whose standard output says only how it goes: they do without one."""

_replaced: dict[str, None] = {}


class Nowhere(io.TextIOBase):
    """Standard output or error where a process was given none and need have none."""

    def write(self, text: str) -> int:
        """Drop it."""
        return len(text)


class ClosedOutput(io.TextIOBase):
    """Standard output where a process was given none: writing to it is an error."""

    def write(self, text: str) -> int:
        """Raise `OSError`."""
        raise OSError(errno.EBADF, "standard output is closed; send it to a file, or to /dev/null")


def prepare_streams(command: str | None) -> None:
    """Make standard output and error take any text; `command` is the one that is to write."""
    _replaced.clear()
    if sys.stdout is None:
        sys.stdout = Nowhere() if command in LOGS else ClosedOutput()
    if sys.stderr is None:
        sys.stderr = Nowhere()
    for stream, errors in ((sys.stdout, SHOWN), (sys.stderr, "replace")):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors=errors)
        else:
            stream.reconfigure(encoding="utf-8", errors=AS_BYTES)


def occupy_standard_files() -> None:
    """Put /dev/null in the place of standard files that are closed.

    Or a file opened later would stand there, a model's say, and messages be written into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def tell_of_replaced() -> None:
    """Say on standard error what a terminal was not given, if there is anything."""
    if not _replaced:
        return
    listed = " ".join(map(_name, list(_replaced)[:LISTED]))
    listed += " …" if len(_replaced) > LISTED else ""
    click.echo(
        f"rondel: this terminal takes {sys.stdout.encoding} and cannot show {listed}; other signs "
        "stand there; a file or a pipe is given the text as it is",
        err=True,
    )
    _replaced.clear()


def printable(text: str) -> str:
    """Text that is fit for a terminal, if it goes to one: control characters are replaced."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROLS.sub(REPLACEMENT, text) if sys.stdout.isatty() else text


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def _name(character: str) -> str:
    return f"byte 0x{ord(character) - 0xDC00:02X}" if _is_byte(character) else repr(character)


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """What a text cannot hold as UTF-8: a byte is that byte, another surrogate is replaced."""
    assert isinstance(error, UnicodeEncodeError)
    parts = [
        bytes([ord(character) - 0xDC00]) if _is_byte(character) else REPLACEMENT.encode()
        for character in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end


def _shown(error: UnicodeError) -> tuple[str, int]:
    """What a terminal cannot show is replaced, and told at the end."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    _replaced.update(dict.fromkeys(characters))
    sign = REPLACEMENT if error.encoding.lower().replace("_", "-") == "utf-8" else "?"
    return sign * len(characters), error.end


codecs.register_error(AS_BYTES, _as_bytes)
codecs.register_error(SHOWN, _shown)
