"""A text in blocks of any size has the figures of the whole, and a stopped scoring goes on."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _models import random_model
from _runs import rondel, train
from _settings import text_config

import rondel as package
from rondel import LanguageModel
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.cli import score_output
from rondel.errors import InputError
from rondel.evaluation.cache import Cache
from rondel.evaluation.framing import Framing
from rondel.evaluation.grouping import UNITS
from rondel.evaluation.score_points import point_from_json, point_to_json
from rondel.evaluation.score_rows import Columns, joined, object_array
from rondel.evaluation.scoring import START, ScoringSettings, score_texts
from rondel.text.stored import StoredText
from rondel.text.tokenizers import tokenizers, train_tokenizer

TEXT = (
    "  \n The cup is full, and (so they say) “hot”!\n\nWell-known beans;\tblue café — \n"
    "the cup, the cup: is é\u0301 3.14 ...\n   And then?"
) * 2 + "\n\n\n"
STARTS = ("newline", "skip")
FRAMINGS = (Framing("newline"), Framing("skip"), Framing(end=True), Framing(context="The cup "))


def make_model(level: str) -> LanguageModel:
    tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
    shape, weights = random_model("lstm", layers=2, vocab=tokenizer.vocab_size, embedding=8, seed=3)
    model = model_of(Artifact(shape, tokenizer, weights))
    assert isinstance(model, LanguageModel)
    return model


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the sizes of blocks, windows, passes, and of texts that are kept for a row."""

    def set_sizes(block: int, passes: int = 256) -> None:
        places = {"block_reading.WINDOW": 1 + block // 6, "score_rows.LONG": 3 * block}
        for module in ("scoring", "evaluate", "token_blocks", "text_sources", "score_rows"):
            places[f"{module}.BLOCK"] = block
        for module in ("batch_reading", "cloze"):
            places[f"{module}.LONGEST_PASS"] = passes
        for place, size in places.items():
            monkeypatch.setattr(f"rondel.evaluation.{place}", size)

    return set_sizes


def assert_same(found: Columns, expected: Columns, tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, column in expected.items():
        if column.dtype == float and tolerance:
            np.testing.assert_allclose(found[name], column, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize("level", list(tokenizers))
def test_blocks_of_any_size_give_the_rows_of_the_whole(level: str, tiny_blocks: Any) -> None:
    model = make_model(level)
    larger = len(model.tokenizer.encode("The")) < 3
    units = [by for by in UNITS if by != "character" or not larger]
    cases = itertools.product(units, (False, True), FRAMINGS)
    for by, reset, framing in itertools.islice(cases, 0, None, 3):
        settings = ScoringSettings(by, "nats", reset, framing)
        tiny_blocks(1 << 16, passes=5)
        (whole,) = model.score_many([TEXT], settings)
        for block in (4, 61):
            tiny_blocks(block, passes=5)
            (found,) = model.score_many([TEXT], settings)
            # Lines are read several together, which are others: that is rounding.
            assert_same(found, whole, 1e-5 if reset else 0)


@pytest.mark.parametrize("level", list(tokenizers))
def test_blocks_of_any_size_give_the_figures_of_the_whole(level: str, tiny_blocks: Any) -> None:
    model = make_model(level)
    ids = model.tokenizer.encode(TEXT)

    def figures() -> list[dict[str, Any]]:
        cached = model.evaluate(TEXT, cache=Cache(window=20))
        of_ids = model.evaluate_tokens(ids, len(TEXT))
        return [found.to_json() for found in (model.evaluate(TEXT), cached, of_ids)]

    whole = figures()
    for block in (4, 61):
        tiny_blocks(block)
        assert figures() == whole


def test_both_sides_see_a_text_in_blocks_as_a_whole(
    trained_both: Path, tiny_blocks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = package.load(trained_both, kind=package.BidirectionalModel)
    text = TEXT * 3
    monkeypatch.setattr("rondel.evaluation.cloze.SMALLEST_GROUP", 3)
    settings = [ScoringSettings(by, framing=Framing(c)) for by in ("token", "word") for c in STARTS]
    tiny_blocks(1 << 16, passes=7)
    whole = [model.score_many([text], one)[0] for one in settings], model.evaluate_cloze(text)
    tiny_blocks(50, passes=7)
    for one, expected in zip(settings, whole[0], strict=True):
        assert_same(model.score_many([text], one)[0], expected, 0)
    assert model.evaluate_cloze(text) == whole[1]


def parts_of(
    model: LanguageModel, texts: list[StoredText], settings: ScoringSettings, point: Any = START
) -> list[Any]:
    make = model.score_reader(settings)
    return list(score_texts(make, model.tokenizer, texts, settings, point=point))


@pytest.mark.parametrize("level", ["char", "byte", "word", "subword"])
@pytest.mark.parametrize("by", ["token", "word", "line", "document"])
@pytest.mark.parametrize("reset", [False, True])
def test_scoring_goes_on_from_any_point(level: str, by: str, reset: bool, tiny_blocks: Any) -> None:
    tiny_blocks(48, passes=4)
    model = make_model(level)
    texts = [StoredText.of(text, block=48) for text in (TEXT, "A cup.", "x" * 300 + "\ny\n")]
    settings = ScoringSettings(by, reset=reset)
    parts = parts_of(model, texts, settings)
    points = [number for number, part in enumerate(parts) if part.point is not None]
    assert len(points) > 3
    for number in points:
        point = point_from_json(json.loads(json.dumps(point_to_json(parts[number].point))))
        after = joined([part.table for part in parts_of(model, texts, settings, point)])
        expected = joined([part.table for part in parts[number + 1 :]])
        assert_same(with_strings(after), with_strings(expected), 0)


def with_strings(table: Columns) -> Columns:
    return {**table, "text": object_array(list(map(str, table["text"])))} if table else {}


def test_both_sides_go_on_from_any_point(trained_both: Path, tiny_blocks: Any) -> None:
    tiny_blocks(48, passes=4)
    model = package.load(trained_both, kind=package.BidirectionalModel)
    texts, settings = [StoredText.of(TEXT, block=48)], ScoringSettings("token")
    parts = parts_of(model, texts, settings)
    for number, part in enumerate(parts):
        if part.point is not None:
            after = parts_of(model, texts, settings, part.point)
            found = joined([later.table for later in after])
            expected = joined([later.table for later in parts[number + 1 :]])
            assert_same(found, expected, 0)


@pytest.fixture(scope="module")
def lines_model(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    folder = tmp_path_factory.mktemp("model") / "run"
    train(folder, coffee, steps=2, hidden_size=8)
    return folder


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.replace("\n", "\r\n").encode())
    return path


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("flags", [(), ("--by", "line", "--format", "csv"), ("--reset",)])
def test_a_stopped_file_ends_with_the_same_bytes(
    flags: tuple[str, ...],
    lines_model: Path,
    text_file: Path,
    tiny_blocks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_blocks(40, passes=8)
    whole, stopped = text_file.with_name("whole"), text_file.with_name("stopped")
    command = ("score", lines_model, text_file, *flags)
    done = rondel(*command, "--out", whole)
    assert rondel(*command, "--quiet").stdout_bytes == whole.read_bytes()
    write, marks = score_output.FileOutput.write, 0

    def write_and_stop(output: Any, pieces: Any) -> None:
        nonlocal marks
        marks += 1
        write(output, pieces)
        if marks % 3 == 0:
            write(output, [b"half a li"])
            raise Stop

    monkeypatch.setattr(score_output.FileOutput, "write", write_and_stop)
    with pytest.raises(Stop):
        rondel(*command, "--out", stopped)
    for _ in range(100):
        assert whole.read_bytes().startswith(stopped.read_bytes())
        assert stopped.read_bytes()[-1:] in (b"", b"\n")
        try:
            last = rondel(*command, "--resume-from", stopped)
        except Stop:
            continue
        break
    assert stopped.read_bytes() == whole.read_bytes()
    assert last.stderr == done.stderr
    assert not score_output.state_of(stopped).exists()


def test_what_cannot_be_gone_on_with_is_refused(
    lines_model: Path, text_file: Path, tiny_blocks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_blocks(40, passes=8)
    out, other = text_file.with_name("out"), text_file.with_name("other.txt")
    other.write_text(TEXT + "more", encoding="utf-8")
    write = score_output.FileOutput.write

    def write_and_stop(output: Any, pieces: Any) -> None:
        if output._size:
            raise Stop
        write(output, pieces)

    monkeypatch.setattr(score_output.FileOutput, "write", write_and_stop)
    with pytest.raises(Stop):
        rondel("score", lines_model, text_file, "--out", out)
    monkeypatch.setattr(score_output.FileOutput, "write", write)
    again = ("--resume-from", out)
    for arguments, message in (
        ((text_file, "--out", out), "is unfinished: go on with --resume-from"),
        ((other, *again), "was begun with another text"),
        ((text_file, "--unit", "nats", *again), "was begun with other options"),
        ((text_file, "--worst", "3", *again), "--worst writes nothing before its end"),
        ((text_file, "--resume-from", text_file.with_name("no")), "no such file to go on with"),
    ):
        with pytest.raises(InputError, match=message):
            rondel("score", lines_model, *arguments)
    data = out.read_bytes()
    out.write_bytes(data.replace(b"1", b"2", 1))
    with pytest.raises(InputError, match="was changed after it was written"):
        rondel("score", lines_model, text_file, *again)
    out.write_bytes(data)
    state = score_output.state_of(out)
    saved = state.read_bytes()
    state.write_bytes(saved[:-9])
    with pytest.raises(InputError, match="is damaged; score anew"):
        rondel("score", lines_model, text_file, *again)
    state.write_bytes(saved)
    rondel("score", lines_model, text_file, *again)
    with pytest.raises(InputError, match="is finished, or was moved away"):
        rondel("score", lines_model, text_file, *again)
    with pytest.raises(InputError, match="is there already"):
        rondel("score", lines_model, text_file, "--out", out)


def test_documents_are_scored_and_evaluated_each_from_its_beginning(
    lines_model: Path, tmp_path: Path, tiny_blocks: Any
) -> None:
    texts = ["The cup.\nIs full\n", "A\n", TEXT, "The bean\n"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    path = tmp_path / "records.jsonl"
    path.write_text(lines)
    files = package.TextFiles(path, field="text", documents="record")
    model = package.load(lines_model, kind=LanguageModel)
    texts = [text if text.endswith("\n") else text + "\n" for text in texts]
    for block in (1 << 16, 64):
        tiny_blocks(block)
        for by in ("token", "line", "document"):
            settings = ScoringSettings(by, framing=Framing("skip"))
            found = joined(list(model.score_files(files, settings)))
            expected, begin, line = [], 0, 0
            for number, text in enumerate(texts, 1):
                (table,) = model.score_many([text], settings) if len(text) > 1 else ({},)
                own = dict(table)
                own["begin"], own["end"] = own["begin"] + begin, own["end"] + begin
                own["line"] = own["line"] + line
                expected.append({"number": np.full(len(own["line"]), number), **own})
                begin, line = begin + len(text), line + text.count("\n")
            assert_same(found, joined(expected), 1e-5)
        figures = model.evaluate(files)
        alone = [model.evaluate(text) for text in texts]
        assert figures.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)
        for name in ("tokens", "words", "characters", "unknown"):
            assert getattr(figures, name) == sum(getattr(one, name) for one in alone)
    done = rondel("eval", lines_model, path, "--field", "text", "--documents", "record", "--json")
    assert json.loads(done.stdout) == pytest.approx(figures.to_json(), rel=1e-6)
    flags = ("--field", "text", "--documents", "record", "--by", "document", "--format", "jsonl")
    rows = rondel("score", lines_model, path, *flags).stdout.splitlines()
    assert [json.loads(row)["number"] for row in rows] == [1, 2, 3, 4]
    text_file = tmp_path / "a.txt"
    text_file.write_text("The cup")
    with pytest.raises(InputError, match="has no records for --documents record"):
        rondel("score", lines_model, text_file, "--documents", "record")


def test_a_text_is_read_in_every_form_that_training_reads(
    lines_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (tmp_path / "a.csv").write_text('body\n"The cup\nis full"\n', encoding="utf-8")
    plain = package.load(lines_model).evaluate(TEXT).to_json()
    done = rondel("eval", lines_model, tmp_path / "a.txt.gz", "--json")
    assert json.loads(done.stdout) == plain
    done = rondel("score", lines_model, tmp_path / "a.csv", "--column", "body", "--by", "line")
    assert [row.split("\t")[4] for row in done.stdout.splitlines()[1:]] == [
        "The cup\\n",
        "is full\\n",
    ]


def test_a_killed_process_leaves_whole_lines(lines_model: Path, tmp_path: Path) -> None:
    """SIGTERM, as a batch system sends it, to a process of its own."""
    text, out = tmp_path / "long.txt", tmp_path / "out.tsv"
    text.write_text("The cup is full.\n" * 60_000, encoding="utf-8")
    arguments = ["score", str(lines_model), str(text), "--by", "line", "--quiet"]
    command = [sys.executable, "-m", "rondel", *arguments]
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE) as process:
        while not out.exists() or out.stat().st_size < 1000:
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 1
    assert b"is unfinished; the same command goes on with --resume-from" in said
    assert out.read_bytes()[-1:] in (b"", b"\n")
    rondel(*arguments, "--resume-from", out)
    assert out.read_bytes().count(b"\n") == 60_001
    rows = out.read_text(encoding="utf-8").splitlines()[1:]
    assert [int(row.split("\t")[0]) for row in rows] == list(range(1, 60_001))
