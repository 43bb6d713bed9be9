"""Every sampling rule of the registry: neutral by default, composable, and right by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from rondel.engine.probability import softmax
from rondel.errors import InputError
from rondel.generation.sampling.rules import active_rules, rules

FIELDS = [
    (rule_name, field) for rule_name, cls in rules.items() for field in dataclasses.fields(cls)
]
FIELD_IDS = [field.name for _, field in FIELDS]
SIZES = [1, 2, 256, 50_000]


def accepted_values(rule_name: str, field: dataclasses.Field) -> list[float]:
    """Values from all over a parameter's range that switch its rule on."""
    limits = field.metadata
    named = [limits["at_least"], limits["at_most"]]
    candidates = [0.01, 0.3, 0.9, 1, 1.7, 3, 1000, *(limit for limit in named if limit is not None)]
    whole = isinstance(field.default, int)
    values = {int(value) if whole else float(value) for value in candidates} - {field.default}
    good = []
    for value in sorted(values):
        try:
            rules[rule_name](**{field.name: value})
        except InputError:
            continue
        good.append(value)
    return good


ACTIVE = [
    {field.name: value}
    for rule_name, field in FIELDS
    for value in accepted_values(rule_name, field)
]


def logits_of(size: int, seed: int = 0) -> np.ndarray:
    """Logits as models give them: spread out, some equal, some forbidden."""
    logits = np.random.default_rng(seed).normal(0, 3, size).round(1)
    logits[1::7] = -np.inf
    return logits


def history_of(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, size, 50).astype(np.int32)


def test_rules_come_in_their_order():
    ranked = sorted(rules, key=lambda name: rules[name].order)
    known = ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"]
    assert [name for name in ranked if name in known] == known


def test_no_parameter_has_two_owners():
    assert len(set(FIELD_IDS)) == len(FIELD_IDS)


@pytest.mark.parametrize(("rule_name", "field"), FIELDS, ids=FIELD_IDS)
def test_every_parameter_says_what_it_is(rule_name, field):
    assert field.metadata["help"]
    assert len(accepted_values(rule_name, field)) >= 3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rule_name", rules)
def test_a_rule_at_its_defaults_changes_no_distribution(rule_name, size):
    rule, logits = rules[rule_name](), logits_of(size)
    assert not rule.active
    after = rule.apply(logits.copy(), history_of(size))
    np.testing.assert_allclose(softmax(after), softmax(logits), rtol=1e-14, atol=0)


def test_parameters_at_their_defaults_switch_nothing_on():
    assert active_rules({field.name: field.default for _, field in FIELDS}) == []
    assert active_rules({}) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parameters", ACTIVE, ids=str)
def test_a_rule_leaves_its_input_alone_and_something_to_draw(parameters, size):
    (rule,) = active_rules(parameters)
    logits, history = logits_of(size), history_of(size)
    before, history_before = logits.copy(), history.copy()
    after = rule.apply(logits, history)
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(history, history_before)
    assert after.shape == (size,)
    assert after.dtype == np.float64
    assert np.isfinite(after.max())
    assert (after[np.isneginf(logits)] == -np.inf).all(), "a forbidden token came back"
    np.testing.assert_array_equal(rule.apply(logits, history), after)


@pytest.mark.parametrize("parameters", ACTIVE, ids=str)
@pytest.mark.parametrize(
    "logits",
    [
        [0.0] * 49,
        [-np.inf, 5.0, -np.inf],
        [3.4e38, -3.4e38, 1.0],
        [-3.4e38, -3.4e38],
        [-700.0, -1e-40, -0.0],
    ],
    ids=["flat", "one left", "far apart", "all low", "tiny"],
)
def test_extreme_logits_leave_something_to_draw(parameters, logits):
    (rule,) = active_rules(parameters)
    after = rule.apply(np.array(logits), np.arange(len(logits)))
    assert np.isfinite(after.max())
    assert not np.isnan(after).any()


@pytest.mark.parametrize("size", [1, 2, 256])
def test_rules_compose_in_every_pair(size):
    for first, second in itertools.combinations(ACTIVE, 2):
        parameters = {**first, **second}
        chosen = active_rules(parameters)
        assert len(chosen) == len(parameters)
        assert [rule.order for rule in chosen] == sorted(rule.order for rule in chosen)
        logits = logits_of(size)
        for rule in chosen:
            logits = rule.apply(logits, history_of(size))
        assert np.isfinite(logits.max()), parameters
        assert not np.isnan(logits).any(), parameters


def beyond(field: dataclasses.Field) -> list[object]:
    limits = field.metadata
    low = [limits["at_least"] - 1] if limits["at_least"] is not None else [limits["above"]]
    high = [limits["at_most"] + 1] if limits["at_most"] is not None else []
    whole = [1.5] if isinstance(field.default, int) else [10**400]
    return [*low, *high, *whole, math.nan, math.inf, -math.inf, "0.5", None, True, [1]]


@pytest.mark.parametrize(("rule_name", "field"), FIELDS, ids=FIELD_IDS)
def test_a_value_out_of_range_is_refused_by_name(rule_name, field):
    for value in beyond(field):
        with pytest.raises(InputError, match=f"^{field.name} must be a .*, not ") as caught:
            active_rules({field.name: value})
        assert "\n" not in str(caught.value)


def test_a_parameter_no_rule_has_is_refused_and_the_others_named():
    with pytest.raises(InputError, match=r"called 'warmth'; there are: min_p, .*temperature"):
        active_rules({"warmth": 1.0})


def test_a_message_tells_the_whole_range():
    with pytest.raises(InputError) as caught:
        active_rules({"top_p": 1.5})
    assert str(caught.value) == "top_p must be a number, more than 0 and at most 1, not 1.5"


INF = np.inf


def applied(logits: list[float], history: list[int] | None = None, **parameters: float):
    (rule,) = active_rules(parameters)
    past = np.array(history or [], np.int32)
    return rule.apply(np.array(logits), past).tolist()


def log(*probabilities: float) -> list[float]:
    return [math.log(p) for p in probabilities]


def test_temperature_divides():
    half = softmax(np.array(applied([1.0, 2.0, 4.0], temperature=0.5)))
    np.testing.assert_allclose(half, softmax(np.array([2.0, 4.0, 8.0])), rtol=1e-14)
    double = softmax(np.array(applied([1.0, 2.0, 4.0], temperature=2.0)))
    np.testing.assert_allclose(double, softmax(np.array([0.5, 1.0, 2.0])), rtol=1e-14)


def test_temperature_zero_leaves_the_first_of_the_likeliest():
    assert applied([1.0, 4.0, 4.0, 2.0], temperature=0) == [-INF, 4.0, -INF, -INF]


def test_a_temperature_near_zero_is_as_zero():
    assert applied([1.0, 4.0, 2.0], temperature=1e-320) == [-INF, 0.0, -INF]


def test_top_k_keeps_the_largest():
    assert applied([1.0, 4.0, 3.0, 2.0], top_k=2) == [-INF, 4.0, 3.0, -INF]
    assert applied([1.0, 4.0], top_k=5) == [1.0, 4.0]


def test_top_k_settles_ties_by_the_lowest_id():
    assert applied([3.0, 5.0, 3.0, 3.0], top_k=3) == [3.0, 5.0, 3.0, -INF]
    assert applied([0.0] * 4, top_k=1) == [0.0, -INF, -INF, -INF]


def test_top_k_counts_no_forbidden_token():
    assert applied([-INF, 5.0, -INF], top_k=2) == [-INF, 5.0, -INF]


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, [0]), (0.49, [0]), (0.51, [0, 2]), (0.79, [0, 2]), (0.81, [0, 2, 3]), (0.96, None)],
)
def test_top_p_keeps_the_token_that_crosses_the_threshold(top_p, kept):
    logits = log(0.5, 0.05, 0.3, 0.15)
    expected = [logit if kept is None or i in kept else -INF for i, logit in enumerate(logits)]
    assert applied(logits, top_p=top_p) == expected


def test_top_p_settles_ties_by_the_lowest_id():
    assert applied([0.0] * 4, top_p=0.6) == [0.0, 0.0, 0.0, -INF]
    assert applied([0.0] * 4, top_p=1e-300) == [0.0, -INF, -INF, -INF]


def test_top_p_is_the_smallest_such_set_of_a_large_vocabulary():
    logits = np.random.default_rng(5).normal(0, 2, 50_000)
    probabilities = softmax(logits)
    kept = np.isfinite(applied(logits.tolist(), top_p=0.7))
    assert probabilities[kept].sum() >= 0.7
    assert probabilities[kept].sum() - probabilities[kept].min() < 0.7
    assert probabilities[~kept].max() <= probabilities[kept].min()


@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("spread", [0.0, 0.5, 4.0])
def test_top_p_is_what_a_sort_of_all_gives(top_p, spread):
    """Also where many tokens are as likely, and where some are forbidden."""
    logits = np.random.default_rng(6).normal(0, spread, 5000).round(1)
    logits[::7] = -INF
    probabilities = softmax(logits)
    ranked = np.argsort(-probabilities, kind="stable")
    last = np.searchsorted(np.cumsum(probabilities[ranked]), top_p)
    kept = np.flatnonzero(np.isfinite(applied(logits.tolist(), top_p=top_p)))
    assert kept.tolist() == sorted(ranked[: last + 1].tolist())


def test_min_p_is_a_fraction_of_the_likeliest():
    logits = log(0.5, 0.26, 0.14, 0.1)
    assert applied(logits, min_p=0.5) == [*logits[:2], -INF, -INF]
    assert applied(logits, min_p=0.25) == [*logits[:3], -INF]
    assert applied([2.0, 5.0, 5.0], min_p=1) == [-INF, 5.0, 5.0]


def test_repetition_penalty_minds_the_sign():
    penalised = applied([2.0, 3.0, -1.0, -4.0, 0.0], [0, 2, 0, 4], repetition_penalty=2.0)
    assert penalised == [1.0, 3.0, -2.0, -4.0, 0.0]
    assert applied([2.0, -1.0], [0, 1], repetition_penalty=0.5) == [4.0, -0.5]
    assert applied([2.0, 3.0], [], repetition_penalty=2.0) == [2.0, 3.0]


def test_the_penalty_comes_before_what_moves_the_logits():
    logits, history = np.array([2.0, 3.0, -1.0]), np.array([1])
    for rule in active_rules({"temperature": 0.5, "repetition_penalty": 2.0, "top_k": 2}):
        logits = rule.apply(logits, history)
    # 3 becomes 1.5, then all are doubled, then 2 and 1.5 are kept.
    expected = softmax(np.array([4.0, 3.0, -INF]))
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-14)
