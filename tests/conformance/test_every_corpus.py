"""Every registered corpus: what it says of itself, and that what is here needs no network."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import InputError
from rondel.text.corpora import corpora
from rondel.text.corpora.base import Download

every_corpus = pytest.mark.parametrize("name", corpora)


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was fetched before, and nothing can be fetched now."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("there is no network here")

    monkeypatch.setenv("RONDEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RONDEL_CORPORA_MIRROR", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@every_corpus
def test_what_it_says_of_itself(name: str) -> None:
    corpus = corpora[name]
    assert corpus.name == name
    for words in (corpus.description, corpus.licence):
        assert words.strip() == words != ""
        assert "\n" not in words
    if isinstance(corpus, Download):
        assert corpus.size > 10_000
        assert re.fullmatch("[0-9a-f]{64}", corpus.sha256)
        assert corpus.address.startswith("https://")
    else:
        assert corpus.size
        assert (corpus.address, corpus.sha256) == (None, None)


@every_corpus
def test_its_text_is_here_or_the_reason_is_one_line(name: str) -> None:
    corpus = corpora[name]
    if not corpus.is_here():
        with pytest.raises(InputError, match=f"^cannot fetch the corpus {name}: [^\n]*$"):
            corpus.text()
        assert not corpus.is_here()
        return
    corpus.fetch()
    text = corpus.text()
    assert text == corpus.text(seed=1)
    assert len(text) > 10_000
    assert len(set(text)) > 10
    text.encode("utf-8")


@every_corpus
def test_a_part_of_it_is_its_beginning(name: str) -> None:
    corpus = corpora[name]
    with pytest.raises(InputError, match="at least 1 character, not 0"):
        corpus.text(0)
    if corpus.is_here():
        part = corpus.text(2_000)
        assert 0 < len(part) <= 2_000
        assert corpus.text().startswith(part.rstrip("\n"))
