"""From a text to a tokenizer and the tokens of each split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rondel.data.facts import TextFacts
from rondel.data.sentence_batches import Sentences
from rondel.data.store import Ids, Split
from rondel.errors import InputError
from rondel.settings import RunConfig, TextConfig
from rondel.text.one_sentence import end_id
from rondel.text.sentences import drop_long_sentences, sentence_lines
from rondel.text.tokenizers import Tokenizer, tokenizers, train_tokenizer

LONGEST_SENTENCE = 400
"""Characters of a sentence that is read character by character."""
EXCERPTS, EXCERPT_LENGTH, EXCERPT_TOKENS = 32, 100, 8
LINES, LOOKED_AT = 8, 1_000_000
"""A text has lines from so many line breaks on, among so many of its first characters."""
REACH = 1_000
"""Characters in which a sentence or a word has to begin to be an excerpt."""
SHORTEST_REACH = 100
LINE_BREAKS = re.compile(r"\n+(?=[^\n])")
BOUNDARY = re.compile(r"\n+|(?<=[.!?]) +|(?<=[.!?][\"')]) +")
BOUNDARIES = (BOUNDARY, re.compile(r"\s+"))


@dataclass(frozen=True)
class PreparedText:
    """A text ready to train on: `parts` maps train, validation and test to their token ids (N,)."""

    tokenizer: Tokenizer
    parts: dict[str, tuple[Split, Ids]]
    excerpts: tuple[str, ...]
    dropped_sentences: int
    blank_lines: int = 0
    longest_sentence: int | None = None
    """Of a text of sentences: how many tokens the longest may have, its end not counted."""
    sentences: int | None = None
    """Of a text of sentences: how many its training part has."""

    @property
    def facts(self) -> TextFacts:
        """What of it decides settings."""
        counts = {name: split.tokens for name, (split, _) in self.parts.items()}
        return TextFacts(
            self.tokenizer.vocab_size,
            **counts,
            sentences=self.sentences,
            longest_sentence=self.longest_sentence,
        )


def prepare_text(
    text: str,
    settings: TextConfig,
    seed: int,
    make_tokenizer: Callable[[str, TextConfig], Tokenizer] = train_tokenizer,
) -> PreparedText:
    """Drop long sentences if told to, split the text, build the vocabulary, encode.

    `seed` draws the excerpts.
    """
    dropped = 0
    if settings.max_sentence_length is not None:
        text, dropped = drop_long_sentences(
            text, settings.sentences, settings.max_sentence_length, lambda s: len(s.split())
        )
    bounds = split_bounds(text, settings)
    tokenizer = make_tokenizer(_vocabulary_text(text, bounds, settings), settings)
    parts = {}
    for name, (begin, end) in bounds.items():
        ids = tokenizer.encode(text[begin:end])
        parts[name] = (Split(begin, end, len(ids)), ids)
    begin, end = bounds["train"]
    excerpts = choose_excerpts(text[begin:end], tokenizer, seed)
    return PreparedText(tokenizer, parts, excerpts, dropped)


def prepare_sentences(
    text: str,
    settings: TextConfig,
    seed: int,
    make_tokenizer: Callable[[str, TextConfig], Tokenizer] = train_tokenizer,
) -> PreparedText:
    """The same for a text of one sentence a line, which a line break ends and begins."""
    tokenizer_class = tokenizers[settings.level]
    at_word = tokenizer_class.whole_words
    longest = settings.max_sentence_length or LONGEST_SENTENCE
    lines, blank, dropped = sentence_lines(
        text, settings.sentences, longest, lambda line: len(line.split()) if at_word else len(line)
    )
    bounds = _line_bounds(lines, settings)
    joined = {name: "".join(lines[begin:end]) for name, (begin, end) in bounds.items()}
    source = joined["train"] if tokenizer_class.open_vocabulary else "".join(lines)
    tokenizer = make_tokenizer(source, settings)
    parts, begin = {}, 0
    for name, part in joined.items():
        ids = tokenizer.encode(part)
        parts[name] = Split(begin, begin + len(part), len(ids)), ids
        begin += len(part)
    lengths = {name: Sentences(ids, end_id(tokenizer)).lengths for name, (_, ids) in parts.items()}
    # Words and what is in one are not counted alike: "don't stop." has more tokens than two.
    found = max((int(part.max()) - 1 for part in lengths.values() if len(part)), default=0)
    # Its texts begin at points of its space, and need no excerpt.
    return PreparedText(
        tokenizer, parts, (), dropped, blank, max(longest, found), len(lengths["train"])
    )


def _line_bounds(lines: list[str], settings: TextConfig) -> dict[str, tuple[int, int]]:
    """Where train, validation and test begin and end, in sentences.

    Raises `InputError` if a part that is asked for has none.
    """
    count = len(lines)
    train = round(round(1 - settings.validation_fraction - settings.test_fraction, 9) * count)
    validation = max(train, round(round(1 - settings.test_fraction, 9) * count))
    bounds = {
        "train": (0, train),
        "validation": (train, validation),
        "test": (validation, count),
    }
    asked = {
        "train": 1.0,
        "validation": settings.validation_fraction,
        "test": settings.test_fraction,
    }
    for name, (begin, end) in bounds.items():
        if asked[name] and begin == end:
            raise InputError(
                f"this text has {count} sentences, too few for a {name} part; give it more text"
            )
    return bounds


def _vocabulary_text(text: str, bounds: dict[str, tuple[int, int]], settings: TextConfig) -> str:
    """The text a vocabulary is made from: all of it for characters, the training part for words.

    A character that turns up only in validation still has to be writable; a word that does has to
    be unknown, or perplexities would be measured with a vocabulary that has seen the answers.
    """
    return text[: bounds["train"][1]] if tokenizers[settings.level].open_vocabulary else text


def split_bounds(text: str, settings: TextConfig) -> dict[str, tuple[int, int]]:
    """Where train, validation and test begin and end in the text, in characters.

    They follow one another. Characters are cut exactly at the fraction; words at a line end near
    it, or a space where no line ends nearby, so that no word (of a sensible length) is cut in two.
    """
    at_word = tokenizers[settings.level].whole_words
    place: Callable[[float], int] = lambda fraction: _cut(text, fraction, at_word)  # noqa: E731
    train = place(1 - settings.validation_fraction - settings.test_fraction)
    validation = max(train, place(1 - settings.test_fraction))
    return {
        "train": (0, train),
        "validation": (train, validation),
        "test": (validation, len(text)),
    }


def _cut(text: str, fraction: float, at_word: bool) -> int:
    # Rounded first: 1 - 0.1 is a little over 0.9, and must not move the cut by one.
    position = int(round(fraction, 9) * len(text))
    if not at_word or position in (0, len(text)):
        return position
    reach = max(SHORTEST_REACH, len(text) // 100)
    for separator in ("\n", " "):
        after = text.find(separator, position - 1, position + reach) + 1
        before = text.rfind(separator, max(0, position - reach), position) + 1
        for cut in (after, before):
            if 0 < cut < len(text):
                return cut
    return position


def check_sizes(facts: TextFacts, config: RunConfig) -> None:
    """Refuse a split that is asked for and does not hold one batch, saying what to change."""
    training, text = config.training, config.text
    if facts.sentences is not None:
        return  # whole sentences, of which every part has one
    needed = {
        "train": training.batch_size * training.seq_length + 1,
        "validation": training.seq_length + 1 if text.validation_fraction else 0,
        "test": training.seq_length + 1 if text.test_fraction else 0,
    }
    advice = {
        "train": "lower --batch-size or --seq-length, or give it more text",
        "validation": "raise --validation-fraction, lower --seq-length, give it more text, "
        "or do without (--validation-fraction 0)",
        "test": "raise --test-fraction, lower --seq-length, or do without (--test-fraction 0)",
    }
    for name, count in needed.items():
        found: int = getattr(facts, name)
        if found < count:
            raise InputError(
                f"the {name} part of this text has {found:,} tokens and one batch takes "
                f"{count:,}; {advice[name]}"
            )


def choose_excerpts(text: str, tokenizer: Tokenizer, seed: int) -> tuple[str, ...]:
    """What a text may begin with where no prime is given.

    Of a text of lines, its usual line break alone. Of another, the first few tokens of sentences,
    or of places drawn at random where it has none; never a whole one if there is any longer.
    """
    line_break = _usual_line_break(text)
    if line_break is not None and tokenizer.decode(tokenizer.encode(line_break)) == line_break:
        return (line_break,)
    draw = np.random.default_rng(seed)
    places = sorted(draw.integers(0, len(text), EXCERPTS).tolist())
    found = dict.fromkeys(_excerpt(text, tokenizer, place) for place in places)
    written = [excerpt for excerpt in found if excerpt.strip()]
    # Those whose words are all known are better, where there are any.
    known = [excerpt for excerpt in written if not tokenizer.unknowns(excerpt, 1)]
    return tuple(known or written or text[:1])


def _usual_line_break(text: str) -> str | None:
    """The commonest run of line breaks that something follows; `None` if the text has no lines."""
    runs = Counter(match.group() for match in LINE_BREAKS.finditer(text[:LOOKED_AT]))
    return max(runs, key=lambda run: (runs[run], -len(run))) if runs.total() >= LINES else None


def _excerpt(text: str, tokenizer: Tokenizer, place: int) -> str:
    """The first tokens of the sentence, the word or else the character at or after a place."""
    window = text[place : place + REACH]
    begins = (match.end() for pattern in BOUNDARIES if (match := pattern.search(window)))
    begin = next((begin for begin in begins if begin < len(window)), 0)
    passage = window[begin : begin + EXCERPT_LENGTH]
    sentence = BOUNDARY.split(passage, maxsplit=1)[0]
    ends = tokenizer.spans(sentence)[:, 1]
    if sentence == passage and len(ends) > 1:
        ends = ends[:-1]  # which may be a word cut in two
    return sentence[: ends[:EXCERPT_TOKENS][-1]] if len(ends) else ""
