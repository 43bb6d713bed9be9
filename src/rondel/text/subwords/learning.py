"""Learning a subword vocabulary: byte-pair encoding, the unigram model, or WordPiece.

All start from the 256 bytes, so that nothing is unknown. Byte-pair encoding (Sennrich et al. 2016)
and WordPiece (Schuster & Nakajima 2012) are learnt by Hugging Face's `tokenizers`, the unigram
model (Kudo 2018) by SentencePiece, because the one of `tokenizers` is not reproducible.
"""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rondel.errors import InputError, require
from rondel.text.chunk_table import ChunkTable
from rondel.text.parallel import in_order, is_for_kernels
from rondel.text.subwords.splitting import (
    BYTE_CHARACTERS,
    CHUNK,
    DECODER,
    PIECE,
    PRE_TOKENIZER,
    as_characters,
)

EXTRA = "subword"
LONGEST = 16
"""The most bytes of a token of the unigram model."""
MOST_COUNTED = 1_000_000
"""The most different chunks that are counted; beyond that, the rarest are dropped."""
MOST_LEARNT_FROM = 20_000_000
"""Chunks to learn a vocabulary from, about 100 MB; counts of a longer text are scaled down."""
TOGETHER = 1000
BATCH = 100_000
BLOCK_CHUNKS = 1 << 17
"""Different chunks of a block that are counted together."""


def learn(algorithm: str, counts: Counter[str], vocab_size: int) -> dict[str, Any]:
    """A tokenizer of up to `vocab_size` subwords, as the JSON of `tokenizers` has it.

    It is learnt from how often each chunk comes in a text. Raises `InputError` if there is none.
    """
    if not counts:
        raise InputError("this text is empty: give it something to learn from")
    model = _LEARNERS[algorithm](scaled(counts), vocab_size)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": None,
        "decoder": DECODER,
        "model": model,
    }


def check_size(vocab_size: int) -> None:
    """Raise `InputError` for fewer subwords than there are bytes."""
    if vocab_size <= len(BYTE_CHARACTERS):
        raise InputError(
            f"--vocab-size is {vocab_size}, and subwords begin with the 256 bytes: make it more"
        )


def count_chunks(texts: Iterable[str]) -> Counter[str]:
    """How often each chunk comes, of those that come at all often.

    The texts are pieces of one, cut where chunks meet.
    """
    chunks = (match.group() for text in texts for match in CHUNK.finditer(text))
    counts: Counter[str] = Counter()
    while batch := list(itertools.islice(chunks, BATCH)):
        counts.update(batch)
        counts = _without_rare(counts)
    return counts


def count_chunks_of_utf8(blocks: Iterable[bytes]) -> Counter[str]:
    """The same of pieces in UTF-8, compiled and in several threads where they are long."""
    total: Counter[str] = Counter()
    for counts in in_order(_block_counter, blocks):
        known = total.get
        for chunk, count in counts:
            total[chunk] = known(chunk, 0) + count
        total = _without_rare(total)
    return total


def _block_counter() -> Callable[[bytes], list[tuple[str, int]]]:
    """A function that counts the chunks of a block, by itself, whichever thread it is in."""
    tables: list[ChunkTable] = []

    def count(data: bytes) -> list[tuple[str, int]]:
        if not is_for_kernels(data):
            return list(count_chunks([data.decode("utf-8", "surrogatepass")]).items())
        if not tables:
            tables.append(ChunkTable("SUBWORDS", BLOCK_CHUNKS))
        counts: list[tuple[str, int]] = []
        rest = tables[0].count(data, counts.extend)
        tables[0].give(counts.extend)
        if rest:
            counts += count_chunks([rest.decode("utf-8", "surrogatepass")]).items()
        return counts

    return count


def _without_rare(counts: Counter[str]) -> Counter[str]:
    rare = 0
    while len(counts) > MOST_COUNTED:
        rare += 1
        counts = Counter({chunk: count for chunk, count in counts.items() if count > rare})
    return counts


def scaled(counts: Counter[str]) -> dict[str, int]:
    """Sort the counts by chunk, and scale them down if their sum is too large."""
    total = counts.total()
    if total > MOST_LEARNT_FROM:
        counts = Counter({c: n * MOST_LEARNT_FROM // total for c, n in counts.items()})
    return {chunk: counts[chunk] for chunk in sorted(counts) if counts[chunk]}


def _copies(counts: dict[str, int]) -> Iterator[str]:
    """Yield every chunk as often as it was counted, separated by a piece without pairs."""
    for chunk, count in counts.items():
        separator = "a" if chunk[0] == "\n" else "\n"
        text = _valid(chunk)
        for begin in range(0, count, TOGETHER):
            yield separator.join([text] * min(TOGETHER, count - begin))


def _valid(chunk: str) -> str:
    return chunk.encode("utf-8", "replace").decode()


def _learn_pairs(counts: dict[str, int], vocab_size: int, *, wordpiece: bool) -> dict[str, Any]:
    hf = require("tokenizers", EXTRA)
    settings = {
        "vocab_size": vocab_size,
        "min_frequency": 2,
        "show_progress": False,
        "initial_alphabet": list(BYTE_CHARACTERS),
    }
    if wordpiece:
        # Without a prefix for continuations, which would need two tokens for each byte.
        tokenizer = hf.Tokenizer(hf.models.WordPiece(continuing_subword_prefix=""))
        trainer = hf.trainers.WordPieceTrainer(continuing_subword_prefix="", **settings)
    else:
        tokenizer = hf.Tokenizer(hf.models.BPE())
        trainer = hf.trainers.BpeTrainer(**settings)
    tokenizer.pre_tokenizer = hf.pre_tokenizers.Sequence(
        [
            hf.pre_tokenizers.Split(hf.Regex(PIECE), "isolated"),
            hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(_copies(counts), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    if wordpiece:
        model["max_input_chars_per_word"] = 1000  # more than the bytes of any piece
    return model


def _learn_bpe(counts: dict[str, int], vocab_size: int) -> dict[str, Any]:
    return _learn_pairs(counts, vocab_size, wordpiece=False)


def _learn_wordpiece(counts: dict[str, int], vocab_size: int) -> dict[str, Any]:
    return _learn_pairs(counts, vocab_size, wordpiece=True)


def _learn_unigram(counts: dict[str, int], vocab_size: int) -> dict[str, Any]:
    sentencepiece = require("sentencepiece", EXTRA)
    pieces = _pieces(counts)
    seen = set().union(*pieces)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(f"{piece}\t{count}" for piece, count in pieces.items()),
        input_format="tsv",
        model_writer=written,
        model_type="unigram",
        # Its <unk> counts, and bytes that do not occur in the text do not.
        vocab_size=vocab_size + 1 - (len(BYTE_CHARACTERS) - len(seen)),
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_whitespace=False,
        split_by_unicode_script=False,
        split_by_number=False,
        max_sentencepiece_length=LONGEST,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,  # so that sums are always in the same order
        minloglevel=2,
    )
    learnt = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    scores = {learnt.id_to_piece(i): learnt.get_score(i) for i in range(1, len(learnt))}
    lowest = min(scores.values()) - 10.0
    vocab = [[byte, scores.pop(byte, lowest)] for byte in BYTE_CHARACTERS]
    vocab += [[piece, score] for piece, score in scores.items()]
    return {"type": "Unigram", "unk_id": None, "vocab": vocab, "byte_fallback": False}


def _pieces(counts: dict[str, int]) -> Counter[str]:
    """Count how often each piece occurs, written in the characters of its bytes."""
    hf = require("tokenizers", EXTRA)
    split = hf.pre_tokenizers.Split(hf.Regex(PIECE), "isolated")
    pieces: Counter[str] = Counter()
    for chunk, count in counts.items():
        for piece, _ in split.pre_tokenize_str(_valid(chunk)):
            pieces[as_characters(piece)] += count
    return pieces


_LEARNERS = {"bpe": _learn_bpe, "unigram": _learn_unigram, "wordpiece": _learn_wordpiece}
ALGORITHMS = tuple(_LEARNERS)
