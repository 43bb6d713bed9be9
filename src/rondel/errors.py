"""What can go wrong, as a tree.

::

    RondelError                  anything rondel refuses, in one line that says what to do
    ├── InputError               a text, a corpus or a setting that cannot be used
    │   └── WrongKindError       what only models of another kind have
    ├── ModelFolderError         a model folder that is missing, damaged or does not match itself
    ├── NonFiniteLossError       training produced a loss that is not a number
    └── MissingExtraError        a part of rondel that was not installed

The command line prints the message alone and exits with status 1; in Python they are ordinary
exceptions, and every one can be caught as `RondelError`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType


class RondelError(Exception):
    """Base of every error raised on purpose; its text is one line and says what to do.

    >>> import rondel
    >>> try:
    ...     model = rondel.load("no-such-model")
    ... except rondel.RondelError as error:
    ...     print(error)
    no-such-model: there is no such folder
    """


class InputError(RondelError):
    """A text, a corpus or a setting that cannot be used as it is.

    >>> import rondel
    >>> rondel.Settings({"hidden_size": 0})
    Traceback (most recent call last):
    rondel.errors.InputError: --hidden-size must be at least 1, not 0
    """


class WrongKindError(InputError, AttributeError):
    """A model was asked for what only models of another kind have.

    ::

        rondel.load("runs/book", kind=rondel.SentenceVAE)   # a language model's folder
        rondel.load("runs/book").interpolate()
    """


class ModelFolderError(RondelError):
    """A model folder that is missing, damaged, or whose parts do not belong together.

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


class MissingExtraError(RondelError):
    """A part of rondel that this installation left out.

    ::

        rondel.train("book.txt")   # without PyTorch: pip install "rondel[train]"
    """


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or say which extra of rondel brings it.

    Raises `MissingExtraError` if the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f'this needs {error.name}, which is not installed: pip install "rondel[{extra}]"'
        ) from None


class SlowerWarning(RuntimeWarning):
    """Something is done, and in a slower way than it could be."""


def warn_of(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, naming the nearest line that is not rondel's own: that of whoever called it."""
    package, level = __name__.partition(".")[0], 1
    frame = sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
