"""A text read in small blocks gives what the same text gives whole, to the token."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from _settings import text_config
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.data.store import PARTS
from rondel.data.text_preparation import PreparedText, prepare_sentences, prepare_text
from rondel.errors import InputError
from rondel.kernels import usable
from rondel.kernels.text import characters
from rondel.settings import TextConfig
from rondel.text import chunk_table, parallel
from rondel.text.cutting import cut_blocks
from rondel.text.parallel import in_order
from rondel.text.reading import read_text
from rondel.text.stored import StoredText, whole_characters
from rondel.text.storing import remove_copies, store_text
from rondel.text.subwords import splitting
from rondel.text.tokenizers import tokenizers, train_on_blocks, train_tokenizer, word, word_blocks

PROSE = "\n".join(topics[name] for name in ("assert", "lambda"))
TEXTS = {
    "prose": PROSE,
    "one line": " ".join(PROSE.split()),
    "unicode": (
        "  “Où est-il?” — dit-elle… naïve e\u0301te\u0301, ΌΔΥΣΣΕΎΣ ΣΑΣ 我们。\t "
        "👩\u200d💻 x\u00a0y\u3000\n\n"
    )
    * 30,
    "space": "a  b\n \n\n\tc \u2028 d\u0085\u0085e " * 60,
    "no space": "abcd" * 300,
}


def in_memory(text: str, config: TextConfig) -> dict[str, Any]:
    """What `prepare_text` gives, by the whole text at once."""
    length, at_word = len(text), tokenizers[config.level].whole_words
    cut = int(round(1 - config.validation_fraction - config.test_fraction, 9) * length)
    if at_word and cut not in (0, length):
        reach = max(100, length // 100)
        for separator in ("\n", " "):
            places = (
                text.find(separator, cut - 1, cut + reach) + 1,
                text.rfind(separator, max(0, cut - reach), cut) + 1,
            )
            found = [place for place in places if 0 < place < length]
            if found:
                cut = found[0]
                break
    is_open = tokenizers[config.level].open_vocabulary
    tokenizer = train_tokenizer(text[:cut] if is_open else text, config)
    parts = {"train": text[:cut], "validation": text[cut:], "test": ""}
    ids = {name: tokenizer.encode(part) for name, part in parts.items()}
    return {
        "state": tokenizer.state(),
        "bounds": {"train": (0, cut), "validation": (cut, length), "test": (length, length)},
        "ids": {name: part.tolist() for name, part in ids.items()},
        "unknown": {name: int((part == tokenizer.unknown_id).sum()) for name, part in ids.items()},
    }


def found_in(prepared: PreparedText) -> dict[str, Any]:
    store = prepared.store
    return {
        "state": prepared.tokenizer.state(),
        "bounds": {name: (split.begin, split.end) for name, split in store.splits.items()},
        "ids": {name: store.tokens(name).tolist() for name in PARTS},
        "unknown": prepared.unknown,
    }


CONFIGS = {
    **{level: {"level": level} for level in tokenizers},
    "ascii": {"level": "char", "charset": "ascii"},
    "lowercase": {"level": "word", "lowercase": True},
    "spaces": {"level": "word", "word_split": "spaces"},
    "tokens": {"level": "word", "word_split": "tokens", "lowercase": True},
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("chosen", CONFIGS.values(), ids=list(CONFIGS))
@pytest.mark.parametrize("compiled", [False, True])
def test_blocks_are_the_whole(
    chosen: dict[str, Any],
    name: str,
    compiled: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if compiled:
        assert usable()
        monkeypatch.setattr(parallel, "COMPILED_FROM", 1)
        monkeypatch.setattr(chunk_table, "CHUNKS", 64)
        monkeypatch.setattr(chunk_table, "CHUNK_BYTES", 400)
        monkeypatch.setattr(word_blocks, "WORDS_IN_MEMORY", 20)
        monkeypatch.setattr("rondel.data.text_preparation.PARALLEL_FROM", 1)
    config = text_config(**{"min_count": 1, **chosen} if chosen["level"] == "word" else chosen)
    expected = in_memory(TEXTS[name], config)
    holds_bytes = tokenizers[config.level].reads_bytes
    for block in (5, 64, 1 << 20):
        text = StoredText.of(TEXTS[name], holds_bytes=holds_bytes, block=block)
        prepared = prepare_text(text, config, 1, train_on_blocks, tmp_path / f"{block}")
        assert found_in(prepared) == expected
        again = prepare_text(
            StoredText.of(TEXTS[name], holds_bytes=holds_bytes),
            config,
            1,
            train_on_blocks,
            tmp_path / f"{block} again",
        )
        assert prepared.excerpts == again.excerpts


@pytest.mark.parametrize("how", ["lines", "prose"])
def test_sentences_in_blocks_are_those_of_the_whole(how: str, tmp_path: Path) -> None:
    config = text_config(
        level="word", sentences=how, max_sentence_length=8, min_count=1, test_fraction=0.2
    )
    for prepare in (prepare_text, prepare_sentences):
        ways = []
        for block in (7, 100, 1 << 20):
            text = StoredText.of(PROSE, block=block)
            folder = tmp_path / f"{prepare.__name__}-{block}"
            prepared = prepare(text, config, 1, train_on_blocks, folder)
            assert [path for path in folder.parent.iterdir() if path.is_file()] == []
            others = (prepared.dropped_sentences, prepared.blank_lines, prepared.excerpts)
            ways.append((found_in(prepared), others, prepared.facts))
        assert ways[0] == ways[1] == ways[2]
        assert ways[0][1][0] > 0
        assert sum(map(len, ways[0][0]["ids"].values())) > 20


def test_words_are_counted_across_files_of_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_blocks, "WORDS_IN_MEMORY", 3)
    counts = word_blocks.WordCounts(str.split)
    words = Counter(PROSE.split())
    for each in PROSE.split():
        counts.add(iter([(each, 1)]))
    expected = sorted((w for w in words if words[w] > 1), key=lambda w: (-words[w], w))
    assert counts.commonest(30, 2, without="the") == [w for w in expected if w != "the"][:30]
    assert counts.has_words
    assert not counts.is_empty


@settings(max_examples=60)
@given(text=st.text(min_size=1), block=st.integers(4, 30))
def test_places_of_a_stored_text(text: str, block: int) -> None:
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    stored = StoredText.of(text, block=block)
    assert b"".join(stored.blocks()).decode("utf-8", "surrogatepass") == text
    middle = len(text) // 2
    assert stored.text(0, middle) + stored.text(middle, len(text) + 9) == text
    place = stored.place_in_bytes(middle)
    assert place == len(text[:middle].encode("utf-8", "surrogatepass"))
    for what in {text[0], text[-1], "q"}:
        assert stored.find(what, middle - 1, len(text)) == text.find(what, max(0, middle - 1))
        assert stored.rfind(what, 0, middle) == text.rfind(what, 0, middle)


@settings(max_examples=60)
@given(data=st.binary(), block=st.integers(4, 9))
def test_any_bytes_are_read_in_blocks(data: bytes, block: int) -> None:
    text = data.decode("utf-8", "surrogateescape")
    stored = StoredText.of(text, holds_bytes=True, block=block)
    assert stored.size == len(data)
    assert b"".join(stored.blocks()) == data
    begin = whole_characters(data)
    assert len(data[:begin].decode("utf-8", "surrogateescape")) <= len(text)


def test_files_are_stored_as_they_are_read(tmp_path: Path) -> None:
    plain, pairs, packed = (tmp_path / name for name in ("a.txt", "b.txt", "c.txt.gz"))
    plain.write_bytes("“naïve” one\ntwo".encode() * 20)
    pairs.write_bytes("\ufeffthree\r\nfour\rfive".encode() * 20)
    packed.write_bytes(gzip.compress("six — sept\n".encode() * 20))
    sources = [str(plain), str(pairs), str(packed), str(plain)]
    for as_bytes, block in itertools.product((False, True), (4, 5, 1 << 22)):
        scratch = tmp_path / "scratch" / f"{as_bytes}-{block}"
        scratch.parent.mkdir(exist_ok=True)
        text = store_text(sources, scratch, as_bytes=as_bytes, block=block)
        expected = read_text(sources, as_bytes=as_bytes)
        assert text.text(0, text.characters) == expected
        assert text.characters == len(expected)
        copied = scratch.read_bytes().decode("utf-8")
        assert "naïve" not in copied
        assert "six" in copied
    assert store_text([str(plain)], tmp_path / "none").text(0, 7) == "“naïve”"
    assert not (tmp_path / "none").exists()


def test_compressed_files_are_read_side_by_side(tmp_path: Path) -> None:
    sources = []
    for number in range(7):
        file = tmp_path / f"{number}.txt{'.gz' if number != 3 else ''}"
        data = (f"naïve {number}\r\nx" * (100 * number + 1)).encode()
        file.write_bytes(gzip.compress(data) if number != 3 else data)
        sources.append(str(file))
    sources.append(sources[0])
    for as_bytes in (False, True):
        text = store_text(sources, tmp_path / "copy", as_bytes=as_bytes, documents="file")
        assert text.text(0, text.characters) == read_text(sources, as_bytes=as_bytes)
        begins = np.fromfile(text.documents, np.int64)
        assert [text.read(place, place + 8)[-1:] for place in begins] == [
            *(str(number).encode() for number in range(7)),
            b"0",
        ]
        remove_copies(tmp_path / "copy")
        assert len(list(tmp_path.iterdir())) == 7
    (tmp_path / "5.txt.gz").write_bytes(b"\x1f\x8brubbish")
    with pytest.raises(InputError, match=r"5\.txt\.gz is a damaged or truncated archive"):
        store_text(sources, tmp_path / "copy")


def test_a_file_that_changes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "growing.txt"
    file.write_text(PROSE)
    text = store_text([str(file)], tmp_path / "scratch")
    file.write_text(PROSE[:100])
    with pytest.raises(InputError, match=r"growing.txt was written to while it was read"):
        text.read(0, text.size)
    file.write_text(PROSE + "more")
    with pytest.raises(InputError, match=r"growing.txt was written to while it was read"):
        prepare_text(text, text_config(), 1, train_on_blocks, tmp_path / "tokens")


def test_blocks_are_cut_where_a_tokenizer_says() -> None:
    tokenizer = train_tokenizer(PROSE, text_config(level="word"))
    text = StoredText.of(PROSE, block=50)
    pieces = list(cut_blocks(text, 0, text.size, tokenizer.cut))
    assert len(pieces) > len(PROSE) / 100
    ids = np.concatenate([tokenizer.encode(piece.decode()) for piece in pieces])
    np.testing.assert_array_equal(ids, tokenizer.encode(PROSE))


def test_threads_keep_the_order_and_their_errors() -> None:
    def make() -> Any:
        return lambda number: 100 // number

    assert list(in_order(make, range(1, 40), 3)) == [100 // n for n in range(1, 40)]
    with pytest.raises(ZeroDivisionError):
        list(in_order(make, [3, 0, 5], 2))


PARTS_OF_TEXTS = st.sampled_from(
    [*" \n\t\r", "  ", "\n\n", "a", "longer", "seven77", "eight888", "x" * 17, "é", "我们", "\x85"]
    + ["\u2028", "\u00a0", "\x1c", "\x01", "\ud800", "“", "!", "~", "\x7f"]
)


@settings(deadline=None, max_examples=300)
@given(parts=st.lists(PARTS_OF_TEXTS, min_size=1, max_size=20))
def test_chunks_are_those_of_the_regular_expressions(parts: list[str]) -> None:
    text = "".join(parts)
    data = text.encode("utf-8", "surrogatepass")
    for way, pattern in (
        ("WORDS", word.CHUNK),
        ("TOKENISED", word.CHUNK_OF_TOKENS),
        ("SUBWORDS", splitting.CHUNK),
    ):
        table = chunk_table.ChunkTable(way, 64)
        numbers, reached = table.numbers(data, 0)
        spelled = list(table.spellings(0))
        assert reached == len(data)
        assert [spelled[i] for i in numbers] == [m.group() for m in pattern.finditer(text)]


@settings(deadline=None, max_examples=300)
@given(
    data=st.lists(st.sampled_from([*map(chr, range(16)), "é", "我", "👩"])).map("".join),
    cut=st.integers(0, 3),
    broken=st.binary(max_size=4),
)
def test_bytes_are_examined_as_python_decodes_them(data: str, cut: int, broken: bytes) -> None:
    examined = np.frombuffer(data.encode()[cut:] + broken + b"later on", np.uint8)
    text = examined.tobytes().decode("utf-8", "surrogateescape")
    is_valid = not any("\ud800" <= character <= "\udfff" for character in text)
    is_plain = "\r" not in text and "\0" not in text
    assert characters.examine(examined) == (len(text), is_valid, is_plain)


@pytest.mark.parametrize("late", ["", "\r\nx\r", "\ufeff", "\0", "\ud800"])
def test_a_long_file_is_stored_as_a_short_one_is_read(late: str, tmp_path: Path) -> None:
    long = "“naïve” one\n" * 120_000 + late + "x" * 5000
    for name, data in (
        ("a.txt", long.encode("utf-8", "surrogatepass")),
        ("b.txt.gz", gzip.compress(long.encode("utf-8", "surrogatepass"), 1)),
    ):
        (tmp_path / name).write_bytes(data)
        found = []
        for read in (
            lambda path: read_text([path]),
            lambda path: (text := store_text([path], tmp_path / "copy")).text(0, text.characters),
        ):
            try:
                found.append(read(str(tmp_path / name)))
            except InputError as error:
                found.append(str(error))
        assert found[0] == found[1]
