"""`rondel --help`, `rondel COMMAND --help`, and the page made of them."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

import rondel.cli
from rondel.cli import cli
from rondel.cli.commands import summaries

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "scripts" / "cli_reference.py"


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
