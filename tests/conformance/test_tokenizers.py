"""What every registered tokenizer must do, under every setting."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
from _settings import text_config
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InputError, ModelFolderError
from rondel.settings import TextConfig
from rondel.settings.fields import settings_of, types_of
from rondel.text.tokenizers import (
    Tokenizer,
    tokenizer_from_json,
    tokenizer_settings,
    tokenizer_to_json,
    tokenizers,
    train_tokenizer,
)
from rondel.text.tokenizers.base import texts_of

PROSE = "\n\n".join(topics[name] for name in ("assert", "calls", "lambda", "try"))
UNICODE = (
    "  “Où est-il?” — dit-elle… naïve e\u0301te\u0301, don’t!\r\n"
    "\tΌΔΥΣΣΕΎΣ 我们,他们。 नमस्ते दुनिया 👩\u200d💻❤️ x\u00a0y ￭ ￭￭a\n\n\n   <unk> 3.14 -- ...\n "
)
PARTS = (*"aZ .,'\n\n\t\r 1", "  ", " a", "don’t", "the", "\n\n", "\r\n", "ΌΔΟΣ", "Σ", "e\u0301")
SIZES = {"vocab_size": 300, "min_count": 1}


def variants(level: str) -> Iterator[dict[str, Any]]:
    """Settings to try: every choice and switch of the tokenizer's own, in every combination."""
    cls = tokenizers[level].settings
    values = {}
    for name, field in settings_of(cls).items():
        if types_of(cls)[name] is bool:
            values[name] = [False, True]
        elif field.metadata["choices"]:
            values[name] = list(field.metadata["choices"])
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))
    if any(name in settings_of(cls) for name in SIZES):
        yield dict(SIZES)


def named(level: str, chosen: dict[str, Any]) -> str:
    return "-".join(map(str, (level, *chosen.values())))


CONFIGS = {
    named(level, chosen): text_config(level=level, **{"min_count": 1, **chosen})
    for level in tokenizers
    for chosen in variants(level)
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))


def normal(text: str, config: TextConfig) -> str:
    """What the settings keep of a text."""
    if config.own.get("word_split") == "tokens":
        text = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return text.lower() if config.own.get("lowercase") else text


def is_closed(config: TextConfig) -> bool:
    """Whether there is no other token than the tokenizer has from the beginning."""
    return config.own.get("charset") == "ascii"


def pushed(tokenizer: Tokenizer, ids: Any) -> str:
    decoder = tokenizer.decoder()
    return "".join([decoder.push(int(i)) for i in ids] + [decoder.finish()])


@every_config
@pytest.mark.parametrize("text", [PROSE, UNICODE + "\u0130I \u1e9e", "", "\ud800\udc80 a", "x"])
def test_every_token_stands_where_its_span_says(config: TextConfig, text: str) -> None:
    tokenizer = train_tokenizer(PROSE + UNICODE, config)
    ids, spans = tokenizer.encode(text), tokenizer.spans(text)
    assert (spans.shape, spans.dtype) == ((len(ids), 2), np.int64)
    covered = np.zeros(len(text), int)
    for token_id, (begin, end) in zip(ids.tolist(), spans.tolist(), strict=True):
        assert 0 <= begin < end <= len(text)
        covered[begin:end] += 1
        if not tokenizer.splits_characters and token_id != tokenizer.unknown_id:
            alone = tokenizer.decode([token_id])
            assert normal(text[begin:end], config).strip() == alone.strip()
    assert (np.diff(spans, axis=0) >= 0).all()
    # A character may be several tokens of bytes; what none covers is the space between two words.
    bytes_of = [len(c.encode("utf-8", "surrogateescape")) if c != "\ud800" else 3 for c in text]
    assert (covered <= (bytes_of if tokenizer.splits_characters else 1)).all()
    bare = "".join(c for c, times in zip(text, covered, strict=True) if not times)
    assert (bare.isspace() and tokenizer.implies_space) or not bare
    assert "".join(texts_of(text, spans)) == (text if len(ids) else "")


@every_config
@pytest.mark.parametrize("text", [PROSE, UNICODE, PROSE + UNICODE], ids=["prose", "unicode", "all"])
def test_a_text_with_nothing_unknown_comes_back_exactly(config: TextConfig, text: str) -> None:
    tokenizer = train_tokenizer(text, config)
    ids = tokenizer.encode(text)
    if tokenizer.unknowns(text):
        # Those settings that cannot hold the whole text, and no others.
        assert is_closed(config) or config.own["vocab_size"] == SIZES["vocab_size"]
        assert tokenizer.unknown_id in ids
    else:
        assert tokenizer.decode(ids) == normal(text, config)
    assert pushed(tokenizer, ids) == tokenizer.decode(ids)


@every_config
def test_ids_are_int32_and_in_range(config: TextConfig) -> None:
    tokenizer = train_tokenizer(PROSE, config)
    ids = tokenizer.encode(PROSE + UNICODE)
    assert ids.dtype == np.int32
    assert ids.ndim == 1
    assert ids.min() >= 0
    assert ids.max() < tokenizer.vocab_size
    assert len(np.unique(ids)) > 20


@every_config
def test_an_empty_text_has_no_tokens(config: TextConfig) -> None:
    tokenizer = train_tokenizer(PROSE, config)
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.encode("").dtype == np.int32
    assert tokenizer.decode([]) == ""
    assert tokenizer.unknowns("") == []


@every_config
def test_spellings_are_unique(config: TextConfig) -> None:
    tokenizer = train_tokenizer(PROSE + UNICODE, config)
    spellings = {tokenizer.token(i) for i in range(tokenizer.vocab_size)}
    assert len(spellings) == tokenizer.vocab_size


@every_config
def test_json_brings_back_the_same_tokenizer(config: TextConfig) -> None:
    tokenizer = train_tokenizer(PROSE, config)
    again = tokenizer_from_json(json.loads(json.dumps(tokenizer_to_json(tokenizer))))
    assert type(again) is type(tokenizer)
    assert again.vocab_size == tokenizer.vocab_size
    assert again.unknown_id == tokenizer.unknown_id
    for i in range(tokenizer.vocab_size):
        assert again.token(i) == tokenizer.token(i)
        assert again.starts_word(i) == tokenizer.starts_word(i)
    text = PROSE + UNICODE
    np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
    assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert again.unknowns(text) == tokenizer.unknowns(text)


@every_config
@given(text=st.text(st.characters()))
@settings(max_examples=40)
def test_no_text_is_refused_and_only_unknowns_are_lost(config: TextConfig, text: str) -> None:
    tokenizer = TRAINED[config]
    ids = tokenizer.encode(text)
    assert pushed(tokenizer, ids) == tokenizer.decode(ids)
    unknowns = tokenizer.unknowns(text, at_most=1000)
    if unknowns and tokenizer.unknown_id is not None:
        assert tokenizer.unknown_id in ids
    for unknown in unknowns:
        assert unknown in normal(text, config)
    if not unknowns and not any("\ud800" <= character <= "\udfff" for character in text):
        assert tokenizer.decode(ids) == normal(text, config)


@every_config
@given(data=st.data())
@settings(max_examples=20)
def test_any_sequence_of_tokens_decodes(config: TextConfig, data: st.DataObject) -> None:
    tokenizer = TRAINED[config]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    other, decoder = data.draw(st.integers(0, tokenizer.vocab_size - 1)), tokenizer.decoder()
    for token in ids:
        assert decoder.peek(other) == copy.copy(decoder).push(other)
        assert decoder.peek(token) == decoder.push(token)
    assert pushed(tokenizer, ids) == tokenizer.decode(ids)
    # Only bytes make what is no Unicode, and they come back.
    text = tokenizer.decode(ids)
    if tokenizer.splits_characters:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    else:
        text.encode("utf-8")


@every_config
def test_the_vocabulary_is_that_of_the_text(config: TextConfig) -> None:
    same, other = train_tokenizer(PROSE, config), train_tokenizer(PROSE, config)
    assert tokenizer_to_json(same) == tokenizer_to_json(other)


@every_config
def test_extending_keeps_every_token_and_adds_those_of_the_text(config: TextConfig) -> None:
    tokenizer = TRAINED[config]
    extended = tokenizer.extended(UNICODE, tokenizer_settings(config))
    before = {tokenizer.token(i) for i in range(tokenizer.vocab_size)}
    after = {extended.token(i) for i in range(extended.vocab_size)}
    assert before <= after
    if tokenizer.unknown_id is None or is_closed(config):
        assert after == before
    else:
        learnt = train_tokenizer(UNICODE, config)
        assert after == before | {learnt.token(i) for i in range(learnt.vocab_size)}
        assert len(after) > len(before)
    if not tokenizer.unknowns(PROSE):
        assert extended.decode(extended.encode(PROSE)) == normal(PROSE, config)
    other = text_config(level=config.level, charset="text", word_split="spaces", lowercase=True)
    nothing_new = tokenizer.extended("", tokenizer_settings(other))
    assert tokenizer_to_json(nothing_new) == tokenizer_to_json(tokenizer)


@every_config
@given(parts=st.lists(st.sampled_from(PARTS), max_size=30), at=st.integers(0, 60), data=st.data())
@settings(max_examples=60)
def test_a_text_may_be_cut_where_it_says(
    config: TextConfig, parts: list[str], at: int, data: st.DataObject
) -> None:
    tokenizer, text = TRAINED[config], "".join(parts)
    seen = text[: data.draw(st.integers(0, len(text)))]
    cut = tokenizer.cut(seen, at)
    if cut is None:
        return
    assert 0 < cut.end <= min(at, len(seen))
    assert cut.end <= cut.begin <= len(seen)
    assert text[cut.end : cut.begin].strip() == ""
    # Whatever comes after what was seen of it.
    pieces = [tokenizer.encode(text[: cut.end]), tokenizer.encode(text[cut.begin :])]
    np.testing.assert_array_equal(np.concatenate(pieces), tokenizer.encode(text))


@every_config
def test_pieces_have_the_tokens_and_the_vocabulary_of_the_whole(config: TextConfig) -> None:
    text = UNICODE + PROSE + UNICODE
    whole, pieces, rest = train_tokenizer(text, config), [], text
    while cut := whole.cut(rest, 1000):
        pieces.append(rest[: cut.end])
        rest = rest[cut.begin :]
        if len(rest) < 1000:
            break
    pieces.append(rest)
    assert len(pieces) > len(text) // 1200
    ids = np.concatenate([whole.encode(piece) for piece in pieces])
    np.testing.assert_array_equal(ids, whole.encode(text))
    cls, own = tokenizers[config.level], tokenizer_settings(config)
    assert tokenizer_to_json(cls.train_from(iter(pieces), own)) == tokenizer_to_json(whole)
    extended = TRAINED[config].extended(text, own)
    of_pieces = TRAINED[config].extended_from(iter(pieces), own)
    assert tokenizer_to_json(of_pieces) == tokenizer_to_json(extended)


@every_config
def test_unknowns_are_distinct_in_order_and_limited(config: TextConfig) -> None:
    tokenizer = TRAINED[config]
    found = tokenizer.unknowns("ζ ζ б ζ ж", at_most=2)
    assert found == ([] if tokenizer.unknown_id is None else ["ζ", "б"])


@every_config
def test_an_empty_text_cannot_be_trained_on(config: TextConfig) -> None:
    with pytest.raises(InputError, match=r"this text is empty"):
        train_tokenizer("", config)


@pytest.mark.parametrize("level", tokenizers)
def test_a_damaged_state_is_refused(level: str) -> None:
    good = tokenizer_to_json(train_tokenizer(PROSE, text_config(level=level)))
    for key in good:
        broken = {**good, key: 7}
        with pytest.raises(ModelFolderError, match="it is not a tokenizer"):
            tokenizer_from_json(broken)
    with pytest.raises(ModelFolderError, match="it is not a tokenizer"):
        tokenizer_from_json({"level": "no such level"})
    with pytest.raises(ModelFolderError, match="it is not a tokenizer"):
        tokenizer_from_json({})


TRAINED = {config: train_tokenizer(PROSE, config) for config in CONFIGS.values()}
