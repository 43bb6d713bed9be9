"""`rondel score`: tables as TSV, CSV and JSON Lines, the worst lines, and the summary."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from _runs import rondel, train

import rondel as package
from rondel.errors import InputError

TEXT = 'The cup is full.\nA\tbean, a "spoon".\nqzxj Qzxj \\ 你\n\nThe table'


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    """A small model of a text in lines."""
    folder = tmp_path_factory.mktemp("lines") / "run"
    train(folder, coffee.replace(". ", ".\n"), steps=40, learning_rate=0.02)
    return folder


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def unescaped(cell: str) -> str:
    for written, meant in (("\\\\", "\0"), ("\\t", "\t"), ("\\n", "\n"), ("\0", "\\")):
        cell = cell.replace(written, meant)
    return cell


@pytest.mark.parametrize("by", ["token", "character", "word", "line", "document"])
def test_every_format_holds_the_columns_of_the_api(by: str, trained: Path, text_file: Path) -> None:
    table = package.load(trained).score(TEXT, by=by)
    outputs = {
        how: rondel("score", trained, text_file, "--by", by, "--format", how, "--quiet").stdout
        for how in ("tsv", "csv", "jsonl")
    }
    lines = [line.split("\t") for line in outputs["tsv"].splitlines()]
    tsv = [dict(zip(lines[0], map(unescaped, cells), strict=True)) for cells in lines[1:]]
    found_csv = list(csv.DictReader(io.StringIO(outputs["csv"], newline="")))
    jsonl = [json.loads(line) for line in outputs["jsonl"].split("\n")[:-1]]
    for name, column in table.items():
        expected = column.tolist()
        assert [row[name] for row in jsonl] == (
            expected if column.dtype != float else pytest.approx(expected, rel=1e-8)
        )
        for rows in (tsv, found_csv):
            if column.dtype == object:
                assert [row[name] for row in rows] == expected
            else:
                assert [float(row[name]) for row in rows] == pytest.approx(expected, rel=1e-8)
    assert len(tsv) == len(found_csv) == len(jsonl) == len(table["text"])


def test_an_unscored_token_is_an_empty_cell(trained: Path) -> None:
    done = rondel("score", trained, "-", "--start", "skip", "--quiet", stdin="cup")
    rows = list(csv.DictReader(io.StringIO(done.stdout), delimiter="\t"))
    assert [row["surprisal_bits"] == "" for row in rows] == [True, False, False]
    assert [row["rank"] == "" for row in rows] == [True, False, False]
    done = rondel("score", trained, "-", "--start", "skip", "--format", "jsonl", stdin="cup")
    assert json.loads(done.stdout.splitlines()[0])["rank"] is None
    assert "2 of 3 characters scored" in done.stderr
    assert "the first not scored" in done.stderr


def test_a_summary_is_printed_on_standard_error(trained: Path, text_file: Path) -> None:
    done = rondel("score", trained, text_file, "--unit", "nats", "--reset", "--end")
    total = package.load(trained).score(TEXT, unit="nats", reset=True, end=True)
    assert done.stderr.splitlines() == [
        f"rondel: {len(TEXT) + 1} of {len(TEXT) + 1} characters scored, "
        f"{total['surprisal_nats'].sum():,.2f} nats; the first predicted from a line break at each "
        f"line; a line break at the end scored; {total['unknown'].sum()} unknown characters scored "
        "as '<unk>'"
    ]
    assert "surprisal_nats" in done.stdout.splitlines()[0]


def test_the_worst_lines_have_number_and_text(trained: Path, text_file: Path) -> None:
    table = package.load(trained).score(TEXT, by="line")
    mean = table["surprisal_bits"] / table["tokens"]
    for flags, keys in (((), mean), (("--worst-by", "total"), table["surprisal_bits"])):
        done = rondel("score", trained, text_file, "--worst", 3, *flags, "--quiet")
        names, *lines_of_table = done.stdout.splitlines()
        rows = [
            dict(zip(names.split("\t"), line.split("\t", names.count("\t")), strict=True))
            for line in lines_of_table
        ]
        order = np.argsort(-keys, kind="stable")[:3]
        assert [int(row["line"]) for row in rows] == (order + 1).tolist()
        lines = [TEXT.splitlines()[i] for i in order]
        # Unescaped, even with a tab or backslash in them.
        assert [row["text"] for row in rows] == lines
        found = [float(row["surprisal_bits_per_token"]) for row in rows]
        assert found == pytest.approx(mean[order].tolist())
    assert lines[0].startswith("qzxj")


def test_several_texts_are_separate_documents(trained: Path, text_file: Path) -> None:
    other = text_file.with_name("other.txt")
    other.write_text("The cup", encoding="utf-8")
    done = rondel("score", trained, text_file, other, "--by", "document", "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["document"] for row in rows] == [str(text_file), str(other)]
    model = package.load(trained)
    for row, text in zip(rows, (TEXT, "The cup"), strict=True):
        (alone,) = model.score(text, by="document")["surprisal_bits"]
        assert row["surprisal_bits"] == pytest.approx(alone, rel=1e-6)
    worst = rondel("score", trained, text_file, other, "--worst", "1", "--quiet").stdout
    assert worst.splitlines()[1].startswith(f"{text_file}\t3\t")


def test_bytes_that_are_not_text_are_scored(tmp_path: Path, coffee: str) -> None:
    folder = tmp_path / "run"
    train(folder, coffee, level="byte", steps=2)
    (tmp_path / "data").write_bytes(b"caf\xe9 \xff\xc3\xa9\n")
    done = rondel("score", folder, tmp_path / "data", "--format", "jsonl", "--quiet")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["token"] for row in rows[3:]] == ["0xE9", "0x20", "0xFF", "0xC3", "0xA9", "0x0A"]
    assert [row["begin"] for row in rows[3:]] == [3, 4, 5, 6, 6, 7]
    assert [row["text"] for row in rows[6:8]] == ["é", "é"]
    # Lone surrogates are how Python keeps such bytes, and JSON can tell of them.
    assert [row["text"] for row in rows[3:6]] == ["\udce9", " ", "\udcff"]
    table = rondel("score", folder, tmp_path / "data", "--by", "line", "--quiet").stdout
    assert table.splitlines()[1].split("\t")[4] == r"caf\xe9 \xffé\n"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_positions_are_those_in_the_file(mark: str, trained: Path, tmp_path: Path) -> None:
    written = mark + "The cup\r\nis full.\r\n\rA\n\r\nbean"
    path = tmp_path / "text.txt"
    path.write_bytes(written.encode())
    for by in ("character", "word", "line"):
        done = rondel("score", trained, path, "--by", by, "--format", "jsonl", "--quiet")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        for row in rows:
            original = written[row["begin"] : row["end"]]
            assert original.replace("\r\n", "\n").replace("\r", "\n") == row["text"]
        assert rows[-1]["end"] == len(written)


def test_an_unknown_context_and_a_flag_without_effect_are_reported(
    trained: Path, text_file: Path
) -> None:
    done = rondel("score", trained, text_file, "--context", "你 ", "--quiet")
    assert "the model does not know '你'; read as unknown" in done.stderr
    with pytest.raises(InputError, match="this model is causal and scores as such"):
        rondel("score", trained, text_file, "--causal")


def test_invalid_input_is_refused(trained: Path, text_file: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ((text_file, "--worst", "3", "--by", "word"), "--worst lists lines; leave --by out"),
        ((tmp_path / "none.txt",), "no such file"),
        ((text_file, "--start", "skip", "--context", "The "), "leave the start out"),
    ):
        with pytest.raises(InputError, match=message):
            rondel("score", trained, *arguments)
    with pytest.raises(InputError, match="the model knows no character"):
        rondel("score", trained, "-", stdin="你你\n")
