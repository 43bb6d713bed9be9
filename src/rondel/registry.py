"""Registries of components by name: cells, sampling rules, tokenizers …

A registry belongs to a package. The first look-up imports every module of that package, and each
module registers what it defines, so that a new component is one new file. Other distributions add
to it with an entry point in the group named `rondel.` and the package's last name, such as
`rondel.cells`, that names a module which registers in the same way.
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
    """A mapping from name to component, filled from the modules of one package.

    `noun` names a component in error messages; iteration is sorted by name.
    """

    def __init__(self, noun: str, package: str) -> None:
        self.noun = noun
        self._package = package
        self.group = f"rondel.{package.rpartition('.')[2]}"
        self._components: dict[str, T] = {}
        self._loaded = False
        self._lock = threading.RLock()

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers its argument as `name`; `ValueError` if it is taken."""

        def add(component: T) -> T:
            if name in self._components:
                raise ValueError(f"two things are registered as {self.noun} {name!r}")
            self._components[name] = component
            return component

        return add

    def __getitem__(self, name: str) -> T:
        self._load()
        try:
            return self._components[name]
        except (KeyError, TypeError):  # a damaged file may have a list as the name
            known = ", ".join(sorted(self._components))
            raise InputError(f"no {self.noun} is called {name!r}; there are: {known}") from None

    def __contains__(self, name: object) -> bool:
        self._load()
        return isinstance(name, str) and name in self._components

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._components))

    def __len__(self) -> int:
        self._load()
        return len(self._components)

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
                except Exception as error:  # other packages may fail in any way
                    warn_of(f"the {self.noun} of {entry.value} cannot be loaded: {error}")
            self._loaded = True


def registry_at(place: str) -> Registry[Any]:
    """The registry at "package:name"."""
    package, name = place.split(":")
    registry: Registry[Any] = getattr(importlib.import_module(package), name)
    return registry


class Part:
    """A part of a component that is code of another room: by import path, imported when used.

    ::

        learner = Part("rondel.training.torch_learner:build_learner")
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, component: object, owner: type) -> Any:
        module, name = self.place.split(":")
        return getattr(importlib.import_module(module), name)
