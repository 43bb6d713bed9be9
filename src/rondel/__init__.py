"""rondel: train recurrent language models on your own text, and put them to work.

>>> import rondel                                            # doctest: +SKIP
>>> model = rondel.train("book.txt", minutes=2)              # doctest: +SKIP
>>> print(model.sample("The ", length=300))                  # doctest: +SKIP
>>> model.save("runs/book")                                  # doctest: +SKIP
>>> model = rondel.load("runs/book")                         # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rondel.api import Model, load
    from rondel.errors import RondelError
    from rondel.training_api import resume, train

__version__ = "0.1.0"
__all__ = ["Model", "RondelError", "__version__", "load", "resume", "train"]

_HOMES = {
    "Model": "rondel.api",
    "RondelError": "rondel.errors",
    "load": "rondel.api",
    "resume": "rondel.training_api",
    "train": "rondel.training_api",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: `import rondel` alone costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rondel' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, imported or not, for whoever looks around."""
    return sorted({*globals(), *__all__})
