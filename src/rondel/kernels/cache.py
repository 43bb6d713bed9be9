"""Compiled kernels on disk: one file for each function and signature, checked before it is used.

Numba's own files carry no sum: machine code with a bit flipped runs, and gives wrong numbers or
ends the process. Here a file that does not match its sum, or cannot be read for any other reason,
counts as missing, and what is compiled anew takes its place.
"""

from __future__ import annotations

import hashlib
import pickle
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import platformdirs
from numba.core import caching, config, serialize

from rondel.errors import SlowerWarning, warn_of
from rondel.files import write_atomically

# Not all of Numba is typed.
numba_config: Any = config
numba_serialize: Any = serialize
FunctionCache: Any = caching.FunctionCache
VERSIONS_KEPT = 3
SUM_BYTES = hashlib.sha256().digest_size


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, on files of our own. Give it to a dispatcher as `_cache`.

    Raises `RuntimeError` if there is no folder that can be written.
    """

    def __init__(self, function: Any) -> None:
        chosen = numba_config.CACHE_DIR
        try:
            # Read by Numba here and now only: other users of Numba in this process keep their
            # folder.
            numba_config.CACHE_DIR = chosen or str(cache_folder())
            super().__init__(function)
        finally:
            numba_config.CACHE_DIR = chosen
        self._cache_file = KernelFiles(Path(self._cache_path), self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature; None if it is not there or cannot be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling and linking fail in ways of their own
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function; if that cannot be done, say so and go on without."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            tell_of_no_cache(f"{self._cache_path}: {error.strerror or error}")


class KernelFiles:
    """The files of one function: the SHA-256 of what follows it, then a pickle of key and code."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        # Numba's key has the bytecode of the function, and neither its name nor its constants.
        self._made_for = (numba.__version__, llvmlite.__version__, sources_sum(), name)

    def load(self, key: Any) -> Any:
        """What `save` was given for this key; None if there is no such file, or not as it was."""
        path = self._path(key)
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError:
            return None
        data = content[SUM_BYTES:]
        if hashlib.sha256(data).digest() != content[:SUM_BYTES]:
            return None
        found, code = pickle.loads(data)
        # The whole key, so that a file under another's name is not taken for it.
        return code if found == (self._made_for, key) else None

    def save(self, key: Any, code: Any) -> None:
        """Put a file in the place of whatever is there; `OSError` if that cannot be done."""
        path = self._path(key)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        data: bytes = numba_serialize.dumps(((self._made_for, key), code))
        write_atomically(path, hashlib.sha256(data).digest() + data)

    def flush(self) -> None:
        """Forget everything, as Numba's `recompile` asks."""
        for path in self._folder.glob(f"{self._name}.*"):
            with suppress(OSError):
                path.unlink()

    def _path(self, key: Any) -> Path:
        short = hashlib.sha256(repr((self._made_for, key)).encode()).hexdigest()[:16]
        return self._folder / f"{self._name}.{short}.kernel"


@cache
def tell_of_no_cache(reason: str) -> None:
    """Warn, once for each reason, that kernels are compiled but not kept."""
    warn_of(
        f"compiled kernels cannot be kept ({reason}), so they are compiled anew each time; make "
        "room there, or name another folder in NUMBA_CACHE_DIR",
        SlowerWarning,
    )


@cache
def sources_sum() -> str:
    """The sum of all that is compiled: a function's code holds that of those it calls."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: one folder for each version of their sources."""
    folder = Path(platformdirs.user_cache_dir("rondel")) / "kernels" / sources_sum()
    with suppress(OSError):
        _remove_old(folder)
    return folder


def _remove_old(folder: Path) -> None:
    """Remove what other versions compiled, but for the latest few, which may be in use."""
    others = [other for other in folder.parent.glob("*") if other != folder]
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[VERSIONS_KEPT:]:
        shutil.rmtree(other, ignore_errors=True)
