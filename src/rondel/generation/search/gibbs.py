"""Gibbs sampling: redraw the tokens of a text, each given all the others (Geman & Geman 1984).

A bidirectional model does not give the probability of a whole text, from which it could be drawn at
once. Its conditional distributions are also not exactly those of any joint distribution, so the
distribution that many sweeps converge to is defined only by sampling (Berglund et al. 2015).

Shapes: T time, B batch, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rondel.engine.base import EngineState, Floats, Ids
from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.errors import InputError
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.sampling.sampler import Shaper, draw, stream_rng
from rondel.text.tokenizers import Tokenizer

Choose = Callable[[Floats, int], Ids]
"""Chooses the tokens (B,) at a place, given their logits (B, V) and the place."""


def sweep(
    engine: BidirectionalEngine,
    tokens_TB: Ids,
    before: EngineState,
    after: EngineState,
    choose: Choose,
) -> None:
    """Choose every token anew in place, from the first to the last, given all the others.

    `before` and `after` are the states of the two stacks at the edges.
    """
    # The tokens after a place do not change before the sweep reaches them.
    after_TBH, _ = engine.after(tokens_TB, after)
    state = before
    for place, after_BH in enumerate(after_TBH):
        tokens_TB[place] = choose(engine.logits(state[0][-1], after_BH), place)
        state = engine.causal.advance(tokens_TB[place][None], state)


def gibbs(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    text: str,
    sweeps: int,
    settings: GenerationSettings,
    index: int = 0,
) -> Iterator[str]:
    """Yield the text after each of `sweeps` sweeps; its length in tokens stays the same.

    Of the settings, only the seed and the rules are used; a rule's history is the tokens before the
    place. Sample `index` of a seed is the same whatever other samples are drawn. Raises
    `InputError` for an empty text.
    """
    ids = tokenizer.encode(text)
    if len(ids) == 0:
        raise InputError("there is no text to begin from: give one of at least one character")
    if sweeps < 1:
        raise InputError(f"sweeps must be at least 1, not {sweeps}")
    return _texts(engine, tokenizer, ids, sweeps, settings, stream_rng(settings.seed, index))


def _texts(
    engine: BidirectionalEngine,
    tokenizer: Tokenizer,
    ids: Ids,
    sweeps: int,
    settings: GenerationSettings,
    rng: np.random.Generator,
) -> Iterator[str]:
    shaper = Shaper(tokenizer, settings.rules)
    tokens_T1 = ids[:, None].astype(np.int64)
    before, after = engine.causal.initial_state(), engine.reverse.initial_state()

    def choose(logits_1V: Floats, place: int) -> Ids:
        return np.array([draw(shaper(logits_1V[0], tokens_T1[:place, 0]), rng)])

    for _ in range(sweeps):
        sweep(engine, tokens_T1, before, after, choose)
        yield tokenizer.decode(tokens_T1[:, 0].tolist())
