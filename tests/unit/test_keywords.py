"""Keyword arguments as a type checker sees them are those that there are."""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import pytest

from rondel.settings import all_settings
from rondel.settings.keywords import ResumeKeywords, RunKeywords
from rondel.training.run import CHANGEABLE

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".mypy_cache"


def test_every_setting_of_a_run_is_a_keyword() -> None:
    own = {
        name: setting.type
        for name, setting in all_settings().items()
        if setting.field.metadata["flag"]
    }
    hints = typing.get_type_hints(RunKeywords)
    assert {name: typing.get_args(hint)[0] for name, hint in hints.items()} == own


def test_what_a_resumed_run_may_change_is_a_keyword() -> None:
    assert set(ResumeKeywords.__annotations__) == set(CHANGEABLE)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        ('rondel.train("book.txt", hidden_size=3, minutes=2)', ""),
        ('rondel.train("book.txt", hiden_size=3)', 'Unexpected keyword argument "hiden_size"'),
        ('rondel.train("book.txt", hidden_size="3")', "incompatible type"),
        ('rondel.resume("run", minuts=3)', 'Unexpected keyword argument "minuts"'),
    ],
)
def test_a_type_checker_knows_the_keywords(call: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(f"import rondel\n\n{call}\n", encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", CACHE, tmp_path / "user.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (complaint in answer.stdout) if complaint else answer.returncode == 0, answer.stdout
