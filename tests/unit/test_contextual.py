"""Contextual embeddings: what each state has read, spans of words, and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _both import TEXT, random_text_model

import rondel
from rondel.errors import InputError
from rondel.text.tokenizers import tokenizers

every_level = pytest.mark.parametrize("level", tokenizers)


@every_level
def test_forward_states_have_read_what_is_before_and_backward_what_is_after(level: str) -> None:
    model = random_text_model(level=level)
    whole, other = model.embed("the cup is hot"), model.embed("the cup is full")
    same = len(model.tokenizer.encode("the cup is"))
    np.testing.assert_allclose(whole.forward[:same], other.forward[:same], rtol=0, atol=1e-6)
    assert (np.abs(whole.backward[:same] - other.backward[:same]).max(axis=1) > 1e-3).any()
    whole, other = model.embed("hot is the cup"), model.embed("full is the cup")
    same = len(model.tokenizer.encode("is the cup"))
    np.testing.assert_allclose(whole.backward[-same:], other.backward[-same:], rtol=0, atol=1e-6)
    assert (np.abs(whole.forward[-same:] - other.forward[-same:]).max(axis=1) > 1e-3).any()


@every_level
def test_shapes_and_spans(level: str) -> None:
    model = random_text_model(level=level)
    embedded, size = model.embed(TEXT), model.config.hidden_size
    tokens = len(model.tokenizer.encode(TEXT))
    assert embedded.forward.shape == embedded.backward.shape == (tokens, size)
    assert embedded.forward.dtype == embedded.backward.dtype == np.float32
    np.testing.assert_array_equal(embedded.spans, model.tokenizer.spans(TEXT))
    assert embedded.words == TEXT.split()
    assert embedded.by_token().shape == (tokens, 2 * size)
    np.testing.assert_array_equal(embedded.by_token()[:, size:], embedded.backward)
    assert embedded.by_word().shape == (len(embedded.words), 2 * size)
    np.testing.assert_array_equal(embedded.by_word()[:, :size], embedded.word_forward)


@every_level
def test_both_states_of_a_word_have_read_all_of_it(level: str) -> None:
    model = random_text_model(level=level)
    # Between lines, since a space may be part of the word after it.
    embedded = model.embed("the\ncup,\nhot")
    until, since = model.embed("the\ncup,"), model.embed("cup,\nhot")
    np.testing.assert_allclose(embedded.word_forward[1], until.forward[-1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(embedded.word_backward[1], since.backward[0], rtol=0, atol=1e-6)


@every_level
def test_batching_does_not_change_embeddings(level: str) -> None:
    model = random_text_model(level=level)
    texts = [TEXT, "the", "", "   ", "is full, and\nhot", TEXT[20:60]]
    for text, embedded in zip(texts, model.embed(texts), strict=True):
        alone = model.embed(text)
        assert embedded.text == text
        for name in ("forward", "backward", "word_forward", "word_backward"):
            ours, theirs = getattr(embedded, name), getattr(alone, name)
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(embedded.word_spans, alone.word_spans)
        assert embedded.words == text.split()


def test_a_language_model_is_refused(trained: Path) -> None:
    with pytest.raises(InputError, match="is a language model, which has no"):
        rondel.load(trained).embed("The coffee")
