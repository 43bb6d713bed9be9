"""Bidirectional models of every cell and level: no leak, chunking, batches, torch against NumPy."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from _both import (
    TEXT,
    cloze_logits,
    log_probabilities,
    random_engine,
    random_model,
    random_text_model,
    shape,
)
from _runs import variants

from rondel.engine.bidirectional_engine import BidirectionalEngine
from rondel.evaluation.cloze import pseudo_log_likelihoods, read_cloze
from rondel.evaluation.measures import Surprisal
from rondel.text.tokenizers import tokenizers

VOCAB, STEPS = 11, 24
INPUTS: dict[str, dict[str, Any]] = {
    "one-hot": {"embedding_size": 0},
    "embedding": {"embedding_size": 7},
    "tied": {"embedding_size": 16, "tie_weights": True},
}
every_cell = pytest.mark.parametrize(("cell", "nonlinearity"), list(variants()))
every_depth = pytest.mark.parametrize("num_layers", [1, 3])


def tokens(count: int = STEPS, streams: int = 1, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB, (count, streams))


def changed_at(ids: np.ndarray, place: int) -> np.ndarray:
    changed = ids.copy()
    changed[place] = (changed[place] + 1) % VOCAB
    return changed


@every_depth
@every_cell
def test_no_layer_sees_the_token_it_predicts(cell: str, nonlinearity: str, num_layers: int) -> None:
    model = random_model(shape(VOCAB, nonlinearity, cell=cell, num_layers=num_layers))

    def predict(ids_TB: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            ids = torch.from_numpy(ids_TB)
            before, after, _ = model(ids, STEPS - 1, model.initial_state(1))
            return model.cloze_logits(before, after)[:, 0].numpy()

    engine = BidirectionalEngine(model.config, model.export())
    for ask in (predict, lambda ids_TB: cloze_logits(engine, ids_TB[:, 0])):
        ids_TB = tokens()
        logits_TV = ask(ids_TB)
        for place in (0, 1, STEPS // 2, STEPS - 1):
            others = ask(changed_at(ids_TB, place))
            np.testing.assert_array_equal(others[place], logits_TV[place])
            moved = np.abs(others - logits_TV).max(axis=1) > 1e-4
            assert moved[[p for p in (place - 1, place + 1) if 0 <= p < STEPS]].all()


@pytest.mark.parametrize("level", tokenizers)
def test_no_level_sees_the_token_it_predicts(level: str) -> None:
    model = random_text_model(level=level)
    engine, ids = model._both_sides, model.tokenizer.encode(TEXT)
    (whole,) = read_cloze(engine, [ids], Everything(engine.config.vocab_size))
    for place in (0, len(ids) // 2, len(ids) - 1):
        changed = ids.copy()
        changed[place] = (changed[place] + 1) % engine.config.vocab_size
        (others,) = read_cloze(engine, [changed], Everything(engine.config.vocab_size))
        np.testing.assert_array_equal(others[:, place], whole[:, place])
        assert (others != whole).any()


class Everything:
    """Return the logits unchanged."""

    def __init__(self, vocab_size: int) -> None:
        self.width = vocab_size

    def __call__(self, logits_TBV: np.ndarray, targets_TB: np.ndarray) -> np.ndarray:
        return np.moveaxis(logits_TBV, -1, 0).astype(np.float64)


@pytest.mark.parametrize("inputs", INPUTS)
@every_depth
@every_cell
def test_torch_and_numpy_agree(cell: str, nonlinearity: str, num_layers: int, inputs: str) -> None:
    settings = {"cell": cell, "num_layers": num_layers, **INPUTS[inputs]}
    model = random_model(shape(VOCAB, nonlinearity, **settings), scale=1.5)
    engine = BidirectionalEngine(model.config, model.export())
    ids_TB = tokens(streams=2)
    with torch.no_grad():
        before, after, state = model(torch.from_numpy(ids_TB), STEPS - 1, model.initial_state(2))
        theirs = model.cloze_logits(before, after).numpy()
        causal = model.causal.head(before).numpy()
    ours_before, _ = engine.before(ids_TB, engine.causal.initial_state(2))
    ours_after, _ = engine.after(ids_TB, engine.reverse.initial_state(2))
    np.testing.assert_allclose(engine.logits(ours_before, ours_after), theirs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(engine.causal_logits(ours_before), causal, rtol=0, atol=1e-4)
    # The states to carry: before the last token, and after the first.
    last = (
        *engine.before(ids_TB[:-1], engine.causal.initial_state(2))[1],
        *engine.after(ids_TB[1:], engine.reverse.initial_state(2))[1],
    )
    assert len(state) == len(last)
    for part, expected in zip(state, last, strict=True):
        np.testing.assert_allclose(part.numpy(), expected, rtol=0, atol=1e-5)


@every_depth
@every_cell
def test_scores_do_not_depend_on_the_chunking(
    cell: str, nonlinearity: str, num_layers: int
) -> None:
    engine = random_engine(shape(VOCAB, nonlinearity, cell=cell, num_layers=num_layers))
    ids = tokens()[:, 0]
    expected = -np.take_along_axis(
        log_probabilities(cloze_logits(engine, ids)), ids[:, None], axis=1
    )[:, 0]
    for longest_pass in (1, 5, 8, STEPS, 1000):
        (nats_1N,) = read_cloze(engine, [ids], Surprisal(), longest_pass=longest_pass)
        np.testing.assert_allclose(nats_1N[0], expected, rtol=0, atol=2e-5)


@every_depth
@every_cell
def test_a_batch_equals_its_texts(cell: str, nonlinearity: str, num_layers: int) -> None:
    engine = random_engine(shape(VOCAB, nonlinearity, cell=cell, num_layers=num_layers))
    texts = [tokens(count, seed=count)[:, 0] for count in (9, 1, 0, 24, 5, 17)]
    for text, (forward, backward) in zip(texts, engine.outputs(texts), strict=True):
        ((own_forward, own_backward),) = engine.outputs([text])
        assert forward.shape == backward.shape == (len(text), engine.config.hidden_size)
        np.testing.assert_allclose(forward, own_forward, rtol=0, atol=1e-6)
        np.testing.assert_allclose(backward, own_backward, rtol=0, atol=1e-6)
    together = read_cloze(engine, texts, Surprisal())
    for text, nats_1N in zip(texts, together, strict=True):
        assert nats_1N.shape == (1, len(text))
        np.testing.assert_allclose(
            nats_1N[0], -pseudo_log_likelihoods(engine, text), rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("level", tokenizers)
@every_cell
def test_the_loss_of_a_text_is_the_sum_over_its_tokens(
    cell: str, nonlinearity: str, level: str
) -> None:
    model = random_text_model(cell, nonlinearity, level=level)
    ids = model.tokenizer.encode(TEXT)
    logits = cloze_logits(model._both_sides, ids)
    total = np.take_along_axis(log_probabilities(logits), ids[:, None], axis=1).sum()
    figures = model.evaluate_cloze(TEXT)
    assert figures.pseudo_nats == pytest.approx(-total, abs=1e-4)
    assert (figures.tokens, figures.characters) == (len(ids), len(TEXT))
    assert figures.pseudo_bits_per_character == pytest.approx(-total / np.log(2) / len(TEXT))


@every_cell
def test_the_causal_half_is_a_language_model(cell: str, nonlinearity: str) -> None:
    model = random_model(shape(VOCAB, nonlinearity, cell=cell), scale=1.5)
    causal = model.causal
    alone = {name: array.detach() for name, array in causal.named_arrays().items()}
    assert {name: array.shape for name, array in alone.items()} == {
        name: array.shape
        for name, array in type(causal)(dataclasses.replace(model.config, model="language-model"))
        .named_arrays()
        .items()
    }
    engine = BidirectionalEngine(model.config, model.export())
    ids_TB = tokens(streams=2)
    with torch.no_grad():
        expected, _ = causal(torch.from_numpy(ids_TB), causal.initial_state(2))
    logits, _ = engine.causal.sequence(ids_TB, engine.causal.initial_state(2))
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("by", ["token", "word", "line", "document"])
@pytest.mark.parametrize("level", tokenizers)
def test_scores_of_both_sides_sum_to_the_text(level: str, by: str) -> None:
    model = random_text_model(level=level)
    table = model.score(TEXT, by=by, unit="nats", start="skip")
    assert not {"surprisal_nats", "entropy_nats"} & table.keys()
    ids = model.tokenizer.encode(TEXT)
    total = -pseudo_log_likelihoods(model._both_sides, ids).sum()
    assert np.nansum(table["pseudo_surprisal_nats"]) == pytest.approx(total, abs=1e-4)
    assert np.nanmin(table["pseudo_entropy_nats"]) >= 0


@pytest.mark.parametrize("level", tokenizers)
def test_the_causal_half_scores_as_a_language_model(level: str) -> None:
    model = random_text_model(level=level)
    table = model.score(TEXT, unit="nats", start="skip", causal=True)
    assert np.nansum(table["surprisal_nats"]) == pytest.approx(model.evaluate(TEXT).nats, abs=1e-4)
