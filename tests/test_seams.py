"""Components are asked for what they do, never for their names: see CONTRIBUTING, "To add"."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rondel
from rondel.cells import cells
from rondel.kinds import kinds
from rondel.softmaxes import softmaxes
from rondel.text.tokenizers import tokenizers
from rondel.training.optimizers import optimizers
from rondel.training.schedules import schedules

SOURCE = Path(rondel.__file__).parent
# Where each of them is at home, and what their names are compared with elsewhere.
HOMES = {
    "model": (kinds, "kinds"),
    "level": (tokenizers, "text/tokenizers"),
    "cell": (cells, "cells"),
    "optimizer": (optimizers, "training/optimizers"),
    "softmax": (softmaxes, "softmaxes"),
    "schedule": (schedules, "training/schedules"),
}
KIND_CLASSES = tuple(type(kind).__name__ for kind in kinds.values())


def words_of(node: ast.expr) -> Iterator[str]:
    """The names, the attributes and the strings of an expression."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def comparisons(tree: ast.AST) -> Iterator[tuple[int, set[str]]]:
    """Each comparison: its line and the words of both sides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            words = {word for side in (node.left, *node.comparators) for word in words_of(side)}
            yield node.lineno, words


@pytest.mark.parametrize("selector", HOMES)
def test_no_other_room_compares_a_components_name(selector: str) -> None:
    registry, home = HOMES[selector]
    asked = [
        f"{file.relative_to(SOURCE)}:{line}"
        for file in SOURCE.rglob("*.py")
        if not file.is_relative_to(SOURCE / home)
        for line, words in comparisons(ast.parse(file.read_text(encoding="utf-8")))
        if selector in words and words & set(registry)
    ]
    assert asked == []


def test_no_room_asks_what_kind_a_model_is() -> None:
    asked = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("isinstance", "issubclass")
        and any(word.startswith(KIND_CLASSES) for word in words_of(node.args[1]))
    ]
    assert asked == []
