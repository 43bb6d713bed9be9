"""Subwords: what is learnt, what `tokenizers` says of the same file, and files of others."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
import sentencepiece
from _settings import text_config
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from rondel.errors import InputError, MissingExtraError, ModelFolderError
from rondel.text.subwords import learning
from rondel.text.subwords.learning import ALGORITHMS, count_chunks, scaled
from rondel.text.subwords.splitting import CHUNK
from rondel.text.subwords.tokenizer_files import losses, read_tokenizer
from rondel.text.tokenizers import tokenizer_from_json, train_tokenizer
from rondel.text.tokenizers.base import texts_of
from rondel.text.tokenizers.subword import SubwordTokenizer

PROSE = "\n\n".join(topics[name] for name in ("assert", "calls", "lambda", "try"))
HARD = (
    "  “Où est-il?” — naïve e\u0301te\u0301, don’t!\r\n\tΌΔΥΣΣΕΎΣ 我们,他们。 नमस्ते 👩\u200d💻❤️ "
    "x\u00a0y \x00\x1f\x85 \u2028  \n\n\n   12345 ------------------------------ \n \t z "
)


def trained(algorithm: str = "bpe", vocab_size: int = 600, text: str = PROSE) -> SubwordTokenizer:
    config = text_config(level="subword", subword=algorithm, vocab_size=vocab_size)
    tokenizer = train_tokenizer(text, config)
    assert isinstance(tokenizer, SubwordTokenizer)
    return tokenizer


OWN = {algorithm: trained(algorithm) for algorithm in ALGORITHMS}
every_algorithm = pytest.mark.parametrize("own", OWN.values(), ids=list(OWN))


def loaded(tmp_path: Path, hf: Tokenizer) -> SubwordTokenizer:
    hf.save(str(tmp_path / "tokenizer.json"))
    found = tokenizer_from_json(read_tokenizer(tmp_path))
    assert isinstance(found, SubwordTokenizer)
    return found


@every_algorithm
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=60)
def test_the_file_gives_the_same_ids_elsewhere(own: SubwordTokenizer, text: str) -> None:
    theirs = Tokenizer.from_str(json.dumps(own.state()))
    for one in (text, HARD + text, PROSE[:500] + text):
        ids = own.encode(one)
        assert ids.tolist() == theirs.encode(one).ids
        assert theirs.decode(ids.tolist()) == own.decode(ids) == one
        assert [own.token(i) for i in ids.tolist()] == texts_of_tokens(own, one)


def texts_of_tokens(own: SubwordTokenizer, text: str) -> list[str]:
    """What stands at each token's place, or its bytes where that is part of a character."""
    found = []
    for token_id, (begin, end) in zip(own.encode(text).tolist(), own.spans(text), strict=True):
        name = own.token(token_id)
        found.append(name if name.startswith("0x") else text[begin:end])
    return found


@every_algorithm
def test_a_line_break_is_a_token_of_its_own(own: SubwordTokenizer) -> None:
    (line_break,) = own.encode("\n")
    for text in ("a\nb", " a \n b", ".\n", "\t\n\t", "x\n\udc80\n"):
        assert (own.encode(text) == line_break).sum() == text.count("\n")


@every_algorithm
def test_long_runs_take_no_longer_than_their_length(own: SubwordTokenizer) -> None:
    for text in ("a" * 20_000, "-" * 20_000, " " * 20_000, "\n" * 20_000, "我" * 5_000):
        assert own.decode(own.encode(text)) == text


@every_algorithm
def test_bytes_that_are_no_text_come_back(own: SubwordTokenizer) -> None:
    data = bytes(range(256)) + "é".encode()[:1] + b" caf\xe9 \xff\xfe\n"
    text = data.decode("utf-8", "surrogateescape")
    assert own.decode(own.encode(text)).encode("utf-8", "surrogateescape") == data
    assert own.unknowns(text) == []
    assert own.unknowns("a\ud800b\udfff") == ["\ud800", "\udfff"]


def test_no_half_of_a_character_is_shown() -> None:
    own = OWN["bpe"]
    decoder = own.decoder()
    shown = [decoder.push(int(i)) for i in own.encode("a 👩 b")]
    assert "".join(shown) == "a 👩 b"
    assert all(not any("\ud800" <= c <= "\udfff" for c in piece) for piece in shown)


def test_a_vocabulary_is_no_larger_than_asked_and_the_size_is_checked() -> None:
    for algorithm, own in OWN.items():
        assert 500 < own.vocab_size <= 600, algorithm
        assert own.kept() == {"subword": algorithm, "vocab_size": own.vocab_size}
        with pytest.raises(InputError, match="256 bytes: make it more"):
            trained(algorithm, vocab_size=256)


def test_counts_of_a_long_text_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the cat sat " * 50 + " ".join(f"w{i}" for i in range(400))
    monkeypatch.setattr(learning, "MOST_COUNTED", 100)
    monkeypatch.setattr(learning, "BATCH", 50)
    counts = count_chunks([text])
    assert len(counts) <= 100
    assert counts[" cat"] == 50
    monkeypatch.setattr(learning, "MOST_LEARNT_FROM", 15)
    assert sum(scaled(counts).values()) <= 15
    assert scaled(counts)[" cat"] > 0


@given(st.text(st.sampled_from("aZ .,'’\n\t\r\x1c\x85\u2028é1👩"), max_size=30))
@settings(max_examples=200)
def test_what_a_chunk_is_split_into_depends_on_nothing_around_it(text: str) -> None:
    theirs = Tokenizer.from_str(json.dumps(OWN["unigram"].state()))
    chunks = CHUNK.findall(text)
    assert "".join(chunks) == text
    assert [i for chunk in chunks for i in theirs.encode(chunk).ids] == theirs.encode(text).ids


def gpt2_like() -> Tokenizer:
    hf = Tokenizer(models.BPE())
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    hf.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>"],
    )
    hf.train_from_iterator([PROSE], trainer)
    hf.enable_truncation(7)
    hf.enable_padding(length=9)
    return hf


def bert_like() -> Tokenizer:
    hf = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    hf.normalizer = normalizers.BertNormalizer(lowercase=True)
    hf.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    hf.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=500, show_progress=False, special_tokens=special)
    hf.train_from_iterator([PROSE], trainer)
    hf.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return hf


def llama_like() -> Tokenizer:
    hf = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    hf.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    hf.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=special)
    words = pre_tokenizers.Split(Regex("▁"), "merged_with_next")
    hf.pre_tokenizer = words
    hf.train_from_iterator([PROSE], trainer)
    state = json.loads(hf.to_str())
    # As such files have them: no words, and bytes that are not looked for in a text.
    return Tokenizer.from_str(json.dumps({**state, "pre_tokenizer": None, "added_tokens": []}))


@pytest.mark.parametrize("make", [gpt2_like, llama_like])
def test_tokenizers_of_others_lose_nothing(tmp_path: Path, make: Any) -> None:
    hf = make()
    found = loaded(tmp_path, hf)
    assert losses(found) == []
    assert found.unknown_id is None
    hf.no_truncation()
    hf.no_padding()
    for text in (PROSE, HARD, "", " x", "\n", "naïve 👩\u200d💻"):
        ids = found.encode(text)
        assert ids.tolist() == hf.encode(text, add_special_tokens=False).ids
        assert Tokenizer.from_str(json.dumps(found.state())).encode(text).ids == ids.tolist()
        assert found.decode(ids) == hf.decode(ids.tolist(), skip_special_tokens=False) == text
        assert "".join(texts_of(text, found.spans(text))) == text


def test_a_tokenizer_that_loses_something_says_what(tmp_path: Path) -> None:
    hf = bert_like()
    found = loaded(tmp_path, hf)
    lost = losses(found)
    assert {"capital letters", "several spaces", "tabs", "line breaks"} <= set(lost)
    assert found.unknown_id == 0
    text = "Assert THE calls,\n\n  of ☃ lambdas"
    ids, spans = found.encode(text), found.spans(text)
    assert ids.tolist() == hf.encode(text, add_special_tokens=False).ids
    assert len(spans) == len(ids)
    assert (spans[:, 0] < spans[:, 1]).all()
    assert (np.diff(spans, axis=0) >= 0).all()
    assert found.unknowns(text) == ["☃"]
    assert found.decode(found.encode("the calls, of")) == "the calls, of"


def test_a_text_is_cut_where_a_tokenizer_of_others_allows_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, gpt2_like())
    cut = found.cut(PROSE, 3000)
    assert cut is not None
    assert 2500 < cut.end <= 3000
    both = np.concatenate([found.encode(PROSE[: cut.end]), found.encode(PROSE[cut.begin :])])
    np.testing.assert_array_equal(both, found.encode(PROSE))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byte_fallback": True, "normalization_rule_name": "identity", "character_coverage": 0.99}
        | {"remove_extra_whitespaces": False},
        {"add_dummy_prefix": False, "byte_fallback": True},
    ],
    ids=["usual", "exact", "no-prefix"],
)
def test_a_sentencepiece_model_gives_its_own_tokens(
    tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE.splitlines()),
        model_writer=written,
        model_type=kind,
        vocab_size=600,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    (tmp_path / "spiece.model").write_bytes(written.getvalue())
    theirs = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    found = tokenizer_from_json(read_tokenizer(tmp_path))
    assert (losses(found) == []) == ("normalization_rule_name" in options)
    for text in (PROSE, HARD.replace("\x00", ""), " lead", "trail ", "two  spaces", "", "☃"):
        assert found.encode(text).tolist() == theirs.encode(text)
    text = "the value of the\n\n expression"
    assert found.decode(found.encode(text)) == theirs.decode(theirs.encode(text))
    assert "".join(texts_of(text, found.spans(text))) == text


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("tokenizer.json", b"{", "is no tokenizer.json"),
        ("tokenizer.json", b'{"model": 3}', "has no vocabulary"),
        ("tokenizer.json", b'{"model": {"type": "WordLevel", "vocab": {}}}', "kind 'WordLevel'"),
        ("tokenizer.json", b"", "neither a tokenizer.json nor a SentencePiece model"),
        ("a.model", b"nonsense", "neither a tokenizer.json nor a SentencePiece model"),
        ("book.txt", b"", "there is no tokenizer.json and no"),
    ],
)
def test_what_is_no_tokenizer_is_refused(
    tmp_path: Path, name: str, data: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=complaint):
        read_tokenizer(tmp_path)


def test_a_damaged_vocabulary_is_refused() -> None:
    state = json.loads(json.dumps(OWN["wordpiece"].state()))
    state["model"]["vocab"]["the"] = 4_000_000_000
    with pytest.raises(ModelFolderError, match="it has a token 4000000000"):
        tokenizer_from_json(state)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    state = OWN["bpe"].state()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rondel\[subword\]"'):
        tokenizer_from_json(state)
    with pytest.raises(MissingExtraError, match=r'pip install "rondel\[subword\]"'):
        trained("unigram")


def test_a_tokenizer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        read_tokenizer(tmp_path / "missing.json")
