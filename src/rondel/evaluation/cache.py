"""A continuous cache: what came lately, where the model's state was as it is now, comes again.

After Grave, Joulin & Usunier, "Improving neural language models with a continuous cache" (ICLR
2017). Nothing is trained. Each place of the text is remembered as the state h_i after reading its
token, with the token x_i+1 that came next, and

    p_cache(x) ~ sum over remembered i with x_i+1 = x of exp(theta h_t . h_i)
    p(x) = (1 - weight) p_model(x) + weight p_cache(x)

Shapes: N predictions, T of them at a time, W remembered places, H hidden size, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rondel.checked import check_fields
from rondel.engine import Engine
from rondel.errors import InputError
from rondel.evaluation.measures import Measured, Surprisal
from rondel.evaluation.reading import Watch, unwatched

Ids = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]
CHUNK = 64


@dataclass(frozen=True)
class Cache:
    """How much of the text is remembered (`window` places), and how it is used.

    `theta` is how much a state must be like the present one to count: at 0 all places count alike.
    `weight` is the share of the cache in the mixture.

    ::

        model.evaluate(text, cache=Cache(window=500, weight=0.2)).bits_per_character
    """

    window: int = 2000
    theta: float = 0.3
    weight: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        if self.window < 1:
            raise InputError(f"a cache remembers at least 1 place, not {self.window}")
        if not 0 <= self.theta < np.inf:
            raise InputError(f"a cache's theta must be 0 or more, not {self.theta}")
        if not 0 <= self.weight < 1:
            raise InputError(f"a cache's weight must be from 0 to below 1, not {self.weight}")


def cached_surprisals(engine: Engine, ids: Ids, cache: Cache, watch: Watch = unwatched) -> Measured:
    """-ln p (N - 1,) of every token of ids (N,) but the first, in nats, from the zero state.

    The cache is empty where the text begins, and the model speaks alone until it is not. `watch`
    is told now and then what fraction is done.
    """
    count = len(ids) - 1
    results = np.empty(count)
    state = engine.initial_state()
    hidden_size = state[0].shape[-1]
    states_WH, next_W = np.empty((0, hidden_size), np.float32), np.empty(0, np.int64)
    for begin in range(0, count, CHUNK):
        chunk = ids[begin : min(begin + CHUNK, count) + 1].astype(np.int64)
        logits_T1V, _ = engine.sequence(chunk[:-1, None], state)
        own_T1H, state = engine.outputs(chunk[:-1, None], state)
        (nats_T1,) = Surprisal()(logits_T1V, chunk[1:, None])
        states_WH = np.concatenate([states_WH, own_T1H[:, 0]])
        next_W = np.concatenate([next_W, chunk[1:]])
        from_cache_T = _probabilities(states_WH, next_W, len(own_T1H), cache)
        end = begin + len(own_T1H)
        results[begin:end] = _mixed(nats_T1[:, 0], from_cache_T, cache.weight)
        states_WH, next_W = states_WH[-cache.window :], next_W[-cache.window :]
        watch(end / count)
    return results


def _probabilities(
    states_WH: Floats, next_W: npt.NDArray[np.int64], last: int, cache: Cache
) -> Measured:
    """p_cache (T,) of what came after each of the last T states, given those before it.

    NaN where there is none before.
    """
    places = np.arange(len(states_WH))
    now_T = places[-last:]
    scores_TW = cache.theta * (states_WH[now_T] @ states_WH.T).astype(np.float64)
    back_TW = now_T[:, None] - places
    scores_TW[(back_TW < 1) | (back_TW > cache.window)] = -np.inf
    scores_TW -= np.maximum(scores_TW.max(axis=1, keepdims=True), np.finfo(np.float64).min)
    weights_TW = np.exp(scores_TW)
    right_TW = next_W == next_W[now_T][:, None]
    totals_T = weights_TW.sum(axis=1)
    there = totals_T > 0
    right_T = np.where(right_TW, weights_TW, 0.0).sum(axis=1)
    return np.where(there, right_T / np.where(there, totals_T, 1.0), np.nan)


def _mixed(nats_T: Measured, from_cache_T: Measured, weight: float) -> Measured:
    p_T = (1 - weight) * np.exp(-nats_T) + weight * np.nan_to_num(from_cache_T)
    # Where the cache is empty the model speaks alone; so it does where both see no chance at all.
    alone = np.isnan(from_cache_T) | (p_T == 0)
    mixed: Measured = np.where(alone, nats_T, -np.log(np.where(alone, 1.0, p_T)))
    return mixed
