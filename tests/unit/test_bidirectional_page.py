"""What docs/bidirectional.md says to type is typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from _runs import rondel

PAGE = (Path(__file__).parents[2] / "docs" / "bidirectional.md").read_text(encoding="utf-8")


def blocks(language: str) -> str:
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.S | re.M))


@pytest.fixture
def desk(tmp_path: Path, trained_both: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a book, a letter, and the model that the page speaks of."""
    book = "The cup is full, and the coffee is hot.\n" * 80
    (tmp_path / "book.txt").write_text(book, encoding="utf-8")
    (tmp_path / "letter.txt").write_text(book[:200], encoding="utf-8")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "both").symlink_to(trained_both)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(desk: Path) -> None:
    lines = [shlex.split(line)[1:] for line in blocks("sh").splitlines()]
    assert {line[0] for line in lines} == {"train", "fill", "eval", "score", "sample"}
    for line in lines:
        if line[0] == "train":
            line[line.index("--out") + 1] = "runs/other"
            line += ["--minutes", "0.01", "--hidden-size", "8", "--seq-length", "16"]
        done = rondel(*line)
        assert done.exit_code == 0
        assert done.stdout.strip()
    assert (desk / "runs" / "other" / "model.json").is_file()


def test_the_python(desk: Path) -> None:
    names: dict[str, object] = {}
    exec("import rondel\n" + blocks("python"), names)
    text = "The bank of the river."
    embedded = names["embedded"]
    shapes = [getattr(embedded, name).shape for name in ("forward", "backward")]
    assert shapes == [(len(text), 32)] * 2
    shapes = [getattr(embedded, name).shape for name in ("word_forward", "word_backward")]
    assert shapes == [(5, 32)] * 2
    assert embedded.by_word().shape == (5, 64)  # type: ignore[attr-defined]
    assert embedded.words == ["The", "bank", "of", "the", "river."]  # type: ignore[attr-defined]
