"""What an export format does: a model as the bytes of one file, or of the files of a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rondel.errors import InputError
from rondel.files import new_folder, write_atomically
from rondel.values import shown

if TYPE_CHECKING:
    from rondel.artifact import Artifact

ALL_PRECISIONS = ("fp32", "fp16", "int8")
Content = bytes | Mapping[str, bytes]
"""One file, or the files of a folder by their paths in it."""


class Exporter(ABC):
    """A format; an instance of each is registered in `rondel.exporters`.

    ::

        content = exporters["html"].content(parts, "poems", "fp16")
        write_export(Path("poems.html"), content)
    """

    help: ClassVar[str]
    """What it writes, for `rondel export --help`."""

    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    """What weights may be stored as; the first, if nothing is said."""

    @abstractmethod
    def content(self, model: Artifact, name: str, precision: str) -> Content:
        """Return what is written of a model, which is shown as `name`.

        Raises `InputError` if the format has no place for such a model.
        """


def export(
    model: Artifact,
    path: Path,
    to: str,
    *,
    name: str,
    precision: str | None = None,
    overwrite: bool = False,
    announce: Callable[[int], None] = lambda size: None,
) -> None:
    """Write a model at `path` in the format called `to`; `announce` gets its bytes before that.

    It is shown as `name`. Raises `InputError` for an unknown format or precision, a model that the
    format has no place for, or something at `path` that would be lost.
    """
    from rondel.exporters import exporters

    exporter = exporters[to]
    chosen = exporter.precisions[0] if precision is None else precision
    if chosen not in exporter.precisions:
        known = ", ".join(exporter.precisions)
        raise InputError(f"{to} stores weights as {known}, not {shown(chosen)}")
    check_place(path, overwrite=overwrite)
    content = exporter.content(model, name, chosen)
    announce(size_of(content))
    write_export(path, content)


def size_of(content: Content) -> int:
    """Return how many bytes an export has."""
    return len(content) if isinstance(content, bytes) else sum(map(len, content.values()))


def check_place(path: Path, *, overwrite: bool) -> None:
    """Raise `InputError` if nothing can be written at `path`, before anything is made."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} is there already; choose another name, or give --overwrite")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path} is in a folder that does not exist; make it, or name another")


def write_export(path: Path, content: Content) -> None:
    """Write a file or folder at once, in place of one that the same format wrote.

    Raises `InputError` if something else would be lost.
    """
    if isinstance(content, bytes):
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file")
        write_atomically(path, content)
        return
    if path.exists():
        _refuse_foreign(path, content)
    with new_folder(path) as draft:
        for name, data in content.items():
            file = draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def _refuse_foreign(path: Path, content: Mapping[str, bytes]) -> None:
    if not path.is_dir():
        raise InputError(f"{path} is a file; name a folder")
    files = (file.relative_to(path) for file in sorted(path.rglob("*")) if not file.is_dir())
    foreign = next((file for file in files if file.as_posix() not in content), None)
    if foreign is not None:
        raise InputError(
            f"{path} holds {str(foreign)!r}, which is of no such export and would be lost; "
            "move it away, or choose another folder"
        )
