"""Dynamic evaluation, compared with NumPy and the reference's backpropagation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _runs import train, with_reference

import rondel
from rondel.errors import InputError
from rondel.evaluation.dynamic_settings import DynamicSettings
from rondel.reference import Model, make_cell
from rondel.training import dynamic

QUICK: dict[str, Any] = {"backend": "numpy", "steps": 5}


def by_the_reference(
    model: rondel.Model, ids: np.ndarray, settings: DynamicSettings, rms: dict[str, Any] | None
) -> float:
    """The nats of all tokens but the first, with the update as the paper has it."""
    assert settings.rate is not None
    trained = {name: array.astype(float) for name, array in model.weights.items()}
    reference = Model(
        make_cell(model.config.cell, model.config.own.get("nonlinearity", "tanh")),
        {name: array.copy() for name, array in trained.items()},
    )
    mean = 1.0
    if rms is not None:
        mean = sum(r.sum() for r in rms.values()) / sum(r.size for r in rms.values())
    state, nats = reference.initial_state(1), 0.0
    for begin in range(0, len(ids) - 1, settings.segment):
        chunk = ids[begin : begin + settings.segment + 1, None].astype(int)
        loss, gradients, state = reference.loss_and_gradients(chunk[:-1], chunk[1:], state)
        nats += loss * (len(chunk) - 1)
        for name, parameter in reference.parameters.items():
            scale = 1.0 if rms is None else 1 / (rms[name] + dynamic.EPSILON * mean)
            pull = settings.decay if rms is None else settings.decay * rms[name] / mean
            parameter += np.minimum(pull, 1.0) * (trained[name] - parameter)
            parameter -= settings.rate * scale * gradients[name]
    return nats


def root_mean_squares(model: rondel.Model, ids: np.ndarray, length: int) -> dict[str, Any]:
    """Of the gradients at every segment of a short text, read once at each place they begin."""
    cell = make_cell(model.config.cell, model.config.own.get("nonlinearity", "tanh"))
    parameters = {name: array.astype(float) for name, array in model.weights.items()}
    reference = Model(cell, parameters)
    stretch = length * dynamic.SEGMENTS_AT_A_PLACE + 1
    begins = np.linspace(0, len(ids) - stretch, dynamic.PLACES).astype(int)
    squares, count = dict.fromkeys(parameters, 0.0), 0
    for begin in np.unique(begins):
        state, place = reference.initial_state(1), ids[begin : begin + stretch, None].astype(int)
        for start in range(0, len(place) - 1, length):
            x, y = place[start : start + length], place[start + 1 : start + length + 1]
            _, gradients, state = reference.loss_and_gradients(x, y, state)
            squares = {name: squares[name] + d * d for name, d in gradients.items()}
            count += 1
    return {name: np.sqrt(square / count) for name, square in squares.items()}


@pytest.mark.parametrize(("cell", "nonlinearity"), with_reference(), ids=str)
@pytest.mark.parametrize("scaled", [False, True], ids=["plain", "scaled"])
def test_the_nats_agree_with_the_papers_update(
    cell: str,
    nonlinearity: str,
    scaled: bool,
    tmp_path: Path,
    coffee: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dynamic, "PLACES", 3)
    monkeypatch.setattr(dynamic, "SEGMENTS_AT_A_PLACE", 4)
    train(tmp_path / "run", coffee, cell=cell, nonlinearity=nonlinearity, num_layers=2, **QUICK)
    model = rondel.load(tmp_path / "run")
    ids, training = model.tokenizer.encode(coffee[:243]), model.tokenizer.encode(coffee[2000:2200])
    settings = DynamicSettings(rate=0.002 if scaled else 0.5, decay=0.05, segment=10)
    rms = root_mean_squares(model, training, 10) if scaled else None
    before = {name: array.copy() for name, array in model.weights.items()}
    found = model.evaluate_dynamically(
        ids, 243, settings, training_ids=training if scaled else None
    )
    assert found.nats == pytest.approx(by_the_reference(model, ids, settings, rms), rel=1e-4)
    static = model.evaluate_tokens(ids, 243)
    assert abs(found.nats - static.nats) > 1
    assert (found.tokens, found.words, found.unknown) == (242, static.words, 0)
    for name, array in before.items():
        np.testing.assert_array_equal(model.weights[name], array)


def test_a_rate_of_zero_does_not_learn(trained: Path, coffee: str) -> None:
    model = rondel.load(trained)
    ids = model.tokenizer.encode(coffee[:500])
    found = model.evaluate_dynamically(ids, 500, DynamicSettings(rate=0.0))
    assert found.nats == pytest.approx(model.evaluate_tokens(ids, 500).nats, rel=1e-5)


def test_invalid_settings_are_refused(trained: Path, coffee: str) -> None:
    for settings, message in (
        ({"rate": -1.0}, "rate of dynamic evaluation must be 0 or more, not -1.0"),
        ({"rate": math.nan}, "rate must be a finite number, not nan"),
        ({"decay": 2.0}, "from 0 to 1, not 2.0"),
        ({"segment": 0}, "at least 1 token, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            DynamicSettings(**settings)
    model = rondel.load(trained)
    ids = model.tokenizer.encode(coffee[:500])
    with pytest.raises(InputError, match="the loss is not finite; lower the rate"):
        model.evaluate_dynamically(ids, 500, DynamicSettings(rate=1e30, decay=0.0))
    with pytest.raises(InputError, match="scoring needs at least two"):
        model.evaluate_dynamically(ids[:1], 1)


def test_a_bidirectional_model_is_refused(tmp_path: Path, coffee: str) -> None:
    train(tmp_path / "run", coffee, model="bidirectional", steps=2)
    model = rondel.load(tmp_path / "run")
    with pytest.raises(InputError, match="for models that predict from what stands before"):
        model.evaluate_dynamically(model.tokenizer.encode(coffee[:100]), 100)
