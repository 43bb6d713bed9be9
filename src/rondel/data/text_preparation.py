"""Preparing a text for training: its tokenizer, and the tokens of each split."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rondel.data.documents import Documents
from rondel.data.encoding import begins_of_documents, encode_documents
from rondel.data.excerpts import choose_excerpts
from rondel.data.facts import TextFacts
from rondel.data.store import PARTS, Encoded, Ids, StoreWriter, TokenStore
from rondel.errors import InputError
from rondel.settings import RunConfig, TextConfig
from rondel.text.cutting import cut_after_line, cut_between_words, cut_blocks, decoded
from rondel.text.one_sentence import end_id
from rondel.text.parallel import in_order
from rondel.text.sentences import LeftOut, sentence_lines, without_long_sentences
from rondel.text.stored import StoredText
from rondel.text.storing import WatchReading, copy_beside, joined, unwatched_reading, watched
from rondel.text.tokenizers import Tokenizer, tokenizers

LONGEST_SENTENCE = 400
"""The default of the most characters of a sentence, at levels other than words."""
LONGEST_LINE = 1 << 26
"""Bytes after which a line is cut anywhere when the vocabulary is made."""
PARALLEL_FROM = 1 << 23
"""The size in bytes from which a split is encoded by several threads."""
SHORTEST_REACH = 100


@dataclass(frozen=True)
class PreparedText:
    """A text ready for training; `store` has the tokens of its splits."""

    tokenizer: Tokenizer
    store: TokenStore
    excerpts: tuple[str, ...]
    unknown: dict[str, int]
    """How many tokens of each split are unknown."""
    dropped_sentences: int
    blank_lines: int = 0
    longest_sentence: int | None = None
    """In a text of sentences: the most tokens of one, not counting its end."""
    sentences: int | None = None
    """In a text of sentences: how many the training split has."""

    @property
    def facts(self) -> TextFacts:
        """The facts on which settings depend."""
        counts = {name: split.tokens for name, split in self.store.splits.items()}
        return TextFacts(
            self.tokenizer.vocab_size,
            **counts,
            documents=Documents.of(self.store, "train"),
            sentences=self.sentences,
            longest_sentence=self.longest_sentence,
        )

    def notes(self, settings: TextConfig) -> list[str]:
        """Return notes for the user: what was dropped, and how much is unknown."""
        notes, token = [], self.tokenizer.token_noun
        wanted = {"validation": settings.validation_fraction, "test": settings.test_fraction}
        for name, fraction in wanted.items():
            if fraction and not self.store.splits[name].tokens and self.store.documents:
                count = sum(self.store.documents.values())
                few = "1 document is" if count == 1 else f"{count:,} documents are"
                notes.append(
                    f"no {name}: {few} too few to divide; give more, or leave --documents out"
                )
        if self.blank_lines:
            notes.append(f"empty lines left out: {self.blank_lines:,}")
        if self.dropped_sentences:
            notes.append(
                f"{self.dropped_sentences:,} sentences of more than "
                f"{settings.max_sentence_length} words dropped"
            )
        for name, unknown in self.unknown.items():
            if unknown:
                share = unknown / self.store.splits[name].tokens
                notes.append(f"{name}: {share:.1%} of the {token}s read as unknown")
        return notes


MakeTokenizer = Callable[[Iterable[bytes], TextConfig], Tokenizer]
"""Makes a tokenizer from the blocks of a text, in UTF-8, and the settings of its run."""


def prepare_text(
    text: StoredText,
    settings: TextConfig,
    seed: int,
    make_tokenizer: MakeTokenizer,
    folder: Path,
    watch: WatchReading = unwatched_reading,
) -> PreparedText:
    """Drop long sentences if requested, split the text, build the vocabulary, encode.

    The tokens are written to the new folder `folder`; while it works, a text without its long
    sentences is copied next to it. Only some blocks of the text are in memory at a time. `seed` is
    that of the excerpts.
    """
    left_out = LeftOut()
    with copy_beside(folder, text) as copy:
        if settings.max_sentence_length is not None:
            kept = without_long_sentences(
                decoded(text),
                settings.sentences,
                settings.max_sentence_length,
                lambda sentence: len(sentence.split()),
                left_out,
            )
            for part in joined(kept, text.block):
                copy.add(part)
            text = copy.text
        bounds = split_bounds(text, settings)
        blocks = _vocabulary_blocks(text, bounds["train"][1], settings, watch)
        tokenizer = make_tokenizer(blocks, settings)
        store, unknown = encode_splits(text, bounds, tokenizer, folder, watch)
        excerpts = choose_excerpts(text, tokenizer, seed, bounds["train"][1])
    return PreparedText(tokenizer, store, excerpts, unknown, left_out.too_long)


def prepare_sentences(
    text: StoredText,
    settings: TextConfig,
    seed: int,
    make_tokenizer: MakeTokenizer,
    folder: Path,
    watch: WatchReading = unwatched_reading,
) -> PreparedText:
    """As `prepare_text`, for a text of sentences: one a line, ending with its line break."""
    at_word = tokenizers[settings.level].whole_words
    longest = settings.max_sentence_length or LONGEST_SENTENCE
    left_out = LeftOut()
    with copy_beside(folder, text) as copy:
        lines = sentence_lines(
            decoded(text),
            settings.sentences,
            longest,
            lambda line: len(line.split()) if at_word else len(line),
            left_out,
        )
        counted = [(0, 0)]
        for part in joined(lines, text.block):
            copy.add(part)
            counted.append((counted[-1][0] + part.count("\n"), copy.text.characters))
        in_lines = _line_bounds(counted[-1][0], settings)
        bounds = {
            name: (_line_place(copy.text, counted, begin), _line_place(copy.text, counted, end))
            for name, (begin, end) in in_lines.items()
        }
        blocks = _vocabulary_blocks(copy.text, bounds["train"][1], settings, watch)
        tokenizer = make_tokenizer(blocks, settings)
        store, unknown = encode_splits(copy.text, bounds, tokenizer, folder, watch)
    # Sentences were limited in words; "don't stop." is two words and more tokens.
    found = max(_longest_sentence(store.blocks(name), end_id(tokenizer)) for name in PARTS)
    # Without excerpts: its texts begin at points of the latent space.
    return PreparedText(
        tokenizer,
        store,
        (),
        unknown,
        left_out.too_long,
        left_out.blank,
        max(longest, found),
        in_lines["train"][1],
    )


def encode_splits(
    text: StoredText,
    bounds: dict[str, tuple[int, int]],
    tokenizer: Tokenizer,
    folder: Path,
    watch: WatchReading = unwatched_reading,
) -> tuple[TokenStore, dict[str, int]]:
    """Write the tokens of each split of a text to a new store, and count the unknown ones."""
    has_documents = text.documents is not None
    writer = StoreWriter(folder, tokenizer.vocab_size, has_documents=has_documents)
    unknown = dict.fromkeys(bounds, 0)

    def counted(name: str, pieces: Iterable[Encoded]) -> Iterator[Encoded]:
        for piece in pieces:
            if tokenizer.unknown_id is not None:
                unknown[name] += int(np.count_nonzero(piece.ids == tokenizer.unknown_id))
            yield piece

    for name, (begin, end) in bounds.items():
        places = text.place_in_bytes(begin), text.place_in_bytes(end)
        if text.documents is not None:
            documents = encode_documents(text, *places, tokenizer)
            writer.write(name, begin, end, counted(name, documents))
            continue
        pieces = watched(
            cut_blocks(text, *places, tokenizer.cut), "encoding", places[0], text.size, watch
        )
        threads = 0 if places[1] - places[0] > PARALLEL_FROM else 1
        encoded = map(Encoded, in_order(tokenizer.block_encoder, pieces, threads))
        writer.write(name, begin, end, counted(name, encoded))
    text.check_unchanged()
    return writer.finish(), unknown


def _longest_sentence(blocks: Iterable[Ids], end: int) -> int:
    """Return the most tokens of a sentence in a split, not counting its end; 0 if there is none."""
    longest = before = 0
    last = -1
    for ids in blocks:
        ends = np.flatnonzero(ids == end) + before
        if len(ends):
            longest = max(longest, int(np.diff(ends, prepend=last).max()) - 1)
            last = int(ends[-1])
        before += len(ids)
    return longest


def _line_bounds(count: int, settings: TextConfig) -> dict[str, tuple[int, int]]:
    """Return where train, validation and test begin and end, in sentences out of `count`.

    Raises `InputError` if a requested split has none.
    """
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
                f"this text has {count} sentences, too few for a {name} split; give it more text"
            )
    return bounds


def _line_place(text: StoredText, counted: list[tuple[int, int]], line: int) -> int:
    """Return where a line begins, in characters; `counted` has cumulative (lines, characters)."""
    number = bisect_right(counted, (line, text.characters)) - 1
    lines, place = counted[number]
    if lines == line:
        return place
    part = text.text(place, counted[number + 1][1])
    ends = (match.end() for match in re.finditer("\n", part))
    return place + next(itertools.islice(ends, line - lines - 1, None))


def _vocabulary_blocks(
    text: StoredText, train: int, settings: TextConfig, watch: WatchReading
) -> Iterator[bytes]:
    """Yield the text that the vocabulary is made from.

    For characters it is the whole text, so that a character that occurs only in validation can be
    written. For words it is the training split: otherwise perplexity would be measured with a
    vocabulary that has seen the validation text.
    """
    tokenizer = tokenizers[settings.level]
    end = text.place_in_bytes(train) if tokenizer.open_vocabulary else text.size
    cut = cut_between_words if tokenizer.whole_words else cut_after_line
    blocks = cut_blocks(text, 0, end, cut, most=LONGEST_LINE)
    return watched(blocks, "counting", 0, end, watch)


def split_bounds(text: StoredText, settings: TextConfig) -> dict[str, tuple[int, int]]:
    """Return where train, validation and test begin and end in the text, in characters.

    They follow one another. At word level, the text is split at a line end near the fraction, or at
    a space if no line ends nearby, so that no word of ordinary length is cut; otherwise exactly at
    the fraction.
    """
    at_word = tokenizers[settings.level].whole_words
    place: Callable[[float], int] = lambda fraction: _cut(text, fraction, at_word)  # noqa: E731
    if text.documents is not None:
        place = lambda fraction: _border(text, fraction)  # noqa: E731
    train = place(1 - settings.validation_fraction - settings.test_fraction)
    validation = max(train, place(1 - settings.test_fraction))
    return {
        "train": (0, train),
        "validation": (train, validation),
        "test": (validation, text.characters),
    }


def _border(text: StoredText, fraction: float) -> int:
    """Return where the first document at or after a fraction of a text begins, or the text ends."""
    position = text.place_in_bytes(int(round(fraction, 9) * text.characters))
    begins = begins_of_documents(text)
    number = int(np.searchsorted(begins, position))
    return (
        text.place_in_characters(int(begins[number])) if number < len(begins) else text.characters
    )


def _cut(text: StoredText, fraction: float, at_word: bool) -> int:
    # Rounded first: 1 - 0.1 is a little more than 0.9, which would move the place by one.
    length = text.characters
    position = int(round(fraction, 9) * length)
    if not at_word or position in (0, length):
        return position
    reach = max(SHORTEST_REACH, length // 100)
    for separator in ("\n", " "):
        after = text.find(separator, position - 1, position + reach) + 1
        before = text.rfind(separator, position - reach, position) + 1
        for cut in (after, before):
            if 0 < cut < length:
                return cut
    return position


def check_sizes(facts: TextFacts, config: RunConfig) -> None:
    """Raise `InputError`, saying what to change, if a requested split is too short for a batch."""
    training, text = config.training, config.text
    if facts.sentences is not None:
        return  # every split has a sentence, which is enough
    if facts.documents is not None:
        if not facts.documents.all_chunks(training.seq_length):
            raise InputError("no document of this text has two tokens; give it more text")
        return
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
                f"the {name} split of this text has {found:,} tokens and one batch takes "
                f"{count:,}; {advice[name]}"
            )
