"""Texts that are always here, and one small run of the whole command, trained once a session."""

from __future__ import annotations

import pydoc_data.topics
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from _runs import rondel

from rondel.text.corpora import corpora

# No test depends on how fast the machine is at the moment.
hypothesis.settings.register_profile("any-speed", deadline=None)
hypothesis.settings.load_profile("any-speed")

TRAINED = (
    *("--hidden-size", "32", "--embedding-size", "16", "--batch-size", "8", "--seq-length", "32"),
    *("--steps", "150", "--eval-every", "30", "--learning-rate", "0.02", "--test-fraction", "0.1"),
    *("--threads", "1", "--device", "cpu", "--seed", "7"),
)


@pytest.fixture(scope="session")
def coffee() -> str:
    """About 20,000 characters from the grammar about coffee."""
    return corpora["coffee"].text(size=20_000, seed=1)


@pytest.fixture(scope="session")
def prose() -> str:
    """About 20,000 characters of Python's own documentation."""
    topics = pydoc_data.topics.topics
    return "\n".join(topics[name] for name in sorted(topics))[:20_000]


@pytest.fixture(scope="session")
def coffee_file(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    path = tmp_path_factory.mktemp("texts") / "coffee.txt"
    path.write_text(coffee, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, coffee_file: Path) -> Path:
    """The folder of a run of `rondel train` on `coffee`; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "coffee"
    done = rondel("train", coffee_file, "--out", folder, *TRAINED, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    return folder


@pytest.fixture(scope="session")
def trained_both(tmp_path_factory: pytest.TempPathFactory, coffee_file: Path) -> Path:
    """The same of `rondel train --bidirectional`."""
    folder = tmp_path_factory.mktemp("runs") / "both"
    done = rondel("train", coffee_file, "--bidirectional", "--out", folder, *TRAINED, "--quiet")
    assert (done.exit_code, done.output) == (0, "")
    return folder


@pytest.fixture
def own_run(trained: Path, tmp_path: Path) -> Path:
    """The same, this test's own."""
    return Path(shutil.copytree(trained, tmp_path / "own"))


@pytest.fixture(autouse=True, scope="session")
def _no_compiling_notice() -> Iterator[None]:
    """Suppress the notice in this process, where any test may be the first to compile a kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rondel.kernels.when_compiling", lambda listener: None)
        yield
