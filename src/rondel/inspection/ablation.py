"""Ablate units: measure the loss with a unit's output clamped to a constant.

A unit affects the model through its output alone: through its own layer's gates, and the layer
above or the head. So its columns of those matrices are folded into their biases, which needs no
support of the engine. Its cell state and gates change, but have no effect.

Shapes: N tokens, V vocabulary.
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
from rondel.softmaxes import softmax_of

LONGEST_PASS = 256


@dataclass(frozen=True)
class Effect:
    """What clamping a unit does to the loss, in nats per token.

    `loss` is the unchanged model's, `change` the mean change over all predicted tokens,
    `change_where` over those where the feature holds, `change_elsewhere` over the others; `nan` if
    there are none.
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
    """Clamp a unit to `value`, or to its mean over the text, and measure the change of the loss.

    Returns one effect for each feature, or one without features. All tokens but the first are
    predicted, from the zero state; a numeric feature holds where it is above its mean. Raises
    `InputError` for a unit that is not in a stack that predicts the next token, or a text of one
    token.
    """
    if not reader_of(config).can_be_clamped:
        raise InputError(
            f"a {kind_of(config).noun} does not score single tokens: its units cannot be clamped"
        )
    if not softmax_of(config).is_linear:
        raise InputError(
            f"units of a model with --softmax {config.softmax} cannot be clamped; train one with "
            "--softmax full to ablate them"
        )
    if unit.track not in ("hidden", "cell"):
        raise InputError(
            f"{unit} cannot be clamped: only units that the next token is predicted from can, "
            f"such as {unit.layer + 1}:{unit.index + 1}"
        )
    if len(trace) < 2:
        raise InputError("one token is too short a text: there is nothing to predict")
    output = Unit("hidden", unit.layer, unit.index)
    constant = float(trace.values(output).mean()) if value is None else value
    nats_N = surprisals(config, weights, trace.ids)
    change_N = surprisals(config, clamp_unit(config, weights, output, constant), trace.ids) - nats_N
    overall = Effect(output, constant, len(nats_N), float(nats_N.mean()), float(change_N.mean()))
    return [_split(overall, change_N, feature) for feature in features] or [overall]


def _split(overall: Effect, change_N: npt.NDArray[np.float64], feature: Feature) -> Effect:
    values = feature.values[1:]
    holds = values > (feature.values.mean() if feature.is_number else 0)
    where, elsewhere = (
        float(change_N[part].mean()) if part.any() else float("nan") for part in (holds, ~holds)
    )
    return dataclasses.replace(
        overall,
        feature=feature.name,
        tokens_where=int(holds.sum()),
        change_where=where,
        change_elsewhere=elsewhere,
    )


def clamp_unit(
    config: ModelConfig, weights: Weights, unit: Unit, value: float
) -> dict[str, Floats]:
    """Weights of the same model with a unit's output fixed, from before the first token on."""
    # An untied head, so that the embedding stays unchanged.
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
    nats = np.empty(len(ids) - 1)
    for begin in range(0, len(nats), length):
        end = min(begin + length, len(nats))
        logits_T1V, state = engine.sequence(ids[begin:end, None], state)
        targets = ids[begin + 1 : end + 1]
        nats[begin:end] = nll(logits_T1V[:, 0].astype(np.float64), targets)
    return nats
