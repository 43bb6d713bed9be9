"""How large a model is chosen for a text and the time: what grows with what, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from _runs import rondel

from rondel.data.facts import TextFacts
from rondel.settings import Settings
from rondel.training.optimizers import optimizers
from rondel.training.resolve import choose, minutes_to_fill, resolve
from rondel.training.run import SETTINGS
from rondel.training.sizing import BATCH, SMALL_BATCH, Size, best_size, recurrent_weights

MINUTE = 1.5e13  # operations, of two cores


def parameters(size: Size) -> int:
    return recurrent_weights("lstm", size.num_layers, size.hidden_size)


def test_more_time_makes_no_smaller_model() -> None:
    sizes = [
        best_size("lstm", 1_000_000, 65, minutes * MINUTE) for minutes in (0.1, 0.5, 2, 10, 30)
    ]
    assert [parameters(size) for size in sizes] == sorted(map(parameters, sizes))
    assert parameters(sizes[-1]) > 4 * parameters(sizes[0])


@pytest.mark.parametrize(
    ("tokens", "minutes", "expected"),
    [
        (50_000, 1, Size(1, 384, 0.5, 0.0034, SMALL_BATCH, 15.1)),
        (1_000_000, 0.5, Size(1, 256, 0.08, 0.004, BATCH, None)),
        (1_000_000, 2, Size(1, 512, 0.09, 0.00303, BATCH, None)),
        (1_000_000, 30, Size(2, 512, 0.32, 0.00303, BATCH, None)),
        (20_000_000, 3000, Size(2, 1024, 0.36, 0.0023, BATCH, None)),
    ],
)
def test_the_sizes_are_those_that_were_found_best(
    tokens: int, minutes: float, expected: Size
) -> None:
    """The largest size and the learning rates are measured: see benchmarks/texts.py."""
    assert best_size("lstm", tokens, 65, minutes * MINUTE) == expected


def test_the_more_passes_the_more_is_dropped_up_to_a_limit() -> None:
    sizes = [best_size("lstm", tokens, 65, 2 * MINUTE) for tokens in (10**8, 10**6, 10**5, 10**3)]
    assert [size.dropout for size in sizes] == sorted(size.dropout for size in sizes)
    assert sizes[0].dropout == 0
    assert sizes[-1].dropout == 0.5


def test_a_short_text_is_not_read_for_ever() -> None:
    short, long = (
        best_size("lstm", 50_000, 65, 5 * MINUTE),
        best_size("lstm", 10**7, 65, 5 * MINUTE),
    )
    assert short.epochs is not None
    assert 5 < short.epochs < 50
    assert short.batch_size == SMALL_BATCH
    assert long.epochs is None
    assert long.batch_size == BATCH


@pytest.mark.parametrize(("tokens", "batch_size"), [(90, 1), (1100, 2), (20_000, SMALL_BATCH)])
def test_a_tiny_text_is_cut_into_few_streams(tokens: int, batch_size: int) -> None:
    assert best_size("lstm", tokens, 65, MINUTE).batch_size == batch_size


def test_a_smaller_cell_affords_more_units() -> None:
    lstm, rnn = (best_size(cell, 10**6, 65, MINUTE) for cell in ("lstm", "rnn"))
    assert rnn.hidden_size > lstm.hidden_size


def test_a_large_vocabulary_and_text_that_does_not_come_again_leave_fewer_units() -> None:
    letters, signs = (best_size("lstm", 10**7, size, MINUTE) for size in (65, 6000))
    assert signs.hidden_size < letters.hidden_size
    often, once = (best_size("lstm", tokens, 65, MINUTE) for tokens in (10**5, 10**7))
    assert once.hidden_size < often.hidden_size


def test_a_text_of_one_line_and_no_time_still_gets_a_model() -> None:
    assert best_size("lstm", 1, 65, 1.0).hidden_size >= 1


def filled(**given: object) -> float | None:
    settings = Settings(given)
    return minutes_to_fill(settings, choose(settings))


@pytest.mark.parametrize(
    "told",
    [
        {"hidden_size": 99},
        {"num_layers": 2},
        {"dropout": 0.0},
        {"tie_weights": True},
        {"steps": 5},
        {"epochs": 2.0},
        {"level": "word"},
        {"backend": "numpy"},
    ],
)
def test_what_is_told_of_size_or_end_leaves_nothing_to_choose(told: dict[str, object]) -> None:
    assert filled(**told) is None


def test_minutes_are_filled_and_ten_if_none_are_given() -> None:
    assert filled(minutes=3.0) == 3
    assert filled(level="byte", cell="gru", batch_size=4) == 10


def test_what_is_chosen_is_settled_but_for_what_is_told() -> None:
    size = Size(2, 320, 0.25, 2e-3, 16, 12.5)
    facts = TextFacts(65, 10**6)
    config = resolve(Settings({"minutes": 1.0, "batch_size": 5}), facts, size)
    model, training = config.model, config.training
    assert (model.num_layers, model.hidden_size, model.dropout) == (2, 320, 0.25)
    assert (training.batch_size, training.epochs, training.minutes) == (5, 12.5, 1.0)
    assert training.learning_rate == 2e-3
    sgd = resolve(Settings({"optimizer": "sgd"}), facts, size).training
    assert sgd.learning_rate == optimizers["sgd"].learning_rate


def test_the_choice_is_told_and_saved(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cup is full, and the cup is hot. " * 300, encoding="utf-8")
    result = rondel("train", text, "--minutes", "0.02", "--threads", "1", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "chosen for" in result.output
    settings = (tmp_path / "run" / SETTINGS).read_text(encoding="utf-8")
    assert "hidden_size = " in settings
    assert "# hidden_size" not in settings
