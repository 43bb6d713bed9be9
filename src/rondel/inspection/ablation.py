"""What a model loses without a unit.

A unit acts through its output alone: on its own layer's gates, and on the layer above or the head.
So it is clamped by writing its columns of those matrices into their biases, and any engine runs
that. Its cell state and gates may go on as they please; nothing hears of them.

Shapes: N tokens, T tokens of a block, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rondel.checked import checked
from rondel.engine import build_engine
from rondel.engine.base import Floats, Ids
from rondel.engine.head import Head
from rondel.engine.probability import nll
from rondel.errors import InputError
from rondel.inspection.features import Feature
from rondel.inspection.stack_tracks import Weights
from rondel.inspection.trace import LARGEST_PASS, Trace, Unit, reader_of
from rondel.kinds import kind_of
from rondel.settings import ModelConfig

LONGEST_PASS = 256


@dataclass(frozen=True)
class Effect:
    """What clamping a unit does to the loss, in nats per token.

    `where` and `elsewhere` are of the tokens to predict that have the feature and that have not;
    `nan` if there are none. `loss` is that of the model as it is.
    """

    unit: Unit
    clamped_to: float
    tokens: int
    loss: float
    change: float
    feature: str | None = None
    tokens_where: int = 0
    change_where: float = float("nan")
    change_elsewhere: float = float("nan")


@checked
def ablate(
    config: ModelConfig,
    weights: Weights,
    trace: Trace,
    unit: Unit,
    features: Sequence[Feature] = (),
    *,
    value: float | None = None,
) -> list[Effect]:
    """Clamp a unit to `value`, or to its mean over the text, and say what that costs.

    One effect for each feature, or one without any. Every token but the first is predicted, from
    the zero state; a feature that is a number is split where it is over its mean. Raises
    `InputError` for a unit that is not a hidden state of a stack that predicts the next token, or a
    text of one token.
    """
    if not reader_of(config).can_be_clamped:
        raise InputError(
            f"a {kind_of(config).noun} scores no text token by token: no unit of it is clamped"
        )
    if unit.track not in ("hidden", "cell"):
        raise InputError(
            f"{unit} cannot be clamped: only units that the next token is predicted from can, "
            f"such as {unit.layer + 1}:{unit.index + 1}"
        )
    if len(trace) < 2:
        raise InputError("one token is too short a text: there is nothing to predict")
    acting = Unit("hidden", unit.layer, unit.index)
    mean = float(trace.values(acting).mean()) if value is None else value
    before_N = surprisals(config, weights, trace.ids)
    after_N = surprisals(config, clamped(config, weights, acting, mean), trace.ids)
    change_N = after_N - before_N
    whole = Effect(acting, mean, len(change_N), float(before_N.mean()), float(change_N.mean()))
    return [_split(whole, change_N, feature) for feature in features] or [whole]


def _split(whole: Effect, change_N: npt.NDArray[np.float64], feature: Feature) -> Effect:
    values = feature.values[1:]
    holds = values > (feature.values.mean() if feature.is_number else 0)
    where, elsewhere = (
        float(change_N[part].mean()) if part.any() else float("nan") for part in (holds, ~holds)
    )
    return dataclasses.replace(
        whole,
        feature=feature.name,
        tokens_where=int(holds.sum()),
        change_where=where,
        change_elsewhere=elsewhere,
    )


def clamped(config: ModelConfig, weights: Weights, unit: Unit, value: float) -> dict[str, Floats]:
    """A model's weights whose unit gives this value always, before the first token too."""
    # A head of its own, for the embedding is not to lose what the head does.
    changed = {**weights, "head.weight": Head.of(weights).weight_VH}
    readers = [(f"core.weight_hh_l{unit.layer}", f"core.bias_hh_l{unit.layer}")]
    if unit.layer + 1 < config.num_layers:
        above = unit.layer + 1
        readers.append((f"core.weight_ih_l{above}", f"core.bias_ih_l{above}"))
    else:
        readers.append(("head.weight", "head.bias"))
    for matrix, bias in readers:
        column = changed[matrix][:, unit.index]
        changed[bias] = changed[bias] + np.float32(value) * column
        changed[matrix] = changed[matrix].copy()
        changed[matrix][:, unit.index] = 0
    return changed


def surprisals(config: ModelConfig, weights: Weights, ids: Ids) -> npt.NDArray[np.float64]:
    """-log p of every token but the first, in nats (N - 1,)."""
    engine = build_engine(config, weights, tokens=len(ids))
    state = engine.initial_state()
    length = max(1, min(LONGEST_PASS, LARGEST_PASS // config.vocab_size))
    found = np.empty(len(ids) - 1)
    for begin in range(0, len(found), length):
        read = ids[begin : begin + length][: len(found) - begin]
        logits_T1V, state = engine.sequence(read[:, None], state)
        came = ids[begin + 1 : begin + 1 + len(read)]
        found[begin : begin + len(read)] = nll(logits_T1V[:, 0].astype(np.float64), came)
    return found
