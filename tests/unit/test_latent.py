"""The use of a sentence VAE: its engine, what is written from points, and paths between them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from _sentence_vae import LONGEST, SENTENCES, random_vae

from rondel.cells import build_cell, numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine.sentence_vae_engine import encoder_config, encoder_prefixes
from rondel.engine.stack_config import StackConfig
from rondel.errors import InputError
from rondel.generation.latent_points import path
from rondel.text.one_sentence import sentence_ids

SHAPES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "one way": {"encoder_bidirectional": False, "encoder_cell": "lstm", "cell": "gru"},
    "latent input": {"latent_input": True, "encoder_cell": "rnn"},
    "one-hot": {"latent_input": True, "embedding_size": 0, "num_layers": 1},
    "tied": {"embedding_size": 12, "tie_weights": True},
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
# Rules other than the temperature are applied outside the compiled engine.
RULES: list[dict[str, Any]] = [
    {},
    {"mode": "sample"},
    {"mode": "sample", "top_k": 5, "top_p": 0.9, "temperature": 0.8, "repetition_penalty": 1.2},
    {"mode": "beam", "beam_width": 3},
]


def _step_by_step(vae: Any, prefix: str, config: StackConfig, inputs: list[np.ndarray]) -> Any:
    """The states of one stack, layer by layer, after a sequence of inputs (E,)."""
    cell = config.cell
    for layer in range(config.num_layers):
        own = LayerParameters.of(vae.weights, layer, prefix)
        state = tuple(np.zeros((1, config.hidden_size), np.float32) for _ in cell.states)
        outputs = []
        for x in inputs:
            state = cell.step(numpy_namespace, own, x[None], state).state
            outputs.append(state[0][0])
        inputs = outputs
    return inputs[-1]


@shapes
def test_encoding_is_two_stacks_read_to_the_sentence_s_own_ends(shape: dict[str, Any]) -> None:
    vae = random_vae(**shape)
    config, weights = vae.config, vae.weights
    stack, prefixes = encoder_config(config), encoder_prefixes(config)
    table = weights.get("embedding.weight", np.eye(config.vocab_size, dtype=np.float32))
    means, log_variances = vae.encode(SENTENCES)
    for sentence, mean, log_variance in zip(SENTENCES, means, log_variances, strict=True):
        inputs = list(table[sentence_ids(vae.tokenizer, sentence, LONGEST)])
        ways = zip(prefixes, (inputs, inputs[::-1]), strict=False)
        summary = np.concatenate([_step_by_step(vae, prefix, stack, way) for prefix, way in ways])
        for name, found in (("mean", mean), ("log_variance", log_variance)):
            expected = weights[f"latent.{name}.weight"] @ summary + weights[f"latent.{name}.bias"]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@shapes
def test_permuting_a_batch_permutes_what_it_gives_and_nothing_else(shape: dict[str, Any]) -> None:
    vae = random_vae(**shape)
    means, log_variances = vae.encode(SENTENCES)
    order = [3, 0, 4, 2, 1]
    permuted = vae.encode([SENTENCES[i] for i in order])
    np.testing.assert_allclose(permuted[0], means[order], atol=1e-6)
    np.testing.assert_allclose(permuted[1], log_variances[order], atol=1e-6)
    state = vae.latents.initial_state(means)
    for part, own in zip(state, vae.latents.initial_state(means[order]), strict=True):
        np.testing.assert_allclose(own, part[:, order], atol=1e-6)
    assert vae.decode(means[order]) == [vae.decode(means)[i] for i in order]


@shapes
def test_a_batch_gives_what_its_sentences_give_alone(shape: dict[str, Any]) -> None:
    vae = random_vae(**shape)
    means, log_variances = vae.encode(SENTENCES)
    for n, sentence in enumerate(SENTENCES):
        alone = vae.encode([sentence])
        np.testing.assert_allclose(alone[0][0], means[n], atol=1e-6)
        np.testing.assert_allclose(alone[1][0], log_variances[n], atol=1e-6)


@shapes
def test_the_state_is_a_layer_s_own_rows_of_the_latent_map(shape: dict[str, Any]) -> None:
    vae = random_vae(**shape)
    config, weights = vae.config, vae.weights
    z = vae.random_points(3, seed=1)
    flat = np.tanh(z @ weights["latent.state.weight"].T + weights["latent.state.bias"])
    state = vae.latents.initial_state(z)[: len(build_cell(config).states)]
    assert len({len(part) for part in state}) == 1
    size = config.hidden_size
    for (s, part), layer in itertools.product(enumerate(state), range(config.num_layers)):
        begin = (s * config.num_layers + layer) * size
        np.testing.assert_allclose(part[layer], flat[:, begin : begin + size], atol=1e-6)


def test_z_joins_every_input() -> None:
    vae = random_vae(latent_input=True, num_layers=1, cell="gru")
    z = vae.random_points(2, seed=4)
    ids = sentence_ids(vae.tokenizer, SENTENCES[0], None)
    logits_TBV, _ = vae.latents.decoder.sequence(
        np.stack([ids, ids], axis=1), vae.latents.initial_state(z)
    )
    layer = LayerParameters.of(vae.weights, 0, "core.")
    state = (vae.latents.initial_state(z)[0][0],)
    for token, logits_BV in zip(ids, logits_TBV, strict=True):
        embedded = np.repeat(vae.weights["embedding.weight"][token][None], 2, axis=0)
        joined = np.concatenate([embedded, z], axis=1)
        state = build_cell(vae.config).step(numpy_namespace, layer, joined, state).state
        expected = state[0] @ vae.weights["head.weight"].T + vae.weights["head.bias"]
        np.testing.assert_allclose(logits_BV, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", RULES, ids=["greedy", "sample", "rules", "beam"])
@pytest.mark.parametrize("latent_input", [False, True])
@pytest.mark.parametrize("level", ["word", "char"])
def test_what_is_written_is_the_same_again_and_in_any_company(
    level: str, latent_input: bool, settings: dict[str, Any]
) -> None:
    vae = random_vae(level, latent_input=latent_input, longest_sentence=60)
    points = vae.random_points(70, seed=2)
    texts = vae.decode(points, seed=3, **settings)
    assert len(set(texts)) > 5
    assert not any("\n" in text for text in texts)
    assert vae.decode(points, seed=3, **settings) == texts
    for n in (0, 69):
        assert vae.decode(points[n : n + 1], seed=3, first=n, **settings) == [texts[n]]


def test_sentences_end_with_their_line_break_or_at_the_limit() -> None:
    vae = random_vae()
    texts = vae.sample_sentences(40, seed=1)
    words = [len(vae.tokenizer.encode("\n" + text)) - 1 for text in texts]
    assert max(words) <= LONGEST + 1
    assert min(words) < LONGEST
    assert [vae.sample(seed=1, index=n) for n in range(3)] == texts[:3]
    assert len(set(vae.sample_sentences(40, seed=1, length=1))) > 1


def test_reconstructions_begin_with_that_of_the_mean() -> None:
    vae = random_vae()
    drawn = vae.reconstruct(SENTENCES[0], 5, seed=1)
    assert drawn[:1] == vae.reconstruct(SENTENCES[0]) == vae.decode(vae.encode(SENTENCES[:1])[0])
    assert drawn == vae.reconstruct(SENTENCES[0], 5, seed=1)
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("spherical", [False, True])
def test_a_path_begins_and_ends_with_what_its_ends_are_written_as(spherical: bool) -> None:
    vae = random_vae()
    walked = vae.interpolate(SENTENCES[0], SENTENCES[1], steps=9, spherical=spherical)
    assert [step.share for step in walked] == [n / 8 for n in range(9)]
    assert walked[0].text == vae.reconstruct(SENTENCES[0])[0]
    assert walked[-1].text == vae.reconstruct(SENTENCES[1])[0]
    texts = [step.text for step in walked]
    assert [step.again for step in walked] == [n > 0 and texts[n] == texts[n - 1] for n in range(9)]


def test_a_path_from_a_sentence_to_itself_says_that_it_repeats() -> None:
    walked = random_vae().interpolate(SENTENCES[0], SENTENCES[0], steps=4)
    assert [step.again for step in walked] == [False, True, True, True]


def test_a_random_path_is_that_of_its_seed() -> None:
    vae = random_vae()
    assert vae.interpolate(seed=1) == vae.interpolate(seed=1) != vae.interpolate(seed=2)


def test_lengths_change_evenly_along_an_arc_and_steps_are_even() -> None:
    a, b = np.random.default_rng(1).standard_normal((2, 8)).astype(np.float32)
    points = path(a, 3 * b, 7, spherical=True)
    lengths = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 7), rtol=1e-5)
    units = points / lengths[:, None]
    cosines = (units[1:] * units[:-1]).sum(axis=1)
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-5)
    np.testing.assert_allclose(path(a, b, 3)[1], (a + b) / 2, rtol=1e-5)
    np.testing.assert_array_equal(path(a, -a, 3, spherical=True)[1], 0 * a)


def test_an_analogy_is_written_at_the_fourth_corner() -> None:
    vae = random_vae()
    a, b, c = vae.encode(SENTENCES[:3])[0]
    assert vae.analogy(*SENTENCES[:3]) == vae.decode((b - a + c)[None])[0]
    assert vae.analogy(SENTENCES[0], SENTENCES[0], SENTENCES[2]) == vae.decode(c[None])[0]


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        (" \n", "a sentence is empty"),
        ("horse\nman", "more than one line"),
        ("Zebras gallop", "knows no word of 'Zebras gallop'"),
        ("a " * 15, "has 15 words, and this model reads sentences of up to 14"),
        (3, "must be a string"),
    ],
)
def test_what_is_no_sentence_is_refused_in_one_line(sentence: Any, said: str) -> None:
    vae = random_vae()
    for call in (
        lambda: vae.encode([sentence]),
        lambda: vae.reconstruct(sentence),
        lambda: vae.interpolate(SENTENCES[0], sentence),
        lambda: vae.analogy(SENTENCES[0], SENTENCES[1], sentence),
    ):
        with pytest.raises(InputError, match=said) as refused:
            call()
        assert "\n" not in str(refused.value)


def test_what_a_sentence_vae_cannot_do_is_refused_in_one_line() -> None:
    vae = random_vae()
    for call in (
        lambda: vae.stream("A man"),
        lambda: vae.sample_many(["A man"]),
        lambda: vae.evaluate("A man rides"),
        lambda: vae.score("A man rides"),
        lambda: vae.engine,
    ):
        with pytest.raises(InputError, match="is a sentence VAE"):
            call()
    with pytest.raises(InputError, match="does not continue a prime"):
        vae.sample("A man")
    with pytest.raises(InputError, match="at least 2 steps"):
        vae.interpolate(steps=1)
    with pytest.raises(InputError, match="at least three different sentences"):
        vae.landscape(SENTENCES[:2])
    with pytest.raises(InputError, match="two sentences to go between"):
        vae.interpolate(SENTENCES[0])
    with pytest.raises(InputError, match=r"array \(N, 5\)"):
        vae.decode(np.zeros((2, 4)))
    with pytest.raises(InputError, match="not finite"):
        vae.decode(np.full((1, 5), np.nan))
    for count in (0, 1.5, True):
        with pytest.raises(InputError, match="count must be"):
            vae.reconstruct(SENTENCES[0], count)
