"""Write docs/cli.md, which is what every command says of itself; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rondel.cli import cli
from rondel.cli.commands import summaries

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
WIDTH = 96
HEAD = """\
# Every command and flag

What `rondel COMMAND --help` prints. `scripts/cli_reference.py` writes this page.
"""


def render() -> str:
    """The whole page."""
    top = click.Context(cli, info_name="rondel", terminal_width=WIDTH, **cli.context_settings)
    contexts = [top]
    for name in summaries():
        command = cli.get_command(top, name)
        assert command is not None
        contexts.append(click.Context(command, parent=top, info_name=name))
    return "\n".join([HEAD, *map(_section, contexts)])


def _section(context: click.Context) -> str:
    lines = [line.rstrip() for line in context.get_help().splitlines()]
    return "\n".join([f"## {context.command_path}", "", "```text", *lines, "```", ""])


def main() -> None:
    page = render()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8", newline="\n")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        sys.exit("docs/cli.md is behind the commands; run scripts/cli_reference.py")


if __name__ == "__main__":
    main()
