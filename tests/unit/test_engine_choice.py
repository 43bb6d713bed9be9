"""Which engine runs a model, when its kernels are compiled, and how work is split by threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from _models import random_model
from _runs import rondel as run

import rondel
from rondel.cells import build_cell
from rondel.cells.lstm import LSTM
from rondel.engine import NumpyEngine, build_engine
from rondel.engine.compiled_engine import CompiledEngine
from rondel.engine.kernel_lookup import has_kernel
from rondel.errors import InputError, SlowerWarning
from rondel.kernels.threads.autotuner import (
    ALONE,
    TRIAL_SECONDS,
    TRIAL_STEPS,
    Autotuner,
    Split,
    acquired,
)

TWO = Split(1, 2)
NOTICE = "rondel: compiling for this processor, once (about 10 s) …\n"


def sample(folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "rondel", "sample", str(folder), "--prime", "The ",
         "--seed", "4", *flags],
        capture_output=True, encoding="utf-8", env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_only_a_cell_with_kernels_is_compiled():
    class Derived(LSTM):
        """It may compute anything."""

    config, weights = random_model("lstm")
    assert isinstance(build_engine(config, weights), CompiledEngine)
    assert has_kernel(build_cell(config))
    assert not has_kernel(Derived())


def test_a_small_job_runs_in_numpy():
    config, weights = random_model("lstm", layers=2, hidden=64)
    assert isinstance(build_engine(config, weights, tokens=500), NumpyEngine)
    assert isinstance(build_engine(config, weights, tokens=50_000), CompiledEngine)
    assert isinstance(build_engine(config, weights, "int8", tokens=500), CompiledEngine)


@pytest.fixture(scope="module")
def any_processor(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for kernels of instructions that all processors have, none compiled yet."""
    cache = str(tmp_path_factory.mktemp("cache"))
    places = dict.fromkeys(("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"), cache)
    return {**places, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"precision": "int4"}, "precision is one of fp32, int8, not 'int4'"),
        ({"threads": 0}, "threads must be a whole number of at least 1 and less than 1025, not 0"),
        ({"threads": "2"}, "threads must be a whole number, not '2'"),
    ],
)
def test_an_invalid_choice_is_refused_as_the_model_is_loaded(choice, message, trained: Path):
    with pytest.raises(InputError) as caught:
        rondel.load(trained, **choice)
    assert str(caught.value) == message


def test_int8_changes_the_loss_but_little(trained: Path, coffee: str):
    exact, rounded = (rondel.load(trained, precision=p) for p in ("fp32", "int8"))
    costs = rounded.evaluate(coffee).nats_per_token - exact.evaluate(coffee).nats_per_token
    assert 0 < abs(costs) < 0.01


def test_the_text_does_not_depend_on_threads(trained: Path):
    texts = [rondel.load(trained, threads=n).sample("The ", length=300, seed=1) for n in (1, 2)]
    assert texts[0] == texts[1]


def test_without_kernels_the_text_is_the_same(trained: Path):
    flags = ("-n", "12000", "--temperature", "0.9")
    compiled, plain = sample(trained, *flags), sample(trained, *flags, RONDEL_NO_KERNELS="1")
    assert (compiled.returncode, plain.returncode, plain.stderr) == (0, 0, "")
    assert len(plain.stdout) == 12_005
    assert compiled.stdout == plain.stdout


def test_without_kernels_int8_is_refused(trained: Path):
    answer = sample(trained, "--precision", "int8", RONDEL_NO_KERNELS="1")
    assert answer.returncode == 1
    assert answer.stderr == (
        "rondel: --precision int8 needs compiled kernels, and there are none "
        "(RONDEL_NO_KERNELS is set: unset it); leave it out to do without them\n"
    )


def test_kernels_are_compiled_once_with_a_notice(trained: Path, any_processor: dict[str, str]):
    flags = ("-n", "30", "--precision", "int8")
    first, second = (sample(trained, *flags, **any_processor) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, NOTICE)
    assert (second.returncode, second.stderr) == (0, "")
    assert first.stdout == second.stdout
    assert len(first.stdout) == 35


LOGITS = """
import sys
import numpy as np
from _models import random_model, some_state
from rondel.engine import build_engine

model = random_model("gru", layers=2, hidden=37, vocab=70, embedding=7)
tokens_TB = np.random.default_rng(1).integers(0, 70, (9, 3))
logits = []
for precision in ("fp32", "int8"):
    engine = build_engine(*model, precision, threads=1)
    logits.append(engine.sequence(tokens_TB, some_state(*model, 3))[0])
np.save(sys.argv[1], np.stack(logits))
"""


def test_every_processor_gives_the_same_logits(tmp_path: Path, any_processor: dict[str, str]):
    """This processor's widest registers, against instructions that all processors have."""
    logits = []
    for name, environment in (("this", {}), ("generic", any_processor)):
        path = {"PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run(
            [sys.executable, "-c", LOGITS, str(tmp_path / name)],
            env={**os.environ, **path, **environment},
            check=True,
        )
        logits.append(np.load(tmp_path / f"{name}.npy"))
    # int8 rounds far more than this, but the same on all processors: its sums are of integers.
    np.testing.assert_allclose(*logits, rtol=0, atol=5e-6)


# Autotuner


def chosen_splits(autotuner: Autotuner, seconds: dict[Split, float], runs: int) -> list[Split]:
    """The splits chosen for runs of 64 steps, of which each takes `seconds` of its split."""
    chosen = []
    for _ in range(runs):
        split, steps = autotuner.choose("work", [ALONE, TWO], 64)
        chosen.append(split)
        autotuner.record("work", split, steps, steps * seconds[split])
    return chosen


def test_the_faster_split_is_used_and_the_other_tried_sometimes():
    chosen = chosen_splits(Autotuner(), {ALONE: 1.0, TWO: 2.0}, 200)
    # The first run of each is not recorded: it starts threads, and loads code.
    assert chosen[:5] == [ALONE, ALONE, TWO, TWO, ALONE]
    assert 4 <= chosen.count(TWO) <= 9


def test_a_split_that_becomes_faster_is_found():
    autotuner = Autotuner()
    chosen_splits(autotuner, {ALONE: 1.0, TWO: 2.0}, 100)
    assert chosen_splits(autotuner, {ALONE: 1.0, TWO: 0.5}, 200)[-50:].count(TWO) > 45
    assert chosen_splits(autotuner, {ALONE: 1.0, TWO: 5.0}, 100)[-50:].count(ALONE) > 45


def test_a_trial_is_short_and_runs_that_are_too_short_are_not_recorded():
    autotuner = Autotuner()
    for steps, seconds in ((1, 1e-5), (500, 0.01)):
        autotuner.record("work", ALONE, steps, seconds)
        assert autotuner.choose("work", [ALONE, TWO], 500) == (ALONE, 500)
    autotuner.record("work", ALONE, 500, 0.01)
    assert autotuner.choose("work", [ALONE, TWO], 4) == (ALONE, 4)
    # As many steps as fill a trial's time, or its fewest steps if they take longer.
    assert autotuner.choose("work", [ALONE, TWO], 500) == (TWO, round(TRIAL_SECONDS / 2e-5))
    for _ in range(2):
        assert autotuner.choose("slow", [ALONE, TWO], 500) == (ALONE, 500)
        autotuner.record("slow", ALONE, 500, 5.0)
    assert autotuner.choose("slow", [ALONE, TWO], 500) == (TWO, TRIAL_STEPS)


def test_workers_of_two_runs_never_run_at_the_same_time():
    with acquired(TWO) as split, acquired(TWO) as other, acquired(Split(2, 1)) as third:
        assert (split, other, third) == (TWO, ALONE, Split(2, 1))
    with acquired(TWO) as split:
        assert split == TWO


def test_where_kernels_cannot_be_compiled_numpy_runs_the_model(monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError("LLVM does not know this processor")

    monkeypatch.setattr(CompiledEngine, "__init__", fail)
    config, weights = random_model("lstm")
    with pytest.warns(SlowerWarning, match="LLVM does not know this processor"):
        assert isinstance(build_engine(config, weights), NumpyEngine)
    with (
        pytest.warns(SlowerWarning),
        pytest.raises(InputError, match=r"there are none \(LLVM does not know this processor\)"),
    ):
        build_engine(config, weights, "int8")


def test_eval_reports_what_int8_costs(trained: Path, coffee_file: Path):
    def nats(*flags: str) -> dict[str, float]:
        done = run("eval", trained, coffee_file, *flags, "--json")
        values: dict[str, float] = json.loads(done.stdout)
        return values

    exact, rounded = nats(), nats("--precision", "int8")
    cost = rounded["nats_per_token"] - exact["nats_per_token"]
    assert rounded["precision_costs_nats_per_token"] == pytest.approx(cost)
    assert 0 < abs(cost) < 0.01
    shown = run("eval", trained, coffee_file, "--precision", "int8").stdout.splitlines()[-1]
    assert shown.split(maxsplit=1) == [f"{cost:+.5f}", "nats per character compared with fp32"]
    refused = run("eval", trained, coffee_file, "--precision", "int8", "--dynamic")
    assert refused.exit_code == 2


@pytest.mark.parametrize("flags", [("--precision", "int8"), ("--threads", 2, "-n", 9000)])
def test_samples_made_together_equal_those_made_alone(flags: tuple[object, ...], trained: Path):
    common = ("sample", trained, "--prime", "The ", "--seed", 6, "--stop", "\n", *flags)
    lines = run(*common, "--count", 5).stdout.split("\n")
    assert lines[:-1:2] == [f"--- {i} of 5" for i in range(1, 6)]
    model = rondel.load(trained, precision="int8" if "int8" in flags else "fp32")
    length = 9000 if 9000 in flags else 500
    alone = [model.sample("The ", length=length, seed=6, stop="\n", index=i) for i in range(5)]
    assert lines[1::2] == alone
    assert model.sample_many(["The "] * 5, length=length, seed=6, stop="\n") == alone
