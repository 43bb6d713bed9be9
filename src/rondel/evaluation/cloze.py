"""Score each token of a text given all the others, with a bidirectional model.

The sum of these log-probabilities is the text's pseudo-log-likelihood (Besag 1975; for language
models Salazar et al. 2020). It is not the log-probability of the text, and cannot be compared with
the figures of a left-to-right model.

Shapes: T time, N tokens of one sequence, H hidden size, V vocabulary, K measured values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats, Ids
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import LARGEST_PASS, LONGEST_PASS, Watch, unwatched
from rondel.evaluation.framing import Passage
from rondel.evaluation.measures import Measure, Measured, Prediction, Surprisal
from rondel.evaluation.scoring import Columns, ScoringSettings, score_by
from rondel.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class ClozeEvaluation:
    """How well a model predicts each token of a text from all the others.

    Every token is scored, including the first. `pseudo_nats` is the sum of their -log p;
    `unknown` counts the tokens not in the vocabulary (they are scored as `<unk>`).
    """

    pseudo_nats: float
    tokens: int
    characters: int
    unknown: int

    @property
    def pseudo_nats_per_token(self) -> float:
        """Mean -log p of a token given all others, in nats."""
        return self.pseudo_nats / self.tokens

    @property
    def pseudo_bits_per_character(self) -> float:
        """-log p per character of text, in bits."""
        return self.pseudo_nats / math.log(2) / self.characters

    @property
    def pseudo_perplexity(self) -> float:
        """The exponential of the mean -log p per token."""
        return math.exp(min(self.pseudo_nats_per_token, 700.0))

    def to_json(self) -> dict[str, float | int]:
        """All figures, by name with unit."""
        return {
            "pseudo_nats_per_token": self.pseudo_nats_per_token,
            "pseudo_bits_per_character": self.pseudo_bits_per_character,
            "pseudo_perplexity_per_token": self.pseudo_perplexity,
            "tokens": self.tokens,
            "characters": self.characters,
            "unknown_tokens": self.unknown,
        }


def evaluate_cloze(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    ids: Ids,
    characters: int,
    watch: Watch = unwatched,
) -> ClozeEvaluation:
    """Score token ids (N,), each given all the others, of a text of so many `characters`.

    `watch` is called with the fraction done. Raises `InputError` if there is no token.
    """
    if len(ids) == 0:
        raise InputError("this text is empty; give it at least one token to predict")
    nats = -float(pseudo_log_likelihoods(engine, ids, watch).sum())
    unknown = 0 if tokenizer.unknown_id is None else int((ids == tokenizer.unknown_id).sum())
    return ClozeEvaluation(nats, len(ids), max(1, characters), unknown)


def pseudo_log_likelihoods(
    engine: BidirectionalEngine, ids: Ids, watch: Watch = unwatched
) -> npt.NDArray[np.float64]:
    """log p(token | all others) in nats, (N,), of token ids (N,)."""
    (nats_1N,) = read_cloze(engine, [ids], Surprisal(), watch=watch)
    result: npt.NDArray[np.float64] = -nats_1N[0]
    return result


def read_cloze(
    engine: BidirectionalEngine,
    sequences: Sequence[Ids],
    measure: Measure,
    *,
    watch: Watch = unwatched,
    longest_pass: int = LONGEST_PASS,
) -> list[Measured]:
    """Measure every token of every sequence, read independently: (K, N) each.

    `watch` is called with the fraction done. `longest_pass` changes results by rounding alone.
    Raises `ModelFolderError` if the model's output is not finite.
    """
    results = [np.empty((measure.width, len(sequence))) for sequence in sequences]
    tokens, done = max(1, sum(map(len, sequences))), 0
    for i, begin, logits_TV in _all_logits(engine, sequences, longest_pass):
        end = begin + len(logits_TV)
        targets_T1 = sequences[i][begin:end, None].astype(np.int64)
        results[i][:, begin:end] = measure(logits_TV[:, None], targets_T1)[..., 0]
        done += len(logits_TV)
        watch(done / tokens)
    return results


def score_cloze(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    settings: ScoringSettings,
    watch: Watch = unwatched,
) -> list[Columns]:
    """As `scoring.score`, every token scored given all others of its text.

    Columns are `pseudo_surprisal_…` and `pseudo_entropy_…`: their sums are not log-probabilities.
    """
    # Here the tokens that follow show where a word ends: no token implies it for another.
    measure = Prediction(np.zeros(tokenizer.vocab_size, np.bool_))

    def read(passages: Sequence[Passage]) -> list[Measured]:
        return read_cloze_passages(engine, passages, measure, watch=watch)

    return list(map(_as_pseudo, score_by(read, tokenizer, documents, settings)))


def _as_pseudo(table: Columns) -> Columns:
    """Rename surprisal and entropy columns to `pseudo_…`."""
    figures = ("surprisal_", "entropy_")
    return {
        f"pseudo_{name}" if name.startswith(figures) else name: column
        for name, column in table.items()
    }


def read_cloze_passages(
    engine: BidirectionalEngine,
    passages: Sequence[Passage],
    measure: Measure,
    *,
    watch: Watch = unwatched,
) -> list[Measured]:
    """As `read_cloze`, for the text's tokens of each passage: (K, N) each. Context is read too."""
    measured = read_cloze(engine, [passage.ids for passage in passages], measure, watch=watch)
    return [
        measured_KN[:, passage.context_length :]
        for passage, measured_KN in zip(passages, measured, strict=True)
    ]


def _all_logits(
    engine: BidirectionalEngine, sequences: Sequence[Ids], longest_pass: int
) -> Iterator[tuple[int, int, Floats]]:
    """Yield (sequence index, begin, logits (T, V)) for chunks of the sequences."""
    length = max(1, min(longest_pass, LARGEST_PASS // engine.config.vocab_size))
    short = [i for i, sequence in enumerate(sequences) if 0 < len(sequence) <= length]
    outputs = engine.outputs([sequences[i] for i in short])
    for i, (forward_NH, backward_NH) in zip(short, outputs, strict=True):
        edge_1H = np.zeros_like(forward_NH[:1])
        before = np.concatenate([edge_1H, forward_NH[:-1]])
        after = np.concatenate([backward_NH[1:], edge_1H])
        yield i, 0, engine.logits(before, after)
    for i, sequence in enumerate(sequences):
        if len(sequence) > length:
            for begin, logits_TV in _long_logits(engine, sequence, length):
                yield i, begin, logits_TV


def _long_logits(
    engine: BidirectionalEngine, ids: Ids, length: int
) -> Iterator[tuple[int, Floats]]:
    """Yield (begin, logits (T, V)) for the chunks of a sequence, in order.

    The reverse stack reads the whole text first and keeps only its state at each chunk's end; all
    of its outputs would take a thousand times as much memory.
    """
    tokens_N1 = ids[:, None].astype(np.int64)
    begins = range(0, len(ids), length)
    states = [engine.reverse.initial_state()]
    for begin in reversed(begins[1:]):
        reversed_T1 = tokens_N1[begin : begin + length][::-1]
        states.append(engine.reverse.advance(reversed_T1, states[-1]))
    state = engine.causal.initial_state()
    for begin in begins:
        chunk_T1 = tokens_N1[begin : begin + length]
        before_T1H, state = engine.before(chunk_T1, state)
        after_T1H, _ = engine.after(chunk_T1, states.pop())
        yield begin, engine.logits(before_T1H[:, 0], after_T1H[:, 0])
