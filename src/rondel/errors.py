"""The errors that rondel raises.

::

    RondelError                  anything rondel refuses, in one line that says what to do
    ├── InputError               a text, a corpus or a setting that cannot be used
    │   └── WrongKindError       a method that only models of another kind have
    ├── ModelFolderError         a model folder that is missing, damaged or inconsistent
    ├── NonFiniteLossError       training produced a loss that is not a finite number
    ├── LostProcessError         one of the processes that train together is gone
    └── MissingExtraError        an optional dependency that is not installed

The command line prints the message alone and exits with status 1. In Python all can be caught as
`RondelError`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType


class RondelError(Exception):
    """Base class of rondel's errors; the message is one line and says what to do.

    >>> import rondel
    >>> try:
    ...     model = rondel.load("no-such-model")
    ... except rondel.RondelError as error:
    ...     print(error)
    no-such-model: there is no such folder
    """

    is_reported = False
    """Whether another process that trains with this one prints it."""


class InputError(RondelError):
    """A text, a corpus or a setting that cannot be used as it is.

    >>> import rondel
    >>> rondel.Settings({"hidden_size": 0})
    Traceback (most recent call last):
    rondel.errors.InputError: --hidden-size must be at least 1, not 0
    """


class WrongKindError(InputError, AttributeError):
    """A method was called that only models of another kind have.

    ::

        rondel.load("runs/book", kind=rondel.SentenceVAE)   # a language model's folder
        rondel.load("runs/book").interpolate()
    """


class ModelFolderError(RondelError):
    """A model folder that is missing, damaged, or whose files do not belong together.

    >>> import rondel
    >>> rondel.load("no-such-model")
    Traceback (most recent call last):
    rondel.errors.ModelFolderError: no-such-model: there is no such folder
    """


class NonFiniteLossError(RondelError):
    """Training produced a loss that is not a finite number.

    ::

        rondel.train("book.txt", learning_rate=1e6)
    """


class LostProcessError(RondelError):
    """One of the processes that train together was lost, so the others cannot continue."""


class MissingExtraError(RondelError):
    """An optional dependency that is not installed.

    ::

        rondel.train("book.txt")   # without PyTorch: pip install "rondel[train]"
    """


def reported(error: RondelError) -> RondelError:
    """Mark an error as one that another process prints."""
    error.is_reported = True
    return error


def require(module: str, extra: str) -> ModuleType:
    """Import `module`; raises `MissingExtraError`, naming the extra, if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f'this needs {error.name}, which is not installed: pip install "rondel[{extra}]"'
        ) from None


class SlowerWarning(RuntimeWarning):
    """Something works, but slower than it could."""


def warn_of(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning located at the nearest caller outside rondel."""
    package, level = __name__.partition(".")[0], 1
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
