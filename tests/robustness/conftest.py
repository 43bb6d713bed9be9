from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from _processes import TINY, Refuse, contents, the_one_line

from rondel.cli import main
from rondel.text.corpora import corpora


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 30 KB of text."""
    path = tmp_path_factory.mktemp("text") / "coffee.txt"
    path.write_text(corpora["coffee"].text(size=30_000, seed=1), encoding="utf-8")
    return path


def train_tiny(text: Path, folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rondel", "train", str(text), "--out", str(folder), *TINY])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 0
    return folder


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    return train_tiny(text, tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """Another run, of as many characters, one of them another one; to be read only."""
    folder = tmp_path_factory.mktemp("stranger")
    other = text.read_text(encoding="utf-8").replace("e", "é")
    (folder / "other.txt").write_text(other, encoding="utf-8")
    return train_tiny(folder / "other.txt", folder / "model")


@pytest.fixture
def model(_trained: Path, tmp_path: Path) -> Path:
    """A run of four steps, this test's own."""
    return Path(shutil.copytree(_trained, tmp_path / "model"))


@pytest.fixture
def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refuse:
    """Give a command that must be refused, in `tmp_path`; the line that says why.

    Nothing below `tmp_path` may have come, gone or changed.
    """
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: object) -> str:
        before = contents(tmp_path)
        monkeypatch.setattr(sys, "argv", ["rondel", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert contents(tmp_path) == before
        return the_one_line(capfd.readouterr().err)

    return refused
