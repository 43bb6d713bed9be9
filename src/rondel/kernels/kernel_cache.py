"""Compiled kernels on disk: one file for each function and signature, checked before it is used.

Numba's cache files have no checksum: machine code with a flipped bit runs, and gives wrong numbers
or crashes the process. Here a file that does not match its checksum, or cannot be read for any
other reason, counts as missing: the function is compiled again, and the file is replaced.
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

# Parts of Numba have no types.
numba_config: Any = config
numba_serialize: Any = serialize
FunctionCache: Any = caching.FunctionCache
VERSIONS_KEPT = 3
CHECKSUM_BYTES = hashlib.sha256().digest_size


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, over `KernelFiles`. Assign it to a dispatcher's `_cache`.

    Raises `RuntimeError` if no folder is writable.
    """

    def __init__(self, function: Any) -> None:
        chosen = numba_config.CACHE_DIR
        try:
            # Numba reads it in this call only, so other users of Numba keep their folder.
            numba_config.CACHE_DIR = chosen or str(cache_folder())
            super().__init__(function)
        finally:
            numba_config.CACHE_DIR = chosen
        self._cache_file = KernelFiles(Path(self._cache_path), self._impl.filename_base)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function for a signature; None if it is missing or unusable."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling and linking can raise anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled function; warn if that fails."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_of_no_cache(f"{self._cache_path}: {error.strerror or error}")


class KernelFiles:
    """Cache files of one function: a pickle of key and code, after the SHA-256 of that pickle."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        # Numba's key holds the function's bytecode, but neither its name nor its constants.
        self._compiled_for = (numba.__version__, llvmlite.__version__, sources_checksum(), name)

    def load(self, key: Any) -> Any:
        """Return the code saved for this key; None if its file is missing or damaged."""
        path = self._path(key)
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError:
            return None
        data = content[CHECKSUM_BYTES:]
        if hashlib.sha256(data).digest() != content[:CHECKSUM_BYTES]:
            return None
        found, code = pickle.loads(data)
        # Compare the whole key: the file may have been renamed.
        return code if found == (self._compiled_for, key) else None

    def save(self, key: Any, code: Any) -> None:
        """Write the code for this key, replacing an old file; `OSError` if that fails."""
        path = self._path(key)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        data: bytes = numba_serialize.dumps(((self._compiled_for, key), code))
        write_atomically(path, hashlib.sha256(data).digest() + data)

    def flush(self) -> None:
        """Remove the function's files, for Numba's `recompile`."""
        for path in self._folder.glob(f"{self._name}.*"):
            with suppress(OSError):
                path.unlink()

    def _path(self, key: Any) -> Path:
        short = hashlib.sha256(repr((self._compiled_for, key)).encode()).hexdigest()[:16]
        return self._folder / f"{self._name}.{short}.kernel"


@cache
def warn_of_no_cache(reason: str) -> None:
    """Warn, once for each reason, that kernels are compiled but not cached."""
    warn_of(
        f"compiled kernels cannot be cached on disk ({reason}), so each process compiles them; "
        "make room there, or set NUMBA_CACHE_DIR to another folder",
        SlowerWarning,
    )


@cache
def sources_checksum() -> str:
    """Return a checksum of all kernel sources: a function's code includes what it calls."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Return the folder of compiled kernels, one for each version of their sources."""
    folder = Path(platformdirs.user_cache_dir("rondel")) / "kernels" / sources_checksum()
    with suppress(OSError):
        _remove_old(folder)
    return folder


def _remove_old(folder: Path) -> None:
    """Remove the kernels of other versions, except the latest few, which may be in use."""
    others = [other for other in folder.parent.glob("*") if other != folder]
    others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[VERSIONS_KEPT:]:
        shutil.rmtree(other, ignore_errors=True)
