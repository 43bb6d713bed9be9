"""A real server, as `rondel serve` starts it, on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from _models import random_model
from _sentence_vae import random_vae

from rondel import artifact
from rondel.settings import ModelConfig
from rondel.text.tokenizers.char import CharTokenizer
from rondel.text.tokenizers.word import WordSettings, WordTokenizer

T = TypeVar("T")

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
PATIENCE = 600
"""Seconds to wait for what has to come: as many as a slow machine may take that does much else."""
ENDLESS = 50_000_000
"""Tokens that no machine writes while a test lasts."""
LET_ENDLESS = ("--max-tokens", ENDLESS, "--request-seconds", 100_000)


@dataclass
class Server:
    """One under way."""

    url: str
    process: subprocess.Popen[str]
    log_file: Path

    @property
    def log(self) -> str:
        """What it said so far."""
        return self.log_file.read_text(encoding="utf-8")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=PATIENCE, **options)

    def complete(self, prompt: Any = "Once ", **settings: Any) -> dict[str, Any]:
        """The answer to a request for text."""
        answer = self.post("/v1/completions", {"prompt": prompt, **settings})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    @contextlib.contextmanager
    def writing(self, **settings: Any) -> Iterator[Iterator[str]]:
        """A text without end that is under way while this is open: the lines of its stream."""
        body = {"prompt": "Once ", "max_tokens": ENDLESS, "stream": True, **settings}
        with httpx.stream(
            "POST", f"{self.url}/v1/completions", json=body, timeout=PATIENCE
        ) as answer:
            assert answer.status_code == 200
            yield filter(None, answer.iter_lines())

    @property
    def under_way(self) -> int:
        """Texts that are written or wait."""
        return int(self.figure("rondel_texts_under_way"))

    def figure(self, name: str) -> float:
        """A figure of /metrics, summed over its labels."""
        lines = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return sum(map(float, lines))


@contextlib.contextmanager
def serving(
    *arguments: str | Path | int,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Server]:
    """`rondel serve` with these arguments; it is killed at the end if it lives."""
    with tempfile.TemporaryDirectory() as scratch:
        log_file = Path(scratch) / "log"
        command = [sys.executable, "-m", "rondel", "serve", *map(str, arguments), "--port", "0"]
        with log_file.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, stderr=log, text=True, env={**os.environ, **(environment or {})}, cwd=cwd
            )
        try:
            yield Server(_address(process, log_file), process, log_file)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str], log_file: Path) -> str:
    def address() -> str | None:
        found = re.search(r" at (http://\S+)", log_file.read_text(encoding="utf-8"))
        return found[1] if found else None

    until(lambda: address() is not None or process.poll() is not None)
    if told := address():
        return told
    raise AssertionError(f"the server did not start: {log_file.read_text(encoding='utf-8')}")


def until(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def run_in_loop(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in a thread: a browser that another test drives has a loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


def write_language_model(
    folder: Path,
    hidden: int = 24,
    layers: int = 2,
    excerpts: tuple[str, ...] = ("Once upon", "It was"),
) -> Path:
    """A model of random weights over ASCII, which writes different characters as a trained one."""
    tokenizer = CharTokenizer("text", CHARACTERS)
    config, weights = random_model(
        "lstm", vocab=tokenizer.vocab_size, layers=layers, hidden=hidden, embedding=16
    )
    return _saved(folder, config, tokenizer, weights, excerpts)


def write_word_model(folder: Path) -> Path:
    """A word model of random weights."""
    text = "the cat and the dog saw, it's said; and\n\n the end " * 2
    tokenizer = WordTokenizer.train(text, WordSettings(vocab_size=20, lowercase=True))
    config, weights = random_model(
        "lstm", vocab=tokenizer.vocab_size, layers=1, hidden=16, embedding=16
    )
    return _saved(folder, config, tokenizer, weights, ("the cat and",))


def write_sentence_vae(folder: Path) -> Path:
    """A sentence VAE of random weights."""
    vae = random_vae()
    return _saved(folder, vae.config, vae.tokenizer, vae.weights, ())


def _saved(
    folder: Path,
    config: ModelConfig,
    tokenizer: Any,
    weights: Mapping[str, np.ndarray],
    excerpts: tuple[str, ...],
) -> Path:
    artifact.save(folder, artifact.Artifact(config, tokenizer, weights, excerpts=excerpts))
    return folder
