"""One server for all tests that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from _serving import (
    LET_ENDLESS,
    Server,
    serving,
    write_language_model,
    write_sentence_vae,
    write_word_model,
)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small language model."""
    return write_language_model(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that takes some seconds for some thousand characters."""
    return write_language_model(tmp_path_factory.mktemp("served") / "slow", hidden=768)


@pytest.fixture(scope="session")
def walker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sentence VAE."""
    return write_sentence_vae(tmp_path_factory.mktemp("served") / "walker")


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small word model."""
    return write_word_model(tmp_path_factory.mktemp("served") / "words")


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small model whose training text had lines."""
    return write_language_model(tmp_path_factory.mktemp("served") / "lines", excerpts=("\n",))


@pytest.fixture(scope="session")
def server(tiny: Path, walker: Path, slow: Path, words: Path, lines: Path) -> Iterator[Server]:
    """All of them under way, without a key."""
    with serving(tiny, walker, slow, words, lines) as started:
        yield started


@pytest.fixture(scope="session")
def endless(slow: Path) -> Iterator[Server]:
    """A server of the slow model that goes on with a text as long as a client listens."""
    with serving(slow, *LET_ENDLESS) as started:
        yield started
