"""What a bidirectional model makes of each token of a text, given all the others.

The sum of these log-probabilities is the text's pseudo-log-likelihood (Besag 1975; for language
models Salazar et al. 2020). It is no probability of the text, and no figure of a model that reads
one way can be compared with it.

Shapes: T time, N tokens of one sequence, H hidden size, V vocabulary, K what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.engine.base import Floats, Ids
from rondel.engine.bidirectional import BidirectionalEngine
from rondel.errors import InputError
from rondel.evaluation.framing import Passage
from rondel.evaluation.measures import Measure, Measured, Surprisal
from rondel.evaluation.reading import LARGEST_PASS, LONGEST_PASS, Watch, unwatched
from rondel.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class ClozeEvaluation:
    """How well a model predicts each token of a text from all the others.

    Every token is scored, the first and the last too. `pseudo_nats` is the sum of their -log p;
    `unknown` how many of the tokens the vocabulary lacks (they are scored as `<unk>`).
    """

    pseudo_nats: float
    tokens: int
    characters: int
    unknown: int

    @property
    def pseudo_nats_per_token(self) -> float:
        """Mean -log p of a token given all others."""
        return self.pseudo_nats / self.tokens

    @property
    def pseudo_bits_per_character(self) -> float:
        """The same per character of text, in bits."""
        return self.pseudo_nats / math.log(2) / self.characters

    @property
    def pseudo_perplexity(self) -> float:
        """The exponential of the mean, per token."""
        return math.exp(min(self.pseudo_nats_per_token, 700.0))

    def to_json(self) -> dict[str, float | int]:
        """Every figure, under its name with its unit."""
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
    """Score token ids (N,) that stand for so many `characters`, each given all the others.

    `watch` is told now and then what fraction is done. Raises `InputError` if there is no token.
    """
    if len(ids) == 0:
        raise InputError("this text is empty; give it at least one token to predict")
    nats = -float(pseudo_log_likelihoods(engine, ids, watch).sum())
    unknown = 0 if tokenizer.unknown_id is None else int((ids == tokenizer.unknown_id).sum())
    return ClozeEvaluation(nats, len(ids), max(1, characters), unknown)


def pseudo_log_likelihoods(
    engine: BidirectionalEngine, ids: Ids, watch: Watch = unwatched
) -> npt.NDArray[np.float64]:
    """log p(token | all others) in nats, (N,), for each of ids (N,)."""
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
    """Measure every token of every sequence, each a text by itself: (K, N) each.

    `watch` is told now and then what fraction is done. Raises `ModelFolderError` if the model's
    output is not finite. What comes out does not depend on `longest_pass`, but for the last bits
    of a sum.
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


def read_cloze_passages(
    engine: BidirectionalEngine,
    passages: Sequence[Passage],
    measure: Measure,
    *,
    watch: Watch = unwatched,
) -> list[Measured]:
    """As `read_cloze`, for the own tokens of passages: (K, N) each. What is before is read too."""
    measured = read_cloze(engine, [passage.ids for passage in passages], measure, watch=watch)
    return [
        read_KN[:, passage.before :] for passage, read_KN in zip(passages, measured, strict=True)
    ]


def _all_logits(
    engine: BidirectionalEngine, sequences: Sequence[Ids], longest_pass: int
) -> Iterator[tuple[int, int, Floats]]:
    """Logits (T, V) of stretches of the sequences: which, where the stretch begins, and they."""
    length = max(1, min(longest_pass, LARGEST_PASS // engine.config.vocab_size))
    short = [i for i, sequence in enumerate(sequences) if 0 < len(sequence) <= length]
    outputs = engine.outputs([sequences[i] for i in short])
    for i, (forth_NH, back_NH) in zip(short, outputs, strict=True):
        edge_1H = np.zeros_like(forth_NH[:1])
        before = np.concatenate([edge_1H, forth_NH[:-1]])
        after = np.concatenate([back_NH[1:], edge_1H])
        yield i, 0, engine.logits(before, after)
    for i, sequence in enumerate(sequences):
        if len(sequence) > length:
            for begin, logits_TV in _long_logits(engine, sequence, length):
                yield i, begin, logits_TV


def _long_logits(
    engine: BidirectionalEngine, ids: Ids, length: int
) -> Iterator[tuple[int, Floats]]:
    """Logits (T, V) of a sequence stretch by stretch, in order, with where each begins.

    The stack that reads against the text goes through all of it first, and leaves its state at the
    end of each stretch; kept whole, its outputs would take a thousand times as much memory.
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
