"""Documents: where they begin, and that neither a window nor the state goes past an end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

import rondel as package
from rondel.data.batches import PADDING, Cursor
from rondel.data.document_batches import Order, document_batches, document_steps
from rondel.data.documents import Documents
from rondel.data.sources import source_of
from rondel.data.store import PARTS
from rondel.errors import InputError
from rondel.kinds import kind_of
from rondel.text.storing import store_text
from rondel.training.loop import fit
from rondel.training.run import Run
from rondel.training.start import begin, configure, resume


def documents_of(lengths: list[int]) -> Documents:
    """Documents of so many tokens, which are 100 times a document's number and then its places."""
    parts = [100 * number + np.arange(length) for number, length in enumerate(lengths)]
    begins = np.cumsum([0, *lengths])[:-1]
    return Documents(np.concatenate([*parts, np.empty(0, int)]), begins)


def read_by(documents: Documents, batch_size: int, seq_length: int, seed: int | None) -> Counter:
    """The pairs of tokens (before, after) of one pass; windows stay within a document."""
    steps = document_steps(documents, batch_size, seq_length)
    stream = document_batches(documents, batch_size, seq_length, Cursor(), seed)
    pairs: Counter = Counter()
    last: list[Any] = [None] * batch_size
    for _ in range(steps):
        batch, cursor = next(stream)
        fresh_B = np.broadcast_to(batch.fresh, batch_size)
        for b in range(batch_size):
            for t in range(len(batch.inputs)):
                if batch.targets[t, b] == PADDING:
                    assert (batch.targets[t:, b] == PADDING).all()
                    break
                before, after = int(batch.inputs[t, b]), int(batch.targets[t, b])
                assert after == before + 1
                if before % 100 == 0:
                    assert fresh_B[b]
                elif t == 0 and not fresh_B[b]:
                    assert before == last[b]  # the state has read what comes before
                pairs[before, after] += 1
                last[b] = after
    assert cursor == Cursor(1, 0)
    return pairs


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    batch_size=st.integers(1, 5),
    seq_length=st.integers(1, 9),
    seed=st.none() | st.integers(0, 9),
)
def test_a_pass_reads_every_pair_of_every_document_once(
    lengths: list[int], batch_size: int, seq_length: int, seed: int | None
) -> None:
    documents = documents_of(lengths)
    if not documents.all_chunks(seq_length):
        return
    pairs = read_by(documents, batch_size, seq_length, seed)
    expected = [(100 * d + i, 100 * d + i + 1) for d, n in enumerate(lengths) for i in range(n - 1)]
    assert pairs == Counter(expected)


@pytest.mark.parametrize("seed", [None, 3])
def test_batches_go_on_from_any_cursor(seed: int | None) -> None:
    documents = documents_of([5, 9, 2, 30, 1, 7, 12])
    stream = document_batches(documents, 3, 4, Cursor(), seed)
    cursor, seen = Cursor(), []
    for _ in range(3 * document_steps(documents, 3, 4)):
        batch, following = next(stream)
        again, _ = next(document_batches(documents, 3, 4, cursor, seed))
        np.testing.assert_array_equal(again.inputs, batch.inputs)
        np.testing.assert_array_equal(again.targets, batch.targets)
        np.testing.assert_array_equal(again.fresh, batch.fresh)
        seen.append(batch.inputs[0].tolist())
        cursor = following
    passes = np.array_split(np.array(seen), 3)
    assert (passes[0].tolist() == passes[1].tolist()) is (seed is None)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 64, 1000])
def test_a_shuffled_order_is_an_order(count: int) -> None:
    orders = [Order(count, (1, epoch))(np.arange(count)).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert Order(count, (1, 0))(np.arange(count)).tolist() == orders[0]
    if count > 60:
        assert orders[0] != orders[1] != list(range(count))
        moved = np.abs(np.array(orders[0]) - np.arange(count))
        assert moved.mean() > count / 6  # a third, were it drawn


DOCUMENTS = ["One “a”.\nTwo.\n", "x\n", "\tThree\n", "Four five six seven.\n" * 9, "Eight\n"] * 4


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_documents_begin_where_files_records_or_paragraphs_do(level: str, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number, text in enumerate(DOCUMENTS):
        (files / f"{number:02}.txt").write_text(text, encoding="utf-8")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in DOCUMENTS)
    (tmp_path / "records.jsonl").write_text(lines)
    (tmp_path / "paragraphs.txt").write_text("\n \n\n".join(DOCUMENTS), encoding="utf-8")
    sources: dict[str, tuple[Path, dict[str, str]]] = {
        "file": (files, {}),
        "record": (tmp_path / "records.jsonl", {"field": "text"}),
        "blank-line": (tmp_path / "paragraphs.txt", {}),
    }
    for by, (source, others) in sources.items():
        made = package.prepare(
            source, tmp_path / by, documents=by, level=level, validation_fraction=0.3, **others
        )
        found = []
        for name in PARTS:
            begins = made.store.document_begins(name)
            parts = np.split(made.store.tokens(name), begins[1:]) if len(begins) else []
            found += [made.tokenizer.decode(part.tolist()) for part in parts]
        assert made.store.documents is not None
        assert made.store.documents["validation"] > 1
        texts = found if by != "blank-line" else [text.rstrip() for text in found]
        expected = [made.tokenizer.decode(made.tokenizer.encode(text)) for text in DOCUMENTS]
        assert texts == (expected if by != "blank-line" else [text.rstrip() for text in expected])


def test_paragraphs_are_found_in_blocks_of_any_size(tmp_path: Path) -> None:
    text = "a\nb\n\n\nc\n \t\n  d\n\n" * 5
    (tmp_path / "a.txt").write_text(text)
    ways = []
    for block in (4, 7, 1 << 20):
        scratch = tmp_path / f"{block}"
        stored = store_text([str(tmp_path / "a.txt")], scratch, documents="blank-line", block=block)
        assert stored.documents is not None
        ways.append(np.fromfile(stored.documents, np.int64).tolist())
    assert ways[0] == ways[1] == ways[2]
    assert [text[i : i + 3] for i in ways[0][:4]] == ["a\nb", "c\n ", "  d", "a\nb"]


def run_on(folder: Path, source: Path, **settings: Any) -> Run:
    read = source_of([str(source)])
    return begin(read, configure({**SMALL, **settings}, source=read), folder)


@pytest.fixture
def paragraphs(tmp_path: Path, coffee: str) -> Path:
    path = tmp_path / "paragraphs.txt"
    lines = coffee.splitlines()
    path.write_text("\n\n".join("\n".join(lines[i : i + 3]) for i in range(0, len(lines), 3)))
    return path


def test_a_run_on_documents_goes_on_to_the_same_bits(paragraphs: Path, tmp_path: Path) -> None:
    settings = {
        "documents": "blank-line",
        "shuffle_documents": True,
        "eval_every": 3,
        "schedule": "constant",
    }
    whole = run_on(tmp_path / "whole", paragraphs, steps=6, **settings)
    fit(whole)
    fit(run_on(tmp_path / "half", paragraphs, steps=3, **settings))
    half = resume(tmp_path / "half", {"steps": 6})
    fit(half)
    for name, array in whole.learner.weights().items():
        np.testing.assert_array_equal(half.learner.weights()[name], array)
    assert whole.validation_loss() == half.validation_loss()


def test_validation_reads_each_document_from_its_beginning(
    paragraphs: Path, tmp_path: Path
) -> None:
    run = run_on(tmp_path / "run", paragraphs, documents="blank-line", steps=4)
    fit(run)
    model = package.load(run.folder)
    documents = Documents.of(run.store, "validation")
    assert documents is not None
    parts = np.split(documents.tokens, documents.begins[1:])
    nats = [model.evaluate_tokens(part, len(part)).nats for part in parts if len(part) > 1]
    count = sum(len(part) - 1 for part in parts)
    assert run.validation_loss() == pytest.approx(sum(nats) / count, rel=1e-4)
    figures = model.evaluate(package.RunSplit("validation"))
    assert figures.nats_per_token == pytest.approx(sum(nats) / count, rel=1e-6)
    assert figures.tokens == count
    assert kind_of(model.config).reads_documents


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shuffle_documents": True}, "has no effect without --documents"),
        ({"documents": "file", "model": "sentence-vae"}, "--documents is for language models"),
        ({"documents": "file", "backend": "numpy"}, "--documents is for language models"),
        (
            {"documents": "file", "level": "word", "max_sentence_length": 9},
            "--documents and --max-sentence-length cannot be combined",
        ),
        ({"documents": "page"}, "--documents"),
    ],
)
def test_what_cannot_go_together_is_refused(
    settings: dict[str, Any], message: str, coffee_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        run_on(tmp_path / "run", coffee_file, **settings)
