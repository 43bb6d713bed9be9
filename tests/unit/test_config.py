"""Settings: their limits, `run.toml`, and what goes before what."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from _settings import model_config, text_config, training_config

from rondel.errors import InputError
from rondel.settings import RunConfig, read_toml

FULL = RunConfig(
    text_config(level="word", vocab_size=77, lowercase=True, max_sentence_length=9, encoding="l1"),
    model_config(cell="gru", num_layers=3, embedding_size=0, dropout=0.25, vocab_size=41),
    training_config(epochs=1.5, learning_rate=1e-4, freeze_embedding=True, seed=2**62, threads=2),
)

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
    ({"vocab_size": -1}, "--vocab-size must be at least 1, not -1"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_a_value_that_cannot_be_is_refused_by_its_flag(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        RunConfig().updated(**settings)
    assert str(refused.value) == message


def test_whole_numbers_pass_for_fractions_and_none_for_what_is_chosen_later() -> None:
    config = RunConfig().updated(epochs=2, dropout=0, embedding_size=None, clip_norm=5)
    assert (config.training.epochs, config.model.dropout) == (2, 0)


def test_settings_are_changed_in_their_sections_and_the_rest_stays() -> None:
    changed = FULL.updated(cell="rnn", epochs=None, steps=5, lowercase=False)
    assert changed.model == dataclasses.replace(FULL.model, cell="rnn")
    assert changed.training == dataclasses.replace(FULL.training, epochs=None, steps=5)
    assert changed.text == dataclasses.replace(FULL.text, lowercase=False)
    # The vocabulary of the text, which may be limited, is not that of the model, which is counted.
    assert FULL.updated(vocab_size=5).model.vocab_size == 41


@pytest.mark.parametrize("config", [RunConfig(), FULL], ids=["defaults", "full"])
def test_a_toml_file_holds_everything(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(config.to_toml(), encoding="utf-8")
    assert read_toml(tmp_path / "run.toml") == config


def test_a_toml_file_says_what_each_setting_means() -> None:
    text = FULL.to_toml()
    lines = text.splitlines()
    for name, section in FULL.sections().items():
        assert f"[{name}]" in lines
        for field in dataclasses.fields(section):
            told = [line for line in lines if line.lstrip("# ").startswith(f"{field.name} =")]
            assert any(line.endswith(f"# {field.metadata['help']}") for line in told)
            if getattr(section, field.name) is None:
                assert any(line.startswith(f"# {field.name} =") for line in told)
    assert tomlkit.parse(text).unwrap()["training"]["learning_rate"] == 1e-4


def test_a_toml_file_may_be_short(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    path.write_text('[model]\ncell = "gru"\n')
    assert read_toml(path) == RunConfig(model=model_config(cell="gru"))
    path.write_text("")
    assert read_toml(path) == RunConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[model\n", "is not a TOML file"),
        ("[modle]\n", "'modle' is not one of the sections text, model, training"),
        ("model = 3\n", "'model' is not one of the sections text, model, training"),
        ("[model]\ncel = 'gru'\n", "[model]: no setting is called 'cel'; remove that line"),
        ("[model]\nhidden_size = 0\n", "[model]: --hidden-size must be at least 1, not 0"),
        ("[training]\nsteps = '9'\n", "[training]: --steps takes a value of type int, not '9'"),
    ],
)
def test_a_toml_file_that_cannot_be_used_is_named(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.toml").write_text(content)
    with pytest.raises(InputError) as refused:
        read_toml(tmp_path / "bad.toml")
    assert str(refused.value).startswith(str(tmp_path / "bad.toml"))
    assert message in str(refused.value)


def test_a_toml_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such settings file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not a TOML file"):
        read_toml(tmp_path / "bad.toml")
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        read_toml(tmp_path)


def test_every_choice_of_a_setting_can_be_chosen() -> None:
    for section in RunConfig().sections().values():
        for field in dataclasses.fields(section):
            for choice in field.metadata["choices"]:
                assert getattr(type(section)(**{field.name: choice}), field.name) == choice
