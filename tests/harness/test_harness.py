"""lm-evaluation-harness asks a model: real tasks, from a file, with no network."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from _runs import train

import rondel

TASK = Path(__file__).with_name("_task.py")
ROWS: list[dict[str, Any]] = [
    {"context": "The cup", "choices": [" is full.", " xqz zzz."], "label": 0},
    {"context": "Is there", "choices": [" qqqqq", " a bean"], "label": 1},
    {"context": "", "choices": ["The", "The cup"], "label": 1},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, coffee: str) -> Path:
    folder = tmp_path_factory.mktemp("harness") / "run"
    train(folder, coffee.replace(". ", ".\n"), backend="numpy", steps=60, learning_rate=0.02)
    return folder


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[dict[str, Any]]:
    """The task's documents; what the model itself would write is the right answer to the third."""
    model, made = rondel.load(folder), []
    for row in ROWS:
        written = "".join(model.stream("\n" + row["context"], length=20, mode="argmax", stop="."))
        made.append({**row, "text": f"{row['context']}, the bean.\n", "written": written})
    made[0]["written"] = "something else"
    return made


@pytest.fixture(scope="module")
def answer(
    folder: Path, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    scratch = tmp_path_factory.mktemp("task")
    data = scratch / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(scratch / "hf")}
    done = subprocess.run(
        [sys.executable, TASK, folder, data],
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def log_p(model: rondel.Model, context: str, text: str) -> tuple[float, bool]:
    table = model.score(text, context="\n" + context, unit="nats")
    return -float(table["surprisal_nats"].sum()), bool((table["rank"] == 1).all())


def test_continuations_and_texts_have_the_model_s_log_probabilities(
    answer: dict[str, Any], folder: Path, rows: list[dict[str, Any]]
) -> None:
    model = rondel.load(folder)
    for row, found in zip(rows, answer["answers"]["continued"], strict=True):
        for choice, (value, greedy) in zip(row["choices"], found, strict=True):
            expected, likeliest = log_p(model, row["context"], choice)
            assert value == pytest.approx(expected, rel=1e-5)
            assert greedy == likeliest
    for row, value in zip(rows, answer["answers"]["rolled"], strict=True):
        assert value == pytest.approx(log_p(model, "", row["text"])[0], rel=1e-5)
    assert answer["answers"]["by name"] == "RondelLM"


def test_the_tasks_results_follow_from_them(
    answer: dict[str, Any], folder: Path, rows: list[dict[str, Any]]
) -> None:
    model, results = rondel.load(folder), answer["results"]
    right = 0
    for row in rows:
        values = [log_p(model, row["context"], choice)[0] for choice in row["choices"]]
        right += values.index(max(values)) == row["label"]
    assert results["choices"]["acc,none"] == pytest.approx(right / len(rows))
    assert right == 2  # a beginning of a text is always likelier than the text
    nats = -sum(log_p(model, "", row["text"])[0] for row in rows)
    size = sum(len(row["text"].encode()) for row in rows)
    assert results["rolling"]["bits_per_byte,none"] == pytest.approx(nats / size / math.log(2))
    assert results["written"]["exact_match,none"] == pytest.approx(2 / 3)


def test_an_item_with_a_shared_word_is_scored_and_named(tmp_path: Path, coffee: str) -> None:
    """The run continues, and the other items' results are unaffected."""
    from lm_eval.api.instance import Instance

    from rondel.harness import RondelLM

    train(tmp_path / "run", coffee.replace(". ", ".\n"), level="word", steps=5, batch_size=2)
    model = rondel.load(tmp_path / "run")
    asked = [("The cup", " is full."), ("The c", "up is full."), ("", "The"), ("The cup ", "")]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(asked)]
    with pytest.warns(UserWarning, match=r"^1 of 4 continuations .* a word .*'The c' \+ 'up"):
        found = RondelLM(model).loglikelihood(requests)
    table = model.score(" cup is full.", context="\nThe", unit="nats")
    assert found[1][0] == pytest.approx(-float(table["surprisal_nats"].sum()), rel=1e-5)
    others = [requests[0], *requests[2:]]
    assert RondelLM(model).loglikelihood(others) == [found[0], *found[2:]]
    assert found[3] == (0.0, True)
