"""A run's folder has one owner: a second one is told so, and nothing that it did shows."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from _processes import ENVIRONMENT, HANG, TINY, contents, rondel, running, the_one_line

import rondel as package
from rondel.artifact import lock
from rondel.errors import InputError, NonFiniteLossError
from rondel.settings import Settings
from rondel.training.callbacks.base import Callback
from rondel.training.loop import fit
from rondel.training.run import Run
from rondel.training.start import begin, resume

SMALLEST: dict[str, Any] = {
    "backend": "numpy",
    "hidden_size": 6,
    "seq_length": 8,
    "batch_size": 4,
    "steps": 6,
    "eval_every": 2,
}
TAKEN = r"another rondel is training in .*, since \d\d:\d\d, process \d+; wait until it ends"


def start(folder: Path, text: Path, overwrite: bool = False, **settings: Any) -> Run:
    given = Settings({**SMALLEST, **settings})
    return begin(text.read_text(encoding="utf-8"), given, folder, overwrite=overwrite)


class At(Callback):
    """Calls `act` after a step."""

    def __init__(self, step: int, act: object) -> None:
        self.step, self.act = step, act

    def stepped(self, run: Run, *_: object) -> None:
        if run.progress.step == self.step:
            self.act()  # type: ignore[operator]


def test_races_spoil_no_folder() -> None:
    script = Path(__file__).with_name("races.py")
    done = subprocess.run(
        [sys.executable, str(script), "--rounds", "2"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    spoilt = json.loads(done.stdout)
    assert spoilt == {"two new": 0, "overwrite while writing": 0, "two resumes": 0}, done.stderr


def test_while_one_trains_others_are_refused_and_readers_are_not(
    text: Path, model: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(model, target_is_directory=True)
    run = resume(model, {"steps": 9})
    before = contents(tmp_path)
    for command in (["--resume", link], [text, "--out", model, "--overwrite", *TINY]):
        done = rondel("train", *command)
        assert done.returncode == 1
        assert re.search(TAKEN, the_one_line(done.stderr))
    loaded = package.load(model)
    assert loaded.sample("The", length=5)
    for refused in (
        lambda: package.resume(tmp_path / "." / "link" / ".." / "model", steps=9),
        lambda: package.train(text, out=model, overwrite=True, quiet=True),
        lambda: loaded.save(model, overwrite=True),
        lambda: loaded.save(model / "best", overwrite=True),
    ):
        with pytest.raises(InputError, match=TAKEN):
            refused()
    assert contents(tmp_path) == before
    fit(run)
    package.resume(model, steps=12, quiet=True)
    assert package.load(link).progress["step"] == 12


def test_threads_of_one_process_are_two_owners(text: Path, tmp_path: Path) -> None:
    results: list[object] = []
    together = threading.Barrier(4)

    def train() -> None:
        together.wait()
        try:
            results.append(package.train(text, out=tmp_path / "run", quiet=True, **SMALLEST))
        except InputError as error:
            results.append(str(error))

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = [result for result in results if isinstance(result, str)]
    assert len(lost) == 3
    for line in lost:
        assert re.search(rf"{TAKEN}|another rondel is training|holds a model already", line)
    assert package.load(tmp_path / "run" / "best").progress["step"] in (2, 4, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_a_killed_process_left_is_no_obstacle_and_goes(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with running("train", text, "--out", run, *TINY, "--steps", "1000000") as process:
        while not (run / "metrics.jsonl").exists():
            assert process.poll() is None
        process.kill()
    assert (tmp_path / ".run.lock").exists()
    (tmp_path / ".run.0123abcd.draft").mkdir()
    (run / ".weights.safetensors.0123abcd.draft").touch()
    package.resume(run, steps=package.load(run).progress["step"] + 2, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert list(run.rglob(".*")) == []


def test_a_place_without_room_beside_it_is_locked_from_within(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != model.parent)
    with lock(model), pytest.raises(InputError, match=TAKEN):
        package.resume(model, steps=9)
    package.resume(model, steps=9, quiet=True)
    assert not (model / ".lock").exists()


def test_a_file_system_without_locks_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(37, "No locks available")

    before = contents(model)
    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(InputError, match=r"file system without locks .*choose a folder on another"):
        package.resume(model, steps=9)
    assert contents(model) == before


def test_the_old_model_stands_until_the_first_save(text: Path, model: Path) -> None:
    before = contents(model)
    run = start(model, text, overwrite=True)
    seen = []
    run.callbacks = [At(1, lambda: seen.append(contents(model)))]
    fit(run)
    assert seen == [before]
    assert run.folder == model
    assert package.load(model).progress["step"] == 6
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_run_that_diverges_at_once_leaves_the_old_model(
    text: Path, model: Path, tmp_path: Path
) -> None:
    before = contents(tmp_path)
    run = start(model, text, overwrite=True, learning_rate=3e38, steps=20, eval_every=20)
    with pytest.raises(NonFiniteLossError, match=f"{model} holds the model that it held before"):
        fit(run)
    assert contents(tmp_path) == before


def test_a_run_interrupted_before_its_first_save_leaves_the_old_model(
    text: Path, model: Path, tmp_path: Path
) -> None:
    before = contents(tmp_path)
    run = start(model, text, overwrite=True)
    run.callbacks = [At(1, lambda: signal.raise_signal(signal.SIGTERM))]
    assert fit(run) == "terminated"
    assert contents(tmp_path) == before


def test_what_was_put_beside_the_old_model_meanwhile_is_not_lost(text: Path, model: Path) -> None:
    run = start(model, text, overwrite=True)
    run.callbacks = [At(1, lambda: (model / "poems.txt").write_text("mine"))]
    with pytest.raises(InputError, match=r"poems\.txt.* would be lost"):
        fit(run)
    assert (model / "poems.txt").read_text() == "mine"
    assert package.load(model).progress["step"] == 4
    assert [path.name for path in model.parent.iterdir()] == ["model"]
