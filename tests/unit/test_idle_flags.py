"""A flag of the command line that would have no effect is refused by its name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from _runs import rondel
from click.testing import CliRunner

from rondel.cli import cli
from rondel.cli.commands import summaries
from rondel.cli.options import DependentOption
from rondel.errors import InputError
from rondel.generation.sampling.rules import rules
from rondel.settings import flag_name


def dependent_options() -> Iterator[tuple[str, DependentOption]]:
    with click.Context(cli) as context:
        for name in summaries():
            command = cli.get_command(context, name)
            assert command is not None
            for option in command.params:
                if isinstance(option, DependentOption):
                    yield name, option


def text_for(option: click.Option) -> list[str]:
    """A value that the option takes."""
    if option.is_flag:
        return []
    if isinstance(option.type, click.Choice):
        return [str(option.type.choices[-1])]
    return ["3"]


OPTIONS = list(dependent_options())


@pytest.mark.parametrize(
    ("command", "option"), OPTIONS, ids=[f"{name} {option.opts[-1]}" for name, option in OPTIONS]
)
def test_an_option_that_needs_another_is_refused_alone(
    command: str, option: DependentOption
) -> None:
    flag = option.opts[-1]
    arguments = ["some-folder"] if command != "corpora" else []
    done = CliRunner().invoke(cli, [command, *arguments, flag, *text_for(option)])
    assert done.exit_code == 2
    assert f"{flag} needs --" in done.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--beam-width", 3], "--beam-width has no effect with --mode sample"),
        (["--mode", "argmax", "--beam-width", 4], "--beam-width has no effect with --mode argmax"),
        (["--sweeps", 20], "--sweeps has no effect with --mode sample"),
        (["--mode", "gibbs", "--stop", "x"], "--stop has no effect with --mode gibbs"),
        (["--temperature", 0, "--top-k", 3], "--top-k has no effect with --temperature 0"),
        (["--prime", "a", "--mode", "argmax", "--seed", 1], "--seed has no effect with --mode arg"),
        (["--prime", "a", "--mode", "beam", "--seed", 1], "--seed has no effect with --mode beam"),
        (["--prime", "a", "--temperature", 0, "--seed", 1], "--seed has no effect with --temperat"),
    ],
)
def test_a_flag_of_another_mode_is_refused_even_at_its_default(
    trained: Path, flags: list[Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        rondel("sample", trained, *flags)


NAMES = [(rule, field) for rule in rules.values() for field in dataclasses.fields(rule)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("rule", "field"), NAMES, ids=[field.name for _, field in NAMES])
def test_a_rule_that_keeps_the_likeliest_token_is_refused_with_argmax(
    trained: Path, rule: Any, field: Any
) -> None:
    flags = ("sample", trained, "--mode", "argmax", "-n", 3)
    flag, value = flag_name(field.name), type(field.default)(field.default or 1)
    if not rule.keeps_likeliest:
        assert rondel(*flags, flag, value).exit_code == 0
        return
    with pytest.raises(InputError, match=f"{flag} has no effect with --mode argmax"):
        rondel(*flags, flag, value)
    random = np.random.default_rng(3)
    for changed in (0.3, 1):
        logits, history = random.normal(size=40), random.integers(0, 40, 12)
        applied = rule(**{field.name: type(field.default)(changed)}).apply(logits, history)
        assert np.argmax(applied) == np.argmax(logits)


def test_a_folder_whose_name_is_not_utf_8_can_be_trained_into(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a cup of coffee\n" * 200, encoding="utf-8")
    folder = tmp_path / "\udcff"  # the byte 0xff
    flags = ("--hidden-size", 8, "--steps", 10, "--batch-size", 2, "--seq-length", 8)
    with pytest.warns(UserWarning, match="no curves for TensorBoard"):
        rondel("train", text, "--out", folder, *flags)
    assert len(rondel("sample", folder, "-n", 5).stdout) > 5
