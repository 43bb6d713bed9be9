"""Whether compiled kernels are used, and what the user sees about it."""

from __future__ import annotations

import builtins
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rondel import kernels
from rondel.errors import SlowerWarning


def test_kernels_that_do_not_compile_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def failing(name: str, *others: Any) -> Any:
        # The arguments of an import: its globals, locals, and the names it is for.
        if name == "rondel.kernels.simd" and "matmul" in (others[2] or ()):
            raise RuntimeError("LLVM cannot do that here")
        return plain(name, *others)

    monkeypatch.setattr(builtins, "__import__", failing)
    with pytest.warns(SlowerWarning, match="no compiled kernels.*: LLVM cannot do that here"):
        assert kernels.why_unusable.__wrapped__() == "LLVM cannot do that here"


def test_kernels_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.DISABLING_VARIABLE, "1")
    assert "NO_KERNELS is set" in kernels.why_unusable.__wrapped__()
    monkeypatch.setenv(kernels.DISABLING_VARIABLE, "0")
    assert kernels.why_unusable.__wrapped__() is None


def test_without_numba_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.warns(SlowerWarning, match="numba is not installed: pip install numba"):
        kernels.why_unusable.__wrapped__()


@pytest.mark.parametrize(
    "command", [["score", "MODEL", "TEXT"], ["compare", "MODEL", "--on", "TEXT", "--no-baseline"]]
)
def test_a_notice_explains_why_the_first_use_takes_long(
    command: list[str], trained: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The cup is hot.\n", encoding="utf-8")
    places = {"MODEL": str(trained), "TEXT": str(text)}
    with subprocess.Popen(
        [sys.executable, "-m", "rondel", *(places.get(word, word) for word in command)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        notice = process.stderr.readline()
        process.kill()  # before it compiles
    assert notice.startswith("rondel: compiling for this processor, once")
