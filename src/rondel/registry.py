"""Names to things: how a cell, a rule or a tokenizer is found once its file exists.

A registry owns a package. The first look-up imports every module of that package, and each module
registers what it defines, so that an addition is one new file and nothing else to edit. Another
distribution adds to it by an entry point in the group `rondel.` and the package's last name, such
as `rondel.cells`, which names a module that registers in the same way.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from rondel.errors import InputError, warn_of
from rondel.plugins import entry_points_of

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A mapping from name to registered thing, filled from the modules of one package.

    `noun` is what a thing is called in an error; iteration is in order of name.
    """

    def __init__(self, noun: str, package: str) -> None:
        self.noun = noun
        self._package = package
        self.group = f"rondel.{package.rpartition('.')[2]}"
        self._things: dict[str, T] = {}
        self._loaded = False
        self._lock = threading.RLock()

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under `name`; a name may be taken once."""

        def file_it(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"two things are registered as {self.noun} {name!r}")
            self._things[name] = thing
            return thing

        return file_it

    def __getitem__(self, name: str) -> T:
        self._load()
        try:
            return self._things[name]
        except (KeyError, TypeError):  # a damaged file may name it by a list
            known = ", ".join(sorted(self._things))
            raise InputError(f"no {self.noun} is called {name!r}; there are: {known}") from None

    def __contains__(self, name: object) -> bool:
        self._load()
        return isinstance(name, str) and name in self._things

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._things))

    def __len__(self) -> int:
        self._load()
        return len(self._things)

    def _load(self) -> None:
        with self._lock:
            if self._loaded:
                return
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
            for entry in entry_points_of(self.group):
                try:
                    entry.load()
                except Exception as error:  # another's code may fail in any way
                    warn_of(f"the {self.noun} of {entry.value} cannot be loaded: {error}")
            self._loaded = True


def registry_at(place: str) -> Registry[Any]:
    """The registry at "package:name"."""
    package, name = place.split(":")
    registry: Registry[Any] = getattr(importlib.import_module(package), name)
    return registry
