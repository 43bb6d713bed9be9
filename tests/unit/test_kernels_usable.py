"""Whether compiled kernels are used: not where they fail to compile, or are forbidden."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from rondel import kernels


def test_kernels_that_do_not_compile_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def failing(name: str, *others: Any) -> Any:
        # The arguments of an import: its globals, locals, and the names it is for.
        if name == "rondel.kernels" and "matmul" in (others[2] or ()):
            raise RuntimeError("LLVM cannot do that here")
        return plain(name, *others)

    monkeypatch.setattr(builtins, "__import__", failing)
    assert not kernels.usable.__wrapped__()


def test_kernels_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernels.DISABLING_VARIABLE, "1")
    assert not kernels.usable.__wrapped__()
    monkeypatch.setenv(kernels.DISABLING_VARIABLE, "0")
    assert kernels.usable.__wrapped__()
