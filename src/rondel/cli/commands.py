"""List and load the commands: files of this package, and entry points of other packages.

The first line of a command's file has its name and summary, so that `rondel --help` can list it
without importing it::

    \"""`rondel score`: print the surprisal of each part of a text.\"""

Another package adds a command by an entry point in the group `rondel.commands`.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click

from rondel.plugins import entry_points_of

FIRST_LINE = re.compile(r'"""`rondel ([a-z-]+)`: (.)(.*)"""$')
# The order of the help; other commands come after these.
ORDER = (
    *("train", "prepare", "sample", "reconstruct", "interpolate", "analogy", "latent"),
    *(
        "eval",
        "compare",
        "score",
        "rescore",
        "fill",
        "serve",
        "export",
        "inspect",
        "vectors",
        "show",
    ),
)
GROUP = "rondel.commands"


def summaries() -> dict[str, str]:
    """The commands' summaries by name, in the order of the help."""
    found = {}
    for file in sorted(Path(__file__).parent.glob("*.py")):
        with file.open(encoding="utf-8") as lines:
            match = FIRST_LINE.match(lines.readline().rstrip())
        if match:
            name, initial, rest = match.groups()
            found[name] = initial.upper() + rest
    for entry in entry_points_of(GROUP):
        command = load_command(entry.name)
        if command is not None:
            found.setdefault(entry.name, command.get_short_help_str(limit=100))
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def load_command(name: str) -> click.Command | None:
    """Import one command; None if there is none with that name."""
    if (Path(__file__).parent / f"{name}.py").is_file():
        return getattr(importlib.import_module(f"rondel.cli.{name}"), "command", None)
    for entry in entry_points_of(GROUP):
        if entry.name == name:
            command: click.Command = entry.load()
            return command
    return None
