"""Settings: limits, owners, `run.toml`, and precedence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit

from rondel.data.facts import TextFacts
from rondel.errors import InputError
from rondel.settings import (
    RunConfig,
    Settings,
    all_settings,
    read_settings,
)
from rondel.settings.fields import choices_of
from rondel.settings.toml import read_run_config, to_toml
from rondel.training.resolve import resolve

FACTS = TextFacts(41, train=10**6, validation=10**5)


def run_config(**given: Any) -> RunConfig:
    return resolve(Settings(given), FACTS)


PLAIN = run_config(hidden_size=64)
FULL = run_config(
    level="word",
    vocab_size=77,
    lowercase=True,
    max_sentence_length=9,
    encoding="l1",
    cell="gru",
    num_layers=3,
    embedding_size=8,
    dropout=0.25,
    epochs=1.5,
    learning_rate=1e-4,
    freeze_embedding=True,
    schedule="plateau",
    optimizer="sgd",
    seed=2**62,
    threads=2,
)
LATENT = run_config(model="sentence-vae", encoder_cell="rnn", nonlinearity="relu", beta=0.5)

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hidden_size": 0}, "--hidden-size must be at least 1, not 0"),
    ({"hidden_size": 2.5}, "--hidden-size takes a value of type int, not 2.5"),
    ({"hidden_size": True}, "--hidden-size takes a value of type int, not True"),
    ({"hidden_size": "64"}, "--hidden-size takes a value of type int, not '64'"),
    ({"lowercase": 1}, "--lowercase takes a value of type bool, not 1"),
    ({"sentences": "verse"}, "--sentences is one of lines, prose, not 'verse'"),
    ({"dropout": 1.0}, "--dropout must be less than 1, not 1.0"),
    ({"dropout": -0.1}, "--dropout must be at least 0, not -0.1"),
    ({"learning_rate": 0}, "--learning-rate must be more than 0, not 0"),
    ({"learning_rate": math.nan}, "--learning-rate must be a finite number, not nan"),
    ({"minutes": math.inf}, "--minutes must be a finite number, not inf"),
    ({"validation_fraction": 1.0}, "--validation-fraction must be less than 1, not 1.0"),
    ({"threads": 10**23}, "--threads must be less than 1025, not 100000000000000000000000"),
    ({"cell": "lstn"}, "--cell is one of gru, lstm, rnn, not 'lstn'"),
    (
        {"validation_fraction": 0.5, "test_fraction": 0.5},
        "--validation-fraction and --test-fraction leave nothing to train on; lower them",
    ),
    (
        {"max_sentence_length": 9},
        "--max-sentence-length counts words: it needs --level word "
        "(to cut long texts at any level, use --seq-length)",
    ),
    (
        {"tie_weights": True, "embedding_size": 32, "hidden_size": 64},
        "--tie-weights needs --embedding-size equal to --hidden-size (64), not 32",
    ),
    ({"hiden_size": 3}, "no setting is called 'hiden_size'; see rondel train --help"),
    ({"longest_sentence": 3}, "no setting is called 'longest_sentence'; see rondel train --help"),
    ({"vocab_size": -1}, "--vocab-size must be at least 1, not -1"),
]

USELESS: list[tuple[dict[str, Any], str]] = [
    ({"lowercase": True}, "--lowercase is for level word, and this run has level char"),
    ({"charset": "ascii", "level": "byte"}, "--charset is for level char"),
    ({"decay": 0.9}, "--decay is for schedule exponential or plateau, and this run has schedule"),
    ({"momentum": 0.5}, "--momentum is for optimizer sgd, and this run has optimizer adam"),
    ({"forget_bias": 1.0, "cell": "gru"}, "--forget-bias is for cell lstm, and this run has cell"),
    ({"nonlinearity": "relu"}, "--nonlinearity is for cell rnn, and this run has cell lstm"),
    ({"latent_size": 3}, "--latent-size is for model sentence-vae, and this run has model"),
    (
        {"early_stopping": 3, "validation_fraction": 0.0},
        "--early-stopping has no effect with --validation-fraction 0",
    ),
    ({"level": "byte", "encoding": "l1"}, "--encoding has no effect at a level that reads bytes"),
    ({"sentences": "prose"}, "--sentences has no effect without --max-sentence-length"),
    (
        {"model": "sentence-vae", "kl_annealing": "none", "kl_annealing_steps": 3},
        "--kl-annealing-steps has no effect with --kl-annealing none",
    ),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_an_invalid_value_is_refused_by_its_flag(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refused:
        run_config(**given)
    assert str(refused.value) == message


@pytest.mark.parametrize(("given", "message"), USELESS)
def test_a_setting_without_effect_is_refused_by_its_flag(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        run_config(**given)
    assert str(refused.value).startswith(message)
    assert str(refused.value).endswith("; leave it out")


def test_every_setting_of_a_component_is_refused_where_the_run_has_another() -> None:
    """Whatever is registered: a run of other components never takes it in silence."""
    chosen = {"level": "byte", "cell": "gru", "optimizer": "adam", "schedule": "constant"}
    chosen["model"] = "language-model"
    tried = 0
    for name, setting in all_settings().items():
        flag = setting.field.metadata["flag"]
        if not flag or not setting.owners or set(setting.owners) & set(chosen.items()):
            continue
        choices = [*choices_of(setting.field)]
        value = choices[-1] if choices else setting.type(1)
        value = {bool: True, float: 0.5}.get(setting.type, value)
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} is for "):
            Settings({**chosen, name: value}) and run_config(**chosen, **{name: value})
        tried += 1
    assert tried > 15


def test_a_file_may_have_settings_of_other_components(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(to_toml(FULL), encoding="utf-8")
    defaults = read_settings(tmp_path / "run.toml")
    config = resolve(Settings({"optimizer": "adam", "level": "char"}, defaults), FACTS)
    assert "momentum" not in config.training.own
    assert config.text.own == {"charset": "text"}
    assert (config.model.num_layers, config.training.seed) == (3, 2**62)


def test_numpy_numbers_and_whole_numbers_for_floats_are_accepted() -> None:
    config = run_config(epochs=2, dropout=0, clip_norm=np.float32(5), hidden_size=np.int64(7))
    assert (config.training.epochs, config.model.dropout) == (2, 0)
    assert (config.training.clip_norm, config.model.hidden_size) == (5.0, 7)
    assert type(config.model.hidden_size) is int


def test_none_counts_as_not_given() -> None:
    assert run_config(hidden_size=64, epochs=None, embedding_size=None) == PLAIN


@pytest.mark.parametrize("config", [PLAIN, FULL, LATENT], ids=["plain", "full", "sentence-vae"])
def test_a_toml_file_holds_everything(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(to_toml(config), encoding="utf-8")
    assert read_run_config(tmp_path / "run.toml") == config


@pytest.mark.parametrize("config", [FULL, LATENT], ids=["full", "sentence-vae"])
def test_a_toml_file_has_the_help_of_each_setting(config: RunConfig) -> None:
    text = to_toml(config)
    lines = text.splitlines()
    for name, section in config.sections().items():
        assert f"[{name}]" in lines
        for setting, value in section.flat().items():
            shown = [line for line in lines if line.lstrip("# ").startswith(f"{setting} =")]
            assert all("# " in line for line in shown)
            assert shown
            assert (value is None) == any(line.startswith("#") for line in shown)
    assert (
        tomlkit.parse(text).unwrap()["training"]["learning_rate"] == config.training.learning_rate
    )


def test_a_toml_file_may_be_short(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('[model]\ncell = "gru"\n')
    assert dict(read_settings(path)) == {"cell": "gru"}
    path.write_text("")
    assert dict(read_settings(path)) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[model\n", "is not a TOML file"),
        ("[modle]\n", "'modle' is not one of the sections text, model, training"),
        ("model = 3\n", "'model' is not one of the sections text, model, training"),
        ("[model]\ncel = 'gru'\n", "[model]: no setting is called 'cel'; remove that line"),
        ("[text]\ncell = 'gru'\n", "[text]: no setting is called 'cell'; remove that line"),
        ("[model]\nhidden_size = 0\n", "[model]: --hidden-size must be at least 1, not 0"),
        ("[training]\nsteps = '9'\n", "[training]: --steps takes a value of type int, not '9'"),
        ("[training]\nrho = 2.0\n", "[training]: --rho must be less than 1, not 2.0"),
    ],
)
def test_an_invalid_toml_file_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(InputError) as refused:
        read_settings(tmp_path / "bad.toml")
    assert str(refused.value).startswith(str(tmp_path / "bad.toml"))
    assert message in str(refused.value)


def test_a_toml_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such settings file"):
        read_settings(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not a TOML file"):
        read_settings(tmp_path / "bad.toml")


def test_every_choice_of_a_setting_can_be_chosen() -> None:
    for name, setting in all_settings().items():
        for choice in choices_of(setting.field):
            if setting.field.metadata["flag"]:
                assert Settings({name: choice})[name] == choice
