from __future__ import annotations

import re
import time
import unicodedata
from pydoc_data.topics import topics

import numpy as np
import pytest
from _settings import text_config
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rondel.errors import InputError
from rondel.settings import TextConfig
from rondel.text.tokenizers import train_tokenizer, word
from rondel.text.tokenizers.punctuation import word_or_punctuation
from rondel.text.tokenizers.word import WordSettings, WordTokenizer

PUNCTUATION = text_config(level="word", vocab_size=10**6, min_count=1)
SPACES = text_config(level="word", vocab_size=10**6, word_split="spaces", min_count=1)


def spelt(text: str, config: TextConfig = PUNCTUATION) -> list[str]:
    tokenizer = train_tokenizer(text, config)
    return [tokenizer.token(i) for i in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The dog, asleep.", ["The", "dog", "￭,", "asleep", "￭."]),
        ('"Hello," he said.', ['"￭', "Hello", "￭,", '￭"', "he", "said", "￭."]),
        ("a well-known man", ["a", "well", "￭-￭", "known", "man"]),
        ("Don't! It’s o'clock'", ["Don't", "￭!", "It’s", "o'clock", "￭'"]),
        ("wait... what -- no", ["wait", "￭...", "what", "--", "no"]),
        ('("x")', ["(￭", '"￭', "x", '￭"', "￭)"]),
        ('x.")', ["x", "￭.", '￭"', "￭)"]),
        ("snake_case 3.14", ["snake_case", "3", "￭.￭", "14"]),
        ("e\u0301te\u0301 ❤️!", ["e\u0301te\u0301", "❤️", "￭!"]),
        ("a <unk> b, <unk>.", ["a", "<unk>", "b", "￭,", "<unk>", "￭."]),
        ("x<unk>", ["x", "￭<￭", "unk", "￭>"]),
        ("a￭b ￭", ["a", "￭<U+FFED>￭", "b", "<U+FFED>"]),
        ("a\nb\n\nc", ["a", "\n", "b", "\n\n", "c"]),
        ("  a  b \n\tc ", ["  ", "a", "  ", "b", " ", "\n", "\t", "c", " "]),
        (" a", [" ", "a"]),
    ],
)
def test_words_and_punctuation(text: str, tokens: list[str]) -> None:
    assert spelt(text) == tokens


def test_words_as_written() -> None:
    text = 'The "dog," ￭x\n  <unk> <unk>,'
    assert spelt(text, SPACES) == [
        *("The", '"dog,"', "￭x", "\n", "  ", "<unk>", "<unk>,"),
    ]


def test_sampled_tokens_are_put_together_as_a_person_would() -> None:
    tokenizer = train_tokenizer('"Well," said he (a well-read man).\nNo.', PUNCTUATION)
    spellings = ['"￭', "Well", "<unk>", "￭,", '￭"', "(￭", "he", "￭)", "\n", "man", "￭-￭", "￭."]
    ids = {tokenizer.token(i): i for i in range(tokenizer.vocab_size)}
    decoder = tokenizer.decoder()
    parts = [decoder.push(ids[spelling]) for spelling in spellings]
    assert "".join(parts) == '"Well <unk>," (he)\nman-.'
    assert parts[2] == " <unk>"
    assert decoder.finish() == ""


def test_the_commonest_words_are_kept_and_ties_go_by_spelling() -> None:
    text = "b a d c d c d"
    tokenizer = train_tokenizer(text, text_config(level="word", vocab_size=3, min_count=1))
    assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == ["<unk>", "d", "c", "a"]
    assert tokenizer.encode(text).tolist() == [0, 3, 1, 2, 1, 2, 1]
    assert tokenizer.decode(tokenizer.encode(text)) == "<unk> a d c d c d"
    assert tokenizer.unknowns("d, b! b (c") == [",", "b", "!", "("]


def test_extending_puts_the_commonest_new_words_at_the_end() -> None:
    old = train_tokenizer("b a b", text_config(level="word", min_count=1))
    tokenizer = old.extended("d c, d a a a. d c", WordSettings(vocab_size=3, min_count=1))
    assert [tokenizer.token(i) for i in range(tokenizer.vocab_size)] == [
        *("<unk>", "b", "a", "d", "c"),
    ]


def test_unk_in_the_text_is_the_unknown_word_and_none_to_report() -> None:
    tokenizer = train_tokenizer("the <unk> of <unk> <unk>", text_config(level="word", min_count=1))
    assert tokenizer.vocab_size == 3
    assert tokenizer.encode("of <unk> the <unk>").tolist() == [1, 0, 2, 0]
    assert tokenizer.decode([1, 0, 2, 0]) == "of <unk> the <unk>"
    assert tokenizer.unknowns("of <unk> the") == []


def test_lower_case() -> None:
    config = text_config(level="word", lowercase=True, min_count=1)
    tokenizer = train_tokenizer("The THE the ΟΔΟΣ", config)
    assert tokenizer.vocab_size == 3
    assert tokenizer.decode(tokenizer.encode("tHe ΟΔΟΣ the")) == "the οδος the"


def test_a_bounded_memory_of_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = topics["calls"]
    tokenizer = train_tokenizer(text, PUNCTUATION)
    expected = tokenizer.encode(text)
    monkeypatch.setattr(word, "CACHED_CHUNKS", 3)
    np.testing.assert_array_equal(tokenizer.encode(text), expected)


@pytest.mark.parametrize("text", [" \n ", "<unk> <unk>"])
def test_a_text_without_words_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="this text has no words"):
        train_tokenizer(text, PUNCTUATION)


@pytest.mark.parametrize("tokens", [[], ["a"], ["<unk>", "a", "a"], ["<unk>", ""]])
def test_a_damaged_vocabulary_is_refused(tokens: list[str]) -> None:
    state = {"word_split": "spaces", "lowercase": False, "tokens": tokens}
    with pytest.raises(ValueError, match="the vocabulary"):
        WordTokenizer.from_state(state)


# Arbitrary Unicode, and texts made of nothing but what is hard.
hard = st.sampled_from(
    ["a", "B", "é", "e\u0301", "\u0301", "1", "_", "'", "’", "-", ".", ",", '"', "“", "”", "(", ")"]
    + [" ", " ", " ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\x1c", "￭", "<unk>", "<", ">"]
    + ["<U+FFED>", "\u200d", "\ufe0f", "❤", "我", "İ", "Σ"]
)
texts = st.one_of(st.text(), st.lists(hard, max_size=30).map("".join))


@pytest.mark.parametrize("word_split", ["punctuation", "spaces"])
@pytest.mark.parametrize("lowercase", [False, True])
@given(text=texts)
@settings(max_examples=400)
def test_any_text_with_nothing_unknown_comes_back(
    word_split: str, lowercase: bool, text: str
) -> None:
    config = text_config(
        level="word", vocab_size=10**6, word_split=word_split, lowercase=lowercase, min_count=1
    )
    try:
        tokenizer = train_tokenizer(text, config)
    except InputError:
        assume(False)
    assert tokenizer.decode(tokenizer.encode(text)) == (text.lower() if lowercase else text)
    assert tokenizer.unknowns(text) == []


# What words are cut by, written plainly, and far slower.
MARKS = "".join(c for c in map(chr, range(0x300, 0xE01F0)) if unicodedata.category(c)[0] == "M")
LETTER = rf"[\w{MARKS}\u200c\u200d]"
PLAIN = re.compile(
    rf"(?P<word>(?<!{LETTER})(?<!<unk>)<unk>(?!{LETTER})|{LETTER}+(?:['’]{LETTER}+)*)"
    rf"|\uffed|(?P<mark>[^\s\w{MARKS}\u200c\u200d])(?P=mark)*[{MARKS}]*"
)
ODD = [*"aé'’-(<>”“_1😀", "<unk>", "\uffed", "\u200d", "\u0301", "\U000e0100", "\U00011001"]


@given(parts=st.lists(st.sampled_from(ODD) | st.characters(), max_size=20))
@settings(max_examples=300, derandomize=True, database=None)
def test_words_are_cut_as_they_are_described(parts: list[str]) -> None:
    chunk = "".join("".join(parts).split())
    found = [(match.span(), match.lastgroup) for match in PLAIN.finditer(chunk)]
    own = word_or_punctuation().finditer(chunk)
    assert [(match.span(), match.lastgroup) for match in own] == found


@pytest.mark.parametrize(
    "part",
    ["'-", "a'", "-'a", "<unk>", "\uffed-", "é\u0301", "a ", "\n ", "  ", "((", "\U000e0100-"],
)
def test_a_text_of_eight_times_the_length_takes_about_eight_times_the_work(part: str) -> None:
    tokenizer = train_tokenizer("a b - ' <unk>", PUNCTUATION)

    def work(length: int) -> float:
        text = (part * length)[:length]
        begin = time.thread_time()
        tokenizer.encode(text)
        tokenizer.spans(text)
        tokenizer.unknowns(text)
        return time.thread_time() - begin

    short, long = (min(work(length) for _ in range(3)) for length in (2_000, 16_000))
    assert long < 32 * max(short, 1e-4)


def test_a_tokenised_text_has_as_many_tokens_as_words_and_lines() -> None:
    """As Penn Treebank files are: a space at both ends of every line, `<unk>` spelled out."""
    text = " no it was n't <unk> \n but  it \t is N now \n\n it was \n"
    config = text_config(level="word", word_split="tokens", min_count=1)
    tokenizer = train_tokenizer(text, config)
    ids = tokenizer.encode(text)
    assert len(ids) == len(text.split()) + text.count("\n")
    assert [tokenizer.token(int(i)) for i in ids[:6]] == ["no", "it", "was", "n't", "<unk>", "\n"]
    assert tokenizer.decode(ids) == "no it was n't <unk>\nbut it is N now\n\nit was\n"
