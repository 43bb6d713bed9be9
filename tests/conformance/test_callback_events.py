"""Every callback of `rondel.training.callbacks`: it listens in order, and changes nothing."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import pytest
from _runs import assert_same_arrays, start, train
from rich.console import Console

from rondel.training.callbacks import Callback, callbacks
from rondel.training.loop import fit

EVENTS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction)]
SHAPE: dict[str, Any] = {"steps": 12, "eval_every": 6, "dropout": 0.2, "sample_every": 6}


def made(cls: type[Callback]) -> Callback:
    """One of them, which writes to nobody if it writes to a console."""
    return cls.standard(Console(file=io.StringIO())) or cls()


@pytest.mark.parametrize("name", callbacks)
def test_it_changes_nothing_of_what_is_learnt(name: str, coffee: str, tmp_path: Path) -> None:
    alone = train(tmp_path / "alone", coffee, **SHAPE)
    watched = train(tmp_path / "watched", coffee, (made(callbacks[name]),), **SHAPE)
    assert_same_arrays(watched.learner.weights(), alone.learner.weights())
    assert watched.learner.snapshot().arrays.keys() == alone.learner.snapshot().arrays.keys()
    assert watched.progress.val_loss == alone.progress.val_loss


def test_events_come_in_order_to_all_of_them(coffee: str, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    class Witness(Callback):
        def __init__(self, number: int) -> None:
            self.number = number

        def __getattribute__(self, name: str) -> Any:
            if name in EVENTS:
                return lambda *_: told.append((name, self.number))
            return super().__getattribute__(name)

    run = start(tmp_path / "run", coffee, steps=3, eval_every=2)
    run.callbacks = [Witness(1), Witness(2)]
    fit(run)
    order = ["started", "stepped", "stepped", "validated", "stepped", "validated"]
    assert told[:-2] == [(event, number) for event in order for number in (1, 2)]
    # Closed the other way round, as what was opened last is closed first.
    assert told[-2:] == [("closed", 2), ("closed", 1)]
