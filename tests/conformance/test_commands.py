"""Every command: it is listed in one line, explains itself, and does so without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rondel.cli import cli
from rondel.cli.commands import summaries
from rondel.errors import RondelError

# What `rondel` does, with the modules that it left behind printed as the last line.
RONDEL = """
import json, sys
from rondel.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
every_command = pytest.mark.parametrize("name", summaries())


def modules_after(*arguments: str) -> set[str]:
    """The packages that are imported once `rondel ARGUMENTS` has answered."""
    output = subprocess.run(
        [sys.executable, "-c", RONDEL, *arguments], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]], ids=" ".join)
def test_the_first_answer_imports_nothing_heavy(arguments: list[str]) -> None:
    assert modules_after(*arguments) & {"numpy", "torch", "rich", "requests", "tomlkit"} == set()


@every_command
def test_help_needs_no_torch(name: str) -> None:
    assert "torch" not in modules_after(name, "--help")


@every_command
def test_it_is_listed_with_a_one_line_summary(name: str) -> None:
    summary = summaries()[name]
    assert "\n" not in summary
    assert summary[:1].isupper()
    assert summary.endswith(".")
    width = max(map(len, summaries())) + 2
    assert f"{name:<{width}}{summary}" in CliRunner().invoke(cli, ["--help"]).output


@every_command
def test_an_output_is_replaced_only_if_asked(name: str, tmp_path: Path) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    if "out" not in {option.name for option in command.params}:
        return
    taken = tmp_path / "taken.html"
    taken.write_text("mine", encoding="utf-8")
    arguments = ["no-such-model"] * sum(isinstance(p, click.Argument) for p in command.params)
    for option in command.params:
        if option.required and isinstance(option.type, click.Choice):
            arguments += [option.opts[0], option.type.choices[0]]
    done = CliRunner().invoke(cli, [name, *arguments, "--out", str(taken)])
    assert isinstance(done.exception, RondelError)
    assert str(taken) in str(done.exception)
    assert "--overwrite" in CliRunner().invoke(cli, [name, "--help"]).output
    assert taken.read_text(encoding="utf-8") == "mine"


@every_command
def test_help_explains_every_option(name: str) -> None:
    page = CliRunner().invoke(cli, [name, "-h"], terminal_width=200)
    assert page.exit_code == 0
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name}: {option.opts} has no help"
            assert option.opts[0] in page.output
