"""Files and folders are written atomically, and a failure leaves nothing behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rondel.errors import InputError
from rondel.files import new_folder, settle, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.bin", b"one")
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    write_atomically(tmp_path / "a.bin", b"two")
    assert (tmp_path / "a.bin").read_bytes() == b"two"
    assert names(tmp_path) == ["a.bin"]


def test_a_draft_left_by_a_killed_process_does_no_harm(tmp_path: Path) -> None:
    stale, young, other = ".a.bin.0123abcd.draft", ".a.bin.4567abcd.draft", ".b.0123abcd.draft"
    for name in (stale, young, other):
        (tmp_path / name).write_bytes(b"half")
    for name in (stale, other):
        os.utime(tmp_path / name, (0, 0))
    write_atomically(tmp_path / "a.bin", b"whole")
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    # Another process may be writing the young one.
    assert names(tmp_path) == [young, other, "a.bin"]


def test_two_writers_of_a_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    path, contents = tmp_path / "a.bin", [bytes([i]) * 100_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            list(pool.map(lambda content: write_atomically(path, content), contents))
            assert path.read_bytes() in contents
    assert names(tmp_path) == ["a.bin"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (tmp_path / ".folder.old").mkdir()
    (tmp_path / ".folder.old" / "a").write_text("one")
    (tmp_path / ".folder.0123abcd.draft").mkdir()
    settle(path)
    assert (path / "a").read_text() == "one"
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_atomically(tmp_path / "a.bin", b"one")
    if failing == "fsync":
        monkeypatch.setattr("os.fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "a.bin", b"two")
    assert caught.value.filename == str(tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    assert names(tmp_path) == ["a.bin"]


def test_an_error_in_a_missing_folder_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "none" / "a.bin", b"one")
    assert caught.value.filename == str(tmp_path / "none" / "a.bin")
    assert names(tmp_path) == []


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "folder"
    with new_folder(path) as draft:
        (draft / "a").write_text("one")
        assert not path.exists()
    assert (path / "a").read_text() == "one"
    with new_folder(path) as draft:
        (draft / "b").write_text("two")
        assert (path / "a").read_text() == "one"
    assert names(path) == ["b"]
    assert names(path.parent) == ["folder"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("before", [True, False])
def test_a_failed_folder_keeps_the_old_one(
    tmp_path: Path, before: bool, error: type[BaseException]
) -> None:
    path = tmp_path / "folder"
    if before:
        path.mkdir()
        (path / "a").write_text("one")
    with pytest.raises(error), new_folder(path) as draft:  # noqa: PT012
        (draft / "b").write_text("two")
        raise error("no")
    assert names(tmp_path) == (["folder"] if before else [])
    if before:
        assert names(path) == ["a"]


def test_a_failed_last_move_keeps_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "folder", Path.rename
    path.mkdir()
    (path / "a").write_text("one")

    def fail_for_draft(self: Path, target: Path) -> Path:
        if self.name.endswith(".draft"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_draft)
    with pytest.raises(OSError, match="Input/output"), new_folder(path) as draft:
        (draft / "b").write_text("two")
    assert names(tmp_path) == ["folder"]
    assert (path / "a").read_text() == "one"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    refused = pytest.raises(InputError, match=r"run cannot be made .*; name a place")
    with refused, new_folder(tmp_path / "file" / "run"):
        pass
    assert names(tmp_path) == ["file"]
