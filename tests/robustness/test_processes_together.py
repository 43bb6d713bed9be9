"""Several processes train one model: the same losses, one save, one line for what is refused."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
from _ranks import run_ranks
from _runs import rondel

import rondel as rondel_package
from rondel import __version__, load
from rondel.training.callbacks.metrics_file import read_metrics

SMALL = (
    *("--hidden-size", "16", "--seq-length", "16", "--batch-size", "5", "--threads", "1"),
    *("--device", "cpu", "--sample-every", "0", "--quiet"),
)
STEPS = ("--steps", "20", "--eval-every", "10")
KINDS: dict[str, tuple[str, ...]] = {
    "one-hot": ("--embedding-size", "0", "--num-layers", "2"),
    "words": ("--level", "word", "--dropout", "0"),
    "bidirectional": ("--bidirectional", "--level", "word", "--dropout", "0"),
    "sentences": (
        *("--model", "sentence-vae", "--latent-size", "4", "--dropout", "0", "--tie-weights"),
        *("--encoder-bidirectional", "--free-bits", "0.002", "--kl-annealing", "none"),
        *("--iw-samples", "2"),
    ),
    "documents": ("--documents", "blank-line", "--shuffle-documents", "--dropout", "0"),
    "in parts": ("--model", "sentence-vae", "--latent-size", "4", "--dropout", "0", "--aggressive"),
}
ONE_RATE = (*SMALL, "--schedule", "constant", "--eval-every", "10")
EXCHANGES: dict[str, tuple[str, ...]] = {
    "fp16": ("--exchange", "fp16"),
    "powersgd": ("--exchange", "powersgd", "--full-steps", "4"),
    "local": ("--exchange", "local", "--full-steps", "4", "--local-steps", "3"),
}
DROPPED = ("--dropout", "0.4", "--clip-norm", "0.1")


@pytest.fixture(scope="module")
def runs(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs of two processes."""
    place, elsewhere = tmp_path_factory.mktemp("together"), tmp_path_factory.mktemp("elsewhere")
    # A path that is another folder in each process: the second one is sent a copy.
    hidden = Path("/proc/self/cwd")
    commands = [
        ("train", text, *SMALL, *STEPS, *flags, "--out", hidden / name)
        for name, flags in KINDS.items()
    ]
    for name, flags in EXCHANGES.items():
        flags = (*SMALL, *STEPS, *KINDS["one-hot"], *flags)
        commands.append(("train", text, *flags, "--out", place / name))
    for name, steps in (("whole", "20"), ("part", "10")):
        flags = (*ONE_RATE, *DROPPED, "--steps", steps)
        commands.append(("train", text, *flags, "--out", place / name))
    commands.append(("train", "--resume", place / "part", "--steps", "20", "--quiet"))
    commands.append(("train", text, *ONE_RATE, "--steps", "10", "--out", place / "stopped"))
    commands.append(("train", text, *SMALL, "--minutes", "0.02", "--out", place / "minutes"))
    for ended in run_ranks(2, *commands, folders=(place, elsewhere)):
        assert [(each.status, each.output, each.errors) for each in ended] == [(0, "", "")] * 2
    assert not list(elsewhere.iterdir())
    return place


def losses(run: Path) -> list[float]:
    rows = read_metrics(run / "metrics.jsonl")
    names = ("train_loss", "val_loss", "kl", "iw_nll", "mutual_information")
    return [row[name] for row in rows for name in names if row.get(name) is not None]


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_learn_what_one_does(
    name: str, runs: Path, text: Path, tmp_path: Path
) -> None:
    one = tmp_path / "one"
    assert rondel("train", text, *SMALL, *STEPS, *KINDS[name], "--out", one).exit_code == 0
    assert len(losses(one)) >= 4
    assert losses(runs / name) == pytest.approx(losses(one), rel=1e-4)
    alone, together = load(one).weights, load(runs / name).weights
    assert alone.keys() == together.keys()
    for key, array in alone.items():
        # Where a gradient is rounding alone, Adam steps as far as anywhere.
        assert np.abs(array - together[key]).mean() < 2e-4, key


@pytest.mark.parametrize("name", EXCHANGES)
def test_less_may_be_exchanged(name: str, runs: Path) -> None:
    found, full = losses(runs / name), losses(runs / "one-hot")
    assert found != full
    assert found == pytest.approx(full, rel=0.02)


def test_as_many_processes_go_on_to_the_same_bits(runs: Path) -> None:
    whole, part = (load(runs / name).weights for name in ("whole", "part"))
    assert whole.keys() == part.keys()
    for key, array in whole.items():
        assert array.tobytes() == part[key].tobytes(), key


def test_one_process_goes_on_with_the_run_of_two(runs: Path, text: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert rondel("train", text, *ONE_RATE, "--steps", "20", "--out", whole).exit_code == 0
    shutil.copytree(runs / "stopped", stopped)
    assert rondel("train", "--resume", stopped, "--steps", "20").exit_code == 0
    assert losses(stopped) == pytest.approx(losses(whole), rel=1e-4)


def test_minutes_end_at_one_step_for_all(runs: Path) -> None:
    """By process 0's clock: each by its own, one would wait for the other for ever."""
    rows = read_metrics(runs / "minutes" / "metrics.jsonl")
    assert rows[-1]["seconds"] >= 0.02 * 60
    assert load(runs / "minutes").progress["step"] == rows[-1]["step"] > 0


def test_processes_of_another_version_are_refused(text: Path, tmp_path: Path) -> None:
    package = Path(rondel_package.__file__).parent
    other = shutil.copytree(
        package, tmp_path / "rondel", ignore=shutil.ignore_patterns("__pycache__")
    )
    start = other / "__init__.py"
    changed = start.read_text(encoding="utf-8").replace(f'"{__version__}"', '"99.1"')
    start.write_text(changed, encoding="utf-8")
    command = ("train", text, *SMALL, *STEPS, "--out", tmp_path / "run")
    (ended,) = run_ranks(2, command, paths=(None, tmp_path))
    (line,) = [line for each in ended for line in each.errors.splitlines()]
    assert line.startswith("rondel: process 1 (on ")
    assert f"has rondel 99.1, and process 0 (on {platform.node()}) has {__version__}; " in line
    assert [each.status for each in ended] == [1, 1]
    assert not (tmp_path / "run").exists()


def test_what_one_process_refuses_ends_all_in_one_line(text: Path, tmp_path: Path) -> None:
    (tmp_path / "text0.txt").write_text("A text of one host. " * 200, encoding="utf-8")
    (tmp_path / "text1.txt").write_text("A text of the other." * 200, encoding="utf-8")
    out = ("--out", tmp_path / "run")
    refused = {
        ("train", text, *SMALL, *out, "--seed", "{rank}"): "process 1 (on ",
        ("train", tmp_path / "text{rank}.txt", *SMALL, *out): "has files of SHA-256 ",
        ("train", "-", *SMALL, *out): "several processes cannot read standard input; name a file",
        ("train", tmp_path / "none.txt", *SMALL, *out): "none.txt",
        ("train", text, *SMALL, *out, "--batch-size", "1"): "--batch-size 1 is shared out among 2",
        ("train", text, "--backend", "numpy", "--quiet", *out): "trains in one process",
        ("train", "--resume", tmp_path / "run", "--quiet"): "there is no such folder",
        # A rate at which weights are soon no numbers.
        (
            "train",
            text,
            *SMALL,
            *out,
            "--optimizer",
            "sgd",
            "--learning-rate",
            "1e38",
        ): "a lower --learn",
    }
    for (command, why), ended in zip(
        refused.items(), run_ranks(2, *refused, machines=True), strict=True
    ):
        lines = [line for each in ended for line in each.errors.splitlines()]
        assert len(lines) == 1, (command, lines)
        assert lines[0].startswith("rondel: "), lines
        assert why in lines[0]
        assert [each.status for each in ended] == [1, 1]
    # The last one began, and stays as it was then.
    assert load(tmp_path / "run").progress["step"] == 0
    assert not list(tmp_path.rglob(".*"))
