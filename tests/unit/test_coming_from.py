"""The flags in `docs/coming-from.md` exist and do what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rondel.cli import cli
from rondel.cli.commands import summaries
from rondel.data.facts import TextFacts
from rondel.settings import Settings, TrainingConfig, all_settings
from rondel.training.resolve import resolve
from rondel.training.schedules import Standing, learning_rate

DOC = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
EPOCHS = 50


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def flags_of(name: str) -> set[str]:
    parameters = command(name).params
    return {flag for p in parameters for flag in (*p.opts, *p.secondary_opts) if flag[0] == "-"}


def rows() -> Iterator[tuple[str, list[str]]]:
    """Every row of every table, without the headers, and the heading above it."""
    heading = ""
    for line in DOC.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("| ") and not line.startswith("| ---"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells[2] != "rondel":
                yield heading, cells


def blocks() -> list[str]:
    return re.findall(r"^```\w+\n(.*?)^```$", DOC, flags=re.DOTALL | re.MULTILINE)


def command_lines() -> list[list[str]]:
    """Every `rondel …` of the code blocks, split as a shell would."""
    lines = [line for block in blocks() for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("rondel ")]


def settings_of(folder: str) -> Settings:
    """What the training command line that writes `folder` sets."""
    (args,) = [args for args in command_lines() if args[0] == "train" and folder in args]
    given = command("train").make_context("train", args[1:]).params
    return Settings({name: given[name] for name in all_settings() if given.get(name) is not None})


def training_of(folder: str) -> TrainingConfig:
    """The training settings of that run, of a text long enough for them."""
    return resolve(settings_of(folder), TextFacts(65, train=10**6)).training


def test_every_row_names_a_flag_or_says_that_there_is_none():
    tables = list(rows())
    assert len(tables) > 100
    for heading, (theirs, _, ours, remark) in tables:
        assert theirs, (heading, ours)
        if ours == "none":
            assert remark, (
                f"{heading}: {theirs} has no counterpart, and the row does not say what to do"
            )
        else:
            assert re.fullmatch(r"`(-n|--[\w-]+|TEXT|RUN)`", ours), (heading, theirs, ours)


def test_the_rondel_column_holds_flags_of_the_command_in_question():
    for heading, (theirs, _, ours, _remark) in rows():
        name = "sample" if re.search("sample|generate|constructor", heading) else "train"
        for flag in re.findall(r"-[\w-]+", ours):
            assert flag in flags_of(name), f"{heading}: {theirs} -> {flag}"


def test_every_flag_in_the_remarks_and_the_prose_exists():
    prose = re.sub(r"^```.*?^```$", "", DOC, flags=re.DOTALL | re.MULTILINE)
    text = [line for line in prose.splitlines() if not line.startswith("|")]
    text += [remark for _, (*_, remark) in rows()]
    known = flags_of("train") | flags_of("sample")
    found = {flag for line in text for flag in FLAG.findall(line)}
    assert len(found) > 20
    assert found <= known


def test_every_command_named_exists():
    spans = re.findall(r"`([^`\n]+)`", DOC)
    named = {name for span in spans for name in re.findall(r"(?:^|\| )rondel (\w+)", span)}
    assert {"show", "eval", "sample", "train"} <= named <= set(summaries())


@pytest.mark.parametrize("args", command_lines(), ids=" ".join)
def test_command_lines_are_accepted(args: list[str]):
    command(args[0]).make_context(args[0], list(args[1:]))
    if args[0] == "train":
        settings_of(args[args.index("--out") + 1])


def test_each_tool_has_a_command_line_of_each_kind():
    assert sorted(args[0] for args in command_lines()) == ["sample"] * 4 + ["train"] * 4


def rates(folder: str) -> list[float]:
    """The learning rate in the middle of each epoch, as rondel's own schedule has it."""
    training = training_of(folder)
    return [
        learning_rate(training, Standing((epoch + 0.5) / EPOCHS, epoch + 0.5, decays=0))
        for epoch in range(EPOCHS)
    ]


def test_char_rnn_s_learning_rates():
    # It multiplies by 0.97 at the end of an epoch, from the tenth on.
    theirs, rate = [], 2e-3
    for number in range(1, EPOCHS + 1):
        theirs.append(rate)
        rate *= 0.97 if number >= 10 else 1
    assert rates("runs/char-rnn") == pytest.approx(theirs)


def test_char_rnn_tensorflow_s_learning_rates():
    # It sets 0.002 * 0.97 ** e as epoch e begins, counted from 0.
    assert rates("runs/save") == pytest.approx([0.002 * 0.97**epoch for epoch in range(EPOCHS)])


def test_torch_rnn_s_learning_rates_are_followed_closely():
    # It halves at the end of an epoch whose successor's number divides by five: a staircase.
    theirs, rate = [], 2e-3
    for number in range(1, EPOCHS + 1):
        theirs.append(rate)
        rate *= 0.5 if (number + 1) % 5 == 0 else 1
    ratios = [our / their for our, their in zip(rates("runs/book"), theirs, strict=True)]
    assert 0.7 < min(ratios) <= max(ratios) < 1.4


def test_char_rnn_s_clipping_is_per_step():
    # Its gradients are sums over the steps of a sequence, rondel's are means.
    training = training_of("runs/char-rnn")
    assert training.clip_value * training.seq_length == pytest.approx(5)
    assert training.clip_norm == 0
