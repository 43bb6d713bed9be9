"""Files of records, and archives of texts: read as they should be, or refused in one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
from _runs import rondel
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.text.reading import read_text
from rondel.text.record_formats import RecordFormat
from rondel.text.storing import store_text

TEXTS = ["one, “two”\n", 'a "quoted"\nline', "  spaces ", "café 🙂, end"]
READ = 'one, “two”\na "quoted"\nline\n  spaces \ncafé 🙂, end\n'


def stored(path: Path, block: int = 1 << 22, **records: str) -> str:
    """The text of a file as a run reads it, which has to be what `read_text` says."""
    scratch = path.with_name(f"{path.name}-{block}.scratch")
    text = store_text([str(path)], scratch, records=RecordFormat(**records), block=block)
    whole = read_text([str(path)], records=RecordFormat(**records))
    assert text.text(0, text.characters) == whole
    scratch.unlink(missing_ok=True)
    return whole


def refusal(path: Path, **records: str) -> str:
    with pytest.raises(InputError) as refused:
        read_text([str(path)], records=RecordFormat(**records))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def jsonl(path: Path, texts: list[Any], field: str = "text") -> Path:
    lines = "".join(json.dumps({"id": i, field: text}) + "\n" for i, text in enumerate(texts))
    path.write_text(lines, encoding="utf-8")
    return path


def table(path: Path, texts: list[str], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["id", "body"], *[[i, text] for i, text in enumerate(texts)]])
    return path


def test_json_lines(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", TEXTS)
    assert stored(path, field="text") == READ
    assert stored(path, block=5, field="text") == READ
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\n")))
    assert stored(packed, field="text") == READ
    assert '{"id": 0' in stored(path)  # as text, where no field is named


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_delimited_tables(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path / f"a{suffix}", TEXTS, "\t" if suffix == ".tsv" else ",")
    assert stored(path, column="body") == READ
    assert stored(path, block=5, column="body") == READ
    assert csv.field_size_limit() == 131_072


def test_a_field_longer_than_the_reader_of_csv_would_have_it(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", ["word " * 50_000])
    assert stored(path, column="body") == "word " * 50_000 + "\n"


@settings(max_examples=40)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=5))
def test_whatever_csv_writes_comes_back(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = table(tmp_path_factory.mktemp("csv") / "a.csv", [*texts, "end"])
    expected = "".join(text + "\n" for text in [*texts, "end"] if text)
    assert stored(path, column="body") == expected


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_parquet_and_arrow(tmp_path: Path, suffix: str) -> None:
    rows = pyarrow.table({"id": range(6), "body": [*TEXTS, None, ""]})
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(rows, path, row_group_size=2)
    elif suffix == ".feather":
        pyarrow.feather.write_feather(rows, path)
    else:
        with (
            pyarrow.OSFile(str(path), "wb") as sink,
            pyarrow.ipc.new_stream(sink, rows.schema) as to,
        ):
            to.write_table(rows)
    assert stored(path, column="body") == READ
    assert "is a table; say which of its columns is the text with --column" in refusal(path)
    assert "has no column 'text'; it has 'id', 'body': name one" in refusal(path, column="text")
    assert "record 1 has a column 'id' that is not text" in refusal(path, column="id")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"{path}: record 1 cannot be read (" in refusal(path, column="body")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz"])
def test_archives_of_texts(tmp_path: Path, suffix: str) -> None:
    members = {
        "b.txt": b"three\r\nfour",
        "empty.txt": b"",
        "docs/a.txt": "“one”\n".encode() * 9,
        "docs/.hidden": b"no",
        "c.txt.gz": gzip.compress(b"packed"),
    }
    path = tmp_path / f"texts{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w:" if suffix == ".tar" else "w:gz") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    assert stored(path) == "three\nfour\n" + "“one”\n" * 9 + "packed"
    path.write_bytes(path.read_bytes()[:-600] if suffix == ".tar" else path.read_bytes()[:60])
    if suffix != ".tar":  # which may end after any of its files
        assert "is a damaged or truncated archive" in refusal(path)


def test_records_in_an_archive(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", TEXTS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.jsonl")
    assert stored(tmp_path / "a.zip", field="text") == READ
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w"):
        pass
    assert "there is no text in it" in refusal(empty)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"text": "a"}\n{"text": ', "record 2 is not JSON"),
        ('{"text": "a"}\n\n[1]', "record 3 is not an object with fields"),
        ('{"text": "a"}\n{"body": 1, "b": 2}', "record 2 has no field 'text' (it has 'body', 'b')"),
        ('{"text": "a"}\n{"text": 3}', "record 2 has a field 'text' that is not text"),
        ("[" * 100_000, "record 1 is not JSON"),
        ("\n\n", "is empty"),
    ],
)
def test_broken_json_lines(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines)
    assert f"{tmp_path}/a.jsonl" in refusal(tmp_path / "a.jsonl", field="text")
    assert said in refusal(tmp_path / "a.jsonl", field="text")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("id,text\n1,a\n", "has no column 'body'; it has 'id', 'text'"),
        ("id,body\n1,a\n2\n", "record 2 has 1 fields, where the first line has 2"),
        ('id,body\n1,a\n2,"b\n', "record 2 cannot be read as a table"),
        ('id,body\n1,"a"b\n', "record 1 cannot be read as a table"),
        ("", "is empty"),
    ],
)
def test_broken_tables(tmp_path: Path, lines: str, said: str) -> None:
    (tmp_path / "a.csv").write_text(lines)
    if lines:
        assert said in refusal(tmp_path / "a.csv", column="body")
    else:
        assert said in refusal(tmp_path)


def test_a_file_that_has_no_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert "a.txt does not end in .jsonl" in refusal(tmp_path / "a.txt", field="text")
    assert "leave --field and --column out" in refusal(tmp_path / "a.txt", column="text")
    (tmp_path / "a.jsonl").write_text('{"text": "A"}')
    (tmp_path / "a.csv").write_text("text\nA\n")
    assert "its records is the text with --field" in refusal(tmp_path / "a.jsonl", column="text")
    assert "its columns is the text with --column" in refusal(tmp_path / "a.csv", field="text")


def test_documents_are_not_divided_by_records_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no record", encoding="utf-8")
    with pytest.raises(InputError, match=r"a.txt has no records .*--field or --column, or divide"):
        store_text([str(tmp_path / "a.txt")], tmp_path / "copy", documents="record")


def test_a_corpus_of_records_is_that_of_their_texts(tmp_path: Path, coffee: str) -> None:
    texts = [line + "\n" for line in coffee.splitlines() if line]
    jsonl(tmp_path / "a.jsonl", texts, "body")
    (tmp_path / "a.txt").write_text("".join(texts), encoding="utf-8")
    flags = ("--level", "word", "--quiet")
    rondel("prepare", tmp_path / "a.txt", "--out", tmp_path / "one", *flags)
    rondel("prepare", tmp_path / "a.jsonl", "--field", "body", "--out", tmp_path / "two", *flags)
    for part in ("train", "validation"):
        one, two = (tmp_path / out / "tokens" / f"{part}.bin" for out in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
