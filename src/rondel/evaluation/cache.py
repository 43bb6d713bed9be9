"""A continuous cache: raises the probability of tokens that recently followed a similar state.

Grave, Joulin & Usunier, "Improving neural language models with a continuous cache" (ICLR 2017).
Nothing is trained. For each position of the text, the cache stores the state h_i after reading its
token, and the next token x_i+1:

    p_cache(x) ~ sum over cached i with x_i+1 = x of exp(theta h_t . h_i)
    p(x) = (1 - weight) p_model(x) + weight p_cache(x)

Shapes: N predictions, T of them at a time, W cached positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.block_reading import Tick, untold
from rondel.evaluation.measures import Measured, Surprisal
from rondel.evaluation.text_blocks import Block

Ids = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]
CHUNK = 64


@dataclass(frozen=True)
class Cache:
    """Settings of the cache: `window` is its size in positions.

    The higher `theta`, the more similar to the current state a cached one must be to count; at 0
    all count alike. `weight` is the weight of the cache in the mixture.

    ::

        model.evaluate(text, cache=Cache(window=500, weight=0.2)).bits_per_character
    """

    window: int = 2000
    theta: float = 0.3
    weight: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.window < 1:
            raise InputError(f"a cache's window must be at least 1 token, not {self.window}")
        if not 0 <= self.theta < np.inf:
            raise InputError(f"a cache's theta must be 0 or more, not {self.theta}")
        if not 0 <= self.weight < 1:
            raise InputError(f"a cache's weight must be from 0 to below 1, not {self.weight}")


def cached_surprisals(
    engine: Engine, blocks: Iterable[Block], cache: Cache, tick: Tick = untold
) -> Iterator[tuple[Block, Measured]]:
    """-ln p (n,) of every token of each block that comes after another of its passage, in nats.

    Values may come with a later block. A passage is read from the zero state, and the cache is
    empty at first; the first prediction is the model's alone.
    """
    passage = _Passage(engine, cache)
    for block in blocks:
        results = [np.empty(0)]
        for part in block.parts:
            if part.begins:
                passage = _Passage(engine, cache)
            results += passage.surprisals(part.ids, ends=part.ends)
        tick(block, 1.0)
        yield block, np.concatenate(results)


class _Passage:
    """A passage as it is read, with its cache."""

    def __init__(self, engine: Engine, cache: Cache) -> None:
        self._engine, self._cache = engine, cache
        self._state = engine.initial_state()
        self._states_WH = np.empty((0, self._state[0].shape[-1]), np.float32)
        self._next_W = np.empty(0, np.int64)
        self._held = np.empty(0, np.int64)

    def surprisals(self, ids: Ids, *, ends: bool) -> Iterator[Measured]:
        """Those of the tokens that follow, some at a time."""
        self._held = np.concatenate([self._held, ids.astype(np.int64)])
        while len(self._held) > CHUNK or (ends and len(self._held) > 1):
            chunk, self._held = self._held[: CHUNK + 1], self._held[CHUNK:]
            yield self._read(chunk)

    def _read(self, chunk: npt.NDArray[np.int64]) -> Measured:
        cache = self._cache
        logits_T1V, _ = self._engine.sequence(chunk[:-1, None], self._state)
        outputs_T1H, self._state = self._engine.outputs(chunk[:-1, None], self._state)
        (nats_T1,) = Surprisal()(logits_T1V, chunk[1:, None])
        states_WH = np.concatenate([self._states_WH, outputs_T1H[:, 0]])
        next_W = np.concatenate([self._next_W, chunk[1:]])
        p_cache_T = _cache_probabilities(states_WH, next_W, len(outputs_T1H), cache)
        self._states_WH, self._next_W = states_WH[-cache.window :], next_W[-cache.window :]
        return _mix(nats_T1[:, 0], p_cache_T, cache.weight)


def _cache_probabilities(
    states_WH: Floats, next_W: npt.NDArray[np.int64], last: int, cache: Cache
) -> Measured:
    """p_cache (T,) of the token after each of the last T states, given the states before it.

    NaN where the cache is empty.
    """
    positions = np.arange(len(states_WH))
    current_T = positions[-last:]
    scores_TW = cache.theta * (states_WH[current_T] @ states_WH.T).astype(np.float64)
    distance_TW = current_T[:, None] - positions
    scores_TW[(distance_TW < 1) | (distance_TW > cache.window)] = -np.inf
    scores_TW -= np.maximum(scores_TW.max(axis=1, keepdims=True), np.finfo(np.float64).min)
    weights_TW = np.exp(scores_TW)
    match_TW = next_W == next_W[current_T][:, None]
    totals_T = weights_TW.sum(axis=1)
    filled_T = totals_T > 0
    matches_T = np.where(match_TW, weights_TW, 0.0).sum(axis=1)
    return np.where(filled_T, matches_T / np.where(filled_T, totals_T, 1.0), np.nan)


def _mix(nats_T: Measured, p_cache_T: Measured, weight: float) -> Measured:
    p_T = (1 - weight) * np.exp(-nats_T) + weight * np.nan_to_num(p_cache_T)
    # Use the model alone where the cache is empty, or where both probabilities underflow to 0.
    model_only_T = np.isnan(p_cache_T) | (p_T == 0)
    mixed: Measured = np.where(model_only_T, nats_T, -np.log(np.where(model_only_T, 1.0, p_T)))
    return mixed
