"""`rondel show`: a model's architecture and training progress."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from _runs import rondel
from _settings import model_config

import rondel as package
from rondel.artifact import describe_model
from rondel.settings import ModelConfig
from rondel.units import clock, describe_loss


def test_a_run_is_shown(trained: Path) -> None:
    facts = json.loads(rondel("show", trained, "--json").output)
    model, best = package.load(trained), package.load(trained / "best")
    size = model.tokenizer.vocab_size
    gates = 4 * 32
    parameters = size * 16 + gates * (16 + 32) + 2 * gates + size * 32 + size
    assert facts["model"] == "language-model, lstm 1×32, embedding 16"
    assert (facts["parameters"], facts["level"], facts["vocabulary"]) == (parameters, "char", size)
    assert (facts["step"], facts["tokens_read"]) == (150, model.progress["tokens"])
    assert facts["epoch"] == model.progress["epoch"]
    for name, loss in {
        "train_loss": model.progress["train_loss"],
        "val_loss": model.progress["val_loss"],
        "best_val_loss": best.progress["val_loss"],
    }.items():
        assert facts[name].startswith(f"{loss:.3f} (")
        assert facts[name].endswith("bits/character), nats per character")
    assert facts["best_step"] == best.progress["step"]
    assert facts["settings"] == str(trained / "run.toml")


def test_a_run_is_shown_as_text(trained: Path) -> None:
    facts = json.loads(rondel("show", trained, "--json").output)
    output = rondel("show", trained).output
    assert "\x1b" not in output
    shown = dict(line.split("  ", 1) for line in output.splitlines())
    assert {name.replace(" ", "_") for name in shown} == set(facts)
    assert shown["vocabulary"].strip() == str(facts["vocabulary"])
    assert shown["parameters"].strip() == f"{facts['parameters']:,}"
    assert shown["val loss"].strip() == facts["val_loss"]


def test_a_model_outside_a_run_is_shown_without_the_runs_fields(
    trained: Path, tmp_path: Path
) -> None:
    package.load(trained).save(tmp_path / "alone")
    facts = json.loads(rondel("show", tmp_path / "alone", "--json").output)
    assert facts["settings"] is facts["best_step"] is facts["best_val_loss"] is None
    output = rondel("show", tmp_path / "alone").output
    assert "settings" not in output
    assert "None" not in output


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            model_config(num_layers=1, hidden_size=256, embedding_size=0),
            "lstm 1×256, one-hot input",
        ),
        (
            model_config(
                cell="rnn", nonlinearity="relu", num_layers=3, hidden_size=256, embedding_size=8
            ),
            "rnn (relu) 3×256, embedding 8",
        ),
        (
            model_config(
                cell="gru",
                num_layers=1,
                hidden_size=256,
                embedding_size=256,
                tie_weights=True,
                dropout=0.5,
                variational=True,
            ),
            "gru 1×256, embedding 256, variational dropout 0.5, tied weights",
        ),
        (
            model_config(num_layers=1, hidden_size=256, embedding_size=8, dropout=0.25),
            "lstm 1×256, embedding 8, dropout 0.25",
        ),
    ],
)
def test_a_model_in_words(config: ModelConfig, words: str) -> None:
    assert describe_model(config) == words


def test_losses_and_times_in_words() -> None:
    assert describe_loss(1.0, "character") == "1.000 (1.443 bits/character)"
    assert describe_loss(2.0, "byte") == "2.000 (2.885 bits/byte)"
    assert describe_loss(5.0, "word") == "5.000 (perplexity 148.4)"
    assert [clock(s) for s in (0, 59.6, 3599, 3723, float("inf"))] == [
        *("0:00", "1:00", "59:59", "1:02:03", "?"),
    ]
