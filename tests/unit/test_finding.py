"""Units are found for planted features, and none in an untrained model."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from _models import random_model
from _runs import train
from _settings import text_config

import rondel
from rondel import Model
from rondel.errors import InputError
from rondel.inspection.control import control_count, shuffle_weights
from rondel.inspection.features import Feature, features_of
from rondel.inspection.finding import Find, find
from rondel.inspection.trace import Trace, trace
from rondel.text.tokenizers import train_tokenizer


def planted(length: int, seed: int) -> str:
    """Random lines of similar length with quotes, in which underlines replace spaces.

    Only an occasional underline or space shows whether a character is quoted.
    """
    rng = np.random.default_rng(seed)
    text, inside, left, column, width = [], False, 20, 0, 10
    while len(text) < length:
        if column == width:
            text.append("\n")
            column, width = 0, int(rng.integers(9, 13))
            continue
        if left == 0:
            text.append('"')
            inside, left = not inside, int(rng.integers(10, 60))
        else:
            blank = "_" if inside else " "
            text.append(blank if rng.random() < 0.4 else "abcd"[rng.integers(4)])
            left -= 1
        column += 1
    return "".join(text)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("planted") / "gru"
    settings = {"hidden_size": 24, "embedding_size": 0, "batch_size": 16, "seq_length": 40}
    train(folder, planted(30_000, 0), cell="gru", steps=400, learning_rate=0.01, **settings)
    return rondel.load(folder, threads=1)


@pytest.fixture(scope="module")
def read(learnt: Model) -> Trace:
    return learnt.trace(planted(8000, 1))


@pytest.fixture(scope="module")
def finds(learnt: Model, read: Trace) -> list[Find]:
    return learnt.find_units(read)


def best(finds: list[Find], feature: str, measure: str) -> Find:
    return next(f for f in finds if (f.feature, f.measure) == (feature, measure))


def auc(values: np.ndarray, holds: np.ndarray) -> float:
    """The share of pairs (a value where it holds, one where it does not) in the right order."""
    pairs = np.sign(values[holds][:, None] - values[~holds][None])
    return float((pairs.mean() + 1) / 2)


def test_units_for_quotes_and_line_position_are_found(finds: list[Find]) -> None:
    quotes, line = best(finds, "quotes", "auc"), best(finds, "position in line", "r")
    assert 2 * abs(quotes.value - 0.5) > 0.9  # an AUC of more than 0.95, or less than 0.05
    assert 2 * abs(quotes.confirmed_value - 0.5) > 0.9
    assert abs(line.value) > 0.8
    assert abs(line.confirmed_value) > 0.8
    assert quotes.p_value <= 0.05
    assert line.p_value <= 0.05


def test_values_agree_with_auc_and_pearsons_r(read: Trace, finds: list[Find]) -> None:
    features = {f.name: f.values for f in features_of(read.text, read.spans)}
    half = len(read) // 2
    quotes, line = best(finds, "quotes", "auc"), best(finds, "position in line", "r")
    for part, found in ((slice(0, half), "value"), (slice(half, None), "confirmed_value")):
        holds = features["quotes"][part] > 0
        exact = auc(read.values(quotes.unit)[part], holds)
        assert getattr(quotes, found) == pytest.approx(exact, abs=1e-4)
        r = np.corrcoef(read.values(line.unit)[part], features["position in line"][part])[0, 1]
        assert getattr(line, found) == pytest.approx(r, abs=1e-4)


def test_clamping_the_unit_for_quotes_costs_more_than_another(
    learnt: Model, read: Trace, finds: list[Find]
) -> None:
    features = [f for f in features_of(read.text, read.spans) if f.name == "quotes"]
    found = {find.unit for find in finds}
    other = next(unit for i in range(24) if (unit := read.unit(f"1:{i + 1}")) not in found)
    (for_quotes,) = learnt.ablate(read, best(finds, "quotes", "auc").unit, features)
    (for_nothing,) = learnt.ablate(read, other, features)
    assert for_quotes.change > 0.01
    assert for_quotes.change_where > 0.01
    assert for_quotes.change > for_nothing.change
    whole = learnt.evaluate(read.text).nats_per_token
    assert for_quotes.loss == pytest.approx(whole, rel=1e-3)
    holds = for_quotes.tokens_where / for_quotes.tokens
    mean = holds * for_quotes.change_where + (1 - holds) * for_quotes.change_elsewhere
    assert for_quotes.change == pytest.approx(mean)


@pytest.mark.parametrize(("cell", "seed"), [("gru", 0), ("lstm", 1), ("rnn", 2)])
def test_an_untrained_model_has_no_finds(cell: str, seed: int) -> None:
    text = planted(2500, 2)
    tokenizer = train_tokenizer(text, text_config())
    config, weights = random_model(cell, layers=2, hidden=24, vocab=tokenizer.vocab_size, seed=seed)
    read = trace(config, weights, tokenizer, text)
    controls = [
        trace(config, shuffle_weights(config, weights, 10 + n), tokenizer, text)
        for n in range(control_count(config))
    ]
    assert find(read, features_of(text, read.spans), controls) == []


def test_chance_gives_no_find_and_a_sine_is_told_from_a_line(read: Trace) -> None:
    """Units made up: one a slow random walk, one a wave of 9 tokens, one that counts."""
    rng = np.random.default_rng(0)
    place = next(f for f in features_of(read.text, read.spans) if f.name == "position in line")
    walk = np.cumsum(rng.normal(size=len(read)))
    wave = np.sin(2 * np.pi * place.values / 9) + 0.3 * rng.normal(size=len(read))
    count = place.values + rng.normal(size=len(read))
    made = np.stack([walk, wave, count], axis=1)[:, None].astype(np.float32)
    other = Feature("other walk", (np.cumsum(rng.normal(size=len(read))) > 0).astype(np.float32))
    found = Trace(**{**vars(read), "tracks": {"hidden": made}})
    finds = find(found, [place, other], [])
    assert [(f.unit.index, f.measure) for f in finds] == [(2, "r"), (1, "sine")]
    assert finds[1].wavelength == pytest.approx(9, rel=0.2)


def test_a_short_text_is_refused(learnt: Model) -> None:
    message = "14 tokens are too few to find units with: give a text of 200 or more"
    with pytest.raises(InputError, match=re.escape(message)):
        learnt.find_units(learnt.trace("abcd abcd abcd"))


def test_finding_is_repeatable(learnt: Model, read: Trace, finds: list[Find]) -> None:
    assert learnt.find_units(read) == finds


def test_shuffling_keeps_each_gates_weights(tmp_path: Path, learnt: Model) -> None:
    mixed = shuffle_weights(learnt.config, learnt.weights, 1)
    for name, array in learnt.weights.items():
        assert not np.array_equal(mixed[name], array) or array.size < 2
        np.testing.assert_array_equal(np.sort(mixed[name], axis=None), np.sort(array, axis=None))
