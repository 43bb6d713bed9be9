"""`rondel --help`, `rondel COMMAND --help`, and the page made of them."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rondel.cli
from rondel.cli import cli
from rondel.cli.commands import summaries

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "scripts" / "cli_reference.py"

# What `rondel` does, with the modules that it left behind printed as the last line.
RONDEL = """
import json, sys
from rondel.cli import main
try:
    main()
finally:
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def modules_after(*arguments: str) -> set[str]:
    """The packages that are imported once `rondel ARGUMENTS` has answered."""
    output = subprocess.run(
        [sys.executable, "-c", RONDEL, *arguments], capture_output=True, text=True, check=True
    ).stdout
    return set(json.loads(output.splitlines()[-1]))


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"]], ids=" ".join)
def test_the_first_answer_imports_nothing_heavy(arguments: list[str]):
    assert modules_after(*arguments) & {"numpy", "torch", "rich", "requests", "tomlkit"} == set()


@pytest.mark.parametrize("name", summaries())
def test_help_of_a_command_needs_no_torch(name: str):
    assert "torch" not in modules_after(name, "--help")


def test_help_lists_every_command_there_is():
    modules = [module.name for module in pkgutil.iter_modules(rondel.cli.__path__)]
    written = [
        name
        for name in modules
        if "command" in vars(__import__(f"rondel.cli.{name}", fromlist=["command"]))
    ]
    assert sorted(written) == sorted(summaries())
    page = CliRunner().invoke(cli, ["--help"])
    assert page.exit_code == 0
    width = max(map(len, summaries())) + 2
    for name, summary in summaries().items():
        assert f"{name:<{width}}{summary}" in page.output


@pytest.mark.parametrize("name", summaries())
def test_help_explains_every_option(name: str):
    page = CliRunner().invoke(cli, [name, "-h"], terminal_width=200)
    assert page.exit_code == 0
    for option in command(name).params:
        if isinstance(option, click.Option):
            assert option.help, f"{name}: {option.opts} has no help"
            assert option.opts[0] in page.output


def test_without_a_command_the_help_is_shown():
    assert "Commands:" in CliRunner().invoke(cli, []).output


def test_an_unknown_command_is_named():
    answer = subprocess.run(
        [sys.executable, "-m", "rondel", "tarin"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert "'tarin'" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_page_of_the_commands_is_current():
    answer = subprocess.run(
        [sys.executable, REFERENCE, "--check"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
