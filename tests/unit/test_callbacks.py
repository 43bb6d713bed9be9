"""What a run writes beside its model: its curves, the best model, and when it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, ClassVar

import matplotlib.image
import numpy as np
import pytest
from _runs import rondel, start, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import rondel as public
from rondel import artifact
from rondel.errors import InputError
from rondel.kinds import Kind, kinds
from rondel.training.callbacks import Callback
from rondel.training.callbacks.metrics_file import MetricsFile, read_metrics
from rondel.training.callbacks.plot import draw_losses
from rondel.training.learner import StepResult
from rondel.training.loop import fit
from rondel.training.run import Run, best_folder
from rondel.training.schedules import Standing, learning_rate
from rondel.training.snapshots import read_snapshot

COLUMNS = [
    "step",
    "epoch",
    "tokens",
    "seconds",
    "train_loss",
    "val_loss",
    "learning_rate",
    "tokens_per_second",
]


class Witness(Callback):
    """Writes down every event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.validations: list[tuple[int, float | None, bool]] = []

    def started(self, run: Run) -> None:
        self.events.append("started")

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        self.events.append("stepped")
        self.losses.append(result.loss)
        self.rates.append(learning_rate)

    def validated(self, run: Run, is_best: bool) -> None:
        self.events.append("validated")
        self.validations.append((run.progress.step, run.progress.val_loss, is_best))

    def closed(self, run: Run) -> None:
        self.events.append("closed")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_metrics_say_what_happened(tmp_path: Path, coffee: str) -> None:
    witness = Witness()
    run = train(
        tmp_path / "run", coffee, (MetricsFile(), witness), steps=32, eval_every=15,
        learning_rate=0.02, schedule="cosine",
    )  # fmt: skip
    rows = rows_of(run.folder)
    assert all(list(row) == COLUMNS for row in rows)
    assert [row["step"] for row in rows] == [10, 15, 20, 30, 32]
    validated = {step: loss for step, loss, _ in witness.validations}
    assert list(validated) == [15, 30, 32]
    begin = 0
    for row in rows:
        step = row["step"]
        assert row["train_loss"] == pytest.approx(np.mean(witness.losses[begin:step]))
        assert row["val_loss"] == validated.get(step)
        assert row["learning_rate"] == witness.rates[step - 1]
        assert row["tokens"] == step * 4 * 16
        assert row["epoch"] == round(step / run.progress.steps_per_epoch, 4)
        begin = step
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    assert all(row["tokens_per_second"] > 0 for row in rows)


def test_the_rate_that_is_told_is_the_schedules(tmp_path: Path, coffee: str) -> None:
    witness = Witness()
    run = train(
        tmp_path / "run", coffee, (witness,), steps=12, schedule="one-cycle", learning_rate=0.03
    )
    config = run.config.training
    assert witness.rates == [
        learning_rate(config, Standing(step / 12, 0.0, 0)) for step in range(12)
    ]


def test_events_come_in_order_and_callbacks_are_closed_by_an_error(
    tmp_path: Path, coffee: str
) -> None:
    class Fails(Callback):
        def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
            if run.progress.step == 3:
                raise RuntimeError("enough")

    witness = Witness()
    run = start(tmp_path / "run", coffee, steps=4, eval_every=2)
    run.callbacks = (witness, Fails())
    with pytest.raises(RuntimeError, match="enough"):
        fit(run)
    assert witness.events == ["started", "stepped", "stepped", "validated", "stepped", "closed"]
    assert artifact.load(run.folder).progress["step"] == 2


def test_a_damaged_line_of_metrics_is_left_out(tmp_path: Path) -> None:
    rows = [{"step": 1, "train_loss": 2.0, "val_loss": None}, {"step": 2, "train_loss": 1.0}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(map(json.dumps, [*rows, 3])) + '\n{"step": 3, "trai')
    assert read_metrics(path) == rows[:1]
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_the_curve_is_a_picture(trained: Path) -> None:
    content = (trained / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    picture = matplotlib.image.imread(trained / "loss.png")
    assert picture.shape[:2] == (675, 1200)
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


def test_tensorboard_reads_what_the_metrics_say(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard"), {"tensors": 0, "scalars": 0})
    events.Reload()
    assert set(events.Tags()["tensors"]) | set(events.Tags()["scalars"]) == {
        *("train/nll", "train/gradient_norm", "learning_rate", "validation/loss")
    }
    rows = rows_of(trained)
    validated = {row["step"]: row["val_loss"] for row in rows if row["val_loss"] is not None}
    assert scalars(events, "validation/loss") == pytest.approx(validated)
    rates = scalars(events, "learning_rate")
    assert list(rates) == list(range(10, 151, 10))
    expected = {row["step"]: row["learning_rate"] for row in rows if row["step"] % 10 == 0}
    assert rates == pytest.approx(expected)
    losses = scalars(events, "train/nll")
    assert list(losses) == list(rates)
    assert losses[150] < losses[10] - 0.5


def scalars(events: Any, tag: str) -> dict[int, float]:
    from tensorboard.util import tensor_util

    if tag in events.Tags()["scalars"]:
        return {event.step: event.value for event in events.Scalars(tag)}
    return {
        event.step: float(tensor_util.make_ndarray(event.tensor_proto))
        for event in events.Tensors(tag)
    }


def overfitting(folder: Path, text: str, **settings: Any) -> tuple[Run, Witness, str]:
    """A run whose validation loss soon rises: it learns by heart what is no use later."""
    witness = Witness()
    run = start(
        folder, text, hidden_size=32, batch_size=1, seq_length=16, schedule="constant",
        learning_rate=0.03, eval_every=5, **settings,
    )  # fmt: skip
    run.callbacks = (witness,)
    return run, witness, fit(run)


def test_the_best_model_by_validation_is_kept(tmp_path: Path, coffee: str) -> None:
    run, witness, reason = overfitting(
        tmp_path / "run", coffee[:400], steps=150, validation_fraction=0.25
    )
    assert reason == "finished"
    losses = {step: loss for step, loss, _ in witness.validations}
    best = min(losses, key=lambda step: losses[step] or 0)
    assert best < 120
    assert [step for step, _, is_best in witness.validations if is_best][-1] == best
    kept, latest = artifact.load(run.folder / "best"), artifact.load(run.folder)
    assert best_folder(run.folder) == run.folder / "best"
    assert (kept.progress["step"], kept.progress["val_loss"]) == (best, losses[best])
    assert (latest.progress["step"], latest.progress["val_loss"]) == (150, losses[150])
    # And it is that model, not its name alone.
    validation = run.store.tokens("validation")
    assert run.learner.validate(validation) == pytest.approx(losses[150])
    run.learner.load_weights(dict(kept.weights))
    assert run.learner.validate(validation) == pytest.approx(losses[best])


def test_early_stopping_stops(tmp_path: Path, coffee: str) -> None:
    run, witness, reason = overfitting(
        tmp_path / "run", coffee[:400], steps=1000, validation_fraction=0.25, early_stopping=3
    )
    assert reason == "stopped early"
    bests = [is_best for _, _, is_best in witness.validations]
    assert bests[-4:] == [True, False, False, False]
    assert run.progress.step == 5 * len(bests) < 200
    assert run.progress.best_step == run.progress.step - 15
    # No three in a row before.
    flags = "".join("+" if is_best else "-" for is_best in bests)
    assert flags.index("---") == len(flags) - 3
    assert read_snapshot(run.folder / "resume.safetensors")[1]["step"] == run.progress.step


def test_without_validation_the_best_is_by_training_loss(tmp_path: Path, coffee: str) -> None:
    run, witness, _ = overfitting(tmp_path / "run", coffee[:400], steps=23, validation_fraction=0.0)
    assert [(step, loss) for step, loss, _ in witness.validations] == [
        *((step, None) for step in (5, 10, 15, 20, 23)),
    ]
    means = [np.mean(witness.losses[at : at + 5]) for at in range(0, 23, 5)]
    kept = artifact.load(run.folder / "best").progress
    assert kept["train_loss"] == pytest.approx(min(means))
    assert kept["val_loss"] is None
    assert run.progress.best_loss == kept["train_loss"]


def test_a_run_is_a_whole_model_before_its_first_step(tmp_path: Path, coffee: str) -> None:
    run = start(tmp_path / "run", coffee)
    model = artifact.load(run.folder)
    assert model.progress["step"] == 0
    for name, array in run.learner.weights().items():
        np.testing.assert_array_equal(model.weights[name], array)
    assert best_folder(run.folder) == run.folder


def test_a_run_by_the_clock_follows_it(
    tmp_path: Path, coffee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every look at the clock takes half a second of it."""
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 0.5
        return now

    monkeypatch.setattr("time.monotonic", tick)
    witness = Witness()
    run = start(
        tmp_path / "run", coffee, steps=None, eval_every=None, minutes=1.0, learning_rate=0.02
    )
    run.callbacks = (witness,)
    assert fit(run) == "finished"
    assert 60 <= run.progress.seconds < 65
    assert 20 < run.progress.step < 120
    config = run.config.training
    assert witness.rates[0] == learning_rate(config, Standing(0.0, 0.0, 0))
    top = int(np.argmax(witness.rates))
    assert 0 < top < 6
    assert (np.diff(witness.rates[top:]) < 0).all()
    assert witness.rates[-1] < 0.05 * max(witness.rates)
    assert 5 < len(witness.validations) < 30


class Measured(Kind):
    """A kind whose validations find more than a loss."""

    drawn_with_loss: ClassVar[dict[str, str]] = {"part": "a part of it"}
    drawn_below: ClassVar[dict[str, str]] = {"distance": "distance"}
    drawn_counts: ClassVar[dict[str, str]] = {"units": "units in use"}


@pytest.mark.parametrize("figures", [{}, {"part": 5.0, "distance": 3.0, "units": 4}])
def test_a_kinds_figures_are_drawn_below_the_losses(figures: dict[str, float]) -> None:
    row = {"step": 1, "train_loss": 9.0, "val_loss": 8.0, **figures}
    plain, measured = (
        matplotlib.image.imread(
            io.BytesIO(draw_losses([row, {**row, "step": 2}], "run", kind, "word"))
        )
        for kind in (kinds["language-model"], Measured())
    )
    assert len(measured) / len(plain) == (pytest.approx(7.5 / 4.5, 0.01) if figures else 1)


class Counted(Callback):
    """Counts steps; made without arguments, as `--callback` makes one."""

    steps: ClassVar[list[int]] = []

    def stepped(self, run: Run, result: StepResult, learning_rate: float) -> None:
        self.steps.append(run.progress.step)


def test_anybodys_callback_listens_to_a_run(tmp_path: Path, coffee_file: Path) -> None:
    settings = {"hidden_size": 8, "threads": 1, "seq_length": 16, "batch_size": 4, "quiet": True}
    Counted.steps.clear()
    public.train(coffee_file, out=tmp_path / "run", steps=3, callbacks=[Counted()], **settings)
    assert Counted.steps == [1, 2, 3]
    public.resume(tmp_path / "run", steps=5, callbacks=[Counted()], quiet=True)
    assert Counted.steps == [1, 2, 3, 4, 5]
    place = f"{__name__}:Counted"
    rondel("train", "--resume", tmp_path / "run", "--steps", 6, "--callback", place, "--quiet")
    assert Counted.steps[-1] == 6


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nowhere:Counted", "cannot be made"),
        ("math", "no callback is called 'math'; there are: "),
        ("metrics", "every run has the callback metrics"),
        ("math:nothing", "cannot be made"),
        ("builtins:dict", "is not a rondel.training.callbacks.Callback"),
    ],
)
def test_a_callback_that_is_none_is_refused_before_anything_is_read(
    place: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        rondel("train", "nothing.txt", "--callback", place)
