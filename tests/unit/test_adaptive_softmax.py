"""The adaptive softmax, against PyTorch's, and a model with it wherever a model is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _runs import batches_of, configured, goes_on_from_a_snapshot
from click.testing import CliRunner

import rondel
from rondel.api.load import model_of
from rondel.cli import cli
from rondel.engine import NumpyEngine, build_engine
from rondel.errors import InputError
from rondel.generation.sampling.early import drawn_early
from rondel.generation.sampling.sampler import Sampler
from rondel.inspection.trace import Unit
from rondel.nn.heads import AdaptiveHead
from rondel.settings import RunConfig
from rondel.softmaxes import softmaxes
from rondel.softmaxes.adaptive import COVERED, clusters_of
from rondel.training.torch_learner import TorchLearner

WORDS = 1400
ADAPTIVE: dict[str, Any] = {
    "softmax": "adaptive",
    "cutoffs": "100,300",  # the last cluster is large enough for the blocked loss
    "level": "word",
    "hidden_size": 32,
    "embedding_size": 32,
}


def config_of(words: int = WORDS, **settings: Any) -> RunConfig:
    return configured(words, **{**ADAPTIVE, **settings})


@pytest.fixture(scope="module")
def model(coffee: str) -> rondel.LanguageModel:
    settings = {"softmax": "adaptive", "level": "word", "hidden_size": 32, "seed": 2}
    trained = rondel.train(text=coffee, steps=60, threads=1, quiet=True, **settings)
    assert isinstance(trained, rondel.LanguageModel)
    return trained


def test_loss_and_gradients_are_those_of_pytorch() -> None:
    torch.manual_seed(1)
    ours = AdaptiveHead(config_of().model)
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(32, WORDS, [100, 300]).double()
    theirs.load_state_dict(ours.state_dict())
    x, targets = torch.randn(9, 7, 32), torch.randint(0, WORDS, (9, 7))
    ours_x, theirs_x = x.clone().requires_grad_(), x.double().requires_grad_()
    loss = ours.mean_nll(ours_x, targets)
    expected = theirs(theirs_x.flatten(0, 1), targets.flatten()).loss
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    pairs = [(ours_x, theirs_x), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for one, other in pairs:
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-7)


def test_targets_that_do_not_count_and_clusters_without_one() -> None:
    torch.manual_seed(2)
    head, x = AdaptiveHead(config_of().model), torch.randn(4, 1, 32)
    targets = torch.tensor([[5], [-1], [200], [-1]])
    both = head.mean_nll(x, targets)
    alone = head.mean_nll(x[::2], targets[::2])
    torch.testing.assert_close(both, alone)
    both.backward()
    last_cluster = head.tail[1].parameters()  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in last_cluster)


def test_engines_give_the_modules_log_probabilities() -> None:
    config = config_of()
    learner = TorchLearner(config)
    tokens = np.random.default_rng(3).integers(0, WORDS, (5, 3))
    with torch.no_grad():
        state = learner.model.initial_state(3)
        expected = learner.model.eval()(torch.from_numpy(tokens), state)[0].numpy()
    np.testing.assert_allclose(np.exp(expected.astype(np.float64)).sum(-1), 1, rtol=1e-5)
    for engine in (
        NumpyEngine(config.model, learner.weights()),
        build_engine(config.model, learner.weights(), threads=1),
    ):
        logits, last = engine.sequence(tokens, engine.initial_state(3))
        np.testing.assert_allclose(logits, expected, atol=2e-5)
        state = engine.initial_state(3)
        for step, tokens_B in enumerate(tokens):
            logits_BV, state = engine.step(tokens_B, state)
            np.testing.assert_allclose(logits_BV, expected[step], atol=2e-5)
        np.testing.assert_allclose(state[0], last[0], atol=1e-6)


def test_a_run_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    words = np.random.default_rng(4).zipf(1.3, 4 * 112 + 1)
    tokens = np.minimum(words, WORDS - 1).astype(np.int32)
    goes_on_from_a_snapshot(config_of(tie_weights=False), TorchLearner, tokens, tmp_path)


def test_it_learns_as_the_full_softmax_does(coffee: str, model: rondel.LanguageModel) -> None:
    shape = {"hidden_size": 32, "tie_weights": False, "embedding_size": 32, "seed": 2}
    full = rondel.train(text=coffee, steps=60, threads=1, quiet=True, level="word", **shape)
    assert isinstance(full, rondel.LanguageModel)
    losses = [each.progress["val_loss"] for each in (model, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_cutoffs_follow_the_frequencies() -> None:
    counts = (100_000 / np.arange(1, 5001)).astype(np.int64)
    chosen = softmaxes["adaptive"].counted(counts)
    (first, second), (again, last) = clusters_of(config_of(5000, **chosen).model)
    assert second == again
    assert last == 5000
    for edge, part in zip((first, second), COVERED, strict=True):
        assert counts[: edge - 1].sum() < part * counts.sum() <= counts[:edge].sum()


@pytest.mark.parametrize("words", [2, 3, 20, 50])
def test_small_vocabularies_have_a_cluster_too(words: int) -> None:
    chosen = softmaxes["adaptive"].counted(np.full(words, 7))
    assert clusters_of(config_of(words, **chosen).model)[-1][1] == words


@pytest.mark.parametrize("cutoffs", ["", "5,x", "300,100", "0,5", "5,1400", "-3"])
def test_unusable_cutoffs_are_refused(cutoffs: str) -> None:
    with pytest.raises(InputError, match="--cutoffs are rising numbers from 1 to 1399"):
        clusters_of(config_of(cutoffs=cutoffs).model)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--level", "char"], "needs the commonest tokens first"),
        (["--level", "word", "--tie-weights"], "no matrix to tie"),
        (["--level", "word", "--bidirectional"], "a bidirectional model has no --softmax"),
        (["--level", "word", "--backend", "numpy"], "only softmax = 'full'"),
    ],
)
def test_what_it_does_not_go_with_is_refused(
    flags: list[str], message: str, coffee: str, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(coffee)
    asked = ["train", str(text), "--out", str(tmp_path / "run"), "--softmax", "adaptive", *flags]
    result = CliRunner().invoke(cli, asked)
    assert result.exit_code == 1
    assert message in str(result.exception)


def test_a_model_with_it_writes_scores_and_is_inspected(
    model: rondel.LanguageModel, coffee: str, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    loaded = rondel.load(tmp_path / "model")
    assert isinstance(loaded, rondel.LanguageModel)
    assert "adaptive softmax" in repr(loaded)
    text = " ".join(coffee.split(" ")[:400])
    assert loaded.evaluate(text).nats == pytest.approx(model.evaluate(text).nats)
    written = loaded.sample("A ", length=20, seed=1)
    assert written == model.sample("A ", length=20, seed=1)
    assert loaded.sample_many(["A ", "The "], length=20, seed=1)[0] == written
    assert loaded.sample(length=5, seed=1, top_k=3, temperature=0.5)
    trace = loaded.trace(text)
    assert trace.guesses_probability.sum(axis=1).max() <= 1 + 1e-5
    with pytest.raises(InputError, match="cannot be clamped"):
        loaded.ablate(trace, Unit("hidden", 0, 0))
    for command in (["sample", "-n", "5", "--mode", "beam"], ["eval"], ["score"], ["show"]):
        file = tmp_path / "text.txt"
        file.write_text(text)
        places = [
            str(tmp_path / "model"),
            *([str(file)] if command[0] in ("eval", "score") else []),
        ]
        result = CliRunner().invoke(cli, [command[0], *places, *command[1:]])
        assert result.exit_code == 0, result.stderr


def test_another_run_does_not_start_from_it(
    model: rondel.LanguageModel, coffee: str, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    with pytest.raises(InputError, match="cannot be matched"):
        rondel.train(text=coffee, init_from=tmp_path / "model", steps=1, quiet=True)


def test_dynamic_evaluation_learns_with_clusters_that_have_no_target(
    model: rondel.LanguageModel, coffee: str
) -> None:
    text = coffee[:600]
    ids = model.tokenizer.encode(text)
    assert model.evaluate_dynamically(ids, len(text)).nats > 0


def test_only_the_batchs_clusters_are_updated() -> None:
    learner = TorchLearner(config_of(tie_weights=False, dropout=0.0))
    tokens = np.random.default_rng(5).integers(0, 100, 4 * 112 + 1).astype(np.int32)
    before = learner.weights()
    for batch in batches_of(tokens, config_of(tie_weights=False), 2):
        learner.step(batch, 1e-2)
    after = learner.weights()
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert "head.head.weight" in changed
    assert not any("tail" in name for name in changed)


@pytest.mark.parametrize(
    "rules", [{}, {"temperature": 0.6}, {"temperature": 1.4}, {"mode": "argmax"}]
)
def test_tokens_that_are_chosen_early_are_those_of_all_logits(
    model: rondel.LanguageModel, rules: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    early: list[bool] = []
    choose_early = Sampler.choose_early

    def counted(*arguments: Any) -> int | None:
        token = choose_early(*arguments)
        early.append(token is not None)
        return token

    monkeypatch.setattr(Sampler, "choose_early", counted)
    fresh = model_of(model._parts)  # type: ignore[arg-type]
    assert isinstance(fresh, rondel.LanguageModel)
    texts = fresh.sample_many(["A "] * 4, length=60, seed=3, **rules)
    assert any(early) or "mode" in rules
    monkeypatch.setattr(Sampler, "choose_early", lambda *_: None)
    assert fresh.sample_many(["A "] * 4, length=60, seed=3, **rules) == texts


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.2])
def test_an_early_draw_is_certain(temperature: float) -> None:
    """Whatever the clusters' own distributions are."""
    rng = np.random.default_rng(7)
    first = np.log(rng.dirichlet(np.full(23, 0.3)))
    sizes = np.array([40, 7, 300])
    decided = 0
    for uniform in rng.random(50):
        token = drawn_early(first[:20], first[20:], sizes, temperature, uniform)
        if token is None:
            continue
        decided += 1
        for spread in (0.01, 1.0, 100.0):
            within = [np.log(rng.dirichlet(np.full(n, spread)) + 1e-300) for n in sizes]
            parts = [mass + each for mass, each in zip(first[20:], within, strict=True)]
            weights = np.exp(np.concatenate([first[:20], *parts]) / temperature).cumsum()
            assert weights.searchsorted(uniform * weights[-1], side="right") == token
    assert decided
