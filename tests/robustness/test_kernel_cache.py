"""Compiled kernels on disk: a file that is damaged or unreadable is compiled again."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import SlowerWarning
from rondel.kernels import compiling, kernel_cache

Damage = Callable[[Path], object]


def flip(place: int) -> Damage:
    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(bytes(data))

    return damage


def into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def into_link(target: str) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


DAMAGES: dict[str, Damage] = {
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a bit of the checksum flipped": flip(0),
    "a bit in the middle flipped": flip(3000),
    "a bit of the end flipped": flip(-1),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a folder": into_folder,
    "a link to nowhere": into_link("nowhere"),
    "a link to itself": lambda path: into_link(path.name)(path),
    "a device": into_link("/dev/zero"),
}


def twice(x: int) -> int:
    return 2 * x


def thrice(x: int) -> int:
    return 3 * x


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder while this test runs."""
    monkeypatch.setattr(kernel_cache.numba_config, "CACHE_DIR", str(tmp_path))
    kernel_cache.warn_of_no_cache.cache_clear()
    return tmp_path


def hits(function: Callable[[int], int] = twice) -> int:
    """How often a function, compiled as in a new process, was loaded from the cache."""
    kernel: Any = compiling.compiled(function)
    assert kernel(21) == function(21)
    found: int = sum(kernel.stats.cache_hits.values())
    return found


def kept(folder: Path, function: Callable[[int], int] = twice) -> Path:
    (path,) = folder.rglob(f"*{function.__name__}*.kernel")
    return path


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_kernel_is_compiled_again_and_replaced(name: str, folder: Path) -> None:
    assert (hits(), hits()) == (0, 1)
    DAMAGES[name](kept(folder))
    assert (hits(), hits()) == (0, 1)


def test_a_kernel_under_the_name_of_another_is_not_used(folder: Path) -> None:
    hits(twice), hits(thrice)
    shutil.copy(kept(folder, twice), kept(folder, thrice))
    assert (hits(thrice), hits(thrice), hits(twice)) == (0, 1, 1)


def test_a_kernel_of_another_numba_is_compiled_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits()
    old = kept(folder)
    with monkeypatch.context() as patch:
        patch.setattr(kernel_cache.numba, "__version__", "0.0")
        hits()
    (new,) = set(folder.rglob("*.kernel")) - {old}
    shutil.copy(new, old)
    assert (hits(), hits()) == (0, 1)


def test_a_damaged_exported_kernel_is_compiled_again(folder: Path) -> None:
    def export() -> Any:
        @compiling.exported("rondel_test_nothing", 1)
        def nothing(_: int) -> None:
            pass

        return nothing

    assert (export().cache_hits, export().cache_hits) == (0, 1)
    (path,) = folder.rglob("*nothing*.kernel")
    path.write_bytes(b"")
    assert (export().cache_hits, export().cache_hits) == (0, 1)


def test_a_cache_that_cannot_be_written_is_warned_of_once(folder: Path) -> None:
    first, second = (compiling.compiled(function) for function in (twice, thrice))
    (place,) = folder.iterdir()
    place.rmdir()
    place.write_text("in the way")
    with pytest.warns(SlowerWarning, match="cannot be cached .* each process compiles"):
        assert first(21) == 42
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert second(21) == 63
