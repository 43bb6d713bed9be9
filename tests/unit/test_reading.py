"""Reading text: every kind of source, and one clear line for every one that cannot be read."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.text.reading import read_text, source_name

PROSE = topics["assert"] + "“naïve” café — 日本語 🙂\n"

COMPRESS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    ".zst": zstandard.ZstdCompressor().compress,
}


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(*sources: str, encoding: str = "utf-8", as_bytes: bool = False) -> str:
    """The one line that reading `sources` is refused with."""
    with pytest.raises(InputError) as caught:
        read_text(sources, encoding, as_bytes=as_bytes)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- what is read --------------------------------------------------------------------------------


def test_one_file_comes_as_it_is(tmp_path: Path) -> None:
    assert read_text([write(tmp_path / "a.txt", PROSE)]) == PROSE
    assert read_text([write(tmp_path / "b.txt", "no newline at the end")]) == (
        "no newline at the end"
    )


def test_several_documents_each_end_with_a_newline(tmp_path: Path) -> None:
    a, b, c = (
        write(tmp_path / name, text) for name, text in zip("abc", ("1", "2\n", "3"), strict=True)
    )
    assert read_text([c, a, b]) == "3\n1\n2\n"
    assert read_text([b, c]) == "2\n3"


def test_a_folder_is_read_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.txt", "a/2.txt", "a/1.txt", "a-b.txt", ".hidden", ".git/config", "a/.x/y"):
        write(tmp_path / name, f"<{name}>")
    write(tmp_path / "empty.txt", "")
    assert read_text([str(tmp_path)]) == "<a/1.txt>\n<a/2.txt>\n<a-b.txt>\n<b.txt>"


def test_a_folder_passes_over_what_is_no_regular_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "text")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert read_text([str(tmp_path)]) == "text"


def test_globs(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "deep/er/d.txt", ".e.txt"):
        write(tmp_path / name, name)
    assert read_text([f"{tmp_path}/*.txt"]) == "a.txt\nb.txt"
    assert read_text([f"{tmp_path}/**/*.txt"]) == "a.txt\nb.txt\ndeep/er/d.txt"
    assert read_text([f"{tmp_path}/[bc].*"]) == "b.txt\nc.md"
    assert read_text([f"{tmp_path}/**"]) == "a.txt\nb.txt\nc.md\ndeep/er/d.txt"


def test_a_name_that_looks_like_a_glob_is_the_file_of_that_name(tmp_path: Path) -> None:
    write(tmp_path / "a1.txt", "the wrong one")
    assert read_text([write(tmp_path / "a[1].txt", "the right one")]) == "the right one"
    write(tmp_path / "books*" / "x.txt", "in a folder")
    assert read_text([str(tmp_path / "books*")]) == "in a folder"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PROSE.encode())))
    assert read_text(["-"]) == PROSE


def test_a_named_pipe_is_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(PROSE.encode(),))
    writer.start()
    assert read_text([str(pipe)]) == PROSE
    writer.join()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"book.txt{suffix}", COMPRESS[suffix](PROSE.encode()))
    assert read_text([path]) == PROSE
    assert read_text([str(tmp_path)]) == PROSE


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_archives_of_several_members(tmp_path: Path, suffix: str) -> None:
    two = COMPRESS[suffix](b"one, ") + COMPRESS[suffix](b"two")
    assert read_text([write(tmp_path / f"a{suffix}", two)]) == "one, two"


def test_byte_order_marks_and_line_ends(tmp_path: Path) -> None:
    marked = write(tmp_path / "marked.txt", b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    for encoding in ("utf-8", "UTF8", "utf-8-sig"):
        assert read_text([marked], encoding) == "one\ntwo\nthree\n"
    for encoding in ("utf-16", "utf-32"):
        wide = write(tmp_path / encoding, PROSE.encode(encoding))
        assert read_text([wide], encoding) == PROSE
    assert read_text([write(tmp_path / "c", "naïve".encode("cp1252"))], "cp1252") == "naïve"


@given(data=st.binary(min_size=1))
def test_as_bytes_holds_every_byte(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        text = read_text([file.name], "this is not asked", as_bytes=True)
    assert text.encode("utf-8", "surrogateescape") == data


def test_as_bytes_still_decompresses(tmp_path: Path) -> None:
    data = bytes(range(256))
    path = write(tmp_path / "all.gz", gzip.compress(data))
    assert read_text([path], as_bytes=True).encode("utf-8", "surrogateescape") == data


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_text_comes_back(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"." + text.encode())
        file.flush()
        assert read_text([file.name]) == "." + text


def test_a_large_file_is_read_whole(tmp_path: Path) -> None:
    line = "Der Kaffee 🙂 ist fertig\r\n"
    path = write(tmp_path / "large.txt", line * 1_000_000)
    text = read_text([path])
    assert len(text) == 1_000_000 * (len(line) - 1)


# --- what is refused -----------------------------------------------------------------------------


def test_what_is_not_there(tmp_path: Path) -> None:
    assert f"{tmp_path}/no.txt: there is no such file" in refusal(f"{tmp_path}/no.txt")
    assert "/*.txt: there is no file that matches" in refusal(f"{tmp_path}/*.txt")
    assert f"{tmp_path}: there is no file" in refusal(str(tmp_path))
    write(tmp_path / "a", "x")
    assert "cannot be read" in refusal(f"{tmp_path}/a/b")
    assert "there is no text to read" in refusal()
    assert "a text has an empty name; name a file" in refusal("")


def test_what_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full, empty = write(tmp_path / "full.txt", "x"), write(tmp_path / "d" / "empty.txt", "")
    assert f"{empty} is empty" in refusal(empty)
    assert f"{empty} is empty" in refusal(full, empty)
    assert f"{empty} is empty" in refusal(empty, as_bytes=True)
    assert "every file in it is empty" in refusal(str(tmp_path / "d"))
    assert "is empty" in refusal(write(tmp_path / "mark.txt", b"\xef\xbb\xbf"))
    assert "is empty" in refusal(write(tmp_path / "empty.gz", gzip.compress(b"")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert "standard input is empty" in refusal("-")
    monkeypatch.setattr(sys, "stdin", None)
    assert "there is no standard input" in refusal("-")


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """Act as nobody, where the tests run as root, to whom no file is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read() -> None:
    folder = Path(tempfile.mkdtemp())  # not tmp_path: nobody could come near it
    try:
        folder.chmod(0o755)
        closed, locked = folder / "closed.txt", folder / "locked"
        write(closed, "secret")
        write(locked / "in.txt", "secret")
        closed.chmod(0)
        locked.chmod(0)
        with without_privileges():
            assert f"{closed} cannot be read (Permission denied)" in refusal(str(closed))
            assert f"{locked} cannot be read (Permission denied)" in refusal(str(locked))
            assert "in.txt cannot be read (Permission denied)" in refusal(str(locked / "in.txt"))
            assert "cannot be read (Permission denied)" in refusal(str(folder))
    finally:
        locked.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_archives_cut_anywhere_or_never_whole(tmp_path: Path, suffix: str) -> None:
    whole = COMPRESS[suffix](PROSE.encode() * 20)
    draw = random.Random(1)
    for length in [1, len(whole) - 1] + [draw.randrange(2, len(whole)) for _ in range(20)]:
        path = write(tmp_path / f"cut.txt{suffix}", whole[:length])
        assert f"{path} is a damaged or truncated archive" in refusal(path)
    path = write(tmp_path / f"not{suffix}", PROSE)
    assert f"{path} is a damaged or truncated archive" in refusal(path, as_bytes=True)


def test_an_undecodable_byte_is_named_with_its_offset(tmp_path: Path) -> None:
    data = PROSE.encode() + b"caf\xe9 noir"
    offset = len(PROSE.encode()) + 3
    path = write(tmp_path / "latin.txt", data)
    message = refusal(path)
    assert message.startswith(f"{path}: the byte 0xe9 at offset {offset} is not utf-8; try ")
    assert "--encoding cp1252" in message
    assert "--level byte" in message
    archive = write(tmp_path / "latin.txt.xz", lzma.compress(data))
    assert f"offset {offset} is" in refusal(archive)
    marked = write(tmp_path / "marked.txt", b"\xef\xbb\xbfab\xff")
    assert "0xff at offset 5 is" in refusal(marked, encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        ("é\n".encode("utf-16"), "utf-8", "try --encoding utf-16,"),
        ("é\n".encode("utf-32"), "utf-8", "try --encoding utf-32,"),
        ("plain words".encode("utf-16-le"), "utf-8", "try --encoding utf-16-le,"),
        ("plain words".encode("utf-16-be"), "latin-1", "try --encoding utf-16-be,"),
        ("é".encode(), "ascii", "try --encoding utf-8,"),
        (b"\x81", "cp1252", "try --encoding latin-1,"),
        (b"\xff\xfea\0b", "utf-16", "get a whole copy"),
        (b"words\0words", "utf-8", "is binary, not text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "utf-8", "is binary, not text"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "latin-1", "is binary, not text"),
        (bytes(range(1, 256)) * 9, "latin-1", "is binary, not text"),
        (b"words", "no-such", "no text encoding is called 'no-such'"),
        (b"words", "rot13", "no text encoding is called 'rot13'"),
    ],
)
def test_what_is_no_text_in_this_encoding(
    tmp_path: Path, data: bytes, encoding: str, said: str
) -> None:
    message = refusal(write(tmp_path / "file", data), encoding=encoding)
    assert said in message
    if "binary" in said or "utf-16" in said:
        assert "--level byte" in message


# --- a run's name --------------------------------------------------------------------------------


def test_source_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poems.v2").mkdir()
    monkeypatch.chdir(tmp_path / "poems.v2")
    names = {
        ("books/book.txt.gz",): "book",
        ("books/book.txt",): "book",
        ("the.long.book.txt",): "the.long.book",
        (str(tmp_path / "poems.v2"),): "poems.v2",
        (".",): "poems.v2",
        ("books/*.txt",): "books",
        ("books/**/part-[12]/*",): "books",
        ("*.txt",): "poems.v2",
        ("-",): "stdin",
        ("/",): "text",
        ("Été à: l'eau.txt",): "Été-à-l-eau",
        (".hidden",): "hidden",
        ("a.txt", "b.txt", "c.txt"): "a-and-2-more",
        ("x" * 300 + ".txt",): "x" * 60,
    }
    assert {sources: source_name(sources) for sources in names} == names
