"""A continuous cache: raises the probability of tokens that recently followed a similar state.

Grave, Joulin & Usunier, "Improving neural language models with a continuous cache" (ICLR 2017).
Nothing is trained. For each position of the text, the cache stores the state h_i after reading its
token, and the next token x_i+1:

    p_cache(x) ~ sum over cached i with x_i+1 = x of exp(theta h_t . h_i)
    p(x) = (1 - weight) p_model(x) + weight p_cache(x)

Shapes: N predictions, T of them at a time, W cached positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.batch_reading import Watch, unwatched
from rondel.evaluation.measures import Measured, Surprisal

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


def cached_surprisals(engine: Engine, ids: Ids, cache: Cache, watch: Watch = unwatched) -> Measured:
    """-ln p (N - 1,) of every token of ids (N,) but the first, in nats, from the zero state.

    The cache is empty at first; the first prediction is the model's alone. `watch` is called with
    the fraction done.
    """
    count = len(ids) - 1
    results = np.empty(count)
    state = engine.initial_state()
    hidden_size = state[0].shape[-1]
    states_WH, next_W = np.empty((0, hidden_size), np.float32), np.empty(0, np.int64)
    for begin in range(0, count, CHUNK):
        chunk = ids[begin : min(begin + CHUNK, count) + 1].astype(np.int64)
        logits_T1V, _ = engine.sequence(chunk[:-1, None], state)
        outputs_T1H, state = engine.outputs(chunk[:-1, None], state)
        (nats_T1,) = Surprisal()(logits_T1V, chunk[1:, None])
        states_WH = np.concatenate([states_WH, outputs_T1H[:, 0]])
        next_W = np.concatenate([next_W, chunk[1:]])
        p_cache_T = _cache_probabilities(states_WH, next_W, len(outputs_T1H), cache)
        end = begin + len(outputs_T1H)
        results[begin:end] = _mix(nats_T1[:, 0], p_cache_T, cache.weight)
        states_WH, next_W = states_WH[-cache.window :], next_W[-cache.window :]
        watch(end / count)
    return results


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
