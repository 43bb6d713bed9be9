"""Standard output and error: exact bytes to files and pipes, printable text to terminals.

Files and pipes get UTF-8 in any locale, and lone surrogates of `surrogateescape` as the bytes that
they stand for, so that text is written as it was read. A terminal gets its own encoding, and a
message about the characters that it cannot show.
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
AS_BYTES, SHOWN, ESCAPED = "rondel.as_bytes", "rondel.shown", "backslashreplace"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LISTED = 8
LOGS = ("train", "serve")
"""The commands whose standard output is only a log: they run without one."""

_replaced: dict[str, None] = {}


class NullStream(io.TextIOBase):
    """Replaces a missing standard output or error that the command can do without."""

    def write(self, text: str) -> int:
        """Discard the text."""
        return len(text)


class ClosedOutput(io.TextIOBase):
    """Replaces a missing standard output: writing to it is an error."""

    def write(self, text: str) -> int:
        """Raise `OSError`."""
        raise OSError(errno.EBADF, "standard output is closed; send it to a file, or to /dev/null")


def prepare_streams(command: str | None) -> None:
    """Let standard output and error accept any text that `command` writes."""
    _replaced.clear()
    if sys.stdout is None:
        sys.stdout = NullStream() if command in LOGS else ClosedOutput()
    if sys.stderr is None:
        sys.stderr = NullStream()
    for stream, errors in ((sys.stdout, SHOWN), (sys.stderr, "replace")):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors=errors)
        else:
            stream.reconfigure(encoding="utf-8", errors=AS_BYTES)


def occupy_standard_files() -> None:
    """Open /dev/null as each closed standard file.

    Otherwise a file opened later, such as a model's, would get its number and receive messages.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)


def report_replaced() -> None:
    """Print on standard error which characters a terminal could not show, if any."""
    if not _replaced:
        return
    listed = " ".join(map(_name, list(_replaced)[:LISTED]))
    listed += " …" if len(_replaced) > LISTED else ""
    click.echo(
        f"rondel: this terminal's encoding is {sys.stdout.encoding} and cannot show {listed}; "
        "they were replaced; output to a file or a pipe is exact",
        err=True,
    )
    _replaced.clear()


def printable(text: str) -> str:
    """Replace control characters, if standard output is a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return CONTROLS.sub(REPLACEMENT, text) if sys.stdout.isatty() else text


def _is_byte(character: str) -> bool:
    return "\udc80" <= character <= "\udcff"


def _name(character: str) -> str:
    return f"byte 0x{ord(character) - 0xDC00:02X}" if _is_byte(character) else repr(character)


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """Encode an escaped byte as that byte, and replace any other lone surrogate."""
    assert isinstance(error, UnicodeEncodeError)
    parts = [
        bytes([ord(character) - 0xDC00]) if _is_byte(character) else REPLACEMENT.encode()
        for character in error.object[error.start : error.end]
    ]
    return b"".join(parts), error.end


def _shown(error: UnicodeError) -> tuple[str, int]:
    """Replace what a terminal cannot show, and record it for the message at the end."""
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    _replaced.update(dict.fromkeys(characters))
    sign = REPLACEMENT if error.encoding.lower().replace("_", "-") == "utf-8" else "?"
    return sign * len(characters), error.end


codecs.register_error(AS_BYTES, _as_bytes)
codecs.register_error(SHOWN, _shown)
