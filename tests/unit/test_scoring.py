"""Scoring: rows that sum to the text, words with their ends, batches that change nothing."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas
import pytest
from _models import random_model
from _runs import configured, variants
from _settings import text_config

from rondel import Model
from rondel.api.load import model_of
from rondel.artifact import Artifact
from rondel.errors import InputError, ModelFolderError
from rondel.evaluation.batch_reading import read
from rondel.evaluation.framing import Framing
from rondel.evaluation.grouping import UNITS, tokens_implying_space
from rondel.evaluation.measures import Surprisal
from rondel.evaluation.scoring import ScoringSettings
from rondel.reference import initial_parameters, make_cell
from rondel.settings.fields import settings_of
from rondel.text.tokenizers import tokenizers, train_tokenizer

TEXT = (
    "  The cup is full, and (so they say) “hot”!\n\nWell-known beans;\tblue café — \n"
    "the cup, the cup: is é\u0301 3.14 ...\n   And then?"
)
SPLITS = ("punctuation", "spaces", "tokens")
LEVELS = [
    {"level": level, "word_split": split}
    for level, cls in tokenizers.items()
    for split in (SPLITS if "word_split" in settings_of(cls.settings) else SPLITS[:1])
]


def make_model(cell: str = "lstm", nonlinearity: str = "tanh", **text: Any) -> Model:
    """A small model with random weights, large enough that its predictions differ."""
    config = text_config(min_count=1, **{"level": "char", **text})
    tokenizer = train_tokenizer(TEXT, config)
    shape, weights = random_model(
        cell, nonlinearity, layers=2, vocab=tokenizer.vocab_size, embedding=8, seed=3
    )
    return model_of(Artifact(shape, tokenizer, weights))


def units_of(model: Model) -> tuple[str, ...]:
    """Those that a text can be scored by: not by character, where a token is more than one."""
    spans = model.tokenizer.spans(TEXT)
    larger = bool((spans[:, 1] - spans[:, 0] > 1).any())
    return tuple(by for by in UNITS if by != "character" or not larger)


every_model = pytest.mark.parametrize(
    ("cell", "nonlinearity", "level"),
    [(*variant, level) for variant in variants() for level in LEVELS],
    ids=lambda part: part if isinstance(part, str) else "-".join(part.values()),
)


def log_probabilities(model: Model, ids: np.ndarray) -> np.ndarray:
    """ln p (N, V) of every token at each place of ids (N,) but the first, step by step."""
    state, rows = model._engine.initial_state(), []
    for token in ids[:-1]:
        logits_1V, state = model._engine.step(np.array([token]), state)
        logits = logits_1V[0].astype(np.float64)
        rows.append(logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max())
    return np.array(rows)


@every_model
def test_rows_of_every_unit_sum_to_the_models_steps(
    cell: str, nonlinearity: str, level: dict[str, str]
) -> None:
    model = make_model(cell, nonlinearity, **level)
    start, ids = model.tokenizer.encode("\n"), model.tokenizer.encode(TEXT)
    log_p = log_probabilities(model, np.concatenate([start, ids]))
    own = log_p[np.arange(len(ids)), ids]
    tokens = model.score(TEXT, unit="nats")
    np.testing.assert_allclose(tokens["surprisal_nats"], -own, atol=1e-4)
    entropy = -(np.exp(log_p) * log_p).sum(axis=1)
    np.testing.assert_allclose(tokens["entropy_nats"], entropy, atol=1e-4)
    assert tokens["rank"].tolist() == (1 + (log_p > own[:, None]).sum(axis=1)).tolist()
    for by in units_of(model):
        table = model.score(TEXT, by=by)
        surprisal, entropies = table["surprisal_bits"], table["entropy_bits"]
        # A blank line's break may be one token with that of the line before.
        counts = table.get("scored", np.ones(len(surprisal)))
        assert np.isnan(surprisal).tolist() == (counts == 0).tolist()
        assert by == "line" or counts.all()
        finite = counts > 0
        assert surprisal[finite].sum() * math.log(2) == pytest.approx(-own.sum(), abs=1e-4)
        assert entropies[finite].sum() * math.log(2) == pytest.approx(entropy.sum())
        assert (surprisal[finite] >= 0).all()


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: "-".join(level.values()))
@pytest.mark.parametrize("start", ["skip", "newline"])
@pytest.mark.parametrize("reset", [False, True])
def test_rows_of_every_unit_have_the_same_sum(
    level: dict[str, str], start: str, reset: bool
) -> None:
    model = make_model(**level)
    sums = [
        np.nansum(model.score(TEXT, by=by, start=start, reset=reset)["surprisal_bits"])
        for by in units_of(model)
    ]
    np.testing.assert_allclose(sums, sums[0], atol=1e-4, rtol=0)


def test_an_unknown_first_word_has_its_true_length() -> None:
    model = make_model(level="word")
    figures = model.evaluate("zzqxzzqxzzqxzz is the\n")
    assert (figures.characters, figures.words) == (len(" is the\n"), 2)


def test_a_text_without_words_has_no_perplexity_per_word() -> None:
    figures = make_model().evaluate(" \n  \n")
    assert figures.words == 0
    assert figures.to_json()["perplexity_per_word"] is None


def test_a_text_in_another_script_is_refused() -> None:
    model = make_model()
    for judge in (model.score, model.evaluate):
        with pytest.raises(InputError, match="the model knows no character of this text"):
            judge("你好你好")


@every_model
def test_batch_and_pass_sizes_do_not_change_results(
    cell: str, nonlinearity: str, level: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(cell, nonlinearity, **level)
    documents = [TEXT, "The cup", TEXT[40:], "a\n\nb"]
    for reset in (False, True):
        settings = ScoringSettings(reset=reset, batch_size=1)
        alone = [
            model.score(document, reset=reset, batch_size=1)["surprisal_bits"]
            for document in documents
        ]
        tables = [model.score_many(documents, settings)]
        for size, longest in ((3, 256), (64, 5), (2, 1)):
            monkeypatch.setattr("rondel.evaluation.batch_reading.LONGEST_PASS", longest)
            sized = dataclasses.replace(settings, batch_size=size)
            tables.append(model.score_many(documents, sized))
        for scored in tables:
            for table, one in zip(scored, alone, strict=True):
                np.testing.assert_allclose(table["surprisal_bits"], one, rtol=0, atol=1e-5)


def test_empty_sequences_do_not_count_in_the_fraction_done() -> None:
    model, fractions = make_model(), list[float]()
    sequences = [np.arange(count) for count in (0, 2, 0)]
    empty, pair, _ = read(
        model._engine, model.tokenizer.vocab_size, sequences, Surprisal(), watch=fractions.append
    )
    assert empty.shape == (1, 0)
    assert pair.shape == (1, 1)
    assert fractions == [1.0]


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: "-".join(level.values()))
def test_offsets_are_those_of_the_original_text(level: dict[str, str]) -> None:
    model = make_model(**level, lowercase=True)
    for by in units_of(model):
        table = model.score(TEXT, by=by)
        rows = zip(*(table[name] for name in ("line", "begin", "end", "text")), strict=True)
        for line, begin, end, text in rows:
            assert TEXT[begin:end] == text
            assert line == TEXT.count("\n", 0, begin) + 1
        assert table["position"].tolist() == list(range(1, len(table["position"]) + 1))
        if by == "word":
            assert table["text"].tolist() == TEXT.split()
        if by == "line":
            assert table["text"].tolist() == TEXT.splitlines(keepends=True)


def test_a_word_includes_the_space_after_it() -> None:
    model = make_model()
    tokens = model.score("The  cup is")["surprisal_bits"]
    words = model.score("The  cup is", by="word")
    expected = [tokens[:5].sum(), tokens[5:9].sum(), tokens[9:].sum()]
    np.testing.assert_allclose(words["surprisal_bits"], expected, rtol=1e-12)
    assert words["tokens"].tolist() == [5, 4, 2]
    # White space at the beginning belongs to the first word.
    (first,) = model.score("  The", by="word")["tokens"]
    assert first == 5


def test_a_words_end_is_taken_from_the_token_that_implies_the_space() -> None:
    """p(word) = p(tokens) p(a space follows) / p(a space stood before), all given what came."""
    model = make_model(level="word")
    text = "the cup, is hot"
    tokenizer = model.tokenizer
    ids = np.concatenate([tokenizer.encode("\n"), tokenizer.encode(text)])
    log_p = log_probabilities(model, ids)
    own = -log_p[np.arange(len(ids) - 1), ids[1:]]
    spaced = [
        i
        for i in range(tokenizer.vocab_size)
        if not tokenizer.token(i).startswith("￭") and not tokenizer.token(i).isspace()
    ]
    gap = -np.log(np.exp(log_p)[:, spaced].sum(axis=1))
    # the | cup | ￭, | is | hot, of which cup, is and hot stand after a space
    expected = [own[0] + gap[1], own[1] - gap[1] + own[2] + gap[3]]
    expected += [own[3] - gap[3] + gap[4], own[4] - gap[4]]
    table = model.score(text, by="word", unit="nats")
    assert table["text"].tolist() == ["the", "cup,", "is", "hot"]
    np.testing.assert_allclose(table["surprisal_nats"], expected, atol=1e-5)


def test_word_probabilities_do_not_sum_to_more_than_one() -> None:
    """With its end, no word begins another; by its tokens alone, they would sum to far more."""
    config = text_config(level="word", min_count=1)
    tokenizer = train_tokenizer("a b, c\n", config)
    shape = configured(tokenizer.vocab_size, cell="rnn").model
    weights = initial_parameters(make_cell("rnn"), tokenizer.vocab_size, 16, 1, 8, seed=3)
    model = model_of(Artifact(dataclasses.replace(shape, tie_weights=False), tokenizer, weights))
    words = ["".join(parts) for parts in itertools.product("abc", ["", ","])]
    with_end = [
        math.exp(-model.score(f"{word} a", by="word", unit="nats")["surprisal_nats"][0])
        for word in words
    ]
    without = [
        math.exp(-model.score(word, by="document", unit="nats")["surprisal_nats"][0])
        for word in words
    ]
    assert sum(with_end) < 1
    assert all(a < b for a, b in zip(with_end, without, strict=True))


def test_which_tokens_imply_a_space() -> None:
    for level in tokenizers:
        tokenizer = train_tokenizer(TEXT, text_config(level=level, min_count=1))
        implied = tokens_implying_space(tokenizer)
        assert implied.shape == (tokenizer.vocab_size,)
        if tokenizer.implies_space:
            for token_id, implies in enumerate(implied.tolist()):
                token = tokenizer.token(token_id)
                assert implies == (not token.isspace() and not token.startswith("￭"))
        elif (space_led := tokenizer.space_led()) is not None:
            # The space before a word tells that the previous one has ended.
            tokens = [tokenizer.decode([i]) for i in range(tokenizer.vocab_size)]
            assert implied.tolist() == (space_led & [token != " " for token in tokens]).tolist()
            assert implied.any()
        else:
            assert not implied.any()


def test_with_reset_lines_are_independent() -> None:
    model = make_model()
    lines = TEXT.splitlines(keepends=True)
    table = model.score(TEXT, by="line", reset=True)
    alone = [model.score(line, by="document")["surprisal_bits"][0] for line in lines]
    np.testing.assert_allclose(table["surprisal_bits"], alone, atol=1e-5)
    carried = model.score(TEXT, by="line")["surprisal_bits"]
    assert carried[0] == pytest.approx(alone[0], abs=1e-5)
    assert (np.abs(carried - alone)[1:] > 1e-3).all()


def test_the_first_token_is_scored_only_with_a_start() -> None:
    model = make_model()
    skipped = model.score("cup", start="skip")
    assert np.isnan(skipped["surprisal_bits"]).tolist() == [True, False, False]
    assert np.isnan(skipped["rank"]).tolist() == [True, False, False]
    word = model.score("cup is", start="skip", by="word")
    assert word["tokens"].tolist() == [4, 2]
    assert word["scored"].tolist() == [3, 2]
    assert word["surprisal_bits"][0] == pytest.approx(
        skipped["surprisal_bits"][1:].sum() + model.score("cup ", start="skip")["surprisal_bits"][3]
    )
    one_by_one = model.score("a\n\nb", by="line", reset=True, start="skip")
    assert np.isnan(one_by_one["surprisal_bits"]).tolist() == [False, True, True]
    assert one_by_one["scored"].tolist() == [1, 0, 0]
    assert len(model.score("c\nc", start="skip", reset=True)["text"]) == 3
    scored = model.score("cup")
    assert not np.isnan(scored["surprisal_bits"]).any()
    context = model.score("cup", context="\n")
    np.testing.assert_allclose(context["surprisal_bits"], scored["surprisal_bits"], atol=1e-6)


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: "-".join(level.values()))
def test_a_context_gives_the_surprisals_of_the_joint_text(level: dict[str, str]) -> None:
    model = make_model(**level)
    whole = model.score("The cup is hot")
    after = model.score("cup is hot", context="The ", by="token")
    # A space before a word may be part of its token, and the word is the text's.
    first = int(np.searchsorted(whole["end"], 4, side="right"))
    # The context starts from nothing, the whole text from a line break.
    whole = model.score("The cup is hot", start="skip")
    np.testing.assert_allclose(
        after["surprisal_bits"], whole["surprisal_bits"][first:], rtol=0, atol=1e-5
    )
    assert (after["begin"] + 4).tolist() == np.maximum(whole["begin"][first:], 4).tolist()


def test_the_end_is_scored_if_asked() -> None:
    model = make_model()
    written = model.score("cup\n")
    asked = model.score("cup", end=True)
    np.testing.assert_array_equal(asked["surprisal_bits"], written["surprisal_bits"])
    assert (asked["begin"][-1], asked["end"][-1], asked["text"][-1]) == (3, 3, "")
    assert asked["token"][-1] == "\n"
    np.testing.assert_array_equal(
        model.score("cup\n", end=True)["surprisal_bits"], written["surprisal_bits"]
    )
    (word,) = model.score("cup", end=True, by="word")["surprisal_bits"]
    assert word == pytest.approx(written["surprisal_bits"].sum())


def test_unknown_tokens_are_counted_and_scored_as_unknown() -> None:
    model = make_model()
    table = model.score("cup 你")
    assert table["unknown"].tolist() == [0, 0, 0, 0, 1]
    assert (table["token"][-1], table["text"][-1]) == ("<unk>", "你")
    assert model.score("cup 你", by="word")["unknown"].tolist() == [0, 1]
    words = make_model(level="word").score("zyx")
    assert words["unknown"].tolist() == [1]
    assert np.isfinite(words["surprisal_bits"]).all()


def test_columns_make_a_data_frame() -> None:
    for by in ("token", "word"):
        table = make_model().score(TEXT, by=by)
        frame = pandas.DataFrame(table)
        assert list(frame.columns) == list(table)
        assert frame["text"].tolist() == table["text"].tolist()
        assert frame["surprisal_bits"].sum() == pytest.approx(table["surprisal_bits"].sum())
        assert frame.groupby("line")["surprisal_bits"].sum().shape == (
            TEXT.count("\n") + 1 - (by == "word"),
        )


def test_scoring_imports_no_pandas() -> None:
    code = "import sys, rondel.api, rondel.cli.score; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "this text is empty"),
        ("x" * 3, {"by": "verse"}, "by token, character, word, line, document, not by 'verse'"),
        ("cup", {"unit": "bans"}, "in bits or nats, not in 'bans'"),
        ("cup", {"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0"),
        ("cup", {"start": "middle"}, "one of newline, skip, not 'middle'"),
        ("cup", {"start": "skip", "context": "The "}, "leave the start out"),
        ("c", {"start": "skip"}, "nothing to score"),
        ("你你 你", {}, "the model knows no character of this text"),
    ],
)
def test_invalid_input_is_refused(text: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_model().score(text, **settings)


def test_words_are_not_cut_into_characters_nor_run_into_their_context() -> None:
    model = make_model(level="word")
    with pytest.raises(InputError, match="score by token, word, line or document, not by char"):
        model.score("the cup", by="character")
    with pytest.raises(InputError, match="run together in 'cup'; end the context with a space"):
        model.score("up is", context="the c")


def test_a_start_the_vocabulary_lacks_is_refused() -> None:
    tokenizer = train_tokenizer("abc abc", text_config())
    shape = configured(tokenizer.vocab_size).model
    weights = initial_parameters(make_cell("lstm"), tokenizer.vocab_size, 16, 1, 8)
    model = model_of(Artifact(shape, tokenizer, weights))
    assert np.isnan(model.score("abc")["surprisal_bits"]).tolist() == [True, False, False]
    with pytest.raises(InputError, match="knows no line break for a text to start from"):
        model.score("abc", start="newline")
    with pytest.raises(InputError, match="knows no line break, so the end"):
        model.score("abc", end=True)


def test_non_finite_output_is_refused() -> None:
    model = make_model()
    weights = {**model.weights, "head.bias": np.full_like(model.weights["head.bias"], np.nan)}
    broken = model_of(Artifact(model.config, model.tokenizer, weights))
    with pytest.raises(ModelFolderError, match="not a finite number"):
        broken.score("cup")


def test_documents_are_named_by_number() -> None:
    model = make_model()
    with pytest.raises(InputError, match="document 2 is empty"):
        model.score_many(["cup", ""], ScoringSettings(framing=Framing()))
