"""Traces of every registered cell: the states and gates are those of the cell's own steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _both import random_text_model
from _models import random_model
from _runs import variants
from _sentence_vae import random_vae
from _settings import text_config

from rondel.cells import numpy_namespace
from rondel.cells.base import LayerParameters
from rondel.engine.sentence_vae_engine import encoder_config
from rondel.engine.stack_config import StackConfig
from rondel.inspection import trace as tracing
from rondel.inspection.ablation import clamp_unit, surprisals
from rondel.inspection.stack_tracks import BLOCK, STATES
from rondel.inspection.trace import Unit, trace, track_names
from rondel.text.tokenizers import Tokenizer, tokenizers, train_tokenizer

TEXT = "Le café est fort, and the cup (a cup) is full: ☕ it is!\n" * 12
assert len(TEXT) > BLOCK  # so that a state is carried over, where tokens are characters


def tokenizer_of(level: str) -> Tokenizer:
    return train_tokenizer(TEXT, text_config(level=level, min_count=1))


def stepped(
    config: StackConfig,
    weights: dict[str, np.ndarray],
    ids: np.ndarray,
    stack: str = "core.",
    clamp: tuple[Unit, float] | None = None,
    start: np.ndarray | None = None,
    joined: tuple[float, ...] = (),
) -> dict[str, np.ndarray]:
    """Every track (N, L, H) by the cell's own step, one token and layer after another."""
    cell = config.cell
    layers = [LayerParameters.of(weights, n, stack) for n in range(config.num_layers)]
    size = config.hidden_size
    states = [tuple(np.zeros((1, size), np.float32) for _ in cell.states) for _ in layers]
    if start is not None:
        states = [
            tuple(part[number : number + 1] for part in start) for number in range(len(layers))
        ]
    names = [STATES.get(name, name) for name in cell.states] + list(cell.gates)
    tracks: dict[str, list[np.ndarray]] = {name: [] for name in names}
    one_of = {name: place for place, name in enumerate(names)}
    embedding = weights.get("embedding.weight", np.eye(config.vocab_size, dtype=np.float32))
    for token in ids:
        x, rows = np.concatenate([embedding[token], joined]).astype(np.float32)[None], []
        for number, layer in enumerate(layers):
            if clamp is not None and clamp[0].layer == number:
                states[number][0][0, clamp[0].index] = clamp[1]
            done = cell.step(numpy_namespace, layer, x, states[number])
            if clamp is not None and clamp[0].layer == number:
                done.state[0][0, clamp[0].index] = clamp[1]
            states[number], x = tuple(map(np.copy, done.state)), done.state[0]
            rows.append((*done.state, *done.gates))
        for name, place in one_of.items():
            tracks[name].append(np.concatenate([row[place] for row in rows]))
    return {name: np.stack(rows) for name, rows in tracks.items()}


@pytest.mark.parametrize("level", tokenizers)
@pytest.mark.parametrize(("cell", "nonlinearity"), list(variants()))
def test_tracks_are_the_cells_own_steps(cell: str, nonlinearity: str, level: str) -> None:
    tokenizer = tokenizer_of(level)
    config, weights = random_model(
        cell, nonlinearity, layers=2, hidden=12, vocab=tokenizer.vocab_size, embedding=7
    )
    found = trace(config, weights, tokenizer, TEXT)
    expected = stepped(StackConfig.of(config), weights, tokenizer.encode(TEXT))
    assert set(found.tracks) == set(expected) == set(track_names(config))
    for name, track in found.tracks.items():
        assert track.shape == (len(found), 2, 12)
        scale = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(track, expected[name], rtol=0, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize(("cell", "nonlinearity"), list(variants()))
def test_both_stacks_of_a_bidirectional_model_are_traced(cell: str, nonlinearity: str) -> None:
    model = random_text_model(cell, nonlinearity)
    text = "the cup is full, and hot"
    found = model.trace(text)
    ids = model.tokenizer.encode(text)
    forth = stepped(StackConfig.of(model.config), dict(model.weights), ids)
    back = stepped(StackConfig.of(model.config), dict(model.weights), ids[::-1], "backward.")
    expected = {**forth, **{f"backward.{name}": track[::-1] for name, track in back.items()}}
    assert set(found.tracks) == set(expected)
    for name, track in found.tracks.items():
        scale = max(1.0, float(np.abs(expected[name]).max()))
        np.testing.assert_allclose(track, expected[name], rtol=0, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("cell", "nonlinearity"), list(variants()))
def test_a_clamped_unit_is_one_whose_state_is_overwritten(
    cell: str, nonlinearity: str, tied: bool
) -> None:
    tokenizer = tokenizer_of("char")
    config, weights = random_model(
        cell, nonlinearity, layers=2, hidden=12, vocab=tokenizer.vocab_size, embedding=12, tied=tied
    )
    ids = tokenizer.encode(TEXT[:60])
    head = weights["embedding.weight" if tied else "head.weight"]
    for unit in (Unit("hidden", 0, 3), Unit("hidden", 1, 11)):
        outputs = stepped(StackConfig.of(config), weights, ids, clamp=(unit, 0.25))["hidden"][:, -1]
        logits = (outputs @ head.T + weights["head.bias"]).astype(np.float64)[:-1]
        expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), ids[1:]]
        found = surprisals(config, clamp_unit(config, weights, unit, 0.25), ids)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("latent_input", [False, True])
@pytest.mark.parametrize(("cell", "nonlinearity"), list(variants()))
def test_a_sentence_vae_is_traced_line_by_line(
    cell: str, nonlinearity: str, latent_input: bool
) -> None:
    settings = {"cell": cell, "nonlinearity": nonlinearity, "latent_input": latent_input}
    model = random_vae(**settings)
    config, weights = model.config, dict(model.weights)
    found = model.trace("A man rides a horse.\nTwo people sit at a table")
    encoder = encoder_config(config)
    end = int(model.tokenizer.encode("\n")[0])
    expected: dict[str, list[np.ndarray]] = {name: [] for name in found.tracks}
    for text in ("A man rides a horse.\n", "Two people sit at a table"):
        ids = model.tokenizer.encode(text)
        whole = np.append(ids[ids != end], end)
        forth = stepped(encoder, weights, whole, "encoder.")
        back = stepped(encoder, weights, whole[::-1], "encoder_backward.")
        summary = np.concatenate([forth["hidden"][-1, -1], back["hidden"][-1, -1]])
        mean = weights["latent.mean.weight"] @ summary + weights["latent.mean.bias"]
        flat = np.tanh(weights["latent.state.weight"] @ mean + weights["latent.state.bias"])
        own = stepped(
            StackConfig.of(config),
            weights,
            np.append([end], ids),
            start=flat.reshape(-1, config.num_layers, config.hidden_size).astype(np.float32),
            joined=tuple(mean) if latent_input else (),
        )
        of_stack = {"": {name: track[1:] for name, track in own.items()}, "encoder.": forth}
        of_stack["encoder.backward."] = {name: track[::-1] for name, track in back.items()}
        for prefix, tracks in of_stack.items():
            for name, track in tracks.items():
                expected[prefix + name].append(track[: len(ids)])
    for name, track in found.tracks.items():
        exact = np.concatenate(expected[name])
        scale = max(1.0, float(np.abs(exact).max()))
        np.testing.assert_allclose(track, exact, rtol=0, atol=5e-6 * scale, err_msg=name)


def test_a_long_trace_is_kept_in_files_until_it_is_closed(tmp_path: Path) -> None:
    tokenizer = tokenizer_of("char")
    config, weights = random_model("lstm", layers=2, vocab=tokenizer.vocab_size)
    small = trace(config, weights, tokenizer, TEXT)
    with trace(config, weights, tokenizer, TEXT, memory=1000) as large:
        files = {Path(track.filename) for track in large.tracks.values()}
        assert all(path.is_file() for path in files)
        for name, track in small.tracks.items():
            np.testing.assert_array_equal(large.tracks[name], track)
    assert not any(path.exists() for path in files)
    # Nor does one that nobody closes leave anything.
    forgotten = trace(config, weights, tokenizer, TEXT, memory=1000)
    folder = Path(forgotten.tracks["cell"].filename).parent
    del forgotten
    assert not folder.exists()


def test_the_likeliest_next_tokens_are_the_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    from rondel.engine import NumpyEngine

    tokenizer = tokenizer_of("char")
    config, weights = random_model("gru", layers=2, vocab=tokenizer.vocab_size, embedding=5)
    monkeypatch.setattr(tracing, "LARGEST_PASS", 3 * tokenizer.vocab_size)
    found = trace(config, weights, tokenizer, TEXT)
    engine = NumpyEngine(config, weights)
    logits, _ = engine.sequence(found.ids[:, None], engine.initial_state())
    exact = np.exp(logits[:, 0].astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        found.guesses_probability, -np.sort(-exact, axis=1)[:, :5], rtol=1e-4
    )
    best = int(exact[7].argmax())
    assert found.top_tokens(7)[0] == (tokenizer.token(best), pytest.approx(exact[7, best], 1e-4))
