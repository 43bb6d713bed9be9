"""What the conformance suites cannot know of the example: what each thing of it is to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rondel_example_plugin.callback import GradientSpikes
from rondel_example_plugin.tokenizer import MergedByteTokenizer, MergeSettings

import rondel
from rondel.cli import cli
from rondel.generation.sampling.rules import active_rules
from rondel.text.corpora import corpora
from rondel.training.learner import StepResult

EVERYTHING = {
    "cell": "example-mgu",
    "level": "example-bpe",
    "model": "example-quiet",
    "optimizer": "example-adagrad",
    "schedule": "example-linear",
    "example_merges": 20,
    "example_activity": 1.0,
    "example_warm_up": 0.2,
}
SMALL = {"hidden_size": 16, "batch_size": 4, "seq_length": 16, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all that the example adds, together."""
    folder = tmp_path_factory.mktemp("runs") / "example"
    text = corpora["example-bottles"].text(8_000)
    rondel.train(
        text=text, out=folder, steps=30, eval_every=15, quiet=True,
        callbacks=[GradientSpikes()], **SMALL, **EVERYTHING,
    )  # fmt: skip
    return folder


def test_all_of_it_makes_one_model(run: Path) -> None:
    model = rondel.load(run / "best")
    assert (model.config.model, model.config.cell) == ("example-quiet", "example-mgu")
    assert model.tokenizer.vocab_size == 256 + 20
    settings = (run / "run.toml").read_text(encoding="utf-8")
    for name in EVERYTHING:
        assert f"\n{name} = " in settings
    written = model.sample("10 green", length=30, seed=1, example_typical_p=0.8)
    assert written == model.sample("10 green", length=30, seed=1, example_typical_p=0.8)
    rondel.resume(run, steps=40, quiet=True)


def test_the_arrays_are_exported(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bottles.npz"
    arguments = ["export", str(run / "best"), "--to", "example-npz", "--out", str(out)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    weights = rondel.load(run / "best").weights
    with np.load(out) as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            name: array.shape for name, array in weights.items()
        }


def test_the_command_shows_each_token_with_its_text(run: Path) -> None:
    text = "ten green bottles, “naïve”"
    lines = CliRunner().invoke(cli, ["example-tokens", str(run), text, "--ids"]).output.splitlines()
    ids, pieces = zip(*(line.split("\t") for line in lines), strict=True)
    tokenizer = rondel.load(run).tokenizer
    assert tokenizer.encode(text).tolist() == list(map(int, ids))
    assert "".join(piece[1:-1] for piece in pieces) == text
    assert len(lines) < len(text.encode())


def test_the_commonest_pairs_become_tokens_first() -> None:
    tokenizer = MergedByteTokenizer.train("abab abc abc aaaa", MergeSettings(2))
    assert tokenizer.state() == {"merges": [[97, 98], [97, 97]]}
    assert tokenizer.encode("abab aaa aaaa\n").tolist() == [
        *(256, 256, 32), *(257, 97, 32), *(257, 257, 10),
    ]  # fmt: skip
    assert tokenizer.token(256) == "0x61 0x62"
    assert MergedByteTokenizer.train("ab ba", MergeSettings(9)).vocab_size == 256


def test_typical_tokens_are_those_of_the_expected_surprisal() -> None:
    logits = np.log([0.5, 0.25, 0.125, 0.125])  # an entropy of 1.75 bits: 2, then 1, then 3
    for p, kept in ((0.2, [1]), (0.7, [0, 1]), (0.8, [0, 1, 2])):
        (rule,) = active_rules({"example_typical_p": p})
        assert np.flatnonzero(np.isfinite(rule.apply(logits, np.array([])))).tolist() == kept


def test_a_spike_is_told_of_and_what_is_usual_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Run:
        class progress:
            step = 7

    spikes = GradientSpikes()
    spikes.started(Run)
    for norm in (1.0, 2.0, 9.0, 50.0):
        spikes.stepped(Run, StepResult(1.0, {"nll": 1.0}, norm), 0.1)
    assert capsys.readouterr().err == "step 7: gradient norm 50\n"
