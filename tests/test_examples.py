"""Public classes show how they are called: an example in each docstring, run where it can be."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import rondel

ROOT = Path(__file__).parents[1]
PAGES = (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))
DOTTED = re.compile(r"\b(rondel(?:\.[a-z_]+)+)\.([A-Z]\w+)")
IMPORTED = re.compile(r"^\s*from (rondel[\w.]*) import (.+)", re.MULTILINE)


def public_classes() -> list[type]:
    """What `rondel` exports, and what the docs and the docstrings of that name or import."""
    found = {("rondel", name) for name in rondel.__all__}
    for text in (*texts_of_exported_classes(), *(p.read_text(encoding="utf-8") for p in PAGES)):
        found.update(DOTTED.findall(text))
        for module, names in IMPORTED.findall(text):
            found.update((module, name) for name in re.findall(r"\w+", names))
    things = {getattr(importlib.import_module(module), name, None) for module, name in found}
    return sorted(filter(inspect.isclass, things), key=lambda cls: f"{cls.__module__}.{cls}")


def texts_of_exported_classes() -> list[str]:
    classes = filter(inspect.isclass, (getattr(rondel, name) for name in rondel.__all__))
    return [inspect.getdoc(part) or "" for cls in classes for _, part in inspect.getmembers(cls)]


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__qualname__)
def test_a_public_class_has_an_example_that_holds(cls: type) -> None:
    text = inspect.getdoc(cls) or ""
    assert "::\n" in text or ">>>" in text, f"show in {cls.__module__} how {cls.__name__} is called"
    names = vars(importlib.import_module(cls.__module__))
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for test in doctest.DocTestFinder(recurse=False).find(cls, globs=dict(names)):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
