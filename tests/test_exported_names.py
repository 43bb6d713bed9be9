"""`import rondel`: what it offers, and what it does not import yet."""

from __future__ import annotations

import importlib.metadata
import inspect
import subprocess
import sys

import pytest

import rondel

IMPORTED = """
import sys
before = set(sys.modules)
import rondel
print(*sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", rondel.__all__)
def test_every_exported_name_is_there_and_documented(name: str):
    thing = getattr(rondel, name)
    if name != "__version__":
        assert inspect.getdoc(thing)


def test_exported_names_are_in_order_and_listed():
    assert rondel.__all__ == sorted(rondel.__all__)
    assert set(rondel.__all__) <= set(dir(rondel))


def test_every_public_part_of_a_model_is_documented():
    for cls in (rondel.LanguageModel, rondel.BidirectionalModel, rondel.SentenceVAE):
        parts = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}
        assert {"sample", "samples", "save", "config"} <= set(parts)
        assert [name for name, part in parts.items() if not inspect.getdoc(part)] == []


def test_errors_are_caught_by_their_base():
    with pytest.raises(rondel.RondelError, match="no-such-model"):
        rondel.load("no-such-model")


def test_import_loads_nothing_but_the_package_itself():
    output = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    ).stdout
    imported = [name for name in output.split() if name.split(".")[0] == "rondel"]
    assert imported == ["rondel"]
    assert {name.split(".")[0] for name in output.split()} <= {"rondel", *sys.stdlib_module_names}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="sampel"):
        _ = rondel.sampel  # type: ignore[attr-defined]


def test_version_is_the_installed_one():
    assert rondel.__version__ == importlib.metadata.version("rondel")
