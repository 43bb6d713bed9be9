"""Filling gaps: against the best of all there are, at every level, with what cannot be filled."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _both import cloze_logits, log_probabilities, random_model, random_text_model, shape
from _settings import text_config

import rondel
from rondel import Model
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.errors import InputError
from rondel.generation.search.filling import LOOK_AHEAD
from rondel.generation.search.gaps import put_together, split_at_gaps, unknowns_around
from rondel.text.tokenizers import tokenizers, train_tokenizer

LETTERS = "abcd"


@pytest.fixture(scope="module")
def model() -> Model:
    """A model of five tokens: four letters and the unknown."""
    tokenizer = train_tokenizer(LETTERS, text_config())
    config = shape(tokenizer.vocab_size, cell="gru", num_layers=2)
    return model_of(Artifact(config, tokenizer, random_model(config).export()))


def causal(model: Model, text: str, begin: int) -> float:
    """ln p of a text from the character `begin` on, by the causal half."""
    engine, ids = model._both_sides, model.tokenizer.encode(text)
    before, _ = engine.before(ids[:, None], engine.causal.initial_state())
    logs = log_probabilities(engine.causal_logits(before[:, 0]))
    return float(sum(logs[t, ids[t]] for t in range(begin, len(ids))))


def pseudo(model: Model, text: str, places: list[int]) -> float:
    ids = model.tokenizer.encode(text)
    logs = log_probabilities(cloze_logits(model._both_sides, ids))
    return float(sum(logs[t, ids[t]] for t in places))


def words(*lengths: int) -> list[str]:
    return ["".join(word) for n in lengths for word in itertools.product(LETTERS, repeat=n)]


@pytest.mark.parametrize("text", ["ab_dca", "_ab", "dab_", "_"])
def test_one_token_is_ranked_by_its_probability_given_both_sides(model: Model, text: str) -> None:
    found = model.fill(text, gap="_", length=1, best=10)
    place = text.index("_")
    expected = {c: pseudo(model, text.replace("_", c), [place]) for c in LETTERS}
    ranked = sorted(LETTERS, key=lambda c: -expected[c])
    assert [one.fillings for one in found] == [(c,) for c in ranked]
    for one in found:
        assert one.text == text.replace("_", one.fillings[0])
        assert one.pseudo_log_likelihood == pytest.approx(expected[one.fillings[0]], abs=1e-4)
        assert one.log_probability == pytest.approx(causal(model, one.text, place), abs=1e-4)


@pytest.mark.parametrize("settings", [{"length": 2}, {"length": 3}, {"max_length": 3}])
def test_the_best_of_all_fillings_are_found(model: Model, settings: dict[str, Any]) -> None:
    text = "abca_dbb"
    lengths = [settings["length"]] if "length" in settings else [1, 2, 3]
    scores = {word: causal(model, text.replace("_", word), 4) for word in words(*lengths)}
    best = sorted(scores, key=lambda word: -scores[word])[:5]
    found = model.fill(text, gap="_", width=100, **settings)
    assert [one.fillings for one in found] == [(word,) for word in best]
    for one, word in zip(found, best, strict=True):
        assert one.log_probability == pytest.approx(scores[word], abs=1e-4)
        places = list(range(4, 4 + len(word)))
        assert one.pseudo_log_likelihood == pytest.approx(pseudo(model, one.text, places), abs=1e-4)


def test_sweeps_find_what_a_narrow_beam_misses(model: Model) -> None:
    text = "abca_dbbacd"
    scores = {word: causal(model, text.replace("_", word), 4) for word in words(4)}
    greedy, refined = (
        model.fill(text, gap="_", length=4, width=2, best=1, sweeps=sweeps)[0] for sweeps in (0, 20)
    )
    assert greedy.log_probability < refined.log_probability
    assert refined.log_probability == pytest.approx(max(scores.values()), abs=1e-4)


def test_several_gaps(model: Model) -> None:
    text = "a_bcd_da"
    pairs = [(x, y) for x in words(1, 2) for y in words(1, 2)]
    texts = {(x, y): text.replace("_", x, 1).replace("_", y) for x, y in pairs}
    scores = {pair: causal(model, whole, 1) for pair, whole in texts.items()}
    best = max(scores, key=lambda pair: scores[pair])
    found = model.fill(text, gap="_", max_length=2, width=100, best=100)
    assert found[0].fillings == best
    assert [one.log_probability for one in found] == sorted(
        (one.log_probability for one in found), reverse=True
    )
    for one in found:
        assert one.text == texts[one.fillings]
        assert one.log_probability == pytest.approx(scores[one.fillings], abs=1e-4)


def test_what_is_far_after_a_gap_is_not_judged(model: Model) -> None:
    after = "abcd" * LOOK_AHEAD
    (near,) = model.fill("a_" + after[:LOOK_AHEAD], gap="_", best=1, length=1)
    (far,) = model.fill("a_" + after, gap="_", best=1, length=1)
    assert far.log_probability == pytest.approx(near.log_probability, abs=1e-4)


def test_the_same_seed_gives_the_same(model: Model) -> None:
    texts = [model.fill("abca_dbb", gap="_", length=6, seed=seed) for seed in (3, 3)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("level", tokenizers)
def test_what_is_around_a_gap_stays_and_nothing_unknown_is_filled_in(level: str) -> None:
    model = random_text_model(level=level)
    before, after = "the cup is ", ", the cup"
    for one in model.fill(f"{before}___{after}", length=2, best=20):
        assert one.text.startswith(before.rstrip())
        assert one.text.endswith(after)
        if model.tokenizer.unknown_id is not None:
            assert "\N{REPLACEMENT CHARACTER}" not in one.text
            assert "<unk>" not in one.text
        if model.tokenizer.implies_space:
            assert not set("\t\n") & set(one.fillings[0])
        else:
            assert one.text == before + one.fillings[0] + after


@pytest.mark.parametrize("level", tokenizers)
@pytest.mark.parametrize("word_split", ["punctuation", "spaces", "tokens"])
def test_only_the_gaps_change(level: str, word_split: str) -> None:
    model = random_text_model(level=level, word_split=word_split, lowercase=True)
    parts = " 日本\tThe  ZORBAK", " of\r\n\u3000\udcff, the", " Cup\n\n is <unk> ☃ "
    # Of what was typed, no more than a single space beside a gap goes with it.
    space = " ?" if model.tokenizer.implies_space else " "
    for one in model.fill(" ___".join(parts), length=2, best=20, width=4):
        first, second = map(re.escape, one.fillings)
        ended = [re.escape(part.removeprefix(" ")) for part in parts[1:]]
        expected = (re.escape(parts[0]), first, ended[0], second, ended[1])
        assert re.fullmatch(space.join(expected), one.text)


@pytest.mark.parametrize(
    ("text", "filling", "expected"),
    [
        ("The ___ ZORBAK", "cup", "The cup ZORBAK"),
        ("The ___ ZORBAK", ",", "The, ZORBAK"),
        ("The ___ ZORBAK", "(", "The (ZORBAK"),
        ("The  ___\tZORBAK", ",", "The  ,\tZORBAK"),
        ("“___” 日本", "cup", "“cup” 日本"),
        ("___ ___\n", "cup", "cup cup\n"),
        (" ___ ", "cup", " cup "),
    ],
)
def test_words_are_put_between_words(text: str, filling: str, expected: str) -> None:
    tokenizer = random_text_model(level="word").tokenizer
    around = {",": "cup,", "(": "(so"}.get(filling, filling)
    ids = tokenizer.encode(around).tolist()
    (token,) = [i for i in ids if tokenizer.decode([i]) == filling]
    parts = split_at_gaps(tokenizer, text, "___")
    assert put_together(tokenizer, parts, [(token,)] * (len(parts) - 1)) == expected


def test_what_is_unknown_around_gaps() -> None:
    words, letters = (random_text_model(level=level).tokenizer for level in ("word", "char"))
    text = "The ZORBAK ___  of <unk>\u3000日本 ___."
    assert unknowns_around(words, text, "___") == ["ZORBAK", "of", "\u3000", "日本", "."]
    assert unknowns_around(letters, "Z☃Z___☃日", "___") == ["Z", "☃", "日"]


def test_how_far_it_is_is_told(model: Model) -> None:
    told: list[float] = []
    model.fill("a_b_c", told.append, gap="_", max_length=3)
    assert told == sorted(told)
    assert 0 < told[0] < 0.2
    assert told[-1] == pytest.approx(1)


@pytest.mark.parametrize("level", tokenizers)
def test_a_text_is_split_as_it_is_read(level: str) -> None:
    tokenizer = random_text_model(level=level).tokenizer
    text = "the cup, (x) is full. x"
    first, *rest = split_at_gaps(tokenizer, text.replace("x", "___"), "___")
    gap = tokenizer.encode("x")
    joined = np.concatenate([first.ids, *(ids for part in rest for ids in (gap, part.ids))])
    np.testing.assert_array_equal(joined, tokenizer.encode(text))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"gap": ""}, "mark of a gap is empty"),
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"max_length": -1}, "max_length must be at least 1, not -1"),
        ({"length": 50_000}, "length must be at most 256 tokens, not 50000"),
        ({"max_length": 257}, "max_length must be at most 256 tokens, not 257"),
        ({"best": 0}, "best must be at least 1, not 0"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"sweeps": -1}, "sweeps must be at least 0, not -1"),
        ({"length": 1, "max_length": 2}, "not both"),
        ({"gap": "#"}, "no gap: mark one with '#'"),
    ],
)
def test_settings_that_cannot_be_used(
    model: Model, settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        model.fill("ab___", **settings)


def test_a_gap_within_a_word_is_none_of_a_word_model() -> None:
    model = random_text_model(level="word")
    with pytest.raises(InputError, match=r"part of one: 'c___p'; put spaces"):
        model.fill("the c___p is")


def test_a_model_that_reads_one_way_fills_nothing(trained: Path) -> None:
    with pytest.raises(InputError, match="is a language model, which has no "):
        rondel.load(trained).fill("The ___ is hot.")
